"""Our optical flow beside OpenCV's DIS at its fastest preset: how far both are from the truth, and what labels they carry.

    cargo build --release --bin segfuse --example render_training_set
    python benches/peers/flow_truth.py [--segfuse target/release/segfuse] [--camvid SEQUENCE]

Rendered streets at 15 and at 30 frames a second, in two sizes, have exact flow: the end-point error is told in pixels, over
the cells of 8 pixels that features are carried in, where the truth is known. With --camvid (a folder with image/ and
label/, CamVid's label ids, a frame each), the true labels of a frame are carried one, five and nine frames on along the
composed flow and scored against the true ones there: mIoU of its 11 classes. Needs numpy and opencv-python-headless.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import cv2
import numpy as np

CELL, TRUTH_CELL = 8, 4
CAMVID_CLASSES, DISTANCES = 11, (1, 5, 9)


def ours(segfuse, later, earlier, folder):
    out = folder / "flow.flo"
    subprocess.run([segfuse, "flow", "estimate", later, earlier, "--out", out, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return cv2.readOpticalFlow(str(out))


def dis(later, earlier):
    pictures = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in (later, earlier)]
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST).calc(*pictures, None)


def cells(flow, size):
    """Mean over each cell; NaN where a part of it is."""
    rows, cols = flow.shape[0] // size, flow.shape[1] // size
    return flow[: rows * size, : cols * size].reshape(rows, size, cols, size, 2).mean((1, 3))


def truth_of(path):
    """In pixels, per cell of 8; a .flo marks what is unknown by 1e9 and more."""
    flow = cv2.readOpticalFlow(str(path))
    flow[(np.abs(flow) > 1e8).any(2)] = np.nan
    return cells(flow * TRUTH_CELL, CELL // TRUTH_CELL)


def rendered(options, folder, size, rate):
    out = folder / f"{size}_{rate}"
    command = [options.render, out, "200000", str(options.drives), "4", size, str(rate)]
    subprocess.run(command, check=True)
    errors, lengths = {"segfuse": [], "DIS": []}, []
    for later in sorted((out / "later/image").glob("*.png")):
        truth = truth_of(out / "later/flow" / f"{later.stem}.flo")
        known = np.isfinite(truth).all(2)
        lengths.append(np.linalg.norm(truth[known], axis=1))
        earlier = out / "image" / later.name
        for name, flow in (("segfuse", ours(options.segfuse, later, earlier, folder)), ("DIS", dis(later, earlier))):
            apart = cells(flow, CELL)[: truth.shape[0], : truth.shape[1]] - truth
            errors[name].append(np.linalg.norm(apart[known], axis=1))
    told = {name: np.concatenate(found) for name, found in errors.items()}
    mean, worse = [" ".join(f"{what(told[name]):8.3f}" for name in errors) for what in (np.mean, lambda e: 100 * (e > 1).mean())]
    print(f"{size:9} {rate:3} frames/s  moves {np.concatenate(lengths).mean():6.2f}   error {mean}   more than 1 pixel, % {worse}")


def composed(first, second):
    """From the last of three frames to the first: `second` leads from the last to the middle one."""
    grid = np.stack(np.meshgrid(np.arange(second.shape[1]), np.arange(second.shape[0])), 2).astype(np.float32)
    return second + cv2.remap(first, grid + second, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def carried(labels, flow):
    grid = np.stack(np.meshgrid(np.arange(flow.shape[1]), np.arange(flow.shape[0])), 2).astype(np.float32)
    return cv2.remap(labels, grid + flow, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def miou(confusion):
    both = np.diag(confusion)
    return 100 * (both / (confusion.sum(0) + confusion.sum(1) - both)).mean()


def camvid(options, folder):
    images = sorted((options.camvid / "image").iterdir())
    truths = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted((options.camvid / "label").iterdir())]
    pairs = list(zip(images[1:], images))
    for name, of in (("segfuse", lambda later, earlier: ours(options.segfuse, later, earlier, folder)), ("DIS", dis)):
        steps = [of(later, earlier) for later, earlier in pairs]
        found = []
        for distance in DISTANCES:
            confusion = np.zeros((CAMVID_CLASSES, CAMVID_CLASSES))
            for start in range(len(images) - distance):
                flow = steps[start]
                for step in steps[start + 1 : start + distance]:
                    flow = composed(flow, step)
                answer, truth = carried(truths[start], flow), truths[start + distance]
                counts = (truth < CAMVID_CLASSES) & (answer < CAMVID_CLASSES)
                np.add.at(confusion, (truth[counts], answer[counts]), 1)
            found.append(f"{distance} on {miou(confusion):5.2f}")
        print(f"CamVid labels carried by {name:8} " + "   ".join(found))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segfuse", default="target/release/segfuse")
    parser.add_argument("--render", default="target/release/examples/render_training_set")
    parser.add_argument("--camvid", type=pathlib.Path)
    parser.add_argument("--drives", type=int, default=6)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        print("end-point error in pixels: segfuse, DIS")
        for size in ("320x180", "640x360"):
            for rate in (15, 30):
                rendered(options, folder, size, rate)
                sys.stdout.flush()
        if options.camvid:
            camvid(options, folder)


if __name__ == "__main__":
    main()
