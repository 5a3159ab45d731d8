"""Batches of views, drawn ahead by workers; the draw of a step depends on seed and step alone."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from segfuse_train import views
from segfuse_train.classes import CLASSES, IGNORED
from segfuse_train.network import STRIDE
from segfuse_train.pictures import Picture


@dataclass(frozen=True)
class Source:
    """Pictures that are drawn from with one probability, and what each of their classes weighs."""

    pictures: list[Picture]
    share: float
    weights: torch.Tensor
    # One after the other at a camera's rate.
    video: bool = False

    @property
    def covers(self) -> torch.Tensor:
        """[19, 19] rows of the table, padded with rows that cover nothing."""
        rows = torch.zeros(CLASSES, CLASSES)
        table = torch.from_numpy(self.pictures[0].table.covers)
        rows[: len(table)] = table
        return rows


@dataclass(frozen=True)
class Exposure:
    """What a view is to be exposed with, and the seed of its noise."""

    light: views.Light
    seed: int


@dataclass
class Batch:
    """N views; the last `moved` of them show what the first `moved` do, a moment later.

    image [N, 3, H, W], label [N, H/2, W/2], teacher [N, 19, H/4, W/4], taught [N], source [N], covers [N, 19, 19],
    weights [N, 19], motion [moved, H/8, W/8, 2]: where each cell of the later view was in the earlier one, -1..1.

    As it is drawn its images are u8, as in the pictures; `exposed` they are what the network takes.
    """

    image: torch.Tensor
    label: torch.Tensor
    teacher: torch.Tensor
    taught: torch.Tensor
    source: torch.Tensor
    covers: torch.Tensor
    weights: torch.Tensor
    motion: torch.Tensor
    exposures: list[Exposure]

    def to(self, device: torch.device) -> "Batch":
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        return replace(self, **{name: value.to(device) for name, value in tensors.items()})

    def exposed(self) -> "Batch":
        """In the light that was drawn for each view, normalised."""
        images = [
            views.expose(image.float() / 255, how.light, np.random.default_rng(how.seed))
            for image, how in zip(self.image, self.exposures, strict=True)
        ]
        return replace(self, image=views.normalise(torch.stack(images)), exposures=[])


@dataclass(frozen=True)
class Form:
    """How large a batch and its views are, of pictures that the program shows at `full` size."""

    batch: int
    moved: int
    rows: int
    cols: int
    full: tuple[int, int]
    # Of the views that do not move, the part that gets rare things of another picture.
    pasted: float = 0.0
    scales: tuple[float, float] = views.SCALES


# What weighs more than this, in means, is rare: poles, signs, fences and people, not roads, trees and cars.
RARE = 2.0


def class_weights(pictures: list[Picture], power: float = 0.4, most: float = 5.0) -> torch.Tensor:
    """[19] per row of the table: rare classes weigh more, so that thin poles count without drowning the road."""
    counts = sum(torch.bincount(picture.label.flatten()[::5], minlength=256)[:CLASSES] for picture in pictures)
    counts = counts.double()
    if not counts.any():
        return torch.ones(CLASSES)
    weights = (counts.sum() / counts.clamp(min=1)) ** power
    mean = (weights * counts).sum() / counts.sum()
    return torch.where(counts > 0, weights / mean, 1.0).clamp(max=most).float()


def draw(sources: list[Source], form: Form, seed: int, step: int) -> Batch:
    """The batch of a step, still to be exposed."""
    random = np.random.default_rng((seed, step))
    shares = np.array([source.share for source in sources])
    chosen = random.choice(len(sources), form.batch, p=shares / shares.sum())
    first, later, motions, lights = [], [], [], []
    for place, which in enumerate(chosen):
        source = sources[which]
        picture = source.pictures[random.integers(len(source.pictures))]
        affine = views.random_affine(random, form.rows, form.cols, form.full, form.scales)
        lights.append(views.random_light(random))
        view = views.look(picture, affine, form.rows, form.cols)
        if place >= form.moved and random.random() < form.pasted:
            view = with_rare_things(view, source, form, random)
        first.append((which, view))
        if place < form.moved:
            view, motion = moment_later(picture, affine, form, random)
            later.append((which, view))
            motions.append(motion)
    # A moment later the light is the same, the noise another.
    lights += lights[: len(later)]
    exposures = [Exposure(light, int(random.integers(2**63))) for light in lights]
    return collate(sources, first + later, motions, exposures)


def with_rare_things(view: views.View, source: Source, form: Form, random: np.random.Generator) -> views.View:
    """`view`, and in it some of what is rare in another picture of the source (after ClassMix, Olsson et al., 2021)."""
    other = source.pictures[random.integers(len(source.pictures))]
    giver = views.look(
        other, views.random_affine(random, form.rows, form.cols, form.full, form.scales), form.rows, form.cols
    )
    present = giver.label.unique()
    present = present[present != IGNORED]
    rare = present[source.weights[present] > RARE]
    kept = rare[torch.from_numpy(random.random(len(rare)) < 0.7)]
    return pasted(view, giver, torch.isin(giver.label, kept))


def pasted(view: views.View, giver: views.View, mask: torch.Tensor) -> views.View:
    """`view`, and `giver` where `mask`, at the labels' size, says so."""
    over = mask.repeat_interleave(views.LABEL_STRIDE, 0).repeat_interleave(views.LABEL_STRIDE, 1)
    step = views.TEACHER_STRIDE // views.LABEL_STRIDE
    return views.View(
        torch.where(over, giver.image, view.image),
        torch.where(mask, giver.label, view.label),
        torch.where(mask[::step, ::step], giver.teacher, view.teacher),
        view.taught and giver.taught,
    )


def moment_later(picture: Picture, affine: np.ndarray, form: Form, random: np.random.Generator):
    """What the camera saw next where the drive is known, else the same picture from a little nearer; its motion."""
    cells = (form.rows // STRIDE, form.cols // STRIDE)
    if picture.later is not None:
        motion = views.true_motion(picture.later.flow, affine, *cells)
        return views.look(picture.later, affine, form.rows, form.cols), motion
    motion = views.random_motion(random)
    view = views.look(picture, views.after(affine, motion), form.rows, form.cols)
    return view, views.affine_motion(motion, *cells)


def collate(
    sources: list[Source],
    drawn: list[tuple[int, views.View]],
    motions: list[torch.Tensor],
    exposures: list[Exposure],
) -> Batch:
    which = torch.tensor([source for source, _ in drawn])
    seen = [view for _, view in drawn]
    return Batch(
        image=(torch.stack([view.image for view in seen]) * 255).round().to(torch.uint8),
        label=torch.stack([view.label for view in seen]),
        teacher=torch.stack([view.teacher for view in seen]),
        taught=torch.tensor([view.taught for view in seen]),
        source=which,
        covers=torch.stack([source.covers for source in sources])[which],
        weights=torch.stack([source.weights for source in sources])[which],
        motion=torch.stack(motions) if motions else torch.zeros(0, 1, 1, 2),
        exposures=exposures,
    )


def weights_of(batch: Batch) -> torch.Tensor:
    """[N, H/2, W/2] what each labelled pixel weighs."""
    rows = batch.label.clamp(max=CLASSES - 1)
    weight = batch.weights[torch.arange(len(rows), device=rows.device)[:, None, None], rows]
    return torch.where(batch.label == IGNORED, 0.0, weight)


def stream(
    sources: list[Source], form_of, steps: range, seed: int, workers: int, device: torch.device
) -> Iterator[Batch]:
    """The batches of `steps`, in order, on `device`. `form_of(step)` is that step's Form.

    A GPU exposes the views itself, more of them than workers could; on the CPU they do it.
    """
    if device.type == "cpu":
        yield from ahead(lambda step: draw(sources, form_of(step), seed, step).exposed(), steps, workers)
        return
    for batch in ahead(lambda step: draw(sources, form_of(step), seed, step), steps, workers):
        yield batch.to(device).exposed()


def ahead(drawn: Callable, steps: range, workers: int) -> Iterator:
    """`drawn(step)` for each of `steps`, in order, a few drawn ahead: by a thread, or by several processes."""
    return by_a_thread(drawn, steps) if workers == 1 else by_processes(drawn, steps, workers)


def by_processes(drawn: Callable, steps: range, workers: int) -> Iterator:
    """Processes never wait for each other as threads of Python do; they need shared memory for what is drawn ahead."""
    loader = DataLoader(
        Drawn(drawn, steps),
        batch_size=None,
        num_workers=min(workers, max(1, len(steps))),
        multiprocessing_context="fork",
        worker_init_fn=leave_interrupts_to_the_parent,
    )
    return iter(loader)


@dataclass(frozen=True)
class Drawn(Dataset):
    """What is drawn for each of `steps`."""

    drawn: Callable
    steps: range

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, place: int):
        return self.drawn(self.steps[place])


def leave_interrupts_to_the_parent(_worker: int) -> None:
    """Ctrl-C reaches every process of the terminal; the one that learns finishes its step first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# Batches drawn ahead by one worker.
AHEAD = 2


def by_a_thread(drawn: Callable, steps: range) -> Iterator:
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting: list[Future] = []
        try:
            for step in range(steps.start, steps.stop + AHEAD):
                if step < steps.stop:
                    waiting.append(pool.submit(drawn, step))
                if step >= steps.start + AHEAD:
                    yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()
