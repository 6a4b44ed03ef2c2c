"""Write, read and hash a run's final parameters."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hw2exp.config.run_files import PARAMETERS, RESULT
from hw2exp.records.run_dir import read_result
from hw2exp.system import disk, regular_file

LARGEST_PARAMETERS, LARGEST_HEADER = 1 << 32, 1 << 20  # bytes

Value = TypeVar("Value")

Parameters = Mapping[str, NDArray[np.float32]]
"""Arrays by name, without the replica axis."""


def parameters_sha256(params: Parameters) -> str:
    """Return the digest of a replica's parameters.

    Hash each name, in sorted order, in UTF-8, then its values as little-endian float32, C order.
    """
    digest = hashlib.sha256()
    for name in sorted(params):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(params[name], dtype="<f4").tobytes())
    return digest.hexdigest()


def write_parameters(folder: Path, params: Parameters) -> None:
    """Write the final parameters of a run.

    Args:
        folder: the run folder.
        params: the parameters by name.
    """
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(value) for name, value in params.items()}
    disk.write(folder / PARAMETERS, save(whole), sync=False)


def read_parameters(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Read the final parameters of an ended run, and check them against its result.

    Raises:
        OSError: the parameters or the result can't be read.
        ValueError: the parameters or the result are damaged.
    """
    expected = read_result(folder).parameters_sha256
    path = folder / PARAMETERS
    params = tensors_of(regular_file.read(path, LARGEST_PARAMETERS), str(path))
    if any(value.dtype != np.float32 for value in params.values()):
        raise ValueError(f"{path}: is not of float32")
    if parameters_sha256(params) != expected:
        raise ValueError(f"{path}: is not what {RESULT} has the digest of")
    return params


def tensors_of(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Decode the tensors of a safetensors file.

    Args:
        content: the bytes of the file.
        name: the file's name in messages.

    Raises:
        ValueError: the content is no safetensors, or its header is too large.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if int.from_bytes(content[:8], "little") > LARGEST_HEADER:
        raise ValueError(f"{name}: has too large a header")
    try:
        return load(content)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from error


def part_of(prefix: str, named: Mapping[str, Value]) -> dict[str, Value]:
    """Return the values whose names begin with a prefix, by the rest of the name."""
    return {
        name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)
    }
