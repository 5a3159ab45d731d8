"""The command line: python -m segfuse_train COMMAND --help."""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import torch

from segfuse_train import pictures
from segfuse_train.batches import Source, class_weights
from segfuse_train.conditions import conditions
from segfuse_train.correct import CorrectionRun
from segfuse_train.curve import learning_curve
from segfuse_train.export import export
from segfuse_train.network import SIZES
from segfuse_train.score import equal_labels, score
from segfuse_train.train import Recipe, Run, load_start

# Pictures that int8 ranges are measured on.
CALIBRATED = 24
ADAPTED = Recipe(steps=600, rate=3e-4, small_part=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="segfuse_train", description=pictures.__doc__, formatter_class=Raw)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    commands = parser.add_subparsers(dest="command", required=True)
    for add in (
        add_teach,
        add_train,
        add_correct,
        add_adapt,
        add_curve,
        add_evaluate,
        add_conditions,
        add_compare,
        add_export,
    ):
        add(commands)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.run(options)


class Raw(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Texts as they are written, defaults told."""


def add_teach(commands) -> None:
    command = commands.add_parser("teach", help="ask a teacher network about every picture", formatter_class=Raw)
    command.add_argument("--teacher", type=Path, required=True, help="ONNX, logits of 19 train ids")
    command.add_argument("--pictures", required=True, action="append", metavar="LAYOUT:FOLDER")
    command.add_argument("--out", type=Path, required=True, help="folder for the probabilities")
    command.set_defaults(run=run_teach)


def run_teach(options) -> None:
    from segfuse_train.teach import Teacher, teach

    teacher = Teacher(options.teacher, options.threads)
    for data_set in options.pictures:
        teach(teacher, data_set, options.out)


def add_train(commands) -> None:
    command = commands.add_parser("train", help="train a network from nothing", formatter_class=Raw)
    add_run_options(command, Recipe())
    command.add_argument("--size", choices=sorted(SIZES), default=Recipe.size)
    command.add_argument("--rows", type=int, default=Recipe.rows)
    command.add_argument("--cols", type=int, default=Recipe.cols)
    command.set_defaults(run=run_train, start=None)


def add_adapt(commands) -> None:
    command = commands.add_parser("adapt", help="go on from a trained network with other pictures", formatter_class=Raw)
    add_run_options(command, ADAPTED)
    command.add_argument("--from", type=Path, dest="start", required=True, help="a network folder, or a network.pt")
    command.set_defaults(run=run_train)


def add_run_options(command, recipe: Recipe) -> None:
    command.add_argument("--pictures", required=True, action="append", metavar="LAYOUT:FOLDER[@SHARE]")
    command.add_argument("--teacher", type=Path, help="folder that `teach` wrote")
    command.add_argument("--hold-out", type=float, default=0.1, help="part of the first data set that is not learnt")
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    command.add_argument("--workers", type=int, default=1, help="threads that draw batches ahead")
    for name in ("steps", "batch", "moved", "seed"):
        command.add_argument(f"--{name}", type=int, default=getattr(recipe, name))
    command.add_argument("--rate", type=float, default=recipe.rate)
    command.add_argument("--jaccard", type=float, default=recipe.jaccard_share, help="share of the areas' loss")
    command.add_argument("--each", type=float, default=recipe.each_share, help="share of the areas' loss in each view")
    command.add_argument(
        "--pasted", type=float, default=recipe.pasted_part, help="part of the views that get rare things"
    )
    command.set_defaults(recipe=recipe)


def recipe_of(options) -> Recipe:
    given = {name: getattr(options, name) for name in ("steps", "batch", "moved", "seed", "rate")}
    recipe = replace(
        options.recipe, jaccard_share=options.jaccard, each_share=options.each, pasted_part=options.pasted, **given
    )
    if options.start is None:
        return replace(recipe, size=options.size, rows=options.rows, cols=options.cols)
    network, rows, cols = load_start(options.start)
    return replace(recipe, size=network.size, rows=rows, cols=cols)


def run_train(options) -> None:
    recipe = recipe_of(options)
    learnt, held = pictures.hold_out(options.hold_out)
    sources, held_out = [], []
    for place, text in enumerate(options.pictures):
        data_set, _, share = text.partition("@")
        found = pictures.read(data_set, options.teacher, learnt if place == 0 else None)
        taught = sum(picture.teacher is not None for picture in found)
        moving = sum(picture.later is not None for picture in found)
        print(f"{data_set}: {len(found)} pictures, {taught} with a teacher's opinion, {moving} with a next moment")
        sources.append(Source(found, float(share or 1.0), class_weights(found)))
        if place == 0 and options.hold_out:
            held_out = pictures.read(data_set, None, held)
    run = Run(options.out, recipe, torch.device(options.device), options.start)
    if options.start is not None:
        print("the correction of carried features is left out: make it anew with `correct`")
    print(json.dumps(run.train(sources, held_out, options.workers), indent=2))


def add_correct(commands) -> None:
    command = commands.add_parser("correct", help="train what corrects carried features", formatter_class=Raw)
    command.add_argument("--network", type=Path, required=True, help="a network folder, or a network.pt")
    command.add_argument("--pictures", required=True, action="append", metavar="LAYOUT:FOLDER[@SHARE]")
    command.add_argument("--out", type=Path, required=True, help="folder for network.pt, the same with a correction")
    command.add_argument("--hold-out", type=float, default=0.1, help="part of the first data set that is not learnt")
    command.add_argument("--pairs", type=int, default=4000, help="drawn once, shown many times; 1.4 MB each in memory")
    for name, default in (("steps", 6000), ("batch", 8), ("seed", 1)):
        command.add_argument(f"--{name}", type=int, default=default)
    command.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    command.set_defaults(run=run_correct)


def run_correct(options) -> None:
    network, rows, cols = load_start(options.network)
    learnt, _ = pictures.hold_out(options.hold_out)
    sources = []
    for place, text in enumerate(options.pictures):
        data_set, _, share = text.partition("@")
        found = pictures.read(data_set, None, learnt if place == 0 else None)
        video = data_set.startswith("video:")
        if video and len(found) < 2:
            raise SystemExit(f"{data_set}: a video needs two frames at least, there are {len(found)}")
        sources.append(Source(found, float(share or 1.0), class_weights(found), video))
    recipe = asdict(Recipe(size=network.size, rows=rows, cols=cols))
    run = CorrectionRun(options.out, network, recipe, options.steps, options.seed, options.device)
    loss = run.train(sources, options.pairs, options.batch)
    print(f"wrote {options.out}/network.pt; loss {loss:.4f}")


def add_curve(commands) -> None:
    command = commands.add_parser("curve", help="mIoU against the number of labelled pictures", formatter_class=Raw)
    add_run_options(command, ADAPTED)
    command.add_argument("--from", type=Path, dest="start", required=True, help="a network folder, or a network.pt")
    command.add_argument("--judge", required=True, metavar="LAYOUT:FOLDER", help="pictures that are not learnt")
    command.add_argument("--counts", type=lambda text: [int(n) for n in text.split(",")], default=[0, 10, 30, 100])
    command.set_defaults(run=run_curve)


def run_curve(options) -> None:
    found = [picture for text in options.pictures for picture in pictures.read(text.partition("@")[0], options.teacher)]
    most = max(options.counts)
    if most > len(found):
        raise SystemExit(f"--counts {most}: there are {len(found)} labelled pictures")
    judged = pictures.read(options.judge)
    learning_curve(options.counts, found, judged, recipe_of(options), options.start, options.out)
    print(f"wrote {options.out}/curve.json and curve.png")


def add_evaluate(commands) -> None:
    command = commands.add_parser("evaluate", help="mIoU of a trained network", formatter_class=Raw)
    command.add_argument("--network", type=Path, required=True, help="a network folder, or a network.pt")
    command.add_argument("--pictures", required=True, metavar="LAYOUT:FOLDER")
    command.set_defaults(run=run_evaluate)


def run_evaluate(options) -> None:
    network, rows, cols = load_start(options.network)
    print(json.dumps(score(network.eval(), pictures.read(options.pictures), rows, cols), indent=2))


def add_conditions(commands) -> None:
    command = commands.add_parser("conditions", help="mIoU in fog, at night, in rain", formatter_class=Raw)
    command.add_argument("--network", type=Path, required=True, help="a network folder, or a network.pt")
    command.add_argument("--pictures", required=True, metavar="LAYOUT:FOLDER")
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(run=run_conditions)


def run_conditions(options) -> None:
    network, rows, cols = load_start(options.network)
    conditions(network.eval(), pictures.read(options.pictures), rows, cols, options.out)
    print(f"wrote {options.out}/conditions.json and conditions.jpg")


def add_compare(commands) -> None:
    command = commands.add_parser("compare", help="masks that segfuse made against PyTorch's", formatter_class=Raw)
    command.add_argument("--network", type=Path, required=True, help="a network folder, or a network.pt")
    command.add_argument("--pictures", required=True, metavar="LAYOUT:FOLDER")
    command.add_argument("--masks", type=Path, required=True, help="folder that `segfuse trip export --masks` wrote")
    command.set_defaults(run=run_compare)


def run_compare(options) -> None:
    network, rows, cols = load_start(options.network)
    found = pictures.read(options.pictures, longest=1 << 16)
    print(json.dumps(equal_labels(network, found, options.masks, rows, cols), indent=2))


def add_export(commands) -> None:
    command = commands.add_parser("export", help="write a network folder for segfuse", formatter_class=Raw)
    command.add_argument(
        "--network", type=Path, required=True, help="network.pt, or a folder to export at another size"
    )
    command.add_argument("--name", required=True)
    command.add_argument("--rows", type=int, help="of the input; else as it was trained")
    command.add_argument("--cols", type=int)
    command.add_argument("--int8", metavar="LAYOUT:FOLDER", help="quantise the backbone on a part of these pictures")
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(run=run_export)


def run_export(options) -> None:
    network, rows, cols = load_start(options.network)
    found = pictures.read(options.int8) if options.int8 else []
    calibration = found[:: max(1, len(found) // CALIBRATED)]
    export(network, options.name, options.rows or rows, options.cols or cols, options.out, calibration)


if __name__ == "__main__":
    main()
