"""Write and read ``spikes.safetensors``: the steps that led to a run's first spikes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw2exp.config.run_files import SPIKES
from hw2exp.records.parameters import part_of, tensors_of
from hw2exp.system import disk, regular_file

LARGEST = 1 << 33  # bytes
DIGEST = "sha256"
PARTS = ("state", "grad_norm", "update_norm")

Named = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class KeptSpike:
    """The steps before a spike, up to the step at which the spike starts.

    The batches are pure functions of the run's seed and the step. So the state before the first
    step is enough to repeat all steps, bit for bit; the other fields serve to check the replay.

    Args:
        number: the spike's number in the run's list, from 1.
        start: the step at which the spike starts.
        first: the first kept step.
        state: the whole state before the first kept step, by name, without the replica axis.
        params: the parameters before each step, ``(n+1, P)``.
        grad_norms: norms of each parameter's gradient before clipping, by name, ``(n+1,)``.
        update_norms: norms of each parameter's updates in the n steps before ``start``, by name,
            ``(n,)``.
    """

    number: int
    start: int
    first: int
    state: Named
    params: NDArray[np.float32]
    grad_norms: Named
    update_norms: Named


def write_kept(folder: Path, spikes: Sequence[KeptSpike]) -> None:
    """Write a run's kept spikes, and wait for the disk, because a checkpoint may follow."""
    from safetensors.numpy import save

    tensors: Named = {}
    for spike in spikes:
        own = f"{spike.number:04d}"
        tensors[f"{own}.steps"] = np.array([spike.first, spike.start], dtype=np.int64)
        tensors[f"{own}.params"] = spike.params
        for part, values in zip(
            PARTS, (spike.state, spike.grad_norms, spike.update_norms), strict=True
        ):
            tensors |= {f"{own}.{part}.{name}": value for name, value in values.items()}
    whole = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    disk.write_together({folder / SPIKES: save({**whole, DIGEST: _digest(whole)})})


def read_kept(folder: Path) -> list[KeptSpike]:
    """Read a run's kept spikes.

    Raises:
        OSError: the file is missing, or can't be read.
        ValueError: the file is damaged.
    """
    path = folder / SPIKES
    tensors = tensors_of(regular_file.read(path, LARGEST, links=False), str(path))
    if not np.array_equal(tensors.pop(DIGEST, np.empty(0)), _digest(tensors)):
        raise ValueError(f"{path}: is not what it has the digest of")
    parts: dict[str, Named] = {}
    for name, value in tensors.items():
        own, _, rest = name.partition(".")
        parts.setdefault(own, {})[rest] = value
    try:
        return [_kept(int(own), parts[own]) for own in sorted(parts)]
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: holds no kept spikes: {error}") from error


def _digest(tensors: Named) -> NDArray[np.uint8]:
    """Hash names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return np.frombuffer(digest.digest(), dtype=np.uint8)


def _kept(number: int, tensors: Named) -> KeptSpike:
    first, start = map(int, tensors["steps"])
    params = tensors["params"]
    if not (1 <= first <= start and params.ndim == 2 and len(params) == start - first + 1):
        raise ValueError(f"spike {number} is of other steps than it says")
    state, grad_norms, update_norms = (part_of(f"{part}.", tensors) for part in PARTS)
    return KeptSpike(number, start, first, state, params, grad_norms, update_norms)
