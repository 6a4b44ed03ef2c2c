"""What a terminal shows of a sweep while it runs: how far its fleets are, and their curves."""

import io
import json
import re
from dataclasses import asdict

import pytest
import torch
from rich.console import Console

from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.measurements import StepMetrics
from hw2exp.records.run_dir import read_result
from hw2exp.sweeps.live import SweepTable
from hw2exp.sweeps.progress import BINS, Progress, ProgressWriter, read_progress
from hw2exp.sweeps.sweep import run_sweep
from tests.cheap import InProcess
from tests.runs.test_checkpointing import At

LOSSES = [1.4] * 20 + [90.0] + [0.5] * 20
NORMS = [1.0] * 20 + [1e4] + [0.1] * 20


def shown(fleets, paths, width, height=40, encoding="utf-8"):
    """The lines that stand at a terminal's end."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(file=file, force_terminal=True, width=width, height=height, highlight=False)
    with SweepTable(fleets, paths, console=console) as table:
        for number in range(len(paths)):
            table.begin(number)
        table.refresh()
        file.flush()
        text = file.buffer.getvalue().decode(encoding)
    return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", text).splitlines()


@pytest.fixture
def fleets(compose, tmp_path):
    """Three fleets, of which the last has not begun."""
    names = "gated_rnn", "attn_rnn", "lstm"
    fleets = [[compose(f"model={name}", f"seed={seed}") for seed in (0, 1)] for name in names]
    paths = [tmp_path / name for name in names]
    for path, losses in zip(paths[:2], (LOSSES, [float("nan"), 1.0]), strict=True):
        progress = Progress(50, 100, alive=2, losses=losses, norms=NORMS)
        path.write_text(json.dumps(asdict(progress)))
    return fleets, paths


@pytest.mark.parametrize("width", [80, 100, 140])
def test_each_fleet_that_runs_has_its_curves(fleets, width):
    lines = shown(*fleets, width)
    assert all(len(line) <= width for line in lines)
    assert [line.split()[0] for line in lines] == [
        "fleet", "gated_rnn", "loss", "attn_rnn", "loss", "0/3",
    ]  # fmt: skip
    drawn = re.match(r"loss (\S+)  \|grad\| (\S+)\s*$", lines[2])
    assert [curve.count("█") for curve in drawn.groups()] == [1, 1]
    assert "loss ×▁  |grad| " in lines[4]


@pytest.mark.parametrize(("width", "height"), [(100, 6), (70, 40)])
def test_a_small_terminal_shows_the_fleets_alone(fleets, width, height):
    lines = shown(*fleets, width, height)
    assert all(len(line) <= width for line in lines)
    assert [line.split()[0] for line in lines if line.split()[0] != "0:00"] == [
        "fleet", "gated_rnn", "attn_rnn", "0/3",
    ]  # fmt: skip


def test_a_terminal_without_the_blocks_gets_letters(fleets):
    (_, _, curves, *_) = shown(*fleets, 100, encoding="ascii")
    assert curves.isascii()
    assert curves.count("#") == 2


def test_the_worker_writes_the_means_of_its_runs(compose, tmp_path):
    steps = 1000
    fleet = Fleet([compose("task=easy", f"steps={steps}", f"seed={seed}") for seed in (0, 1)])
    writer = ProgressWriter(fleet, tmp_path / "progress")
    for step in range(1, steps + 1):
        loss = torch.tensor([[1.0, 3.0]]) * (50 if step == 700 else 1)
        writer.observe(range(step, step + 1), StepMetrics(*[loss] * 6), None)
    (progress,) = read_progress([writer.path])
    assert progress.step == steps
    assert BINS // 2 < len(progress.losses) <= BINS
    assert sorted(set(progress.losses)) == [2.0, 100.0]
    assert progress.losses.index(100.0) == 699 // (steps // len(progress.losses) + 1)
    assert progress.norms == progress.losses


def test_a_sweep_on_a_terminal_ends_as_elsewhere(compose, tmp_path, monkeypatch):
    """Its curves are only looked at."""
    from hw2exp.sweeps import live
    from hw2exp.train import main

    monkeypatch.chdir(tmp_path)
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    short = ["task=easy", "model=rnn", "seed=0,1", "steps=6", "eval_every=3", "eval_batches=1",
             "plot=false", "workers=1"]  # fmt: skip
    assert main(["-m", *short, "hydra.sweep.dir=plain"]) == 0
    monkeypatch.setattr(live, "live_console", lambda: console)
    assert main(["-m", *short, "hydra.sweep.dir=seen"]) == 0
    assert "fleet" in console.file.getvalue()
    for job in "01":
        digests = {
            read_result(tmp_path / where / job).metrics_sha256 for where in ("plain", "seen")
        }
        assert len(digests) == 1


def test_on_a_cluster_each_fleet_has_its_worker(fleets):
    fleets, paths = fleets
    for path, worker in zip(paths[:2], ("node1:17", "node2:18"), strict=True):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"worker": worker}))
    lines = shown(fleets, paths, 100)
    assert lines[0].split()[-1] == "worker"
    assert [line.split()[-1] for line in lines[1:4:2]] == ["node1:17", "node2:18"]
    assert all(len(line) <= 100 for line in lines)


def test_a_fleet_that_was_interrupted_is_not_done(compose, tmp_path, capsys):
    class Interrupted(InProcess):
        def submit(self, fn, /, *args):
            return super().submit(fn, *args, interrupt=At(10))

    short = "task=easy", "model=rnn", "batch_size=4", "eval_batches=1", "plot=false"
    configs = [compose(*short, f"steps={steps}") for steps in (4_000_000, 1)]
    cut, whole = run_sweep(configs, [tmp_path / "0", tmp_path / "1"], Interrupted(1))
    assert (cut.status, whole.status) == ("interrupted", "finished")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("1/2 fleets  0 training")
    assert not last.endswith("left 0:00")
