"""Environments of peers: each version of JAX in a virtual environment of its own."""

import subprocess
import sys
from pathlib import Path

JAX = "0.4.31", "0.10.2"
"""The last version with the older CPU runtime, whose loops cost less, and a recent one."""

FOLDER = Path.home() / ".cache" / "hw2exp-bench"
PROGRAM = Path(__file__).parents[1] / "peers" / "jax_program.py"


def python_with_jax(version: str) -> Path:
    """Return the Python of an environment with a version of JAX; make it at the first call.

    Args:
        version: the version of jax and jaxlib.

    Raises:
        CalledProcessError: pip failed.
    """
    folder = FOLDER / f"jax-{version}"
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        print(f"installing JAX {version} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        packages = f"jax=={version}", f"jaxlib=={version}"
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        ready.touch()
    return python


def jax_command(version: str, model: str, data: Path, *mode: str) -> list[str]:
    """Return the command that trains by a version of JAX on data from a file.

    Args:
        version: the version of JAX.
        model: the cell's name.
        data: the file, see ``peers/jax_program.py``.
        mode: the mode and its argument.
    """
    return [str(python_with_jax(version)), str(PROGRAM), model, str(data), *mode]
