"""Random views of pictures: where a camera might have stood, what it might have seen through.

    picture ──affine──▶ image [3, h, w], labels [h/2, w/2], teacher [19, h/4, w/4]
            ──affine, moved a little──▶ the same from a later moment, with its exact motion

An affine map takes a view's coordinates (-1..1 from edge to edge, half-pixel centres) to the picture's.
The identity is the view that the program itself shows the network: the whole picture, stretched.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from segfuse_train.classes import CLASSES, IGNORED
from segfuse_train.network import MEAN, STD
from segfuse_train.pictures import Later, Picture

LABEL_STRIDE = 2
TEACHER_STRIDE = 4
# Of things in a view against what the program shows: from how far, and how near.
SCALES = (0.8, 2.0)


@dataclass
class View:
    """A view of a picture and, from a teacher where there is one, the probabilities of train ids."""

    image: torch.Tensor
    label: torch.Tensor
    teacher: torch.Tensor
    taught: bool


def normalise(image: torch.Tensor) -> torch.Tensor:
    """[N, 3, H, W] 0..1 to the network's input values."""
    mean, std = (torch.tensor(values, device=image.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (image - mean) / std


def look(picture: Picture | Later, affine: np.ndarray, rows: int, cols: int) -> View:
    """What lies under `affine` [2, 3]; beyond the picture's edge there is grey and no label."""
    image = sample(picture.image[None].float() / 255, affine, rows, cols, "bilinear")[0]
    small = (rows // LABEL_STRIDE, cols // LABEL_STRIDE)
    # Shifted by one so that what lies outside, 0, is told from class 0.
    shifted = (picture.label[None, None].int() + 1).float()
    label = sample(shifted, affine, *small, "nearest")[0, 0].long() - 1
    label[label < 0] = IGNORED
    coarse = (rows // TEACHER_STRIDE, cols // TEACHER_STRIDE)
    opinion = getattr(picture, "teacher", None)
    if opinion is None:
        return View(image, label, torch.zeros(CLASSES, *coarse), False)
    teacher = sample(opinion[None].float() / 255, affine, *coarse, "bilinear")[0]
    return View(image, label, teacher, True)


def sample(planes: torch.Tensor, affine: np.ndarray, rows: int, cols: int, mode: str) -> torch.Tensor:
    matrix = torch.from_numpy(np.asarray(affine, np.float32))[None]
    grid = F.affine_grid(matrix, [1, 1, rows, cols], align_corners=False)
    return F.grid_sample(planes, grid, mode=mode, padding_mode="zeros", align_corners=False)


def random_affine(
    random: np.random.Generator, rows: int, cols: int, full: tuple[int, int], scales: tuple[float, float] = SCALES
) -> np.ndarray:
    """A view of `rows` x `cols` of a picture that the program would show at `full` size.

    Three in ten are near what the program shows; the rest are farther or nearer, by `scales` at most, off to a side,
    turned.
    """
    if random.random() < 0.3:
        scale, aspect, angle = random.uniform(0.95, 1.1), random.uniform(0.9, 1.1), 0.0
    else:
        scale, angle = np.exp(random.uniform(*np.log(scales))), random.normal(0.0, 0.04)
        aspect = np.exp(random.uniform(np.log(0.72), np.log(1.2)))
    part = np.array([cols / full[1] / (scale * aspect), rows / full[0] / scale])
    centre = random.uniform(-1.0, 1.0, 2) * np.maximum(0.0, 1.0 - part)
    return placed(part, centre, angle, random)


def near_affine(random: np.random.Generator) -> np.ndarray:
    """A view that stays within the picture, where a drive goes on beyond no edge."""
    scale, aspect = np.exp(random.uniform(0.0, np.log(1.7))), np.exp(random.uniform(np.log(0.85), np.log(1.15)))
    part = np.minimum(1.0, np.array([1 / (scale * aspect), 1 / scale]))
    centre = random.uniform(-1.0, 1.0, 2) * 0.98 * (1.0 - part)
    return placed(part, centre, random.normal(0.0, 0.02), random)


def placed(part: np.ndarray, centre: np.ndarray, angle: float, random: np.random.Generator) -> np.ndarray:
    """The view of a part of the picture, as x and y, around a centre; turned, and half the time mirrored."""
    mirror = -1.0 if random.random() < 0.5 else 1.0
    linear = np.diag(part) @ turn(angle) @ np.diag([mirror, 1.0])
    return np.concatenate([linear, centre[:, None]], 1)


def turn(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def random_motion(random: np.random.Generator) -> np.ndarray:
    """From the coordinates of a view to those of the same view some frames earlier: nearer, shifted, turned."""
    zoom, angle = np.exp(random.normal(0.04, 0.05)), random.normal(0.0, 0.01)
    return np.concatenate([turn(angle) / zoom, random.normal(0.0, 0.04, (2, 1))], 1)


def after(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The affine map that applies `inner`, then `outer`."""
    return np.concatenate([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2:] + outer[:, 2:]], 1)


def affine_motion(motion: np.ndarray, rows: int, cols: int) -> torch.Tensor:
    """[rows, cols, 2] where each cell of the later view was in the earlier one, -1..1 within it."""
    matrix = torch.from_numpy(np.asarray(motion, np.float32))[None]
    return F.affine_grid(matrix, [1, 1, rows, cols], align_corners=False)[0]


def true_motion(flow: torch.Tensor, affine: np.ndarray, rows: int, cols: int) -> torch.Tensor:
    """The same for two moments of a drive seen through one `affine`; 2, outside, where the flow is unknown."""
    matrix = torch.from_numpy(np.asarray(affine, np.float32))
    there = F.affine_grid(matrix[None], [1, 1, rows, cols], align_corners=False)
    moved = there + F.grid_sample(flow.permute(2, 0, 1)[None], there, "nearest", "zeros", False).permute(0, 2, 3, 1)
    inverse = torch.linalg.inv(matrix[:, :2])
    back = (moved - matrix[:, 2]) @ inverse.T
    inside = (there.abs() < 1).all(-1, keepdim=True)
    return torch.where(inside & back.isfinite().all(-1, keepdim=True), back, 2.0)[0]


@dataclass(frozen=True)
class Light:
    """What light and lens do to one drive; each frame adds a noise of its own."""

    gain: np.ndarray
    gamma: float
    saturation: float
    contrast: float
    blur: float
    shrink: float
    noise: float
    fog: float
    rain: float


def random_light(random: np.random.Generator) -> Light:
    """Mostly day; one in twelve is night, one in twelve fog, one in twelve rain."""
    night, fog, rain = random.random(3) < 1 / 12
    exposure = random.uniform(0.12, 0.45) if night else random.uniform(0.7, 1.5)
    return Light(
        gain=exposure * random.uniform(0.85, 1.18, 3),
        gamma=random.uniform(0.7, 1.4),
        saturation=0.0 if random.random() < 0.05 else random.uniform(0.4, 1.5),
        contrast=random.uniform(0.65, 1.35),
        blur=random.uniform(0.4, 1.6) if random.random() < 0.3 else 0.0,
        shrink=random.uniform(0.4, 0.9) if random.random() < 0.2 else 1.0,
        noise=random.uniform(0.02, 0.08) if night else random.uniform(0.0, 0.035),
        fog=random.uniform(0.2, 0.7) if fog else 0.0,
        rain=random.uniform(0.2, 1.0) if rain else 0.0,
    )


def expose(image: torch.Tensor, light: Light, random: np.random.Generator) -> torch.Tensor:
    """An image [3, H, W] of 0..1 as `light` would have shown it; computed where the image lies."""
    gain = torch.from_numpy(light.gain.astype(np.float32)).to(image.device).view(3, 1, 1)
    image = (image * gain).clamp(0, 1) ** light.gamma
    grey = image.mean(0, keepdim=True)
    image = grey + (image - grey) * light.saturation
    middle = image.mean()
    image = middle + (image - middle) * light.contrast
    if light.fog:
        image = foggy(image, light.fog)
    if light.rain:
        image = streaked(image, light.rain, random)
    if light.shrink < 1:
        small = F.interpolate(image[None], scale_factor=light.shrink, mode="bilinear", align_corners=False)
        image = F.interpolate(small, image.shape[1:], mode="bilinear", align_corners=False)[0]
    if light.blur:
        image = blurred(image, light.blur)
    return (image + grain(image, random) * light.noise).clamp(0, 1)


def grain(image: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """Normal noise of the image's shape; a GPU draws its own, other noise from the same seed."""
    if image.device.type == "cpu":
        return torch.from_numpy(random.standard_normal(image.shape, dtype=np.float32))
    generator = torch.Generator(image.device).manual_seed(int(random.integers(2**63)))
    return torch.randn(image.shape, generator=generator, device=image.device)


def foggy(image: torch.Tensor, density: float) -> torch.Tensor:
    """Thickest at the middle row, where a road picture is farthest away."""
    rows = torch.linspace(-1, 1, image.shape[1], device=image.device).abs()
    thickness = density * (1.0 - 0.7 * rows.view(1, -1, 1))
    return image * (1 - thickness) + 0.8 * thickness


def streaked(image: torch.Tensor, strength: float, random: np.random.Generator) -> torch.Tensor:
    """Bright streaks, as of rain: sparse dots smeared along a slanting line."""
    dots = (random.random(image.shape[1:], dtype=np.float32) > 0.997).astype(np.float32)
    length, slant = 2 * int(random.integers(3, 9)) + 1, random.uniform(-0.3, 0.3)
    kernel = torch.zeros(1, 1, length, length)
    for step in range(length):
        col = round((step - length / 2) * slant + length / 2)
        kernel[0, 0, step, min(length - 1, max(0, col))] = 1.0
    streaks = F.conv2d(torch.from_numpy(dots).to(image.device)[None, None], kernel.to(image.device), padding="same")[0]
    return image + 0.25 * strength * streaks.clamp(0, 1)


def blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian, its kernel cut at three standard deviations."""
    reach = max(1, round(3 * sigma))
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).view(1, 1, -1).to(image.device)
    planes = F.pad(image[None], (reach,) * 4, mode="replicate").transpose(0, 1)
    planes = F.conv2d(F.conv2d(planes, weights[..., None]), weights[:, :, None])
    return planes.transpose(0, 1)[0]
