"""The command line: python -m segfuse_train COMMAND --help."""

import argparse
import json
import math
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch

from segfuse_train import losses, origin, pictures
from segfuse_train import options as take
from segfuse_train.batches import Source, class_weights
from segfuse_train.checkpoint import replaced
from segfuse_train.conditions import conditions, table
from segfuse_train.correct import CorrectionRun
from segfuse_train.curve import learning_curve
from segfuse_train.export import export
from segfuse_train.folder import insist_on_place
from segfuse_train.interrupt import INTERRUPTED
from segfuse_train.narrow import narrowed
from segfuse_train.network import SIZES
from segfuse_train.refusal import Unusable, first_line, writing
from segfuse_train.score import equal_labels, score
from segfuse_train.train import Recipe, Run, load_start

# Pictures that int8 ranges are measured on.
CALIBRATED = 24
ADAPTED = Recipe(steps=600, rate=3e-4, small_part=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="segfuse_train", description=pictures.__doc__, formatter_class=Raw)
    parser.add_argument("--threads", type=take.whole(1), default=torch.get_num_threads(), help="of the processor")
    commands = parser.add_subparsers(dest="command", required=True)
    for add in (
        add_teach,
        add_train,
        add_correct,
        add_narrow,
        add_adapt,
        add_curve,
        add_evaluate,
        add_conditions,
        add_compare,
        add_export,
    ):
        add(commands)
    options = parser.parse_args()
    insist_on_views(parser, options)
    insist_on_an_example(parser, options)
    torch.set_num_threads(options.threads)
    told(options)


def insist_on_views(parser: argparse.ArgumentParser, options) -> None:
    """A step's views: normalisation needs two of them, and only what is shown can be shown a moment later."""
    if not hasattr(options, "moved"):
        return
    if options.moved > options.batch:
        parser.error(f"argument --moved: {options.moved} is more than --batch {options.batch}")
    if options.batch + options.moved < 2:
        parser.error("argument --batch: 1 is too few with --moved 0: a step needs two views")


def insist_on_an_example(parser: argparse.ArgumentParser, options) -> None:
    """What is said of a larger network needs one; what is shown has a farthest and a nearest."""
    for name in ("distilled", "larger"):
        if getattr(options, name, None) is not None and options.distil is None:
            parser.error(f"argument --{name}: there is no larger network; name one with --distil")
    far, near = getattr(options, "scales", (1.0, 1.0))
    if far > near:
        parser.error(f"argument --scales: {far} is nearer than {near}; the farthest comes first")


def told(options) -> None:
    """Runs the command; what the system refuses, and Ctrl-C, end it with one line instead of a traceback."""
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from its last checkpoint, if it left one", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        # Who read the output has left, as `head` does; what is left of it must not be written on the way out either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        file = error.filename or "a file"
        raise Unusable(
            file, error.strerror or first_line(error), "look to the file, its folder and the room left"
        ) from error


class Raw(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Texts as they are written, defaults told where there are any."""

    def _get_help_string(self, action):
        return action.help if action.default is None else super()._get_help_string(action)


def add_pictures(command, several: bool = False, share: bool = False) -> None:
    form = "LAYOUT:FOLDER[@SHARE]" if share else "LAYOUT:FOLDER"
    more = "; may be given several times" if several else ""
    more += ", drawn from in proportion to their shares" if share else ""
    kind, action = take.shared if share else str, "append" if several else "store"
    help = f"a data set, layouts: segfuse_train --help{more}"
    command.add_argument("--pictures", required=True, action=action, type=kind, metavar=form, help=help)


def add_network(command, flag: str = "--network", help: str = "a network folder, or a network.pt", **more) -> None:
    command.add_argument(flag, type=Path, required=True, help=help, **more)


def add_out(command, help: str) -> None:
    command.add_argument("--out", type=take.out_folder, required=True, help=help)


def add_teach(commands) -> None:
    command = commands.add_parser("teach", help="ask a teacher network about every picture", formatter_class=Raw)
    command.add_argument("--teacher", type=Path, required=True, help="ONNX, logits of 19 train ids")
    add_pictures(command, several=True)
    add_out(command, "folder for the probabilities; equal names of different pictures need one each")
    command.set_defaults(run=run_teach)


def run_teach(options) -> None:
    from segfuse_train.teach import Teacher, teach

    teach(Teacher(options.teacher, options.threads), options.pictures, options.out)


def add_train(commands) -> None:
    command = commands.add_parser("train", help="train a network from nothing", formatter_class=Raw)
    add_run_options(command, Recipe())
    command.add_argument("--size", choices=sorted(SIZES), default=Recipe.size, help="of the network")
    command.add_argument("--rows", type=take.side, default=Recipe.rows, help="of its input, a multiple of 32")
    command.add_argument("--cols", type=take.side, default=Recipe.cols, help="of its input, a multiple of 32")
    add_example(command)
    command.set_defaults(run=run_train, start=None)


def add_adapt(commands) -> None:
    command = commands.add_parser("adapt", help="go on from a trained network with other pictures", formatter_class=Raw)
    add_run_options(command, ADAPTED)
    add_network(command, "--from", dest="start")
    add_example(command)
    command.set_defaults(run=run_train)


def add_example(command) -> None:
    help = "a larger trained network, a folder or a network.pt: its answer to every view is learnt too"
    command.add_argument("--distil", type=Path, metavar="NETWORK", help=help)
    help = "share of the loss against that answer; 1 without, and only with --distil"
    command.add_argument("--distilled", type=take.weight, help=help)
    help = "how many times as large that network is shown the views; 1 without, and only with --distil"
    command.add_argument("--larger", type=take.above_zero, help=help)


def add_run_options(command, recipe: Recipe) -> None:
    add_pictures(command, several=True, share=True)
    command.add_argument("--teacher", type=Path, help="folder that `teach` wrote; needed where pictures have no labels")
    add_hold_out(command)
    add_out(command, "folder for checkpoint.pt as it goes, network.pt and score.json at its end")
    add_device(command)
    add_workers(command)
    command.add_argument("--steps", type=take.whole(1), default=recipe.steps, help="how many batches are learnt")
    command.add_argument("--batch", type=take.whole(1), default=recipe.batch, help="views in a step")
    command.add_argument(
        "--moved", type=take.whole(0), default=recipe.moved, help="of these, how many are shown a moment later too"
    )
    add_seed(command, recipe.seed)
    command.add_argument("--rate", type=take.above_zero, default=recipe.rate, help="of learning, at its highest")
    command.add_argument(
        "--jaccard", type=take.weight, default=recipe.jaccard_share, help="share of the areas' loss over the batch"
    )
    command.add_argument(
        "--each", type=take.weight, default=recipe.each_share, help="share of the areas' loss in each view"
    )
    help = "both as 1 - IoU, or as -log IoU, which cares more for what is hardly found"
    command.add_argument("--areas", choices=losses.AREAS, default=recipe.areas, help=help)
    command.add_argument(
        "--pasted", type=take.part, default=recipe.pasted_part, help="part of the views that get rare things"
    )
    scales = (recipe.farthest, recipe.nearest)
    help = "how far and how near things are shown, against what the program shows"
    command.add_argument("--scales", type=take.above_zero, nargs=2, metavar=("FAR", "NEAR"), default=scales, help=help)
    command.set_defaults(recipe=recipe)


def add_hold_out(command) -> None:
    help = "part of the first data set, the end of each drive, that is not learnt"
    command.add_argument("--hold-out", type=take.part_below_one, default=0.1, help=help)


def add_device(command) -> None:
    default = "cuda" if torch.cuda.is_available() else "cpu"
    command.add_argument("--device", type=take.device, default=default, help="what computes: cpu, cuda or cuda:0")


def add_workers(command) -> None:
    help = "what draws batches ahead: a thread, or so many processes; a GPU waits for few, on a CPU they take its cores"
    command.add_argument("--workers", type=take.whole(1, 256), default=1, help=help)


def add_seed(command, default: int) -> None:
    command.add_argument("--seed", type=take.whole(0), default=default, help="of all that is drawn")


def recipe_of(options) -> Recipe:
    given = {name: getattr(options, name) for name in ("steps", "batch", "moved", "seed", "rate")}
    far, near = options.scales
    shares = {"jaccard_share": options.jaccard, "each_share": options.each, "areas": options.areas}
    recipe = replace(options.recipe, farthest=far, nearest=near, pasted_part=options.pasted, **shares, **given)
    if getattr(options, "distil", None) is not None:
        told = {"distilled_share": options.distilled, "example_scale": options.larger}
        recipe = replace(recipe, **{name: 1.0 if value is None else value for name, value in told.items()})
    if options.start is None:
        return replace(recipe, size=options.size, rows=options.rows, cols=options.cols)
    network, rows, cols = load_start(options.start)
    return replace(recipe, size=network.size, rows=rows, cols=cols)


def run_train(options) -> None:
    recipe = recipe_of(options)
    sources = sources_of(options, options.teacher)
    insist_on_lessons(options, [source.pictures for source in sources])
    held_out = held_out_of(options)
    made_from = origin.of_sources(sources)
    run = Run(options.out, recipe, options.device, options.start, made_from, options.distil)
    if options.start is not None:
        print("the correction of carried features is left out: make it anew with `correct`")
    print(json.dumps(run.train(sources, held_out, options.workers), indent=2))


def sources_of(options, teacher: Path | None) -> list[Source]:
    """The data sets as they are drawn from: of the first, without what is held out."""
    learnt, _ = pictures.hold_out(options.hold_out)
    sources = []
    for place, (data_set, share) in enumerate(options.pictures):
        found = pictures.read(data_set, teacher, learnt if place == 0 else None)
        if not found:
            raise Unusable(data_set, f"--hold-out {options.hold_out} leaves none of its pictures", "hold less out")
        sources.append(Source(found, share, class_weights(found), data_set.startswith("video:")))
    return sources


def insist_on_lessons(options, learnt: list[list[pictures.Picture]]) -> None:
    """Says what each data set teaches; refuses one that teaches nothing, and a teacher that knows none."""
    all_taught = 0
    for (data_set, _), found in zip(options.pictures, learnt, strict=True):
        taught = sum(picture.teacher is not None for picture in found)
        moving = sum(picture.later is not None for picture in found)
        print(f"{data_set}: {len(found)} pictures, {taught} with a teacher's opinion, {moving} with a next moment")
        if not taught:
            pictures.insist_on_labels(
                data_set, found, "ask a teacher about them (`teach`) and name its folder: --teacher"
            )
        all_taught += taught
    if options.teacher is not None and not all_taught:
        raise Unusable(options.teacher, "holds no opinion of these pictures", "run `teach` on them, or leave it out")


def held_out_of(options) -> list[pictures.Picture]:
    """What of the first data set is scored; empty if nothing is held out, or nothing labelled."""
    data_set, _ = options.pictures[0]
    if not options.hold_out:
        return []
    _, held = pictures.hold_out(options.hold_out)
    found = pictures.read(data_set, None, held)
    if not found:
        print(f"{data_set}: nothing is held out nor scored: its drives are too short for --hold-out {options.hold_out}")
    elif not pictures.labelled(found):
        print(f"{data_set}: what is held out has no labels: nothing is scored")
        return []
    else:
        print(f"{data_set}: {len(found)} pictures more are held out and scored")
    return found


def add_correct(commands) -> None:
    command = commands.add_parser("correct", help="train what corrects carried features", formatter_class=Raw)
    add_network(command)
    add_pictures(command, several=True, share=True)
    add_out(command, "folder for network.pt, the same with a correction")
    add_hold_out(command)
    command.add_argument(
        "--pairs", type=take.whole(1), default=4000, help="drawn once, shown many times; 1.4 MB each in memory"
    )
    command.add_argument("--steps", type=take.whole(1), default=6000, help="how many batches are learnt")
    command.add_argument("--batch", type=take.whole(1), default=8, help="pairs in a step")
    add_seed(command, 1)
    add_device(command)
    add_workers(command)
    command.set_defaults(run=run_correct)


def run_correct(options) -> None:
    network, rows, cols = load_start(options.network)
    sources = sources_of(options, None)
    for (data_set, _), source in zip(options.pictures, sources, strict=True):
        if source.video and len(source.pictures) < 2:
            raise SystemExit(f"{data_set}: a video needs two frames at least, there are {len(source.pictures)}")
    recipe = asdict(Recipe(size=network.size, rows=rows, cols=cols))
    drawn = {"pairs": options.pairs, "batch": options.batch, origin.PICTURES: origin.of_sources(sources)}
    run = CorrectionRun(options.out, network, recipe, options.steps, options.seed, options.device, drawn)
    loss = run.train(sources, options.pairs, options.batch, options.workers)
    print(f"wrote {options.out}/network.pt" + ("" if math.isnan(loss) else f"; loss {loss:.4f}"))


def add_narrow(commands) -> None:
    command = commands.add_parser("narrow", help="begin a narrower network with a trained one", formatter_class=Raw)
    add_network(command, "--from", "a network folder, or a network.pt, of size wide", dest="start")
    command.add_argument("--size", choices=sorted(SIZES), default="tiny", help="of the narrower network")
    add_out(command, "folder for network.pt; it answers badly until `adapt --from` it has taught it for some steps")
    command.set_defaults(run=run_narrow)


def run_narrow(options) -> None:
    wide, rows, cols = load_start(options.start)
    network, path = narrowed(wide, options.size), options.out / "network.pt"
    if path.exists() and origin.of_network(load_start(path)[0]) != origin.of_network(network):
        raise Unusable(path, "another network is there already", "take another --out, or move it away")
    with writing(options.out):
        options.out.mkdir(parents=True, exist_ok=True)
    replaced(path, {"network": network.state_dict(), "recipe": asdict(Recipe(size=options.size, rows=rows, cols=cols))})
    print(f"wrote {path}: {count(network)} parameters of {count(wide)}")


def count(network) -> int:
    """Of what a key frame's answer takes."""
    return sum(values.numel() for part in (network.backbone, network.head) for values in part.parameters())


def add_curve(commands) -> None:
    command = commands.add_parser("curve", help="mIoU against the number of labelled pictures", formatter_class=Raw)
    add_run_options(command, ADAPTED)
    add_network(command, "--from", dest="start")
    command.add_argument("--judge", required=True, metavar="LAYOUT:FOLDER", help="pictures that are not learnt")
    command.add_argument(
        "--counts", type=take.counts, default="0,10,30,100", help="how many are learnt, each time from the same start"
    )
    command.set_defaults(run=run_curve)


def run_curve(options) -> None:
    learnt = [pictures.read(data_set, options.teacher) for data_set, _ in options.pictures]
    insist_on_lessons(options, learnt)
    found = [picture for of_one in learnt for picture in of_one]
    most = max(options.counts)
    if most > len(found):
        raise SystemExit(f"--counts {most}: there are {len(found)} labelled pictures")
    judged, recipe = judged_of(options.judge), recipe_of(options)
    learning_curve(options.counts, found, judged, recipe, options.start, options.out, options.device)
    print(f"wrote {options.out}/curve.json and curve.png")


def judged_of(data_set: str) -> list[pictures.Picture]:
    """Pictures that a network can be judged by."""
    found = pictures.read(data_set)
    pictures.insist_on_labels(data_set, found, "name pictures with labels")
    return found


def add_evaluate(commands) -> None:
    command = commands.add_parser("evaluate", help="mIoU of a trained network", formatter_class=Raw)
    add_network(command)
    add_pictures(command)
    command.set_defaults(run=run_evaluate)


def run_evaluate(options) -> None:
    network, rows, cols = load_start(options.network)
    print(json.dumps(score(network.eval(), judged_of(options.pictures), rows, cols), indent=2))


def add_conditions(commands) -> None:
    command = commands.add_parser("conditions", help="mIoU in fog, at night, in rain", formatter_class=Raw)
    add_network(command)
    add_pictures(command)
    add_out(command, "folder for conditions.json and conditions.jpg")
    command.set_defaults(run=run_conditions)


def run_conditions(options) -> None:
    network, rows, cols = load_start(options.network)
    print(table(conditions(network.eval(), judged_of(options.pictures), rows, cols, options.out)))
    print(f"wrote {options.out}/conditions.json and conditions.jpg")


def add_compare(commands) -> None:
    command = commands.add_parser("compare", help="masks that segfuse made against PyTorch's", formatter_class=Raw)
    add_network(command)
    add_pictures(command)
    command.add_argument("--masks", type=Path, required=True, help="folder that `segfuse trip export --masks` wrote")
    command.set_defaults(run=run_compare)


def run_compare(options) -> None:
    network, rows, cols = load_start(options.network)
    found = pictures.read(options.pictures, longest=1 << 16)
    print(json.dumps(equal_labels(network, found, options.masks, rows, cols), indent=2))


def add_export(commands) -> None:
    command = commands.add_parser("export", help="write a network folder for segfuse", formatter_class=Raw)
    add_network(command, help="network.pt, or a folder to export at another size")
    command.add_argument("--name", type=take.network_name, required=True, help="what reports call it")
    command.add_argument("--rows", type=take.side, help="of the input, a multiple of 32; else as it was trained")
    command.add_argument("--cols", type=take.side, help="of the input, a multiple of 32; else as it was trained")
    command.add_argument("--int8", metavar="LAYOUT:FOLDER", help="quantise the backbone on a part of these pictures")
    add_out(command, "the network folder; one that is there is replaced as a whole")
    command.set_defaults(run=run_export)


def run_export(options) -> None:
    network, rows, cols = load_start(options.network)
    insist_on_place(options.out)
    found = pictures.read(options.int8) if options.int8 else []
    calibration = found[:: max(1, len(found) // CALIBRATED)]
    export(network, options.name, options.rows or rows, options.cols or cols, options.out, calibration)


if __name__ == "__main__":
    main()
