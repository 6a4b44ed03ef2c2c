"""Maps of runs: their cells, measures, colors, figures, and their place in the report."""

import math
import shutil
from io import BytesIO

import numpy as np
import polars
import pytest
from PIL import Image

from hw2exp.records.map_axes import MapAxis, axes_of
from hw2exp.records.outcomes import RESULT
from hw2exp.records.runs import read_runs
from hw2exp.report import page
from hw2exp.report.__main__ import main
from hw2exp.report.map_colors import (
    LAND,
    LOSS,
    SEA,
    SOLVED,
    UNKNOWN,
    divergence_picture,
    divergence_scale,
    outcome_picture,
    thirds,
)
from hw2exp.report.map_figure import BOTTOM, LEFT, map_figure
from hw2exp.report.map_measures import measure_maps, moved
from hw2exp.report.run_map import RunMap, run_maps, without_cures
from hw2exp.report.windows import by_window
from hw2exp.train import main as train

RATES, SCALES = np.geomspace(0.01, 10, 16), np.geomspace(0.1, 10, 8)


def frame(diverged, settings=None, seed=0, loss=1.0, solved=False):
    """Return the outcomes of made-up runs: ``diverged`` is ``(8, 16)``, a column a rate."""
    diverged = np.broadcast_to(diverged, (len(SCALES), len(RATES)))
    solved = np.broadcast_to(solved, diverged.shape)
    rows = [
        {
            "optimizer.lr": rate,
            "init.scale": scale,
            **(settings or {}),
            "seed": seed,
            "status": "diverged" if diverged[y, x] else "finished",
            "step": 50 if diverged[y, x] else 200,
            "diverged_at": 50 if diverged[y, x] else None,
            "solved_at": 100 if solved[y, x] else None,
            "ends_solved": bool(solved[y, x] and not diverged[y, x]),
            "last_loss": None if diverged[y, x] else loss,
            "spikes": 3,
        }
        for y, scale in enumerate(SCALES)
        for x, rate in enumerate(RATES)
    ]
    return polars.DataFrame(rows, infer_schema_length=None)


def maps_of(*frames):
    table = polars.concat(frames, how="vertical_relaxed")
    return run_maps(table, *axes_of(table))


def above(column):
    """Return that all runs from a column on diverged."""
    return np.arange(len(RATES)) >= column


def test_the_learning_rate_runs_to_the_right_and_other_numbers_upward():
    x, y = axes_of(frame(False))
    assert (x.key, y.key) == ("optimizer.lr", "init.scale")
    assert (x.spacing, y.spacing) == ("geometric", "geometric")
    assert x.step == pytest.approx(math.log2(1000) / 15)
    assert x.meaning.startswith("learning rate")
    assert x.places([0.01, 0.1, 10]) == pytest.approx([0, 5, 15])


def test_few_values_or_a_random_search_make_no_map():
    table = frame(False)
    assert axes_of(table.filter(polars.col("init.scale") > 0.15)) is None
    generator = np.random.default_rng(0)
    search = {"optimizer.lr": generator.random(100), "init.scale": generator.random(100)}
    assert axes_of(polars.DataFrame(search | {"seed": [0] * 100})) is None
    texts = table.with_columns(polars.col("init.scale").cast(polars.String))
    assert axes_of(texts) is None


@pytest.mark.parametrize(
    ("values", "spacing"),
    [
        ([float(f"{value:.2g}") for value in np.geomspace(1e-3, 1, 20)], "geometric"),
        (np.geomspace(0.5, 0.5001, 50), "geometric"),
        (np.linspace(0, 1, 9), "even"),
        (np.linspace(0.5, 0.6, 9), "even"),
        ([1, 2, 3, 5, 8, 13, 100, 101], "uneven"),
    ],
)
def test_the_spacing_of_values(values, spacing):
    assert MapAxis("a", np.array(values, float)).spacing == spacing


def test_a_cell_is_the_median_of_its_seeds():
    (found,) = maps_of(
        frame(above(4), seed=3), frame(above(8), seed=4), frame(above(12), seed=9, solved=True)
    )
    assert found.name == "all runs"
    assert found.seeds.tolist() == [3, 4, 9]
    assert (found.mostly_diverged == above(8)).all()
    assert not found.mostly_solved.any()
    (measured,) = measure_maps([found])
    assert measured.diverged.value == pytest.approx(0.5)
    assert measured.diverged.low == pytest.approx(0.25)
    assert measured.solved.value == pytest.approx(0.25)
    assert measured.runs == 3 * 8 * 16


def test_cells_without_a_run_that_ended_are_unknown():
    first = polars.int_range(polars.len()) == 0
    status = polars.when(first).then(polars.lit("interrupted")).otherwise("status")
    (found,) = maps_of(frame(above(8)).with_columns(status.alias("status")))
    assert not found.there[0, 0]
    assert found.there.sum() == 8 * 16 - 1
    assert tuple(outcome_picture(found).pixels[0, 0]) == UNKNOWN
    (measured,) = measure_maps([found])
    assert measured.diverged.value == pytest.approx(64 / 127)


def test_a_cure_is_measured_against_the_map_that_has_none_and_is_else_alike():
    made = [
        frame(above(column), {"clip": clip, "model.lags": lags})
        for clip, lags, column in [("norm", 2, 9), ("none", 2, 6), ("norm", 3, 6), ("none", 3, 8)]
    ]
    maps = maps_of(*made)
    assert [each.name for each in maps] == [
        "clip=none model.lags=2", "clip=none model.lags=3",
        "clip=norm model.lags=2", "clip=norm model.lags=3",
    ]  # fmt: skip
    assert without_cures(maps[0], maps) is None
    assert without_cures(maps[2], maps) is maps[0]
    ratio = RATES[1] / RATES[0]
    found = [each.moved for each in measure_maps(maps)]
    assert found[:2] == [None, None]
    assert [each.by.value for each in found[2:]] == pytest.approx([ratio**3, ratio**-2])
    assert found[2].factor


def move(cured, plain):
    plain, cured = maps_of(frame(plain, {"clip": "none"}), frame(cured, {"clip": "norm"}))
    return moved(cured, plain)


def test_an_island_moves_a_border_by_its_size():
    sea = np.broadcast_to(above(6), (8, 16)).copy()
    sea[:, 12] = False  # an island in each row
    sea[2] = True  # a row that says little
    assert move(sea, above(6)).by.value == pytest.approx(RATES[1] / RATES[0])


def test_a_border_beyond_the_map_is_a_bound():
    assert move(above(16), above(6)).bound == "≥ "
    assert move(above(6), above(16)).bound == "≤ "
    assert move(above(8), above(6)).bound == ""
    nothing = move(above(16), above(16))
    assert math.isnan(nothing.by.value)


def rows_of(columns):
    """Return which runs diverged if each row does from a column of its own on."""
    return np.arange(len(RATES)) >= np.array(columns)[:, None]


BOUNDS = {
    "half of the rows": ([8] * 8, [16] * 4 + [10] * 4, "≥ "),
    "rows that could be the median": ([14] * 3 + [4] * 5, [16] * 3 + [6, 8, 10, 12, 14], "≥ "),
    "rows that could not": ([4] * 8, [16] * 3 + [6, 8, 8, 8, 8], ""),
    "without the cure": ([16] * 5 + [6] * 3, [12] * 8, "≤ "),
    "either": ([16] * 4 + [4] * 4, [12] * 4 + [16] * 4, "≈ "),
}


@pytest.mark.parametrize("case", BOUNDS)
def test_a_bound_is_told_if_it_could_change_the_median(case):
    plain, cured, bound = BOUNDS[case]
    assert move(rows_of(cured), rows_of(plain)).bound == bound


def test_one_lost_run_before_the_end_makes_no_border_there():
    """The border of the cure lies beyond the map, although each row has a run that diverged."""
    dotted = np.broadcast_to(np.arange(16) == 9, (8, 16))
    assert move(dotted, above(6)).bound == "≥ "
    assert move(above(6), dotted).bound == "≤ "


@pytest.mark.parametrize(("part", "bound"), [(slice(0, 4), ""), (slice(8, 16), "≈ ")])
def test_missing_runs_move_no_border(part, bound):
    """As in a sweep that was interrupted: whole columns have no run."""
    plain, cured = frame(above(6), {"clip": "none"}), frame(above(6), {"clip": "norm"})
    for some in (plain, cured):
        rest = some.filter(~some["optimizer.lr"].is_in(RATES[part].tolist()))
        both = (rest, cured) if some is plain else (plain, rest)
        maps = maps_of(*both)
        found = moved(maps[1], maps[0])
        assert (found.by.value, found.bound) == (pytest.approx(1), bound)
        missing = [each.missing for each in measure_maps(maps)]
        assert sorted(missing) == [0, 8 * (part.stop - part.start)]


def test_scattered_runs_have_the_dimension_of_their_scatter():
    """A border of chance alone keeps its dimension when columns are shuffled; a clean line not."""
    side, generator = 128, np.random.default_rng(0)
    chance = np.linspace(-5, 5, side)
    cells = {
        "none": generator.random((side, side)) < 1 / (1 + np.exp(-chance)),
        "norm": np.broadcast_to(np.arange(side)[:, None] > 60, (side, side)),
    }
    x, y = (MapAxis(key, np.geomspace(0.1, 10, side)) for key in ("optimizer.lr", "init.scale"))
    layers = {name: own[None].astype(float) for name, own in cells.items()}
    scatter, line = (
        RunMap({"clip": name}, x, y, np.array([0]), *[layers[name]] * 6) for name in cells
    )
    found, straight = measure_maps([scatter, line])
    assert found.scattered == pytest.approx(found.rough.dimension.value, abs=0.02)
    assert straight.rough.dimension.value == pytest.approx(1)
    assert straight.scattered > 1.9


def test_a_cures_figure_has_lines_at_both_borders():
    """Where each border is straight, its line lies on it."""
    plain, cured = maps_of(
        frame(above(6), {"clip": "none"}, loss=1.0), frame(above(11), {"clip": "norm"}, loss=1.0)
    )
    picture = outcome_picture(cured)
    with_lines, without = (
        np.asarray(Image.open(BytesIO(map_figure(cured, picture, other))).convert("RGB")).astype(
            int
        )
        for other in (plain, None)
    )
    panels = [drawn[-BOTTOM - 480 : -BOTTOM, LEFT : LEFT + 480] for drawn in (with_lines, without)]
    changed = np.flatnonzero((panels[0] != panels[1]).any(-1).mean(0) > 0.2)
    wide = 480 // 16
    assert {*(changed // 10)} <= {own * wide // 10 + k for own in (6, 11) for k in (-1, 0)}
    assert {round(each / wide) for each in changed} == {6, 11}


def test_ln_4_is_where_the_colors_turn_and_solved_has_its_own():
    below, chance, beyond = LOSS.pixels(np.array([1.0, math.log(4), 3.0])).astype(int)
    assert chance.min() > 240
    assert below[2] - below[0] > 40
    assert beyond[0] - beyond[2] > 40
    solved = SOLVED.pixels(np.array([0.01, 0.5])).astype(int)
    assert (solved[:, 0] - solved[:, 2] > 80).all()


def test_ticks_cover_the_values():
    assert thirds(1, 150) == [1, 3, 10, 30, 100, 300]
    assert thirds(0.05, 2) == [0.03, 0.1, 0.3, 1, 3]
    assert len(thirds(0, 0)) >= 2


def test_a_figure_shows_each_run_on_whole_pixels():
    (found,) = maps_of(frame(False, loss=0.2))
    loss = np.random.default_rng(0).uniform(0, 5, found.loss.shape)
    found.loss[:] = loss
    picture = outcome_picture(found)
    drawn = np.asarray(Image.open(BytesIO(map_figure(found, picture, None))).convert("RGB"))
    wide, high = 480 // 16, 480 // 8
    panel = drawn[-BOTTOM - 480 : -BOTTOM, LEFT : LEFT + 480]
    middle = panel[::-1][high // 2 :: high, wide // 2 :: wide]
    np.testing.assert_array_equal(middle, picture.pixels)
    inner = panel[::-1][high : 2 * high, wide : 2 * wide]
    assert (inner == picture.pixels[1, 1]).all()


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A small sweep, really run, of which the largest learning rates diverge."""
    folder = tmp_path_factory.mktemp("maps") / "sweep"
    rates = ",".join(f"{rate:.3g}" for rate in np.geomspace(0.01, 100, 8))
    scales = ",".join(f"{scale:.3g}" for scale in np.geomspace(0.1, 10, 8))
    words = ["-m", "model=attn_rnn", "model.hidden_size=4", "task=easy", "optimizer=sgd"]
    words += [
        "batch_size=4",
        "steps=30",
        "log_every=5",
        "eval_batches=1",
        "check_initial_loss=off",
        "plot=false",
    ]
    words += [f"optimizer.lr={rates}", f"init.scale={scales}", "clip=none,norm"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        assert train([*words, f"hydra.sweep.dir={folder}"]) == 0
    return folder


def test_outcomes_are_what_the_results_and_metrics_say(swept):
    found = read_runs(swept)
    table = found.outcomes
    assert table.height == 128
    assert table.columns == ["clip", "optimizer.lr", "init.scale", "seed", *RESULT]
    runs = [run for arm in found.arms for run in arm.runs.values()]
    assert table["diverged_at"].to_list() == [run.result.diverged_at for run in runs]
    assert 0 < table["diverged_at"].null_count() < 128
    lost = table.filter(polars.col("diverged_at").is_not_null())
    assert lost["last_loss"].null_count() == lost.height
    place = table["diverged_at"].is_null().arg_true()[0]
    losses = runs[place].metrics().filter(polars.col("step") > 10)["loss_train"]
    assert losses.len() == 4
    assert table["last_loss"][place] == pytest.approx(losses.mean())


@pytest.fixture(scope="module")
def report(swept, tmp_path_factory):
    target = tmp_path_factory.mktemp("maps") / "report"
    assert main([str(swept), "--out", str(target)]) == 0
    return target


def test_maps_are_on_the_page_and_beside(swept, report):
    text = (report / "report.html").read_text()
    assert "Where training is possible" in text
    assert text.count("<img ") == text.count('src="data:image/png;base64,') == 6
    table = polars.read_csv(report / "maps.csv")
    assert table["map"].to_list() == ["clip=none", "clip=norm"]
    assert table["runs"].to_list() == [64, 64]
    assert table["no_dimension"].to_list() == ["a map needs 128 values a side"] * 2
    outcomes = read_runs(swept).outcomes.filter(polars.col("clip") == "none")
    assert table["diverged"][0] == 1 - outcomes["diverged_at"].null_count() / 64
    pixels = np.asarray(Image.open(report / "map_clip_none.png"))
    assert pixels.shape == (8, 8, 3)
    sea = (pixels[::-1] == SEA).all(-1)
    rows = outcomes.sort("init.scale", "optimizer.lr")["diverged_at"].is_not_null()
    np.testing.assert_array_equal(sea, rows.to_numpy().reshape(8, 8))


def test_nothing_but_maps_is_made(report):
    text = (report / "report.html").read_text()
    assert (
        "The page has no chapter on each of the 128 arms, because the maps show them all." in text
    )
    assert "<h3>Arms</h3>" not in text
    kinds = "divergence", "map", "outcome", "spikes"
    assert sorted(path.name for path in report.iterdir()) == sorted(
        [f"{kind}_clip_{clip}.png" for kind in kinds for clip in ("none", "norm")]
        + ["maps.csv", "maps.parquet", "report.html", "runs.csv", "runs.parquet"]
    )
    assert polars.read_csv(report / "runs.csv").height == 128


@pytest.mark.nightly
def test_a_page_without_room_shows_the_files_beside_it(swept, report, tmp_path, monkeypatch):
    size = len((report / "outcome_clip_none.png").read_bytes())
    monkeypatch.setattr(page, "ROOM", size)
    assert main([str(swept), "--out", str(tmp_path)]) == 0
    text = (tmp_path / "report.html").read_text()
    assert text.count('src="data:image/png;base64,') == 1
    assert 'src="outcome_clip_norm.png"' in text


@pytest.mark.nightly
def test_a_plan_without_maps_tells_of_each_arm(swept, tmp_path):
    plan = "title: Arms\nchapters:\n  - {folder: sweep, title: Arms, figures: [unsolved]}\n"
    (swept.parent / "report.yaml").write_text(plan)
    assert main([str(swept.parent), "--out", str(tmp_path)]) == 0
    text = (tmp_path / "report.html").read_text()
    assert "<h3>Arms</h3>" in text
    assert "Where training is possible" not in text


def test_the_step_of_divergence_is_shown_where_training_diverges(swept):
    maps = maps_of(read_runs(swept).outcomes)
    picture = divergence_picture(maps[0], divergence_scale(maps))
    gray = (picture.pixels == LAND).all(-1)
    np.testing.assert_array_equal(gray, ~maps[0].mostly_diverged)


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    """Three packed sweeps of two windows: the smaller one first, once with a cure too."""
    folder = tmp_path_factory.mktemp("windows")
    words = ["-m", "experiment=map_sgd", "model=rnn", "model.hidden_size=4", "batch_size=4"]
    words += ["steps=20", "eval_batches=1", "records=packed", "init.scale=linspace(1,2,8)"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, rates, clip in [
            ("a", "logspace(1,10,8)", "none"),
            ("b", "logspace(1,10,8)", "norm"),
            ("c", "logspace(0.01,1000,9)", "none"),
        ]:
            own = [f"optimizer.lr={rates}", f"clip={clip}", f"hydra.sweep.dir={name}"]
            assert train([*words, *own]) == 0
    return folder


@pytest.mark.slow
def test_sweeps_on_one_window_are_compared_and_windows_are_in_order(windows, tmp_path, capsys):
    assert main([str(windows), "--out", str(tmp_path)]) == 0
    assert "left out: no" not in capsys.readouterr().out
    text = (tmp_path / "report.html").read_text()
    names = ["optimizer.lr 0.01 to 1000", "optimizer.lr 1 to 10"]
    titles = [f"Window {n}: {name}, init.scale 1 to 2" for n, name in enumerate(names, 1)]
    places = [text.index(f'<h2 class="chapter">{title}</h2>') for title in titles]
    assert places == sorted(places)
    table = polars.read_csv(tmp_path / "maps.csv")
    assert table["window"].to_list() == [titles[0], titles[1], titles[1]]
    assert table["map"].to_list() == ["all runs", "clip=none", "clip=norm"]
    assert table["runs"].to_list() == [72, 64, 64]
    assert (tmp_path / "window_2" / "map_clip_norm.png").is_file()


def test_packed_sweeps_together_are_what_they_are_alone(windows):
    whole = read_runs(windows)
    alone = [read_runs(windows / name) for name in "abc"]
    assert whole.size == (200, 200)
    assert whole.swept.columns == ["clip", "init.scale", "optimizer.lr", "seed"]
    assert whole.outcomes["last_loss"].to_list() == [
        loss for each in alone for loss in each.outcomes["last_loss"].to_list()
    ]
    assert whole.outcomes["clip"].to_list() == ["none"] * 64 + ["norm"] * 64 + ["none"] * 72
    assert {arm.name for arm in whole.arms} == {
        arm.name if "clip" in arm.name else f"clip={clip} {arm.name}"
        for clip, each in zip(("none", "norm", "none"), alone, strict=True)
        for arm in each.arms
    }


def test_a_run_of_two_packed_sweeps_counts_once(windows, tmp_path):
    for name in "ab":
        shutil.copytree(windows / "a", tmp_path / name)
    found = read_runs(tmp_path)
    assert found.left_out == ("64 runs left out: another run has its settings and seed",)
    assert found.lost == ()
    assert found.size == (64, 64)
    assert len(found.outcomes) == 64


@pytest.mark.slow
def test_windows_are_those_that_were_typed(windows, tmp_path, monkeypatch):
    """Also if some runs have not ended; sweeps that make no map are no window."""
    monkeypatch.chdir(tmp_path)
    for name in "ac":
        shutil.copytree(windows / name, tmp_path / name)
    words = ["-m", "experiment=map_sgd", "model=rnn", "model.hidden_size=4", "batch_size=4"]
    words += ["steps=20", "eval_batches=1"]
    half = ["optimizer.lr=logspace(1,10,8)", "init.scale=linspace(1,2,8)", "clip=norm"]
    assert train([*words, *half, "fleet_size=32", "hydra.sweep.dir=b"]) == 0
    assert train([*words, "optimizer.lr=1,2", "hydra.sweep.dir=d"]) == 0
    (tmp_path / "b/packed/0000032.safetensors").unlink()
    found = by_window(read_runs(tmp_path))
    sizes = [sum(len(rows) for _, rows in own.sweeps) for own in found.values()]
    assert sizes == [72, 64 + 32, 2]
    assert [*found][1].startswith("Window 2: optimizer.lr 1 to 10")
    assert [*found][2] == "Other runs"
    assert not any("settings and seed" in line for own in found.values() for line in own.left_out)
    shutil.copytree(windows / "a", tmp_path / "e")
    again = by_window(read_runs(tmp_path))
    told = [[line for line in own.left_out if "settings and" in line] for own in again.values()]
    assert told == [[], ["64 runs left out: another run has its settings and seed"], []]
