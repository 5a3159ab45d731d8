import pytest
import torch

from segfuse_train.narrow import narrowed
from segfuse_train.network import Beside, Network
from segfuse_train.train import Recipe, Run, load_start

IMAGE = torch.randn(2, 3, 96, 160, generator=torch.Generator().manual_seed(1))


def lived(size: str) -> Network:
    """A network whose normalisations have seen something."""
    torch.manual_seed(2)
    network = Network(size).train()
    for _ in range(40):
        network(IMAGE)
    return network.eval()


def silenced(norm: torch.nn.BatchNorm2d, one_in: int) -> None:
    """Has every first one in `one_in` of the channels say nothing."""
    with torch.no_grad():
        norm.weight[::one_in] = 0
        norm.bias[::one_in] = 0


def deafened(network: Network, name: str, one_in: int) -> None:
    """Has a convolution not listen to every first one in `one_in` of its inputs."""
    with torch.no_grad():
        network.backbone.get_submodule(name).weight[:, ::one_in] = 0


def test_channels_that_nothing_listens_to_are_those_that_go_and_nothing_is_lost():
    wide = lived("wide")
    silenced(wide.backbone.stem[0][1], 3)
    for block in ("stem.3", "detail", "sixteenth.1", "sixteenth.2", "coarsest.1"):
        deafened(wide, f"{block}.second.0", 2)
    narrow = narrowed(wide, "tiny").eval()
    with torch.no_grad():
        (_, expected), (_, context) = wide.backbone.branches(IMAGE), narrow.backbone.branches(IMAGE)
        near = narrow.backbone.detail(narrow.backbone.stem(IMAGE)), wide.backbone.detail(wide.backbone.stem(IMAGE))
    assert torch.allclose(context, expected, atol=1e-5) and torch.allclose(*near, atol=1e-5)
    assert torch.equal(narrow.head[1].weight, wide.head[1].weight)


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_where_the_branches_meet_smooth_far_features_are_convolved_alike(axis):
    wide = lived("wide")
    steps = torch.linspace(-1, 1, 12)
    far = steps.view(1, 1, -1, 1).expand(1, 48, 12, 12) if axis == "rows" else steps.expand(1, 48, 12, 12)
    near = torch.randn(1, 48, 24, 24)
    with torch.no_grad():
        expected = wide.backbone.fuse(near, far)
        found = narrowed(wide, "tiny").eval().backbone.fuse(near, far)
    inner = (..., slice(4, 20), slice(4, 20))
    assert torch.allclose(found[inner], expected[inner], atol=1e-4)
    assert isinstance(wide.backbone.fuse, Beside), "the wide network is left as it was"


REFUSED = [("tiny", "wide", "24 channels of 16"), ("wide", "small", "32 channels of 24"), ("small", "tiny", "")]


@pytest.mark.parametrize("start, size, why", REFUSED)
def test_what_cannot_be_narrowed_is_refused(start, size, why):
    with pytest.raises(SystemExit, match=f"a network of size {start} cannot be narrowed to {size} .*{why}"):
        narrowed(Network(start), size)


def test_the_command_writes_a_start_and_takes_no_other_networks_place(command, tmp_path):
    for name in ("one", "other"):
        Run(tmp_path / name, Recipe(size="wide", seed=len(name)), torch.device("cpu")).finish([])
    arguments = lambda name: ("narrow", "--from", tmp_path / name / "network.pt", "--out", tmp_path / "out")
    for _ in range(2):
        code, said = command(*arguments("one"))
        assert code == 0 and "parameters of " in said, said
    network, rows, cols = load_start(tmp_path / "out" / "network.pt")
    assert (network.size, rows, cols) == ("tiny", 384, 640)
    code, said = command(*arguments("other"))
    assert code == 1 and "another network is there already" in said, said
