"""The learning curve: mIoU on pictures that were not learnt, against how many labelled ones were.

For each number the network is adapted anew from the same start with that many pictures, spread evenly over the data
set. `curve.json` keeps each result as it comes, so that a run that was cut off goes on, with more counts if it is given
more; `made_from.json` says what they are of, which must not have changed; `curve.png` draws them.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import torch

from segfuse_train import origin
from segfuse_train.batches import Source, class_weights
from segfuse_train.pictures import Picture
from segfuse_train.refusal import reading, writing
from segfuse_train.score import score
from segfuse_train.train import Recipe, Run, load_start


def spread(found: list[Picture], count: int) -> list[Picture]:
    """`count` of them, as evenly apart as can be."""
    return [found[round((place + 0.5) * len(found) / count - 0.5)] for place in range(count)]


def learning_curve(
    counts: list[int],
    learnt: list[Picture],
    judged: list[Picture],
    recipe: Recipe,
    start: Path | None,
    out: Path,
    device: torch.device,
) -> dict:
    """{count: figures}; 0 is the start itself, which needs one."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    stored = out / "curve.json"
    points = stored_in(stored)
    insist_on_origin(out, made_from(learnt, judged, recipe, start), bool(points))
    for count in counts:
        kept = str(count) in points
        if not kept:
            points[str(count)] = point(count, learnt, judged, recipe, start, out, device)
            stored.write_text(json.dumps(points, indent=2) + "\n")
        known = ", measured before" if kept else ""
        print(f"{count} labelled pictures: mIoU {points[str(count)]['miou']}{known}", flush=True)
    draw(points, out / "curve.png")
    return points


def stored_in(path: Path) -> dict:
    if not path.exists():
        return {}
    with reading(path, "a learning curve", "remove it or take another --out", ValueError):
        return dict(json.loads(path.read_text()))


def made_from(learnt: list[Picture], judged: list[Picture], recipe: Recipe, start: Path | None) -> dict:
    network = "none" if start is None else origin.of_network(load_start(start)[0])
    pictures = {origin.PICTURES: origin.of_pictures(learnt), "set of judged pictures": origin.of_pictures(judged)}
    return {"recipe": asdict(recipe), origin.NETWORK: network} | pictures


def insist_on_origin(out: Path, now: dict, begun: bool) -> None:
    """Points of one curve are made from the same, else they do not lie on one."""
    path = out / "made_from.json"
    if begun:
        origin.insist(out / "curve.json", "curve", stored_in(path), now)
    path.write_text(json.dumps(now, indent=2) + "\n")


def point(count, learnt, judged, recipe, start, out, device) -> dict:
    folder = out / f"with_{count}"
    if count == 0:
        run = Run(folder, replace(recipe, steps=0), device, start)
        return score(run.average.module, judged, recipe.rows, recipe.cols)
    chosen = spread(learnt, count)
    sources = [Source(chosen, 1.0, class_weights(chosen))]
    run = Run(folder, recipe, device, start, origin.of_sources(sources))
    run.train(sources, [])
    return score(run.average.module, judged, recipe.rows, recipe.cols)


def draw(points: dict, path: Path) -> None:
    """The curve as a picture, its numbers written beside the points."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    counts = sorted(int(count) for count in points)
    miou = [points[str(count)]["miou"] for count in counts]
    figure, axes = pyplot.subplots(figsize=(6.4, 4), layout="constrained")
    axes.plot(counts, miou, marker="o", color="#20639b")
    for count, value in zip(counts, miou):
        axes.annotate(f"{value:.1f}", (count, value), textcoords="offset points", xytext=(0, 7), ha="center")
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_xlabel("labelled pictures")
    axes.set_ylabel("mIoU, %")
    axes.set_ylim(0, max(100.0, *miou))
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
