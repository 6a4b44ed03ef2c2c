"""``make tensorboard`` listens to this machine alone."""

import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ADDRESS = re.compile(r"http://\S+:(\d+)/")


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
    # Without the options of a make that runs this test: its ARGS are pytest's.
    alone = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "ARGS")}
    printed = subprocess.run(
        command, cwd=ROOT, env=alone, capture_output=True, text=True, check=True
    ).stdout
    (line,) = (line for line in printed.splitlines() if "--logdir" in line)
    # Port 0 is one that is free; TensorBoard says which, once it listens there.
    options = [*shlex.split(line)[1:], "--port", "0", "--load_fast=false"]
    with subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", *options],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            said = []
            for line in process.stderr:  # until it listens, or ends
                said.append(line)
                if address := ADDRESS.search(line):
                    break
            else:
                pytest.fail("".join(said))
            port = int(address[1])
            assert reachable("127.0.0.1", port)
            assert not reachable("127.0.0.2", port)  # where all addresses are served, this one is
        finally:
            process.kill()  # asked to end just when it begins, it may not
