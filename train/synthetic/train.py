"""Trains the network: `python train.py --train DIR --val DIR --out DIR [--minutes 20] [--seed 1]`.

Resumes from OUT/checkpoint.pt when it is there. The schedule follows the number of steps, so a run of
equal steps, seed, threads and torch version repeats itself; `--minutes` only bounds it.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from data import IGNORED, Pictures, augmented, normalise, whole
from network import CLASSES, Network

NAMES = (
    "road sidewalk building wall fence pole traffic_light traffic_sign vegetation terrain sky person rider car "
    "truck bus train motorcycle bicycle"
).split()


def batch_of(pictures: Pictures, random: np.random.Generator, size: int):
    chosen = random.integers(0, len(pictures), size)
    pairs = [augmented(pictures.images[i], pictures.labels[i], random) for i in chosen]
    return normalise(torch.stack([image for image, _ in pairs])), torch.stack([label for _, label in pairs])


def class_weights(pictures: Pictures) -> torch.Tensor:
    """Rare classes weigh more, by the fourth root: thin poles count without drowning the road."""
    counts = torch.bincount(pictures.labels[::7].flatten().long(), minlength=256)[:CLASSES].double()
    weights = (counts.sum() / counts.clamp(min=1)) ** 0.25
    weights[counts == 0] = 0.0
    return (weights / weights[weights > 0].mean()).float()


def loss_of(network: Network, image, label, weights):
    """Cross entropy at half resolution, through the upsampling that segfuse decodes with."""
    logits = F.interpolate(network(image), scale_factor=4, mode="bilinear", align_corners=False)
    return F.cross_entropy(logits, label[:, 1::2, 1::2], weights, ignore_index=IGNORED)


def confusion(network: Network, pictures: Pictures) -> np.ndarray:
    """[true, predicted] pixel counts at the network's input size."""
    network.eval()
    total = np.zeros((CLASSES, CLASSES), np.int64)
    with torch.no_grad():
        for image, label in zip(pictures.images, pictures.labels):
            image, label = whole(image, label)
            logits = F.interpolate(network(normalise(image[None])), label.shape, mode="bilinear", align_corners=False)
            known = label != IGNORED
            joint = label[known] * CLASSES + logits.argmax(1)[0][known]
            total += torch.bincount(joint, minlength=CLASSES * CLASSES).reshape(CLASSES, CLASSES).numpy()
    network.train()
    return total


def report(total: np.ndarray) -> dict:
    """IoU of every class that occurs, their mean, pixel accuracy; all in percent."""
    union = total.sum(0) + total.sum(1) - total.diagonal()
    present = total.sum(1) > 0
    iou = 100.0 * total.diagonal() / np.maximum(union, 1)
    named = {name: round(float(value), 2) for name, value, there in zip(NAMES, iou, present) if there}
    accuracy = 100.0 * total.diagonal().sum() / max(1, total.sum())
    return {"miou": round(float(iou[present].mean()), 2), "pixel_accuracy": round(float(accuracy), 2), "per_class": named}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    train(options, Pictures(options.train), Pictures(options.val))


def train(options, pictures: Pictures, held_out: Pictures) -> None:
    network = Network().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=1e-3)
    # A step of 1 - done/steps to the 0.9, after 100 steps of warming up.
    decay = lambda step: min(1.0, (step + 1) / 100) * max(1e-3, 1 - step / options.steps) ** 0.9
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, decay)
    weights, first, checkpoint = class_weights(pictures), 0, options.out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        first = saved["step"]
        print(f"resumed at step {first}", flush=True)
    began, mean_loss, minutes, done = time.monotonic(), None, 0.0, first
    for step in range(first, options.steps):
        # Each step has draws of its own, so that a resumed run sees what an unbroken one would.
        random = np.random.default_rng((options.seed, step))
        image, label = batch_of(pictures, random, options.batch)
        loss = loss_of(network, image.contiguous(memory_format=torch.channels_last), label, weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        mean_loss = loss.item() if mean_loss is None else 0.98 * mean_loss + 0.02 * loss.item()
        minutes = (time.monotonic() - began) / 60
        done = step + 1
        last = done == options.steps or minutes > options.minutes
        if done % 50 == 0:
            print(f"step {done}/{options.steps}  loss {mean_loss:.3f}  {minutes:.1f} min", flush=True)
        if done % 250 == 0 or last:
            states = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save(states | {"schedule": schedule.state_dict(), "step": done}, checkpoint)
        if last:
            break
    result = report(confusion(network, held_out)) | {"steps": done, "minutes": round(minutes, 1)}
    torch.save(network.state_dict(), options.out / "network.pt")
    (options.out / "held_out.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
