"""Trains a network, or adapts a trained one: resumable, repeatable from its seed.

A step shows the network a batch of views and, of some, the same a moment later; it is held to the labels, to the
teacher's opinion where there is one, and to itself: features carried along the known motion must give the later
view's answer. What is kept is the moving average of the weights.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel

from segfuse_train import losses, origin, views
from segfuse_train.batches import Batch, Form, Source, stream, weights_of
from segfuse_train.checkpoint import DAMAGE, Checkpoint, load, replaced
from segfuse_train.classes import IGNORED
from segfuse_train.interrupt import Interrupt
from segfuse_train.network import COARSEST, Network
from segfuse_train.pictures import Picture
from segfuse_train.progress import Progress
from segfuse_train.refusal import Unusable, reading, writing
from segfuse_train.score import score
from segfuse_train.shipped import load_folder

SCORE_EVERY = 500
SAVE_EVERY = 250


@dataclass(frozen=True)
class Recipe:
    """All that a run depends on besides its pictures."""

    size: str = "small"
    rows: int = 384
    cols: int = 640
    steps: int = 8000
    batch: int = 6
    moved: int = 2
    rate: float = 2e-3
    decay: float = 0.02
    seed: int = 1
    # The first part of the steps looks at smaller views, twice as many: cheaper, and as good a beginning.
    small_part: float = 0.6
    teacher_share: float = 0.5
    jaccard_share: float = 0.5
    # The same of every view by itself, where far things count as much as near ones.
    each_share: float = 0.0
    # How both count an intersection over union, one of `losses.AREAS`.
    areas: str = losses.SHARE
    auxiliary_share: float = 0.3
    carried_share: float = 0.4
    steady_share: float = 0.2
    # Of a larger network's answers to the same views.
    distilled_share: float = 0.0
    pasted_part: float = 0.5
    # How far and how near things are shown.
    farthest: float = views.SCALES[0]
    nearest: float = views.SCALES[1]
    # How much larger the views are that a larger network is shown.
    example_scale: float = 1.0

    def form(self, step: int) -> Form:
        """The batch of a step."""
        full, scales = (self.rows, self.cols), (self.farthest, self.nearest)
        if step < self.small_part * self.steps:
            small = [max(64, round(side * 2 / 3 / 32) * 32) for side in full]
            return Form(2 * self.batch, 2 * self.moved, small[0], small[1], full, self.pasted_part, scales)
        return Form(self.batch, self.moved, *full, full, self.pasted_part, scales)

    def rate_at(self, step: int) -> float:
        """Of the full rate: rises over the first steps, then falls along a cosine."""
        return annealed(step, self.steps, min(300, max(1, self.steps // 20)), 1e-3)


def annealed(step: int, steps: int, warm: int, least: float) -> float:
    """Of a full rate: rises over `warm` steps, then falls along a cosine, to `least`."""
    falling = 0.5 * (1 + math.cos(math.pi * step / steps))
    return min(1.0, (step + 1) / warm) * max(least, falling)


def mixes(device: torch.device) -> bool:
    """Whether computing in bfloat16 is worth its while."""
    return torch.cpu._is_avx512_bf16_supported() if device.type == "cpu" else True


def loss_of(network: Network, batch: Batch, recipe: Recipe, mixed: bool, example: Network | None) -> torch.Tensor:
    """The loss of a batch; `mixed` computes the networks in bfloat16; an `example` is a network to answer like."""
    with torch.autocast(batch.image.device.type, torch.bfloat16, enabled=mixed):
        features, context = network.backbone.branches(batch.image.contiguous(memory_format=torch.channels_last))
        logits = network.head(features)
        auxiliary = network.auxiliary(context)
    total = answer_loss(logits.float(), batch, recipe)
    total = total + recipe.auxiliary_share * auxiliary_loss(auxiliary.float(), batch)
    if example is not None:
        shown = answer_of(example, batch.image, recipe.example_scale, mixed)
        alike = F.interpolate(logits.float(), tuple(shown.shape[-2:]), mode="bilinear", align_corners=False)
        total = total + recipe.distilled_share * losses.unlike(alike, shown)
    moved = len(batch.motion)
    if moved:
        earlier, later = features[:moved].float(), features[-moved:].float()
        total = total + carried_loss(network, earlier, later, batch, recipe, mixed)
    return total


def answer_of(example: Network, image: torch.Tensor, scale: float, mixed: bool) -> torch.Tensor:
    """The logits of views shown `scale` times as large, as near as whole cells allow."""
    size = [round(side * scale / COARSEST) * COARSEST for side in image.shape[-2:]]
    with torch.no_grad(), torch.autocast(image.device.type, torch.bfloat16, enabled=mixed):
        larger = F.interpolate(image, size, mode="bilinear", align_corners=False)
        return example(larger.contiguous(memory_format=torch.channels_last)).float()


def upsampled(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    return F.interpolate(logits, tuple(label.shape[-2:]), mode="bilinear", align_corners=False)


def answer_loss(logits: torch.Tensor, batch: Batch, recipe: Recipe) -> torch.Tensor:
    """Against the labels, and as areas of each view, at 1/2; against the teacher and as areas of all views at 1/4."""
    fine = upsampled(logits, batch.label).log_softmax(1)
    loss = losses.balanced(losses.covered(fine, batch.label, batch.covers), weights_of(batch))
    log_probabilities = F.interpolate(
        logits, tuple(batch.teacher.shape[-2:]), mode="bilinear", align_corners=False
    ).log_softmax(1)
    label = batch.label[:, 1::2, 1::2]
    taught = batch.taught
    if taught.any():
        teacher = batch.teacher[taught], label[taught]
        target = losses.conditioned(*teacher, batch.covers[taught])
        heard = losses.opinion(log_probabilities[taught], target)
        loss = loss + recipe.teacher_share * losses.balanced(heard, target.sum(1) * losses.belief(*teacher))
    for source in batch.source.unique():
        part = (batch.source == source) & (label != IGNORED).any(2).any(1)
        if part.any():
            covers, share = batch.covers[part][0][None], part.float().mean()
            area = losses.jaccard(log_probabilities[part].exp(), label[part], covers, recipe.areas)
            loss = loss + recipe.jaccard_share * area * share
            if recipe.each_share > 0:
                each = losses.jaccard_of_each(fine[part].exp(), batch.label[part], covers, recipe.areas)
                loss = loss + recipe.each_share * each * share
    return loss


def label_loss(logits, label, covers, weight) -> torch.Tensor:
    """The weighted mean over labelled pixels, at the labels' size."""
    log_probabilities = upsampled(logits, label).log_softmax(1)
    return losses.balanced(losses.covered(log_probabilities, label, covers), weight)


def auxiliary_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return label_loss(logits, batch.label[:, 1::4, 1::4], batch.covers, weights_of(batch)[:, 1::4, 1::4])


def carried_loss(network, earlier, later, batch: Batch, recipe: Recipe, mixed: bool) -> torch.Tensor:
    """Features of the earlier view, carried to the later one: their answer, and how far from its own features."""
    moved = len(batch.motion)
    carried = F.grid_sample(earlier, batch.motion, mode="bilinear", padding_mode="zeros", align_corners=False)
    inside = (batch.motion.abs() < 1).all(-1).float()
    with torch.autocast(batch.image.device.type, torch.bfloat16, enabled=mixed):
        logits = network.head(carried)
    label = batch.label[-moved:, 1::2, 1::2]
    seen = F.interpolate(inside[:, None], tuple(label.shape[-2:]), mode="nearest")[:, 0]
    weight = weights_of(batch)[-moved:, 1::2, 1::2] * seen
    answer = label_loss(logits.float(), label, batch.covers[-moved:], weight)
    size = later.detach().square().mean(1).clamp(min=1e-3)
    apart = (carried - later.detach()).square().mean(1) / size
    return recipe.carried_share * answer + recipe.steady_share * losses.balanced(apart, inside)


class Run:
    """A training run in a folder: checkpoint.pt as it goes, network.pt and score.json at its end.

    It goes on only from what was made from the same start and the same `pictures`, of which it is told a hash.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        device: torch.device,
        start: Path | None = None,
        pictures: str | None = None,
        example: Path | None = None,
    ):
        self.folder, self.recipe, self.device = folder, recipe, device
        torch.manual_seed(recipe.seed)
        self.network = Network(recipe.size) if start is None else load_start(start)[0]
        also = {origin.NETWORK: "none" if start is None else origin.of_network(self.network)}
        also |= {} if pictures is None else {origin.PICTURES: pictures}
        self.example = None if example is None else load_start(example)[0].eval().to(device)
        also |= {} if example is None else {origin.EXAMPLE: origin.of_network(self.example)}
        # It was made for other features than those that come out of this run.
        self.network.correction = None
        self.network = self.network.to(device, memory_format=torch.channels_last)
        self.average = AveragedModel(self.network, multi_avg_fn=moving_average, use_buffers=True)
        decayed = parameters(self.network, recipe.decay)
        self.optimiser = torch.optim.AdamW(decayed, lr=recipe.rate, fused=device.type != "cpu")
        parts = {"network": self.network, "average": self.average, "optimiser": self.optimiser}
        self.checkpoint = Checkpoint(folder, parts, {"recipe": asdict(recipe)}, also)
        self.step = self.checkpoint.resume(device)

    def train(self, sources: list[Source], held_out: list[Picture], workers: int = 1) -> dict:
        """Runs to the end; gives the figures on `held_out` (empty if there are none)."""
        recipe, mean = self.recipe, None
        if 0 < recipe.steps <= self.step:
            print(f"{self.folder}: finished at step {self.step} already; nothing is left to train", flush=True)
            return self.finish(held_out)
        progress = Progress(f"train {recipe.size}", recipe.steps - self.step)
        steps = range(self.step, recipe.steps)
        with Interrupt() as interrupt:
            for batch in stream(sources, recipe.form, steps, recipe.seed, workers, self.device):
                loss = self.learn(batch)
                mean = loss if mean is None else 0.98 * mean + 0.02 * loss
                progress.step(f"loss {mean:.3f}")
                if self.step % SAVE_EVERY == 0 or self.step == recipe.steps:
                    self.checkpoint.save(self.step)
                if held_out and self.step % SCORE_EVERY == 0 and self.step < recipe.steps:
                    print(f"step {self.step}: held out mIoU {self.score(held_out)['miou']}", flush=True)
                if interrupt.asked:
                    interrupt.stop(self.checkpoint, self.step)
        progress.close()
        return self.finish(held_out)

    def learn(self, batch: Batch) -> float:
        """One step with an exposed batch on the device; gives its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate * self.recipe.rate_at(self.step)
        loss = loss_of(self.network, batch, self.recipe, mixes(self.device), self.example)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return loss.item()

    def score(self, held_out: list[Picture]) -> dict:
        return score(self.average.module, held_out, self.recipe.rows, self.recipe.cols)

    def finish(self, held_out: list[Picture]) -> dict:
        kept = {"network": self.average.module.state_dict(), "recipe": asdict(self.recipe)}
        replaced(self.folder / "network.pt", kept)
        result = self.score(held_out) if held_out else {}
        with writing(self.folder / "score.json"):
            (self.folder / "score.json").write_text(json.dumps(result | {"steps": self.step}, indent=2) + "\n")
        return result


def moving_average(averages: list[torch.Tensor], now: list[torch.Tensor], steps: torch.Tensor) -> None:
    """Over the last 500 steps; over fewer in the beginning, so that it forgets where it began. All of one kind."""
    kept = min(0.998, (1 + int(steps)) / (10 + int(steps)))
    if averages[0].is_floating_point():
        torch._foreach_lerp_(averages, now, 1 - kept)
    else:
        torch._foreach_copy_(averages, now)


def parameters(network: Network, decay: float) -> list[dict]:
    """Weights shrink, biases and normalisation do not."""
    flat = [p for p in network.parameters() if p.ndim == 1]
    deep = [p for p in network.parameters() if p.ndim > 1]
    return [{"params": deep, "weight_decay": decay}, {"params": flat, "weight_decay": 0.0}]


def load_start(path: Path) -> tuple[Network, int, int]:
    """The network of a folder (model.toml) or of a `network.pt`, and its input's rows and cols."""
    if path.is_dir():
        return load_folder(path)
    if not path.exists():
        raise Unusable(path, "no such file or folder", "training leaves network.pt at its end")
    remedy = "name a network folder, or the network.pt that training leaves at its end"
    saved = load(path, "cpu", remedy)
    if not isinstance(saved.get("network"), dict) or not isinstance(saved.get("recipe"), dict):
        raise Unusable(path, "holds no network", remedy)
    with reading(path, "a network", remedy, TypeError, *DAMAGE):
        recipe = Recipe(**saved["recipe"])
        network = Network(recipe.size, corrects=any(name.startswith("correction.") for name in saved["network"]))
        network.load_state_dict(saved["network"])
    return network, recipe.rows, recipe.cols
