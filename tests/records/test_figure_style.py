"""The user's matplotlib settings reach no figure, and stay the user's."""

import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from hw2exp.records import shown
from hw2exp.records.curve_figure import draw_curve
from hw2exp.records.metrics import MetricsTable
from hw2exp.records.run_dir import read_result
from hw2exp.train import main

USERS = {
    "font.size": 30.0,
    "savefig.transparent": True,
    "savefig.bbox": "tight",
    "axes.facecolor": "black",
    "svg.image_inline": False,
    "lines.linewidth": 9.0,
    "figure.dpi": 31.0,
    "path.simplify": False,
}


def drawn(folder):
    folder.mkdir()
    table = MetricsTable()
    for step in range(1, 40):
        row = dict.fromkeys(("loss_train", "loss_train_max", "grad_norm_raw"), 1 + np.sin(step))
        table.append(step, row | {"accuracy_train": 0.5, "lr": 0.1, "grad_norm_raw_max": 2.0})
    draw_curve(table, [], "a run", folder)
    return [(folder / name).read_bytes() for name in ("curve.png", "curve.svg")]


def test_a_curve_is_the_same_whatever_the_user_has_set(tmp_path):
    before = drawn(tmp_path / "before")
    with matplotlib.rc_context(USERS):
        assert drawn(tmp_path / "after") == before
        assert {name: matplotlib.rcParams[name] for name in USERS} == USERS


@pytest.mark.nightly
@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "no backend"])
def test_a_backend_of_another_environment_is_passed_by(tmp_path, backend):
    program = (
        "import os, sys; from pathlib import Path; from hw2exp.records.figure_style import *\n"
        "with figure_style():\n"
        "    from matplotlib.figure import Figure\n"
        "    Figure().savefig('figure.png')\n"
        "print(os.environ['MPLBACKEND'])"
    )
    environment = {**os.environ, "MPLBACKEND": backend}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == backend
    assert (tmp_path / "figure.png").exists()


def test_a_curve_that_cant_be_drawn_is_a_warning_and_the_result_is_there(
    tmp_path, monkeypatch, capsys
):
    def broken(*args):
        raise RuntimeError("no font")

    monkeypatch.setattr(shown, "draw_curve", broken)
    words = ["model=rnn", "task=easy", "steps=2", "eval_every=2", "eval_batches=1"]
    assert main([*words, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    assert read_result(tmp_path / "run").status == "finished"
    assert "its curve can't be drawn: RuntimeError: no font" in capsys.readouterr().err
