"""``make tensorboard`` listens to this machine alone."""

import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def reachable(address, port):
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="all of 127/8 is local on Linux only")
def test_tensorboard_is_not_reachable_by_another_address(tmp_path):
    command = ["make", "--no-print-directory", "-n", "tensorboard"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in printed.splitlines() if "--logdir" in line)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [*shlex.split(line)[1:], "--port", str(port), "--load_fast=false"]
    with subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", *options],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            end = time.monotonic() + 60
            while not reachable("127.0.0.1", port):
                assert time.monotonic() < end
                time.sleep(0.2)
            assert not reachable("127.0.0.2", port)  # where all addresses are served, this one is
        finally:
            process.terminate()
