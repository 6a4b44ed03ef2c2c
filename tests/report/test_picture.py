"""One picture of many runs: its numbers are the report's and compare's."""

import shutil
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from hw2exp import plot
from hw2exp.compare.measures import MEASURES
from hw2exp.diagnostics.statistics import mean
from hw2exp.records.figure_style import figure_style
from hw2exp.records.runs import read_runs
from hw2exp.report.curves import CURVES, Band, band_of, curves
from hw2exp.report.measures import measure
from hw2exp.report.picture import SIZES, picture
from hw2exp.report.question import ask
from hw2exp.report.solving import rates
from hw2exp.system.problems import ConfigError
from hw2exp.train import main as train
from tests.report.test_measures import arms, result


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def drawn(found, by=None, x=None, y="loss", size="slide"):
    """The panels of a picture: the large one, then those beside it."""
    with figure_style(SIZES[size].style):
        figure = picture(ask(found, by, x, y), SIZES[size])
    large, *small = figure.axes
    return large, small, figure


def values(axes):
    """What the panel's lines with a name in the legend show."""
    return [
        (list(line.get_xdata()), list(line.get_ydata()))
        for line in axes.lines
        if not line.get_label().startswith("_")
    ]


def intervals(axes):
    return [
        [tuple(ends[:, 1]) for ends in lines.get_segments()]
        for lines in axes.collections
        if hasattr(lines, "get_segments")
    ]


def bounds(estimates):
    return [[(each.low, each.high)] for each in estimates]


def test_curves_are_those_of_the_report(sweep):
    found = read_runs(sweep).arms
    own, _, _ = drawn(found)
    report = curves(found, [arm.name for arm in found])
    for place, axes in enumerate(report.axes[: len(found)]):
        median, band = axes.lines[3], axes.collections[0]  # behind three runs
        known = band_of(found[place], CURVES["loss"])
        assert values(own)[place] == (known.steps.tolist(), known.middle.tolist())
        assert values(own)[place][1] == median.get_ydata().tolist()
        np.testing.assert_array_equal(
            own.collections[place].get_paths()[0].vertices, band.get_paths()[0].vertices
        )


def test_small_panels_are_the_reports_measures(sweep):
    found = read_runs(sweep).arms
    measured = [measure(arm) for arm in found]
    _, (spikes, solved), _ = drawn(found, ["model", "clip"])
    for axes, name in ((spikes, "spikes"), (solved, "solved")):
        of_arms = [getattr(each, name) for each in measured]
        assert values(axes) == [([n], [each.value]) for n, each in enumerate(of_arms)]
        assert intervals(axes) == bounds(of_arms)


def test_a_measure_of_compare_is_its_mean_over_seeds(sweep):
    found = read_runs(sweep).arms
    large, _, _ = drawn(found, y="largest_update")
    means = [mean([*MEASURES["largest_update"].by_seed([arm]).values()]) for arm in found]
    assert values(large) == [([n], [each.value]) for n, each in enumerate(means)]
    assert intervals(large) == bounds(means)


def test_a_curve_is_at_the_worst_value_of_its_steps(sweep):
    (arm, *_) = read_runs(sweep).arms
    accuracy = band_of(arm, CURVES["test_accuracy"])
    for own, run in zip(accuracy.runs, arm.runs.values(), strict=True):
        tested = run.metrics().drop_nulls("accuracy_test")
        known = np.searchsorted(accuracy.steps, tested["step"].to_numpy())
        np.testing.assert_array_equal(own[known], tested["accuracy_test"].to_numpy())
    assert (drawn([arm], y="test_accuracy")[0].lines[0].get_ydata() == accuracy.middle).all()


def swept(tmp_path, **more):
    """Two clips at four rates, four seeds each; without a cure, all of the last rate diverge."""
    made = {
        f"clip={clip} optimizer.lr={lr}": [
            result(loss=lr * (seed + 1), spikes=seed, solved_at=100)
            if clip == "norm" or lr < 1
            else result(diverged_at=50)
            for seed in range(4)
        ]
        for clip in ("norm", "none")
        for lr in (1.0, 0.001, 0.1, 0.01)
    }
    return sorted(arms(tmp_path, made, **more), key=lambda arm: arm.rank)


def test_a_dose_response_is_the_reports_of_the_learning_rate(tmp_path):
    found = swept(tmp_path)
    measured = [measure(arm) for arm in found]
    large, (lost, solved), figure = drawn(found, ["clip"], "optimizer.lr")
    (report, *_) = rates(measured).axes
    finite = [np.isfinite(line.get_ydata()) for line in report.lines]
    assert [each.sum() for each in finite] == [3, 4]
    assert values(large) == [
        (line.get_xdata()[own].tolist(), np.array(line.get_ydata())[own].tolist())
        for line, own in zip(report.lines, finite, strict=True)
    ]
    assert [len(each.get_offsets()) for each in large.collections if each.get_offsets().any()] == [
        1
    ]
    of_norm = [each for each in measured if each.arm.cures]
    for axes, name in ((lost, "diverged"), (solved, "solved")):
        ends = [(each.low, each.high) for each in (getattr(own, name) for own in of_norm)]
        assert intervals(axes)[1] == ends
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["clip=none", "clip=norm"]
    assert large.lines[0].get_color() == "black"


def test_runs_without_the_number_are_a_line_across(tmp_path):
    made = {
        "clip=none": [result(loss=0.5)] * 3,
        **{f"clip=norm clip.max_norm={most}": [result(loss=most)] * 3 for most in (2, 4)},
    }
    large, _, _ = drawn(arms(tmp_path, made), ["clip"], "clip.max_norm")
    assert values(large) == [([0, 1], [0.5, 0.5]), ([2, 4], [2, 4])]


def test_what_is_pooled_and_what_differs_along_is_said(tmp_path, monkeypatch):
    made = {
        f"clip={clip} model={model} batch_size={size}": [result(spikes=count)] * 2
        for clip, model, size, count in (
            ("none", "rnn", 8, 4), ("none", "lstm", 8, 2), ("norm", "rnn", 16, 0),
        )
    }  # fmt: skip
    question = ask(arms(tmp_path, made), ["clip"], None, "spikes")
    assert (question.pooled, question.tied) == (["model"], ["batch_size"])
    large, _, figure = drawn(arms(tmp_path, made), ["clip"], y="spikes")
    assert values(large) == [([0], [3]), ([1], [0])]
    note = figure.get_supxlabel().replace("\n", " ")
    assert note.startswith(
        "6 runs, 2 to 4 a line: bars are 95\N{NO-BREAK SPACE}% intervals; pooled over model;"
    )
    assert note.endswith("they differ in batch_size too")


def test_numbers_are_in_order_and_choices_in_the_registrys(tmp_path):
    names = [line.name for line in ask(swept(tmp_path), None, None, "loss").lines]
    assert names == [
        f"clip={clip} optimizer.lr={lr}"
        for clip in ("none", "norm")
        for lr in (0.001, 0.01, 0.1, 1.0)
    ]


def test_each_line_has_its_own_color(sweep):
    for by, black in ((["clip"], 1), (["model"], 0), (["model", "clip"], 0)):
        large, _, _ = drawn(read_runs(sweep).arms, by, y="solved")
        colors = [line.get_color() for line in large.lines]
        assert len({*colors}) == len(colors) == 2 * len(by)
        assert colors.count("black") == black


@pytest.mark.parametrize("y", ["loss", "grad_norm", "accuracy", "test_loss"])
def test_runs_that_are_all_lost_are_drawn(sweep, monkeypatch, y):
    found = read_runs(sweep).arms[:2]
    lost = np.full(3, CURVES[y].worst)
    band = Band(np.arange(3.0), lost, lost, lost, lost)
    monkeypatch.setattr("hw2exp.report.picture.band_of", lambda arm, curve: band)
    _, _, figure = drawn(found, y=y)
    with figure_style():
        figure.canvas.draw()


WORDS = (
    "model=rnn,gated_rnn", "clip=none,norm", "seed=range(0,2)", "task=easy", "steps=60",
    "eval_every=20", "eval_batches=2", "log_every=3", "plot=false",
)  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same runs in folders, and packed."""
    root = tmp_path_factory.mktemp("both")
    for name, more in (("folders", ()), ("packed", ("records=packed",))):
        assert train(["-m", *WORDS, *more, f"hydra.sweep.dir={root / name}"]) == 0
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["--by", "clip"], "png"),
        slow(["--by", "model", "--y", "test_accuracy", "--size", "paper"], "svg"),
        slow(["--by", "clip", "--y", "solved", "--size", "paper"], "pdf"),
    ],
)
def test_folders_and_packed_records_give_the_same_bytes(both, tmp_path, capsys, words, kind):
    made = []
    for name in ("folders", "packed"):
        out = tmp_path / f"{len(made)}.{kind}"
        with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 3} if made else {}):
            assert plot.main([str(both / name), *words, str(out)]) == 0
        made.append(out.read_bytes())
    assert made[0] == made[1]
    assert b"Date" not in made[0]
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == str(out)
    assert "warning: pooled over " in said.err


@pytest.mark.parametrize(("size", "pixels"), [("slide", (1920, 1080)), slow("paper", (990, 1050))])
def test_sizes(both, tmp_path, size, pixels):
    from matplotlib.image import imread

    target = both / "packed" / "plot_clip_model.png"
    assert plot.main([str(both / "packed"), "--by", "clip,model", "--size", size]) == 0
    height, width, _ = imread(target).shape
    assert width == pixels[0]
    assert height == pixels[1] + (size == "paper") * 3 * 51  # further rows of the legend
    target.unlink()


def test_a_run_alone_has_one_panel(both, tmp_path, monkeypatch, capsys):
    found = read_runs(both / "folders" / "0").arms
    _, small, figure = drawn(found)
    assert (small, figure.legends) == ([], [])
    shutil.copytree(both / "folders" / "0", tmp_path / "0")
    monkeypatch.setattr(plot, "MANY", 0)
    assert plot.main([str(tmp_path)]) == 0
    assert "1 arms take minutes" in capsys.readouterr().err
    assert (tmp_path / "plot.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--by", "clp"], "--by=clp: no such key; did you mean clip?"),
        (["--by", ""], "--by=: no such key"),
        (["--by", "seed"], "--by=seed: bands and intervals are over seeds"),
        (["--by", "norm"], "--by=norm: all runs have norm=none; those that differ: model, clip"),
        (["--x", "optimizer.lr"], "--x=optimizer.lr: all runs have optimizer.lr=0.001"),
        (["--x", "clip"], "--x=clip: has the values none, norm; must be a number"),
        (["--x", "clip.max_norm"], "--x=clip.max_norm: has one value, 1.0"),
        (["--y", "spike"], "--y=spike: no such measure; did you mean spikes?"),
        (["--size", "poster"], "--size: invalid choice: 'poster'"),
        (["out.gif"], "out.gif: must end in .png, .svg, .pdf"),
        (["none/out.png"], "none/out.png: no such folder"),
        (["a\x07.png"], "has control characters"),
    ],
)
def test_bad_input_is_a_line_and_makes_nothing(both, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    before = sorted(both.rglob("*"))
    assert plot.main([str(both / "packed"), *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert [*tmp_path.iterdir()] == []
    assert sorted(both.rglob("*")) == before


def test_folders_without_runs_make_nothing(tmp_path, capsys):
    for folder, said in ((tmp_path, "holds no run"), (tmp_path / "no", "no such folder")):
        assert plot.main([str(folder)]) == 2
        assert said in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


def test_too_many_lines_are_refused(tmp_path):
    made = {f"optimizer.lr={n}": [result()] for n in range(1, 14)}
    with pytest.raises(ConfigError, match=r"13 lines; a picture has 12 at most; .* optimizer.lr"):
        ask(arms(tmp_path, made), None, None, "loss")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from hw2exp.plot import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'scipy', 'matplotlib', 'hydra', 'polars'} & set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
