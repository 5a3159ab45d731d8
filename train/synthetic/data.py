"""Rendered pictures and labels, and what is done to them so that the network does not learn the renderer.

A folder holds `image/NAME.png` (RGB) and `label/NAME.png` (Cityscapes train ids), as
`cargo run --release --example render_training_set` writes them.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from network import COLS, MEAN, ROWS, STD

IGNORED = 255


class Pictures:
    """A folder, read once into memory: images [N, 3, H, W] u8 and labels [N, H, W] u8."""

    def __init__(self, folder: Path):
        names = sorted(path.name for path in (folder / "image").glob("*.png"))
        if not names:
            raise SystemExit(f"{folder}/image holds no .png: render a training set first (see README.md)")
        read = lambda kind: np.stack([np.asarray(Image.open(folder / kind / name)) for name in names])
        self.images = torch.from_numpy(read("image")).permute(0, 3, 1, 2).contiguous()
        self.labels = torch.from_numpy(read("label"))

    def __len__(self) -> int:
        return len(self.images)


def normalise(image: torch.Tensor) -> torch.Tensor:
    """[N, 3, H, W] 0..1 to the network's input values."""
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    return (image - mean) / torch.tensor(STD).view(1, 3, 1, 1)


def whole(image: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture as segfuse shows it to the network: bilinear resize with half-pixel centres."""
    resized = F.interpolate(image[None].float() / 255, (ROWS, COLS), mode="bilinear", align_corners=False)
    return resized[0], resize_label(label, ROWS, COLS)


def resize_label(label: torch.Tensor, rows: int, cols: int) -> torch.Tensor:
    """[H, W] u8 by nearest neighbour with half-pixel centres."""
    return F.interpolate(label[None, None].float(), (rows, cols), mode="nearest-exact")[0, 0].long()


def augmented(image: torch.Tensor, label: torch.Tensor, random: np.random.Generator):
    """A random crop of a picture, mirrored, recoloured, blurred and made noisy."""
    image, label = crop(image, label, random)
    if random.random() < 0.5:
        image, label = image.flip(2), label.flip(1)
    return degrade(recolour(image, random), random), label


def crop(image, label, random):
    """Between 0.45 and 1 of the picture's sides, with a changed aspect, to the network's size."""
    height, width = label.shape
    part = random.uniform(0.45, 1.0)
    stretch = random.uniform(0.8, 1.25)
    rows = max(32, int(height * min(1.0, part * stretch)))
    cols = max(32, int(width * min(1.0, part / stretch)))
    top, left = random.integers(0, height - rows + 1), random.integers(0, width - cols + 1)
    return whole(image[:, top : top + rows, left : left + cols], label[top : top + rows, left : left + cols])


def recolour(image, random):
    """Gain and gamma of each channel, saturation, contrast; now and then grey."""
    gain = torch.tensor(random.uniform(0.6, 1.5) * random.uniform(0.82, 1.2, 3), dtype=torch.float32).view(3, 1, 1)
    image = (image * gain).clamp(0, 1) ** random.uniform(0.6, 1.6)
    grey = image.mean(0, keepdim=True)
    saturation = 0.0 if random.random() < 0.1 else random.uniform(0.3, 1.6)
    image = grey + (image - grey) * saturation
    middle = image.mean()
    image = middle + (image - middle) * random.uniform(0.6, 1.4)
    return image.clamp(0, 1)


def degrade(image, random):
    """A lens out of focus, a scaled-down copy, a noisy sensor, an occasional blot."""
    if random.random() < 0.5:
        image = F.avg_pool2d(F.pad(image[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    if random.random() < 0.25:
        small = F.interpolate(image[None], scale_factor=random.uniform(0.4, 0.9), mode="bilinear", align_corners=False)
        image = F.interpolate(small, image.shape[1:], mode="bilinear", align_corners=False)[0]
    noise = torch.from_numpy(random.standard_normal(image.shape, dtype=np.float32))
    return (image + noise * random.uniform(0.0, 0.05)).clamp(0, 1)
