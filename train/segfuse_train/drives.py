"""Moments of short drives in which things move, and the motion that one would have estimated between them.

    photograph, moved in steps ──┐
    frames of a video ───────────┼──▶ things that move by themselves ──▶ light ──▶ first, last and, small, those between
    two moments of a render ─────┘                                                   └─flow, step by step, composed─▶ motion

The motion errs as it does on the road: at the edges of what moves, where things hide and uncover, where nothing is
to be seen. So what is trained on it learns to mend what really goes wrong.
"""

import itertools
import threading
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from segfuse_train import views
from segfuse_train.batches import Source
from segfuse_train.classes import NAMES
from segfuse_train.network import STRIDE
from segfuse_train.pictures import Picture

MOST_STEPS = 5
MOST_THINGS = 3
# The flow is estimated on pictures of half the size; not on fewer rows than this, where OpenCV's depends on chance.
FEWEST_ROWS = 96
# OpenCV's dense inverse search, mostly as fast as it goes: ultrafast, fast and medium.
PRESETS = (0, 0, 0, 1, 2)
MOVING = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
# Of a view: less is no thing.
SMALLEST_PART = 0.004
ESTIMATORS = threading.local()


@dataclass
class Moments:
    """Two moments [3, H, W], 0..1, and where each cell of the later was in the earlier, [H/8, W/8, 2] of -1..1."""

    earlier: torch.Tensor
    later: torch.Tensor
    motion: torch.Tensor


def draw(source: Source, rows: int, cols: int, random: np.random.Generator) -> Moments:
    """One drive, out of the source's pictures."""
    frames = filmed(source, rows, cols, random)
    movers = moving_rows(source.pictures[0])
    for _ in range(random.integers(0, MOST_THINGS + 1)):
        other = source.pictures[random.integers(len(source.pictures))]
        giver = views.look(other, views.near_affine(random), rows, cols)
        Thing.cut(giver, movers, random).put(frames, random)
    light = views.random_light(random)
    frames = [views.expose(frame, light, random) for frame in frames]
    return Moments(frames[0], frames[-1], estimated(frames, random))


def filmed(source: Source, rows: int, cols: int, random: np.random.Generator) -> list[torch.Tensor]:
    """Two to six frames; those between the first and the last are smaller: only the flow sees them."""
    found, affine, steps = source.pictures, views.near_affine(random), int(random.integers(1, MOST_STEPS + 1))
    first = int(random.integers(len(found)))
    if source.video:
        first = int(random.integers(max(1, len(found) - steps)))
        seen = [(picture, affine) for picture in found[first : first + steps + 1]]
    elif found[first].later is not None:
        seen = [(found[first], affine), (found[first].later, affine)]
    else:
        motion = views.random_motion(random)
        moved = [views.after(affine, part_of(motion, step / steps)) for step in range(steps + 1)]
        seen = [(found[first], one) for one in moved]
    sizes = [(rows, cols), *[flow_size(rows, cols)] * (len(seen) - 2), (rows, cols)]
    return [views.look(picture, one, *size).image for (picture, one), size in zip(seen, sizes, strict=True)]


def flow_size(rows: int, cols: int) -> tuple[int, int]:
    """Of the pictures that the flow is estimated on."""
    return (rows // 2, cols // 2) if rows // 2 >= FEWEST_ROWS else (rows, cols)


def part_of(motion: np.ndarray, part: float) -> np.ndarray:
    """The affine map that, applied 1 / part times, is `motion`."""
    whole = np.vstack([motion, [0.0, 0.0, 1.0]]).astype(complex)
    values, vectors = np.linalg.eig(whole)
    return np.real(vectors @ np.diag(values**part) @ np.linalg.inv(vectors))[:2]


def moving_rows(picture: Picture) -> torch.Tensor:
    """The rows of the picture's table that cover what moves by itself."""
    rows = picture.table.of_train_ids()[[NAMES.index(name) for name in MOVING]]
    return torch.from_numpy(np.unique(rows)).long()


@dataclass
class Thing:
    """What moves by itself: its look [3, h, w], how far each pixel belongs to it [1, h, w], its middle as x and y."""

    look: torch.Tensor
    alpha: torch.Tensor
    middle: tuple[float, float]

    @staticmethod
    def cut(giver: views.View, movers: torch.Tensor, random: np.random.Generator) -> "Thing":
        """A vehicle or a person out of a view, or else a piece of it of any shape."""
        found = None
        if random.random() < 0.6:
            found = labelled_piece(torch.isin(giver.label, movers), random)
        top, left, inside = found or any_piece(giver.image.shape[1:], random)
        height, width = inside.shape
        look, alpha = giver.image[:, top : top + height, left : left + width], inside.float()[None]
        if random.random() < 0.5:
            look, alpha = look.flip(2), alpha.flip(2)
        return Thing(look, alpha, (left + width / 2, top + height / 2))

    def put(self, frames: list[torch.Tensor], random: np.random.Generator) -> None:
        """Into all frames, moving and growing from one to the next."""
        rows, cols = frames[0].shape[1:]
        (height, width), steps = self.look.shape[1:], len(frames) - 1
        speed = np.array([random.normal(0, cols / 40), random.normal(0, rows / 120)])
        place = np.array(self.middle) + random.normal(0, 1, 2) * np.array([cols / 10, rows / 30])
        growth = np.exp(random.normal(0.02, 0.06))
        for step, frame in enumerate(frames):
            scale, since = frame.shape[1] / rows, step - steps / 2
            size = tuple(max(4, int(side * growth**since * scale)) for side in (height, width))
            x, y = (place + speed * since) * scale
            self.blend(frame, size, round(y - size[0] / 2), round(x - size[1] / 2))

    def blend(self, frame: torch.Tensor, size: tuple[int, int], top: int, left: int) -> None:
        """At `size`, as far as it lies within the frame."""
        rows, cols = frame.shape[1:]
        low, high, first, last = max(top, 0), min(top + size[0], rows), max(left, 0), min(left + size[1], cols)
        if low >= high or first >= last:
            return
        scaled = F.interpolate(torch.cat([self.look, self.alpha])[None], size, mode="bilinear", align_corners=False)
        piece = scaled[0, :, low - top : high - top, first - left : last - left]
        look, alpha, place = piece[:3], piece[3:], frame[:, low:high, first:last]
        frame[:, low:high, first:last] = place * (1 - alpha) + look * alpha


def labelled_piece(mask: torch.Tensor, random: np.random.Generator) -> tuple[int, int, torch.Tensor] | None:
    """Top, left and shape of a connected part of `mask`, which is at the labels' size; None if all are small."""
    _, parts, figures, _ = cv2.connectedComponentsWithStats(mask.numpy().astype(np.uint8))
    large = [part for part in range(1, len(figures)) if figures[part, cv2.CC_STAT_AREA] > SMALLEST_PART * mask.numel()]
    if not large:
        return None
    part = large[random.integers(len(large))]
    left, top, width, height = (int(figures[part, side]) for side in range(4))
    inside = torch.from_numpy(parts[top : top + height, left : left + width] == part)
    stride = views.LABEL_STRIDE
    return top * stride, left * stride, inside.repeat_interleave(stride, 0).repeat_interleave(stride, 1)


def any_piece(shape: torch.Size, random: np.random.Generator) -> tuple[int, int, torch.Tensor]:
    """An ellipse, something rounder at its corners, or a rectangle."""
    rows, cols = shape
    height, width = (int(random.integers(side // 16, side // 2)) for side in (rows, cols * 2 // 3))
    down, along = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    power = random.choice([2, 4, 64], p=[0.4, 0.4, 0.2])
    inside = down.abs() ** power + along.abs() ** power <= 1
    return int(random.integers(0, rows - height)), int(random.integers(0, cols - width)), inside


def estimated(frames: list[torch.Tensor], random: np.random.Generator) -> torch.Tensor:
    """[H/8, W/8, 2] from the last frame's cells to the first, composed of flow between neighbours."""
    rows, cols = (side // STRIDE for side in frames[0].shape[1:])
    small = flow_size(*frames[0].shape[1:])
    greys = [grey(frame, small) for frame in frames]
    preset = int(random.choice(PRESETS))
    y, x = np.mgrid[0:rows, 0:cols].astype(np.float32)
    composed = np.zeros((rows, cols, 2), np.float32)
    for earlier, later in itertools.pairwise(greys):
        flow = estimator(preset).calc(later, earlier, None)
        step = cv2.resize(flow, (cols, rows), interpolation=cv2.INTER_AREA) * np.float32(rows / small[0])
        there = (x + step[..., 0], y + step[..., 1])
        composed = step + cv2.remap(composed, *there, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    place = np.stack([(x + composed[..., 0] + 0.5) / cols, (y + composed[..., 1] + 0.5) / rows], -1)
    return torch.from_numpy(place * 2 - 1)


def grey(frame: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """u8 at `size`."""
    small = F.adaptive_avg_pool2d(frame, size) if tuple(frame.shape[1:]) != size else frame
    return (small.mean(0) * 255).numpy().astype(np.uint8)


def estimator(preset: int) -> cv2.DISOpticalFlow:
    """One for each thread: it keeps buffers of its own."""
    made = ESTIMATORS.__dict__
    if preset not in made:
        cv2.setNumThreads(1)
        made[preset] = cv2.DISOpticalFlow_create(preset)
    return made[preset]
