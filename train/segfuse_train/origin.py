"""What a run is made from, as hashes, so that it goes on with the same only."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from segfuse_train.batches import Source
from segfuse_train.network import Network
from segfuse_train.pictures import Picture
from segfuse_train.refusal import Unusable

NETWORK, PICTURES, EXAMPLE = "start network", "set of pictures", "network to answer like"


def of_network(network: Network) -> str:
    """Of its weights, the correction's aside: a correction is for these features alone."""
    digest = hashlib.sha256(network.size.encode())
    for part in (network.backbone, network.head):
        for values in part.state_dict().values():
            digest.update(values.cpu().numpy().tobytes())
    return digest.hexdigest()


def of_sources(sources: list[Source]) -> str:
    """Of all that is drawn from them: pictures, labels, opinions, shares, in their order."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.share} {source.video} {of_pictures(source.pictures)}".encode())
    return digest.hexdigest()


def of_pictures(pictures: list[Picture]) -> str:
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(f"{picture.name} {picture.table.names} {tuple(picture.image.shape)}".encode())
        digest.update(picture.table.covers.tobytes())
        later = [] if picture.later is None else [picture.later.image, picture.later.label, picture.later.flow]
        for values in (picture.image, picture.label, picture.teacher, *later):
            digest.update(b"-" if values is None else values.contiguous().numpy().data)
    return digest.hexdigest()


@dataclass
class Differences:
    """How what was `saved` differs from what is now: `other` values, and names that it does not tell."""

    other: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)


def differences(saved: dict, now: dict) -> Differences:
    found = Differences()
    for name, value in now.items():
        if name not in saved:
            found.untold.append(name)
        elif isinstance(value, dict) and isinstance(saved[name], dict):
            inside = differences(saved[name], value)
            inside.other += [key for key in saved[name] if key not in value]
            found.untold += [f"{name}'s {key}" for key in inside.untold]
            if inside.other:
                found.other.append(f"{name} ({', '.join(inside.other)})")
        elif saved[name] != value:
            plain = isinstance(value, int | float)
            found.other.append(f"{name} {saved[name]}, here {value}" if plain else name)
    return found


def insist(path: Path, what: str, saved: dict, now: dict) -> None:
    """Refuses what was saved if it is of something else; what it does not tell is taken to be the same, and said."""
    found = differences(saved, now)
    if found.other:
        other = "; another ".join(found.other)
        raise Unusable(path, f"of a {what} with another {other}", "take another --out, or remove this folder")
    if found.untold:
        print(f"{path}: does not tell its {', '.join(found.untold)}: taken to be the same", flush=True)
