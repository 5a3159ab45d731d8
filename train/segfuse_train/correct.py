"""Trains a network's correction: carried features and a glance at the current image give fresh features.

    earlier ──backbone──▶ features ──carried along the estimated motion──┐
    later   ─────────────────────────────────────────────────────────────┴─correction─▶ features ─head─▶ ┐ the same
    later   ──backbone──▶ features ──head───────────────────────────────────────────────────────────────▶ ┘ answer

Backbone and head stay as they are, and no label is needed: the network's own answer on the later picture is the aim.
The pairs are drawn once, for the backbone costs most, and are shown many times.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from segfuse_train import drives, losses, origin, views
from segfuse_train.batches import Source, ahead
from segfuse_train.checkpoint import Checkpoint, replaced
from segfuse_train.interrupt import Interrupt
from segfuse_train.network import RESIDUAL_STRIDE, Correction, Network
from segfuse_train.progress import Progress
from segfuse_train.refusal import Unusable
from segfuse_train.train import annealed, mixes, moving_average

SAVE_EVERY = 250
RATE = 2e-3
DRAWN_AT_ONCE = 4
SIMILARITY_SHARE = 0.03
# What was right before weighs more: a correction that blurs small signs to mend large cars is none.
HARM_SHARE = 1.0


@dataclass
class Pairs:
    """N pairs, in half precision: features carried and fresh [N, C, H/8, W/8], what the correction sees beside them."""

    carried: torch.Tensor
    fresh: torch.Tensor
    # [N, 3, H/2, W/2]
    glance: torch.Tensor
    # [N, 1, H/4, W/4]
    residual: torch.Tensor

    def __len__(self) -> int:
        return len(self.carried)

    def some(self, which: list[int], device: torch.device) -> "Pairs":
        return Pairs(*(part[which].to(device).float() for part in vars(self).values()))


def draw_pairs(
    network: Network, sources: list[Source], count: int, shape: tuple[int, int], seed: int, workers: int = 1
) -> Pairs:
    """`count` pairs of rows x cols; which, depends on the seed alone."""
    if count < 1:
        raise SystemExit(f"--pairs {count}: at least 1 is needed")
    device = next(network.parameters()).device
    progress, pairs = Progress("draw pairs", count), None
    batches = ahead(lambda number: draw(sources, *shape, seed, number), range(-(-count // DRAWN_AT_ONCE)), workers)
    for number, batch in enumerate(batches):
        some = carry(network, *(part.to(device) for part in batch))
        # All at once: a list of them, put together in the end, would take twice the memory.
        if pairs is None:
            pairs = Pairs(*(part.new_empty(count, *part.shape[1:]) for part in vars(some).values()))
        for whole, part in zip(vars(pairs).values(), vars(some).values(), strict=True):
            place = whole[number * DRAWN_AT_ONCE :][:DRAWN_AT_ONCE]
            place.copy_(part[: len(place)])
        for _ in batch[0]:
            progress.step()
    progress.close()
    return pairs


def draw(sources: list[Source], rows: int, cols: int, seed: int, number: int) -> tuple[torch.Tensor, ...]:
    """A few moments: earlier and later, normalised [n, 3, rows, cols], and motion [n, rows/8, cols/8, 2]."""
    random = np.random.default_rng((seed, number))
    shares = np.array([source.share for source in sources])
    chosen = random.choice(len(sources), DRAWN_AT_ONCE, p=shares / shares.sum())
    drawn = [drives.draw(sources[which], rows, cols, random) for which in chosen]
    earlier, later = (torch.stack(images) for images in zip(*((one.earlier, one.later) for one in drawn), strict=True))
    motion = torch.stack([one.motion for one in drawn])
    return views.normalise(earlier), views.normalise(later), motion


def carry(network: Network, earlier: torch.Tensor, later: torch.Tensor, motion: torch.Tensor) -> Pairs:
    """Both moments through the backbone, the features of the earlier one carried to the later."""
    with torch.no_grad(), torch.autocast(earlier.device.type, torch.bfloat16, enabled=mixes(earlier.device)):
        before, fresh = network.backbone(earlier), network.backbone(later)
    carried = F.grid_sample(before.float(), motion, mode="bicubic", padding_mode="border", align_corners=False)
    parts = carried, fresh, F.avg_pool2d(later, 2), residual(earlier, later, motion)
    return Pairs(*(part.to("cpu", torch.bfloat16) for part in parts))


def residual(earlier: torch.Tensor, later: torch.Tensor, motion: torch.Tensor) -> torch.Tensor:
    """[N, 1, H/4, W/4] how far the later image is from the earlier one, carried along: the mean over colours.

    As the engine has it: both averaged over blocks, the motion's offsets interpolated between cells.
    """
    small, aim = F.avg_pool2d(earlier, RESIDUAL_STRIDE), F.avg_pool2d(later, RESIDUAL_STRIDE)
    still = lambda like, size: views.affine_motion(np.eye(2, 3), *size).to(like.device)
    offset = (motion - still(motion, motion.shape[1:3])).permute(0, 3, 1, 2)
    offset = F.interpolate(offset, aim.shape[-2:], mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    there = still(motion, aim.shape[-2:]) + offset
    fetched = F.grid_sample(small, there, mode="bilinear", padding_mode="border", align_corners=False)
    return (fetched - aim).abs().mean(1, keepdim=True)


def loss_of(network: Network, correction: Correction, pairs: Pairs, rarity: torch.Tensor) -> torch.Tensor:
    """How far the corrected features' answer is from the fresh ones', rare classes weighing more, and they themselves."""
    device = pairs.fresh.device
    with torch.no_grad():
        aim = network.head(pairs.fresh).log_softmax(1)
        before = divergence(aim, network.head(pairs.carried))
    with torch.autocast(device.type, torch.bfloat16, enabled=mixes(device)):
        corrected = correction.mend(pairs.carried, pairs.glance, pairs.residual)
    corrected = corrected.float()
    apart = divergence(aim, network.head(corrected))
    apart = apart + HARM_SHARE * (apart - before).clamp(min=0)
    weight = torch.einsum("nchw,c->nhw", aim.exp(), rarity)
    similar = (corrected - pairs.fresh).square().mean() / pairs.fresh.square().mean().clamp(min=1e-3)
    return losses.balanced(apart, weight) + SIMILARITY_SHARE * similar


def divergence(aim: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """[N, H, W] Kullback-Leibler divergence of an answer from log probabilities."""
    return (aim.exp() * (aim - logits.log_softmax(1))).sum(1)


def rarity_of(network: Network, pairs: Pairs) -> torch.Tensor:
    """[19] what each class weighs, by how often the network sees it: by a lower power of the share than for labels."""
    device = next(network.parameters()).device
    seen = pairs.some(list(range(0, len(pairs), max(1, len(pairs) // 100))), device).fresh
    with torch.no_grad():
        shares = network.head(seen).softmax(1).mean((0, 2, 3)).clamp(min=1e-4)
    weights = shares**-0.2
    return (weights / (weights * shares).sum()).clamp(max=5.0)


class CorrectionRun:
    """A run in a folder: checkpoint.pt as it goes, network.pt, with its correction, at its end.

    Beside network, steps and seed it depends on what is drawn and shown: `drawn`, such as {"pairs": 4000, "batch": 8}.
    """

    def __init__(self, folder: Path, network: Network, recipe: dict, steps: int, seed: int, device="cpu", drawn=None):
        self.folder, self.recipe, self.steps, self.seed = folder, recipe, steps, seed
        self.device = torch.device(device)
        torch.manual_seed(seed)
        self.network = network.eval().requires_grad_(False).to(self.device)
        self.correction = Correction(network.widths.eighth).to(self.device)
        self.average = torch.optim.swa_utils.AveragedModel(
            self.correction, multi_avg_fn=moving_average, use_buffers=True
        )
        self.optimiser = torch.optim.AdamW(self.correction.parameters(), lr=RATE, weight_decay=0.01)
        parts = {"correction": self.correction, "average": self.average, "optimiser": self.optimiser}
        also = {"steps": steps, "seed": seed} | (drawn or {})
        self.checkpoint = Checkpoint(folder, parts, {"network": origin.of_network(network)}, also)
        self.step = self.checkpoint.resume(self.device)
        if self.step > steps:
            raise Unusable(self.checkpoint.path, f"at step {self.step}, past --steps {steps}", "take another --out")

    def rate(self) -> float:
        return RATE * annealed(self.step, self.steps, 50, 0.01)

    def train(self, sources: list[Source], pairs: int, batch: int, workers: int = 1) -> float:
        """Draws `pairs` pairs and runs to the end; gives the mean loss of the last steps, NaN if there were none."""
        if self.step == self.steps:
            print(f"{self.folder}: finished at step {self.step} already; nothing is left to train", flush=True)
            return self.finish(None)
        shape = self.recipe["rows"], self.recipe["cols"]
        drawn = draw_pairs(self.network, sources, pairs, shape, self.seed, workers)
        rarity, mean = rarity_of(self.network, drawn), None
        progress = Progress("correct", self.steps - self.step)
        with Interrupt() as interrupt:
            for _ in range(self.step, self.steps):
                shown = drawn.some(shown_at(self.step, batch, len(drawn), self.seed), self.device)
                loss = self.learn(shown, rarity)
                mean = loss if mean is None else 0.98 * mean + 0.02 * loss
                progress.step(f"loss {mean:.4f}")
                if self.step % SAVE_EVERY == 0 or self.step == self.steps:
                    self.checkpoint.save(self.step)
                if interrupt.asked:
                    interrupt.stop(self.checkpoint, self.step)
        progress.close()
        return self.finish(mean)

    def learn(self, shown: Pairs, rarity: torch.Tensor) -> float:
        """One step; gives its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        loss = loss_of(self.network, self.correction, shown, rarity)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.average.update_parameters(self.correction)
        self.step += 1
        return loss.item()

    def finish(self, mean: float | None) -> float:
        self.network.correction = self.average.module
        self.network.cpu()
        replaced(self.folder / "network.pt", {"network": self.network.state_dict(), "recipe": self.recipe})
        return float("nan") if mean is None else mean


def shown_at(step: int, batch: int, count: int, seed: int) -> list[int]:
    """The pairs of a step: every pair once, in a new order, before any is shown again."""
    batch = min(batch, count)
    each = count // batch
    order = np.random.default_rng((seed, step // each)).permutation(count)
    return order[step % each * batch :][:batch].tolist()
