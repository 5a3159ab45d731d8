"""What a run leaves in its folder so that it can go on where it was cut off."""

import pickle
from pathlib import Path

import torch

from segfuse_train.origin import insist
from segfuse_train.refusal import Unusable, reading, writing

# What torch raises for a file that is cut, empty or none of its own.
DAMAGE = (RuntimeError, ValueError, EOFError, LookupError, pickle.UnpicklingError)
REMEDY = "remove it or take another --out"


class Checkpoint:
    """`checkpoint.pt` of a run: the states of its `parts`, its step, and what it is `of`, which must not have changed.

    Checkpoint(folder, {"network": network, "optimiser": optimiser}, {"recipe": {"seed": 1}})

    What it is `also` of may be untold: checkpoints that do not record it are gone on from.
    """

    def __init__(self, folder: Path, parts: dict, of: dict, also: dict | None = None):
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.path, self.parts, self.of, self.also = folder / "checkpoint.pt", parts, of, also or {}

    def resume(self, device: torch.device) -> int:
        """Gives the parts their saved states, if there are any, and the step to go on from."""
        if not self.path.exists():
            self.refuse_a_network_without_checkpoint()
            return 0
        saved = load(self.path, device, REMEDY)
        for name in self.of:
            if name not in saved:
                raise Unusable(self.path, f"of a run with another {name}", "take another --out, or remove this folder")
        insist(self.path, "run", saved, self.of | self.also)
        with reading(self.path, "the checkpoint of such a run", REMEDY, *DAMAGE):
            for name, part in self.parts.items():
                part.load_state_dict(saved[name])
        print(f"goes on from step {saved['step']}", flush=True)
        return saved["step"]

    def refuse_a_network_without_checkpoint(self) -> None:
        """Nothing tells what it was made from, so nothing may take its place."""
        network = self.path.with_name("network.pt")
        if network.exists():
            raise Unusable(network, "a network is there already", "take another --out, or move it away")

    def save(self, step: int) -> None:
        states = {name: part.state_dict() for name, part in self.parts.items()}
        replaced(self.path, states | {"step": step} | self.of | self.also)


def load(path: Path, device: torch.device | str, remedy: str) -> dict:
    """The dictionary that `replaced` wrote."""
    with reading(path, "what training saves", remedy, *DAMAGE):
        saved = torch.load(path, weights_only=True, map_location=device)
    if not isinstance(saved, dict):
        raise Unusable(path, "not what training saves", remedy)
    return saved


def replaced(path: Path, states: dict) -> None:
    """Writes beside, then renames: a run that is cut off keeps its last checkpoint."""
    unfinished = path.with_suffix(".part")
    with writing(path):
        torch.save(states, unfinished)
        unfinished.rename(path)
