"""Choose torch's device, and fix its global state while a fleet trains."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch


def choose_device(name: str) -> torch.device:
    """Return the torch device for the config's ``device``.

    Args:
        name: ``auto``, ``cpu`` or ``cuda``. ``auto`` is the CPU: at these sizes a GPU spends its
            time launching kernels.
    """
    return torch.device("cuda" if name == "cuda" else "cpu")


@contextmanager
def torch_as_known() -> Iterator[None]:
    """Set torch and numpy to a fixed state, and restore the caller's state at the end.

    The state has one thread: several threads sum in another order, and are no faster at these
    sizes. Modes that override torch functions, such as a default device, are bypassed.
    """
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    precision = torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warns_only = torch.is_deterministic_algorithms_warn_only_enabled()
    flushes = _flushes_denormal()
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, threads)
        stack.callback(torch.set_default_dtype, dtype)
        stack.callback(torch.set_float32_matmul_precision, precision)
        if deterministic:  # setting it imports torch's compiler, which takes a second
            stack.callback(torch.use_deterministic_algorithms, True, warn_only=warns_only)
        stack.callback(torch.set_flush_denormal, flushes)
        stack.enter_context(torch._C.DisableTorchFunction())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autograd.set_detect_anomaly(False))
        for kind in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(np.errstate(all="warn", under="ignore"))
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        if deterministic:
            torch.use_deterministic_algorithms(False)
        torch.set_flush_denormal(False)
        yield


def _flushes_denormal() -> bool:
    """Return whether this thread flushes denormal numbers to zero; torch has no getter."""
    return float(np.float64(2.0**-1040) * np.float64(1.0)) == 0.0
