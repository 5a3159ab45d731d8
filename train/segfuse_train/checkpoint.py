"""What a run leaves in its folder so that it can go on where it was cut off."""

from pathlib import Path

import torch


class Checkpoint:
    """`checkpoint.pt` of a run: the states of its `parts`, its step, and what it is `of`, which must not have changed.

    Checkpoint(folder, {"network": network, "optimiser": optimiser}, {"recipe": {"seed": 1}})
    """

    def __init__(self, folder: Path, parts: dict, of: dict):
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.parts, self.of = folder / "checkpoint.pt", parts, of

    def resume(self, device: torch.device) -> int:
        """Gives the parts their saved states, if there are any, and the step to go on from."""
        if not self.path.exists():
            return 0
        saved = torch.load(self.path, weights_only=True, map_location=device)
        for name, value in self.of.items():
            if saved.get(name) != value:
                raise SystemExit(f"{self.path}: of a run with another {name}; take another --out or remove it")
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        print(f"goes on from step {saved['step']}", flush=True)
        return saved["step"]

    def save(self, step: int) -> None:
        states = {name: part.state_dict() for name, part in self.parts.items()}
        replaced(self.path, states | {"step": step} | self.of)


def replaced(path: Path, states: dict) -> None:
    """Writes beside, then renames: a run that is cut off keeps its last checkpoint."""
    unfinished = path.with_suffix(".part")
    torch.save(states, unfinished)
    unfinished.rename(path)
