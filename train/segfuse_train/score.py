"""mIoU as `segfuse evaluate` counts it: one confusion matrix over the whole set, at the labels' own size.

Logits are upsampled (bilinear, half-pixel centres), the arg-max over train ids is mapped to the labels'
classes, and the mean goes over the classes that occur in truth or prediction.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from segfuse_train.classes import IGNORED, ClassTable
from segfuse_train.pictures import Picture, opened
from segfuse_train.views import normalise

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def program_view(picture: Picture, rows: int, cols: int) -> torch.Tensor:
    """[1, 3, rows, cols] as the program shows it: the whole picture, stretched, normalised."""
    image = picture.image[None].float() / 255
    return normalise(F.interpolate(image, (rows, cols), mode="bilinear", align_corners=False, antialias=False))


def predict(network, picture: Picture, rows: int, cols: int) -> np.ndarray:
    """Train ids [H, W] at the picture's size."""
    device = next(network.parameters()).device
    with torch.no_grad():
        view = program_view(picture, rows, cols).to(device)
        logits = network(view.contiguous(memory_format=torch.channels_last)).cpu()
    full = F.interpolate(logits.float(), tuple(picture.label.shape), mode="bilinear", align_corners=False)
    return full.argmax(1)[0].numpy().astype(np.uint8)


def confusion(predicted: np.ndarray, truth: np.ndarray, table: ClassTable) -> np.ndarray:
    """[true, predicted] counts; the last column counts predictions that the table does not cover."""
    classes = len(table.names)
    rows = table.of_train_ids()[predicted]
    rows = np.where(rows == IGNORED, classes, rows)
    known = truth != IGNORED
    joint = truth[known].astype(np.int64) * (classes + 1) + rows[known]
    return np.bincount(joint, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def figures(total: np.ndarray, table: ClassTable) -> dict:
    """IoU of every class that occurs, their mean, pixel accuracy; all in percent."""
    square = total[:, : len(table.names)]
    hit = square.diagonal()
    union = total.sum(1) + square.sum(0) - hit
    iou = 100.0 * hit / np.maximum(union, 1)
    named = {name: round(float(value), 2) for name, value, seen in zip(table.names, iou, union > 0) if seen}
    accuracy = 100.0 * hit.sum() / max(1, total.sum())
    mean = float(iou[union > 0].mean()) if (union > 0).any() else 0.0
    return {"miou": round(mean, 2), "pixel_accuracy": round(float(accuracy), 2), "per_class": named}


def score(network, pictures: list[Picture], rows: int, cols: int) -> dict:
    """The figures of `pictures`, which share one table."""
    was_training = network.training
    network.eval()
    table = pictures[0].table
    total = sum(confusion(predict(network, picture, rows, cols), picture.label.numpy(), table) for picture in pictures)
    network.train(was_training)
    return figures(total, table)


def equal_labels(network, found: list[Picture], masks: Path, rows: int, cols: int) -> dict:
    """Percent of pixels, in all and in the worst picture, for which masks in palette PNG give the network's label.

    A mask is named like its picture and holds train ids, as `segfuse trip export --masks` writes it.
    """
    shares = {}
    for picture in found:
        path = masks / f"{picture.name}.png"
        if not path.exists():
            raise SystemExit(f"{path}: no such mask; each of the pictures needs one")
        mask, expected = opened(path), predict(network.eval(), picture, rows, cols)
        if mask.shape != expected.shape:
            raise SystemExit(f"{path}: {mask.shape}, its picture is {expected.shape}")
        shares[picture.name] = 100.0 * float((mask == expected).mean())
    worst = min(shares, key=shares.get)
    mean = sum(shares.values()) / len(shares)
    return {"pictures": len(shares), "equal": round(mean, 4), "worst": round(shares[worst], 4), "worst_picture": worst}
