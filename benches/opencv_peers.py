"""The same work in OpenCV on as many threads, for the benches to run in turn with their own.

usage: opencv_peers.py STAGE THREADS FILTER

Prints the names of a stage's cases, a JSON list: an empty one for a stage that OpenCV has nothing for. For each name that
is then read, a line, it works for a turn and prints the median in microseconds. Of several ways to write the chain the
one that was fastest in the first turn counts. Outputs are allocated once where OpenCV allows it.
"""
import json
import sys
import time

import cv2
import numpy as np

WIDTH, HEIGHT, CLASSES = 1280, 720, 19
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
random = np.random.default_rng(0)


def median_us(work, budget_s=0.08):
    work()
    times, end = [], time.perf_counter() + budget_s
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1e6)


def preprocess_ways(image, code, rows, cols):
    out = np.empty((3, rows, cols), np.float32)
    rgb = np.empty((HEIGHT, WIDTH, 3), np.uint8) if code is not None else None
    small = np.empty((rows, cols, 3), np.uint8)
    scale, offset = 1 / (255 * STD), MEAN / STD

    def resized():
        colour = image if code is None else cv2.cvtColor(image, code, dst=rgb)
        return cv2.resize(colour, (cols, rows), dst=small, interpolation=cv2.INTER_LINEAR)

    def by_planes():
        for plane, channel in enumerate(cv2.split(resized())):
            np.multiply(channel, scale[plane], out=out[plane])
            np.subtract(out[plane], offset[plane], out=out[plane])

    def by_convert():
        for plane, channel in enumerate(cv2.split(resized())):
            out[plane] = channel
            cv2.addWeighted(out[plane], float(scale[plane]), out[plane], 0, float(-offset[plane]), dst=out[plane])

    def by_blob():
        blob = cv2.dnn.blobFromImage(resized(), 1 / 255, mean=(255 * MEAN).tolist())
        for plane in range(3):
            np.divide(blob[0, plane], STD[plane], out=out[plane])

    return [by_planes, by_convert, by_blob]


def preprocess_cases():
    bytes_of = lambda *shape: random.integers(0, 256, shape, dtype=np.uint8)
    formats = {
        "yuyv": (bytes_of(HEIGHT, WIDTH, 2), cv2.COLOR_YUV2RGB_YUYV),
        "uyvy": (bytes_of(HEIGHT, WIDTH, 2), cv2.COLOR_YUV2RGB_UYVY),
        "nv12": (bytes_of(HEIGHT * 3 // 2, WIDTH), cv2.COLOR_YUV2RGB_NV12),
        "rgb8": (bytes_of(HEIGHT, WIDTH, 3), None),
        "grey": (bytes_of(HEIGHT, WIDTH), cv2.COLOR_GRAY2RGB),
    }
    for name, (image, code) in formats.items():
        for rows, cols in [(384, 640), (512, 1024)]:
            yield f"preprocess/{name}/{WIDTH}x{HEIGHT}-{cols}x{rows}", preprocess_ways(image, code, rows, cols)
    small = bytes_of(360, 480, 3)
    yield "preprocess/rgb8/480x360-1024x512", preprocess_ways(small, None, 512, 1024)


def decode_ways(logits, size):
    """Labels and the margin between the two best, as bytes."""
    by_pixel = np.ascontiguousarray(logits.transpose(1, 2, 0))
    shape = (size[1], size[0])
    best, second, plane = (np.empty(shape, np.float32) for _ in range(3))
    labels = np.empty(shape, np.uint8)
    ids = [np.full(shape, label, np.uint8) for label in range(CLASSES)]

    def running():
        cv2.resize(logits[0], size, dst=best)
        labels.fill(0)
        second.fill(-np.inf)
        for label in range(1, CLASSES):
            cv2.resize(logits[label], size, dst=plane)
            wins = cv2.compare(plane, best, cv2.CMP_GT)
            cv2.max(second, cv2.min(plane, best), dst=second)
            cv2.max(plane, best, dst=best)
            cv2.copyTo(ids[label], wins, labels)
        return labels, cv2.convertScaleAbs(cv2.subtract(best, second), alpha=16)

    def labels_only():
        return np.argmax(cv2.resize(by_pixel, size), axis=2)

    return [running] if CLASSES * shape[0] * shape[1] > 4e7 else [running, labels_only]


def warp_ways(channels, rows, cols, wild):
    features = random.standard_normal((channels, rows, cols)).astype(np.float32)
    x, y = np.meshgrid(np.arange(cols, dtype=np.float32), np.arange(rows, dtype=np.float32))
    smooth = (y * 0.03 - 1.5, x * 0.01 + 0.2)
    steps = random.uniform(-4, 4, (2, rows, cols)).astype(np.float32) if wild else smooth
    exact = (x + steps[0], y + steps[1])
    maps = cv2.convertMaps(*exact, cv2.CV_16SC2)
    out = np.empty_like(features)

    def remap(maps):
        for channel in range(channels):
            cv2.remap(features[channel], *maps, cv2.INTER_CUBIC, dst=out[channel], borderMode=cv2.BORDER_REPLICATE)

    return [lambda: remap(maps), lambda: remap(exact)]


def decode_cases():
    full = (WIDTH, HEIGHT)
    for rows, cols, size in [(48, 80, full), (90, 160, full), (512, 1024, (480, 360)), (512, 1024, full)]:
        logits = random.standard_normal((CLASSES, rows, cols)).astype(np.float32)
        ways = decode_ways(logits, size)
        for case in ["scene", "noise"]:
            yield f"decode/{case}/{CLASSES}x{rows}x{cols}-{size[0]}x{size[1]}", ways
    for case in ["smooth", "wild"]:
        yield f"warp/{case}/128x90x160", warp_ways(128, 90, 160, case == "wild")


def flow_cases():
    for width, height in [(320, 180), (640, 360), (1280, 720)]:
        x, y = np.meshgrid(np.arange(width) * 640 / width, np.arange(height) * 640 / width)

        def picture(shift):
            wave = lambda fx, fy: np.sin(fx * (x + shift) + fy * y)
            broad = wave(0.05, 0.02) + wave(-0.02, 0.06)
            return (127 + 30 * broad + 20 * (wave(0.21, 0.09) + wave(-0.11, 0.25))).astype(np.uint8)

        dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        earlier, current = picture(0), picture(6)
        yield f"flow/pyramid-and-search/{width}x{height}", [lambda e=earlier, c=current: dis.calc(c, e, None)]


def main():
    stage, threads, wanted = sys.argv[1:]
    cv2.setNumThreads(int(threads))
    cases = {"preprocess": preprocess_cases, "decode": decode_cases, "flow": flow_cases}.get(stage, lambda: ())()
    ways = {name: list(ways) for name, ways in cases if wanted in name}
    print(json.dumps(list(ways)), flush=True)
    for name in map(str.strip, sys.stdin):
        if len(ways[name]) > 1:
            ways[name] = [min(ways[name], key=lambda way: median_us(way, 0.2))]
        print(median_us(*ways[name]), flush=True)


if __name__ == "__main__":
    main()
