"""The network: plain 3x3 and 1x1 convolutions, features at 1/8, logits at 1/8.

    image [1, 3, 192, 320] -> Backbone -> features [1, 48, 24, 40] -> Head -> logits [1, 19, 24, 40]

No depthwise convolutions (slow in the runtimes that segfuse embeds) and no upsampling: segfuse fuses
that with its arg-max.
"""

import torch
from torch import nn

CLASSES = 19
CHANNELS = 48
ROWS, COLS = 192, 320
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (up to its stride), normalised and rectified."""
    padding = dilation * (kernel // 2)
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, channels: int, dilation: int = 1):
        super().__init__()
        self.first = convolution(channels, channels, dilation=dilation)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.second(self.first(x)))


class Backbone(nn.Sequential):
    """Image to features; the dilations widen the view to most of the picture."""

    def __init__(self):
        super().__init__(
            convolution(3, 16, stride=2),
            convolution(16, 32, stride=2),
            convolution(32, 32),
            convolution(32, CHANNELS, stride=2),
            Residual(CHANNELS),
            Residual(CHANNELS, 2),
            Residual(CHANNELS, 4),
            Residual(CHANNELS, 8),
            Residual(CHANNELS, 2),
        )


class Head(nn.Sequential):
    """Features to logits."""

    def __init__(self):
        super().__init__(convolution(CHANNELS, CHANNELS, kernel=1), nn.Conv2d(CHANNELS, CLASSES, 1))


class Network(nn.Module):
    """Backbone and head."""

    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.head = Head()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(image))
