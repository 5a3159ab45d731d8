"""What is wrong with an answer: against labels that cover several train ids, a teacher, and itself in motion."""

import torch
import torch.nn.functional as F

from segfuse_train.classes import IGNORED

# Without a label, a teacher is heard from the first probability of its best class on, in full from the second on.
BELIEVED = (0.5, 0.8)


def covered(log_probabilities: torch.Tensor, label: torch.Tensor, covers: torch.Tensor) -> torch.Tensor:
    """[N, H, W] minus the log of the summed probability of the train ids that each label covers.

    `log_probabilities` [N, 19, H, W]; `label` [N, H, W] rows of `covers` [N, K, 19]. 0 where there is no label.
    """
    classes = covers.shape[1]
    rows = label.clamp(max=classes - 1)
    per_class = torch.einsum("nchw,nkc->nkhw", log_probabilities.exp(), covers)
    chosen = per_class.gather(1, rows[:, None])[:, 0]
    return torch.where(label == IGNORED, 0.0, -chosen.clamp(min=1e-6).log())


def conditioned(teacher: torch.Tensor, label: torch.Tensor, covers: torch.Tensor) -> torch.Tensor:
    """The teacher's probabilities [N, 19, H, W], given that the label is right.

    Where the teacher rules out all that a label covers, the zero vector: it has nothing to say there.
    """
    classes = covers.shape[1]
    allowed = covers[torch.arange(len(label))[:, None, None], label.clamp(max=classes - 1)].permute(0, 3, 1, 2)
    allowed = torch.where((label == IGNORED)[:, None], 1.0, allowed)
    kept = teacher * allowed
    total = kept.sum(1, keepdim=True)
    return torch.where(total > 0.02, kept / total.clamp(min=1e-6), 0.0)


def belief(teacher: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """[N, H, W] how far a teacher is to be heard, 0..1: where no label rules anything out, only as far as it is sure.

    What a teacher says of a place unlike all that it has seen is mostly wrong, and it is mostly not sure of it.
    """
    doubtful, sure = BELIEVED
    alone = ((teacher.amax(1) - doubtful) / (sure - doubtful)).clamp(0, 1)
    return torch.where(label == IGNORED, alone, 1.0)


def opinion(log_probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """[N, H, W] cross entropy against a distribution."""
    return -(target * log_probabilities).sum(1)


# A larger network's answers are softened by this before they are learnt over the whole of a view.
TEMPERATURE = 4.0


def unlike(logits: torch.Tensor, example: torch.Tensor) -> torch.Tensor:
    """How far logits [N, C, h, w] are from those of an example: in each cell, and over the view in each class.

    In a cell, the Kullback-Leibler divergence of the classes. In a class, that of where in the view it is, softened:
    there a lamp post counts as much as the road (after Shu et al., "Channel-wise Knowledge Distillation", 2021).
    """
    cells = divergence(example, logits, 1).mean()
    classes = divergence(example.flatten(2) / TEMPERATURE, logits.flatten(2) / TEMPERATURE, 2).mean()
    return cells + TEMPERATURE**2 * classes


def divergence(of: torch.Tensor, by: torch.Tensor, dim: int) -> torch.Tensor:
    """The Kullback-Leibler divergence from softmax(by) to softmax(of) along an axis."""
    target = of.log_softmax(dim)
    return (target.exp() * (target - by.log_softmax(dim))).sum(dim)


def balanced(loss: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The weighted mean; 0 where nothing weighs."""
    return (loss * weight).sum() / weight.sum().clamp(min=1.0)


# How the area losses count an intersection over union; and the pixels that both areas have more in LOG: without them the
# few pixels of a class that is missed altogether would outweigh all the rest.
SHARE, LOG = "share", "log"
AREAS = (SHARE, LOG)
MORE_PIXELS = 20.0


def jaccard(
    probabilities: torch.Tensor, label: torch.Tensor, covers: torch.Tensor, counted: str = SHARE
) -> torch.Tensor:
    """The soft IoU over a batch of one table, mean of the classes in it: what the score itself rewards. See `apart`."""
    both, either, truth = (counts.sum(0) for counts in areas(probabilities, label, covers))
    return apart(both, either, truth, counted)


def jaccard_of_each(
    probabilities: torch.Tensor, label: torch.Tensor, covers: torch.Tensor, counted: str = SHARE
) -> torch.Tensor:
    """The soft IoU of every view by itself, mean of the classes in each of them. See `apart`.

    Over a whole batch the near things hide the far ones: a lamp post beside the car has the pixels of twenty down the
    road. Here each view's count as much. (After Wang et al., "Revisiting Evaluation Metrics for Semantic
    Segmentation: Optimization and Evaluation of Fine-grained Intersection over Union", 2023.)
    """
    return apart(*areas(probabilities, label, covers), counted)


def apart(both: torch.Tensor, either: torch.Tensor, truth: torch.Tensor, counted: str) -> torch.Tensor:
    """How far intersections are from unions, mean over what there is; 0 where there is nothing.

    SHARE is 1 - IoU; LOG is -log IoU, whose slope is the steeper the smaller the IoU is: a class that is hardly found
    at all is worth more there than one that is nearly right.
    """
    present = truth > 0
    if not present.any():
        return both.sum() * 0
    if counted == LOG:
        return -((both + MORE_PIXELS) / (either + MORE_PIXELS))[present].log().mean()
    return (1 - both / either.clamp(min=1.0))[present].mean()


def areas(probabilities: torch.Tensor, label: torch.Tensor, covers: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """[N, K] of every view and class: the soft intersection and union of answer and truth, and the truth's pixels."""
    per_class = torch.einsum("nchw,nkc->nkhw", probabilities, covers)
    known = (label != IGNORED)[:, None]
    truth = F.one_hot(label.clamp(max=covers.shape[1] - 1), covers.shape[1]).permute(0, 3, 1, 2) * known
    per_class = per_class * known
    both = (per_class * truth).sum((2, 3))
    either = (per_class + truth - per_class * truth).sum((2, 3))
    return both, either, truth.sum((2, 3))
