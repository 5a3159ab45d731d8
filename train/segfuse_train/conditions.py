"""How a network fares when light, air and lens are worse: figures of each condition, and a picture of what it sees.

The conditions are laid over pictures with the same arithmetic that training varies, at fixed strengths. They are a
stand-in for recordings at night and in fog: who has such recordings measures on them.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from segfuse_train.classes import colours
from segfuse_train.pictures import Picture
from segfuse_train.progress import Progress
from segfuse_train.refusal import writing
from segfuse_train.score import predict, score
from segfuse_train.views import Light, expose

CLEAR = Light(np.ones(3), gamma=1.0, saturation=1.0, contrast=1.0, blur=0.0, shrink=1.0, noise=0.0, fog=0.0, rain=0.0)
CONDITIONS = {
    "as taken": CLEAR,
    "fog": replace(CLEAR, fog=0.5),
    "dense fog": replace(CLEAR, fog=0.85),
    "dusk": replace(CLEAR, gain=np.full(3, 0.4), noise=0.03),
    "night": replace(CLEAR, gain=np.full(3, 0.15), noise=0.05),
    "rain": replace(CLEAR, rain=1.0),
    "blurred": replace(CLEAR, blur=2.5),
}
DRAWN_WIDTH = 320


def under(picture: Picture, light: Light, seed: int = 1) -> Picture:
    """The picture as it would have looked."""
    if light is CLEAR:
        return picture
    image = expose(picture.image.float() / 255, light, np.random.default_rng(seed))
    return replace(picture, image=(image * 255).round().to(torch.uint8))


def conditions(network, found: list[Picture], rows: int, cols: int, out: Path) -> dict:
    """Writes conditions.json, figures by condition, and conditions.jpg, which shows the first picture."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    result, progress = {}, Progress("conditions", len(CONDITIONS))
    for name, light in CONDITIONS.items():
        result[name] = score(network, [under(picture, light) for picture in found], rows, cols)
        progress.step(f"{name}: mIoU {result[name]['miou']}")
    progress.close()
    drawn = sheet(network, found[0], rows, cols)
    with writing(out):
        (out / "conditions.json").write_text(json.dumps(result, indent=2) + "\n")
        drawn.save(out / "conditions.jpg", quality=80)
    return result


def table(result: dict) -> str:
    """The figures of each condition in a line of its own."""
    width = max(map(len, result))
    lines = [f"{name:{width}}  {one['miou']:6.2f}  {one['pixel_accuracy']:8.2f}" for name, one in result.items()]
    return "\n".join([f"{'':{width}}  {'mIoU':>6}  {'accuracy':>8}", *lines])


def sheet(network, picture: Picture, rows: int, cols: int) -> Image.Image:
    """A row for each condition: what the network sees, what it makes of it, in Cityscapes' colours."""
    height = round(DRAWN_WIDTH * picture.image.shape[1] / picture.image.shape[2])
    drawn = Image.new("RGB", (2 * DRAWN_WIDTH, height * len(CONDITIONS)))
    pen = ImageDraw.Draw(drawn)
    for place, (name, light) in enumerate(CONDITIONS.items()):
        seen = under(picture, light)
        labels = colours()[predict(network.eval(), seen, rows, cols)]
        small = F.interpolate(seen.image[None].float(), (height, DRAWN_WIDTH), mode="area")[0]
        photograph = small.round().to(torch.uint8).permute(1, 2, 0).numpy()
        drawn.paste(Image.fromarray(photograph), (0, place * height))
        mask = Image.fromarray(labels).resize((DRAWN_WIDTH, height), Image.Resampling.NEAREST)
        drawn.paste(mask, (DRAWN_WIDTH, place * height))
        pen.rectangle((0, place * height, 8 + pen.textlength(name), place * height + 15), fill=(0, 0, 0))
        pen.text((4, place * height + 2), name, fill=(255, 255, 255))
    return drawn
