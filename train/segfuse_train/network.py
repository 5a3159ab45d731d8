"""Networks of plain 3x3 and 1x1 convolutions: features at 1/8, logits at 1/8.

    image ──▶ 1/2 ──▶ 1/4 ──▶ 1/8 ──┬──▶ detail ─────────────────────────┬──▶ fuse ──▶ features ──▶ head ──▶ logits
                                    └──▶ 1/16 ──▶ 1/32 ──▶ pools ──▶ 1/16 ┘
    between key frames:   features, carried ─────┬──▶ mix ──(+)──▶ features ──▶ head ──▶ logits
                          image ──▶ 1/2 ──▶ 1/8 ──┤
                          residual, 1/4 ──▶ 1/8 ──┘

Two branches, after BiSeNet (Yu et al., 2018) and DDRNet (Hong et al., 2021): one keeps the detail at 1/8,
the other sees far at 1/16 and 1/32 and ends in pooled context (PSPNet, Zhao et al., 2017). No depthwise
convolutions (slow in rten), no adaptive pooling, no upsampling to the picture's size: segfuse fuses that
with its arg-max. The head is light, so that a frame between key frames costs little.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from segfuse_train.classes import CLASSES

STRIDE = 8
COARSEST = 32
# Pixels of the input, along each axis, in one of the residual.
RESIDUAL_STRIDE = 4
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Widths:
    """Channels at each scale, residual blocks where their number differs, and what is cheaper in a narrow network."""

    half: int
    quarter: int
    eighth: int
    context: int
    quarter_blocks: int
    eighth_blocks: int
    # Within a residual block, the part of its channels.
    inner: float = 1.0
    # The far branch is convolved at 1/16 for its meeting with the near one, not beside it at 1/8.
    meets_coarse: bool = False


# `wide` is what `tiny` is narrowed from (`narrow.py`); it is not shipped.
SIZES = {
    "small": Widths(half=32, quarter=48, eighth=64, context=128, quarter_blocks=1, eighth_blocks=2),
    "wide": Widths(half=24, quarter=32, eighth=48, context=64, quarter_blocks=0, eighth_blocks=1),
    "tiny": Widths(
        half=16, quarter=32, eighth=48, context=64, quarter_blocks=0, eighth_blocks=1, inner=0.5, meets_coarse=True
    ),
}


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (up to its stride), normalised and rectified."""
    padding = dilation * (kernel // 2)
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two 3x3 convolutions, between them a part of the channels, beside a shortcut."""

    def __init__(self, channels: int, dilation: int = 1, inner: float = 1.0):
        super().__init__()
        between = round(channels * inner)
        self.first = convolution(channels, between, dilation=dilation)
        last = nn.Conv2d(between, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.second = nn.Sequential(last, nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.second(self.first(x)))


class Pools(nn.Module):
    """Means over the whole, halves and quarters of each side, beside the map itself."""

    PARTS = (1, 2, 4)

    def __init__(self, channels: int):
        super().__init__()
        self.branches = nn.ModuleList(convolution(channels, channels // 4, kernel=1) for _ in self.PARTS)
        self.join = convolution(channels + len(self.PARTS) * (channels // 4), channels, kernel=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, cols = int(x.shape[-2]), int(x.shape[-1])
        pooled = [x]
        for parts, branch in zip(self.PARTS, self.branches):
            kernel = (max(1, rows // parts), max(1, cols // parts))
            pooled.append(spread(branch(F.avg_pool2d(x, kernel, kernel)), rows, cols))
        return self.join(torch.cat(pooled, 1))


class Beside(nn.Sequential):
    """Features at 1/8 and at 1/16 to those at 1/8: the coarse ones upsampled, both convolved together."""

    def __init__(self, channels: int):
        super().__init__(*convolution(2 * channels, channels))

    def forward(self, near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.cat([near, twice(far)], 1))


class Meeting(nn.Module):
    """The same for less: each convolved at its own scale, then added."""

    def __init__(self, channels: int):
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 3, padding=1)
        self.far = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.near(near) + twice(self.far(far)))


class Backbone(nn.Module):
    """Image [N, 3, H, W] to features [N, C, H/8, W/8]; H and W are multiples of 32."""

    def __init__(self, widths: Widths):
        super().__init__()
        eighth, context, inner = widths.eighth, widths.context, widths.inner
        blocks = lambda count, channels: [Residual(channels, inner=inner) for _ in range(count)]
        self.stem = nn.Sequential(
            convolution(3, widths.half, stride=2),
            convolution(widths.half, widths.quarter, stride=2),
            *blocks(widths.quarter_blocks, widths.quarter),
            convolution(widths.quarter, eighth, stride=2),
            *blocks(widths.eighth_blocks, eighth),
        )
        self.detail = Residual(eighth, inner=inner)
        self.sixteenth = nn.Sequential(
            convolution(eighth, context, stride=2), *(Residual(context, dilation, inner) for dilation in (1, 2))
        )
        coarsest = [Residual(context, inner=inner), Pools(context)]
        self.coarsest = nn.Sequential(convolution(context, context, stride=2), *coarsest)
        self.lift = convolution(context, context, kernel=1)
        self.narrow = convolution(context, eighth, kernel=1)
        self.fuse = (Meeting if widths.meets_coarse else Beside)(eighth)

    def branches(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features at 1/8 and the context at 1/16, which a second loss is laid on in training."""
        shared = self.stem(image)
        sixteenth = self.sixteenth(shared)
        context = torch.relu(sixteenth + twice(self.lift(self.coarsest(sixteenth))))
        return self.fuse(self.detail(shared), self.narrow(context)), context

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.branches(image)[0]


class Head(nn.Sequential):
    """Features to logits."""

    def __init__(self, channels: int):
        super().__init__(convolution(channels, channels, kernel=1), nn.Conv2d(channels, CLASSES, 1))


class Correction(nn.Module):
    """Carried features [N, C, H/8, W/8], the current image and the residual to features: a glance at what has changed.

    The residual [N, 1, H/4, W/4] says where the image is not what was carried there: see `correct.residual`.
    Adds to the features, and begins with adding nothing. The image is halved first: the glance is to cost little.
    """

    LOOK = (16, 32)
    DIFFER = 8
    MIX = 40

    def __init__(self, channels: int):
        super().__init__()
        near, far = self.LOOK
        self.look = nn.Sequential(convolution(3, near, stride=2), convolution(near, far, stride=2))
        self.differ = convolution(1, self.DIFFER, stride=2)
        last = nn.Conv2d(self.MIX, channels, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.mix = nn.Sequential(
            convolution(channels + far + self.DIFFER, self.MIX, kernel=1),
            convolution(self.MIX, self.MIX),
            last,
        )

    def mend(self, features: torch.Tensor, halved: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """The features, of the current image at half its size."""
        return features + self.mix(torch.cat([features, self.look(halved), self.differ(residual)], 1))

    def forward(self, features: torch.Tensor, image: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        return self.mend(features, F.avg_pool2d(image, 2), residual)


class Network(nn.Module):
    """Backbone and head, a correction if there is one, and a second head that training alone uses."""

    def __init__(self, size: str, corrects: bool = False):
        super().__init__()
        if size not in SIZES:
            raise SystemExit(f"no size '{size}'; there are {', '.join(SIZES)}")
        self.size = size
        self.widths = SIZES[size]
        self.backbone = Backbone(self.widths)
        self.head = Head(self.widths.eighth)
        self.auxiliary = nn.Conv2d(self.widths.context, CLASSES, 1)
        self.correction = Correction(self.widths.eighth) if corrects else None

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(image))


def spread(x: torch.Tensor, rows: int, cols: int) -> torch.Tensor:
    """The nearest value of `x` for each of rows x cols cells; whole factors export as constants."""
    own_rows, own_cols = int(x.shape[-2]), int(x.shape[-1])
    if rows % own_rows == 0 and cols % own_cols == 0:
        return F.interpolate(x, scale_factor=(rows // own_rows, cols // own_cols), mode="nearest")
    return F.interpolate(x, size=(rows, cols), mode="nearest")


def twice(x: torch.Tensor) -> torch.Tensor:
    """Upsampled by two, bilinear, half-pixel centres."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
