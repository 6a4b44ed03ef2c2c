"""``scripts/power_cut.py``: cuts a real file system where it may mount one, and says where not."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "scripts/power_cut.py"
spec = importlib.util.spec_from_file_location("power_cut", SCRIPT)
power_cut = importlib.util.module_from_spec(spec)
sys.modules["power_cut"] = power_cut  # where its dataclass looks for it
spec.loader.exec_module(power_cut)


def said(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["power_cut.py", *words])
    return power_cut.main(), capsys.readouterr().out.splitlines()


def test_who_may_not_mount_is_told_so_in_a_line(monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    line = "power_cut: only root may mount file systems; nothing was tried"
    assert said(monkeypatch, capsys) == (1, [line])


def test_a_missing_mkfs_too(monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert said(monkeypatch, capsys, "--kinds", "xfs") == (
        1, ["xfs: mkfs.xfs is not installed; not tried", "0 cuts tried, 0 lost"],
    )  # fmt: skip


def test_and_a_file_system_that_cannot_be_mounted(monkeypatch, capsys):
    def refused(words, **more):
        raise subprocess.CalledProcessError(32, words, stderr="mount: permission denied\n")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(subprocess, "run", refused)
    assert said(monkeypatch, capsys, "--kinds", "btrfs") == (
        1, ["btrfs: can't be made or mounted here; not tried: mount: permission denied",
            "0 cuts tried, 0 lost"],
    )  # fmt: skip


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mkfs.ext4") is None, reason="ext4 can't be mounted here"
)
@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["ext4, names before data", "ext4"])
def test_a_run_resumes_from_a_real_file_system(kind):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--kinds", kind, "--lives", "extended", "--every", "8"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "can't be made or mounted" in done.stdout:  # root, but of a container
        pytest.skip(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert ", 0 lost" in done.stdout
