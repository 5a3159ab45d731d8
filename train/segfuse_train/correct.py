"""Trains a network's correction: carried features and a glance at the current image give fresh features.

    earlier ──backbone──▶ features ──carried along a motion that errs──┐
    later   ───────────────────────────────────────────────────────────┴─correction─▶ features ─head─▶ ┐ the same
    later   ──backbone──▶ features ──head─────────────────────────────────────────────────────────────▶ ┘ answer

Backbone and head stay as they are, and no label is needed: the network's own answer on the later picture is the aim.
What goes wrong with flow on the road is drawn: motion that is off, smoothly and by cells; things that move by
themselves, hide and uncover, whether the motion knows of them or not.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from segfuse_train import losses, views
from segfuse_train.batches import Source, ahead
from segfuse_train.checkpoint import Checkpoint, replaced
from segfuse_train.network import STRIDE, Correction, Network
from segfuse_train.pictures import Picture
from segfuse_train.progress import Progress
from segfuse_train.train import moving_average

SAVE_EVERY = 100
RATE = 2e-3
# Standard deviation of a motion's error, as parts of half the picture: up to one cell of 384x640.
ERRORS = (0.0, 0.005, 0.012, 0.025)
MOST_THINGS = 3
SIMILARITY_SHARE = 0.03
# What was right before weighs more: a correction that blurs small signs to mend large cars is none.
HARM_SHARE = 1.0


@dataclass
class Pair:
    """Two moments of N pictures, normalised [N, 3, H, W], and the motion [N, H/8, W/8, 2] that one would have found."""

    earlier: torch.Tensor
    later: torch.Tensor
    motion: torch.Tensor

    def to(self, device: torch.device) -> "Pair":
        return Pair(self.earlier.to(device), self.later.to(device), self.motion.to(device))


def draw(sources: list[Source], shape: tuple[int, int, int], seed: int, step: int) -> Pair:
    """The pairs of a step; `shape` is their number, rows and cols."""
    count, rows, cols = shape
    random = np.random.default_rng((seed, step))
    shares = np.array([source.share for source in sources])
    drawn = []
    for which in random.choice(len(sources), count, p=shares / shares.sum()):
        drawn.append(moments(sources[which].pictures, rows, cols, random))
    earlier, later, motion = (torch.stack(part) for part in zip(*drawn, strict=True))
    return Pair(views.normalise(earlier), views.normalise(later), motion)


def moments(found: list[Picture], rows: int, cols: int, random: np.random.Generator):
    """Images [3, rows, cols] of two moments and an erring motion."""
    picture = found[random.integers(len(found))]
    affine, cells = views.random_affine(random, rows, cols, (rows, cols)), (rows // STRIDE, cols // STRIDE)
    earlier = views.look(picture, affine, rows, cols).image
    if picture.later is not None:
        later = views.look(picture.later, affine, rows, cols).image
        motion = views.true_motion(picture.later.flow, affine, *cells)
    else:
        moved = views.random_motion(random)
        later = views.look(picture, views.after(affine, moved), rows, cols).image
        motion = views.affine_motion(moved, *cells).clone()
    for _ in range(random.integers(0, MOST_THINGS + 1)):
        other = found[random.integers(len(found))]
        thing = views.look(other, views.random_affine(random, rows, cols, (rows, cols)), rows, cols).image
        put(thing, earlier, later, motion, random)
    light = views.random_light(random)
    earlier, later = views.expose(earlier, light, random), views.expose(later, light, random)
    return earlier, later, motion + error(cells, random)


def error(cells: tuple[int, int], random: np.random.Generator) -> torch.Tensor:
    """[*cells, 2] smooth, and by patches."""
    size = random.choice(ERRORS)
    coarse, fine = (random.standard_normal((1, 2, *grid), dtype=np.float32) for grid in ((6, 10), (12, 20)))
    spread = lambda grid: F.interpolate(torch.from_numpy(grid), cells, mode="bicubic", align_corners=False)[0]
    return ((spread(coarse) + 0.6 * spread(fine)) * size).permute(1, 2, 0)


def put(thing: torch.Tensor, earlier: torch.Tensor, later: torch.Tensor, motion: torch.Tensor, random) -> None:
    """Cuts a rectangle or an ellipse from `thing` and puts it into both images, moved; the motion may know of it."""
    rows, cols = thing.shape[1:]
    height, width = (int(random.integers(side // 16, side // 2)) for side in (rows, cols * 2 // 3))
    y, x = int(random.integers(0, rows - height)), int(random.integers(0, cols - width))
    later_y = int(np.clip(y + random.normal(0.0, rows / 64), 0, rows - height))
    later_x = int(np.clip(x + random.normal(0.0, cols / 32), 0, cols - width))
    down, along = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    inside = (down.square() + along.square() < 1) | bool(random.random() < 0.5)
    for image, top, left in ((earlier, y, x), (later, later_y, later_x)):
        place = image[:, top : top + height, left : left + width]
        place[:, inside] = thing[:, y : y + height, x : x + width][:, inside]
    if random.random() < 0.75:
        covered = torch.zeros(rows, cols)
        covered[later_y : later_y + height, later_x : later_x + width] = inside.float()
        cells = F.avg_pool2d(covered[None], STRIDE)[0] > 0.5
        own = torch.tensor([(x - later_x) / cols, (y - later_y) / rows]) * 2
        still = views.affine_motion(np.eye(2, 3), *cells.shape)
        motion[cells] = still[cells] + own


def loss_of(network: Network, correction: Correction, pair: Pair, rarity: torch.Tensor, mixed: bool) -> torch.Tensor:
    """How far the corrected features' answer is from the fresh ones', rare classes weighing more, and they themselves."""
    device = pair.later.device.type
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=mixed):
        earlier, fresh = network.backbone(pair.earlier).float(), network.backbone(pair.later).float()
        aim = network.head(fresh).float().log_softmax(1)
    carried = F.grid_sample(earlier, pair.motion, mode="bicubic", padding_mode="border", align_corners=False)
    with torch.autocast(device, torch.bfloat16, enabled=mixed):
        corrected = correction(carried, pair.later)
    corrected = corrected.float()
    apart = divergence(aim, network.head(corrected))
    with torch.no_grad():
        before = divergence(aim, network.head(carried))
    apart = apart + HARM_SHARE * (apart - before).clamp(min=0)
    weight = torch.einsum("nchw,c->nhw", aim.exp(), rarity)
    similar = (corrected - fresh).square().mean() / fresh.square().mean().clamp(min=1e-3)
    return losses.balanced(apart, weight) + SIMILARITY_SHARE * similar


def divergence(aim: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """[N, H, W] Kullback-Leibler divergence of an answer from log probabilities."""
    return (aim.exp() * (aim - logits.log_softmax(1))).sum(1)


def rarity_of(network: Network, sources: list[Source], rows: int, cols: int) -> torch.Tensor:
    """[19] what each class weighs, by how often the network sees it: by a lower power of the share than for labels."""
    shares = torch.zeros(19)
    with torch.no_grad():
        for source in sources:
            for picture in source.pictures[:: max(1, len(source.pictures) // 30)]:
                image = F.interpolate(picture.image[None].float() / 255, (rows, cols), mode="bilinear")
                seen = views.normalise(image).to(next(network.parameters()).device)
                shares += source.share * network(seen).softmax(1).mean((0, 2, 3)).cpu()
    shares = (shares / shares.sum()).clamp(min=1e-4)
    weights = shares**-0.2
    return (weights / (weights * shares).sum()).clamp(max=5.0)


class CorrectionRun:
    """A run in a folder: checkpoint.pt while it goes, network.pt, with its correction, at its end."""

    def __init__(self, folder: Path, network: Network, recipe: dict, steps: int, seed: int, device="cpu"):
        self.folder, self.recipe, self.steps, self.seed = folder, recipe, steps, seed
        self.device = torch.device(device)
        torch.manual_seed(seed)
        self.network = network.eval().requires_grad_(False).to(self.device)
        self.correction = Correction(network.widths.eighth).to(self.device)
        self.average = torch.optim.swa_utils.AveragedModel(self.correction, avg_fn=moving_average, use_buffers=True)
        self.optimiser = torch.optim.AdamW(self.correction.parameters(), lr=RATE, weight_decay=0.01)
        parts = {"correction": self.correction, "average": self.average, "optimiser": self.optimiser}
        self.checkpoint = Checkpoint(folder, parts, {"size": network.size})
        self.step = self.checkpoint.resume(self.device)

    def rate(self) -> float:
        falling = 0.5 * (1 + np.cos(np.pi * self.step / self.steps))
        return RATE * min(1.0, (self.step + 1) / 50) * max(0.01, float(falling))

    def train(self, sources: list[Source], batch: int) -> float:
        """Runs to the end; gives the mean loss of the last steps."""
        rows, cols = self.recipe["rows"], self.recipe["cols"]
        rarity, mean = rarity_of(self.network, sources, rows, cols).to(self.device), None
        progress = Progress("correct", self.steps - self.step)
        mixed = torch.cpu._is_avx512_bf16_supported() if self.device.type == "cpu" else True
        shape = (batch, rows, cols)
        for pair in ahead(lambda step: draw(sources, shape, self.seed, step), range(self.step, self.steps), 1):
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate()
            loss = loss_of(self.network, self.correction, pair.to(self.device), rarity, mixed)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            self.average.update_parameters(self.correction)
            self.step += 1
            mean = loss.item() if mean is None else 0.97 * mean + 0.03 * loss.item()
            progress.step(f"loss {mean:.4f}")
            if self.step % SAVE_EVERY == 0:
                self.checkpoint.save(self.step)
        progress.close()
        return self.finish(mean)

    def finish(self, mean: float | None) -> float:
        self.network.correction = self.average.module
        self.network.cpu()
        replaced(self.folder / "network.pt", {"network": self.network.state_dict(), "recipe": self.recipe})
        return float("nan") if mean is None else mean
