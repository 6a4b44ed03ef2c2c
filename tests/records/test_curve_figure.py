import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from hw2exp.records.curve_figure import _draw_accuracy, draw_curve
from hw2exp.records.metrics import MetricsTable
from hw2exp.records.spike import Spike

NAN = math.nan


def spike(step, loss):
    return Spike(step=step, start=step, end=step, loss=loss, median=0.2, above_initial=True)


def table(losses, every=1, tested=(), clipped=1.0):
    made = MetricsTable()
    for at, loss in enumerate(losses):
        row = {"loss_train": loss, "loss_train_max": loss * every, "accuracy_train": 0.5}
        norm = {"grad_norm_raw": loss, "grad_norm_raw_max": loss * every}
        row |= norm | {"grad_norm_clipped": min(loss, clipped), "lr": 0.1}
        if at in tested:
            row |= {"loss_test": loss, "loss_test_last": loss, "accuracy_test": 0.5}
        made.append((at + 1) * every, row)
    return made


def texts(folder):
    """Every text of the SVG, and the proof that both files hold a picture."""
    assert imread(folder / "curve.png").std() > 0.01
    root = ET.parse(folder / "curve.svg").getroot()
    return ["".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")]


def test_what_a_curve_says(tmp_path):
    losses = np.full(300, 1.3)
    losses[99] = 3.25
    draw_curve(table(losses, tested=(50, 150)), [spike(100, 3.25)], "a title", tmp_path)
    said = texts(tmp_path)
    for text in ("a title", "training step", "loss", "accuracy", "gradient norm", "learning rate",
                 "train", "test", "ln 4", "raw", "clipped", "1",
                 "1 spike (--spike N)"):  # fmt: skip
        assert text in said
    assert not [text for text in said if "diverged" in text or "logarithmic" in text]
    assert "before training" not in said


def test_chance_is_that_of_the_tasks_classes(tmp_path):
    draw_curve(table([1.3, 1.2]), [], "t", tmp_path, classes=6)
    assert "ln 6" in texts(tmp_path)
    axes = Figure().add_subplot()
    _draw_accuracy(axes, table([1.3, 1.2]), 6)
    assert [*axes.lines[-1].get_ydata()] == [1 / 6] * 2


def test_the_initial_loss_is_a_point_at_step_0(tmp_path):
    draw_curve(table([1.3, 1.2]), [], "t", tmp_path, initial_loss=1.386)
    assert "before training" in texts(tmp_path)


def test_a_huge_spike_makes_the_axis_logarithmic_and_says_so(tmp_path):
    losses = np.full(300, 0.2)
    losses[99] = 4000.0
    draw_curve(table(losses), [spike(100, 4000.0)], "t", tmp_path)
    said = texts(tmp_path)
    assert {"loss, logarithmic above 2", "1,000"} <= set(said)
    assert "loss" not in said


def test_every_spike_has_the_number_that_the_anatomy_takes(tmp_path):
    """Also two that are near each other in steps, but not in height."""
    spikes = [spike(20 * at, 2.0 + at % 3) for at in range(1, 10)] + [spike(182, 30.0)]
    draw_curve(table(np.full(1000, 1.0)), spikes, "t", tmp_path)
    root = ET.parse(tmp_path / "curve.svg").getroot()
    red = [text for text, style in numbers(root) if "#cc3311" in style]
    assert sorted(red, key=int) == [str(number) for number in range(1, 11)]


def numbers(root):
    """The texts of the SVG that are numbers, with their style."""
    for group in root.iter("{http://www.w3.org/2000/svg}text"):
        text = "".join(group.itertext())
        if text.isdigit():
            yield text, group.get("style", "") + (group.get("fill") or "")


def test_of_many_spikes_the_highest_have_their_numbers(tmp_path):
    spikes = [spike(20 * at, 2.0 + at / 100) for at in range(1, 41)]
    draw_curve(table(np.full(820, 1.0)), spikes, "t", tmp_path)
    root = ET.parse(tmp_path / "curve.svg").getroot()
    red = [int(text) for text, style in numbers(root) if "#cc3311" in style]
    assert "40 spikes (--spike N)" in texts(tmp_path)
    assert sorted(red) == list(range(21, 41))
    close = [spike(300 + at, 2.0 + at / 1000) for at in range(40)]
    draw_curve(table(np.full(820, 1.0)), close, "t", tmp_path)
    root = ET.parse(tmp_path / "curve.svg").getroot()
    red = [int(text) for text, style in numbers(root) if "#cc3311" in style]
    assert red[0] == 40
    assert 2 <= len(red) <= 4  # the others would overlap


def test_rows_further_apart_show_the_largest_between_them(tmp_path):
    draw_curve(table(np.full(30, 1.0), every=1), [], "t", tmp_path)
    assert "train, largest of the steps between" not in texts(tmp_path)
    draw_curve(table(np.full(30, 1.0), every=3), [], "t", tmp_path)
    said = texts(tmp_path)
    assert {"train, largest of the steps between", "raw, largest of the steps between"} <= set(said)


def test_without_clipping_and_tests_neither_is_in_a_legend(tmp_path):
    draw_curve(table(np.full(30, 1.0), clipped=math.inf), [], "t", tmp_path)
    assert not {"clipped", "test"} & set(texts(tmp_path))


@pytest.mark.parametrize("end", [NAN, math.inf])
def test_divergence_is_marked(tmp_path, end):
    draw_curve(table([1.3] * 29 + [end]), [], "t", tmp_path, diverged_at=30)
    assert "diverged at step 30" in texts(tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("losses", [[], [1.0], [NAN], [0.0, 0.0], [1.0, 3e38]])
def test_short_and_odd_runs_are_drawn(tmp_path, losses):
    draw_curve(table(losses), [], "t", tmp_path)
    assert {"t", "ln 4", "loss" if max(losses, default=0) != 3e38 else "loss, logarithmic above 2"
            } <= set(texts(tmp_path))  # fmt: skip


def test_the_same_run_gives_the_same_files(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        draw_curve(table(np.linspace(1.4, 0.1, 50)), [spike(9, 2.0)], "t", tmp_path / name)
    for name in ("curve.svg", "curve.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
