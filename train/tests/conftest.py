"""A small data set drawn for the tests: a road below, sky above, a car that moves."""

import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from segfuse_train.__main__ import main
from segfuse_train.train import Recipe, Run

ROWS, COLS = 96, 160
# CamVid's ids.
SKY, ROAD, CAR, VOID = 0, 3, 8, 11


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """RGB and CamVid label of one picture."""
    random = np.random.default_rng(seed)
    horizon, left = int(random.integers(30, 60)), int(random.integers(10, 110))
    image = np.empty((ROWS, COLS, 3), np.uint8)
    label = np.full((ROWS, COLS), ROAD, np.uint8)
    label[:horizon] = SKY
    label[horizon : horizon + 20, left : left + 30] = CAR
    label[-3:] = VOID
    for value, colour in ((SKY, (180, 210, 240)), (ROAD, (90, 90, 95)), (CAR, (200, 30, 30)), (VOID, (0, 0, 0))):
        image[label == value] = colour
    noise = random.integers(-8, 9, image.shape)
    return np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8), label


@pytest.fixture(scope="session")
def camvid(tmp_path_factory):
    """A folder in CamVid's layout: two drives of ten pictures."""
    folder = tmp_path_factory.mktemp("camvid")
    for kind in ("image", "label"):
        (folder / kind).mkdir()
    for seed in range(20):
        image, label = scene(seed)
        name = f"drive{seed // 10}_{seed:03}.png"
        Image.fromarray(image).save(folder / "image" / name)
        Image.fromarray(label).save(folder / "label" / name)
    return folder


@pytest.fixture(autouse=True)
def two_threads():
    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def begun(tmp_path_factory):
    """A network.pt that nothing was learnt into."""
    folder = tmp_path_factory.mktemp("begun")
    Run(folder, Recipe(size="tiny", rows=96, cols=160), torch.device("cpu")).finish([])
    return folder / "network.pt"


@pytest.fixture
def few(camvid, tmp_path):
    """Four pictures of the data set, to be spoilt."""
    for kind in ("image", "label"):
        (tmp_path / "few" / kind).mkdir(parents=True)
        for path in sorted((camvid / kind).iterdir())[:4]:
            shutil.copy(path, tmp_path / "few" / kind)
    return tmp_path / "few"


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs a command line; gives its exit status and all that it says."""

    def run(*arguments) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["segfuse_train", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code
        said = "".join(capsys.readouterr())
        return (1, said + code) if isinstance(code, str) else (code, said)

    return run
