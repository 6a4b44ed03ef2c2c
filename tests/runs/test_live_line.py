"""The line that follows a run fits its terminal."""

import io
import re

import pytest
import torch
from rich.console import Console

from hw2exp.fleet.measurements import StepMetrics
from hw2exp.runs import live_curves
from hw2exp.runs.live_line import LiveLine
from hw2exp.runs.sparkline import ASCII, BLOCKS


def measured(loss, norm, replicas=1):
    values = torch.full((1, replicas), float(loss)), torch.full((1, replicas), float(norm))
    return StepMetrics(values[0], torch.ones(1, replicas), *[values[1]] * 4)


def frames(width, steps, encoding="utf-8", terminal=True):
    """What is written while steps are watched, each shown; escape codes left out."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(file=file, force_terminal=terminal, width=width, highlight=False)
    line = LiveLine(len(steps), lambda: 3, console)
    line.interval = 0
    with line:
        for step, each in enumerate(steps, start=1):
            line.observe(range(step, step + 1), each, None)
    file.flush()
    text = file.buffer.getvalue().decode(encoding)
    return re.split(r"(?:\r\x1b\[2K(?:\x1b\[1A\x1b\[2K)*)", text)


EXPLODES = [measured(1.4, 1)] * 300 + [measured(90, 1e4)] + [measured(0.01, 0.1)] * 300


@pytest.mark.nightly
@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 140])
def test_no_line_is_wider_than_the_terminal_and_the_spike_is_seen(width):
    shown = frames(width, EXPLODES)[-2]
    lines = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", shown).splitlines()
    assert all(len(line) <= width for line in lines), lines
    assert len(lines) == (1 if width < 40 else 2)
    if width >= 40:
        loss, norm = re.fullmatch(r"loss (\S+)  \|grad\| (\S+)", lines[1]).groups()
        assert len(loss) == len(norm) == (width - 14) // 2
        assert loss.count("█") == norm.count("█") == 1
        assert loss[0] > loss[-1] == norm[-1] == "▁"


def test_what_is_not_finite_is_marked():
    shown = frames(80, [measured(1, 1), measured(1, torch.inf), measured(2, 3)])[-2]
    assert "loss ▁▁█  |grad| ▁×█" in shown


def test_replicas_that_leave_and_many_steps_between_refreshes(monkeypatch):
    monkeypatch.setattr(live_curves, "MOST_WAITING", 4)
    line = LiveLine(12, lambda: 0, Console(file=io.StringIO(), force_terminal=True, width=80))
    line.interval = 100
    both = StepMetrics(*[torch.tensor([[1.0, 3.0]])] * 6)
    with line:
        for step in range(1, 13):
            line.observe(range(step, step + 1), both if step <= 6 else measured(5, 7), None)
            assert len(line.curves._waiting) < 4
    assert line.curves.so_far() == ([2.0] * 6 + [5.0] * 6, [2.0] * 6 + [7.0] * 6)


def test_a_terminal_without_the_blocks_gets_letters():
    shown = frames(80, EXPLODES[299:302], encoding="ascii")[-2]
    assert "loss " in shown
    assert not set(BLOCKS) & set(shown)
    assert {ASCII[0], ASCII[7]} <= set(shown)


def test_plain_lines_have_no_curves(capsys):
    frames(140, [measured(1, 2)] * 3, terminal=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("step ") for line in lines)
