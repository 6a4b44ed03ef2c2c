"""Pass a queue's signals on to a job's workers; loaded by ``dask worker --preload-nanny``.

By default, Dask's nannies end at SIGUSR1, and at SIGTERM leave their workers too little time to
hand their fleets over. Some queues send signals to the job's first process alone.
"""

import os
import signal
from types import FrameType

from distributed import Nanny

from hw2exp.system.interrupt import SAVE

_nannies: list[Nanny] = []


def dask_setup(nanny: Nanny) -> None:
    """Handle signals once a nanny starts."""
    _nannies.append(nanny)
    for number in (signal.SIGTERM, SAVE):
        if number is not None:
            signal.signal(number, _pass_on)


def _pass_on(number: int, frame: FrameType | None) -> None:
    for nanny in _nannies:
        if number == signal.SIGTERM:
            nanny.close_gracefully()  # starts no other worker after this one's end
        if nanny.pid is not None:
            os.kill(nanny.pid, number)
