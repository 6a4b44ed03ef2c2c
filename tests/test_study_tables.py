"""The documentation's page on the study is what the script makes of the CSV files."""

import csv
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "docs" / "study"
PAGE = (ROOT / "docs" / "study" / "index.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def scripts():
    """The script, its tables and its sentences."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import study_tables
    from study import sentences, tables

    yield study_tables, tables, sentences
    sys.path.remove(str(ROOT / "scripts"))


def test_the_readme_has_what_the_script_makes(scripts):
    script, _, _ = scripts
    places = [name for _, name, _ in script.PLACE.findall(PAGE)]
    assert places == list(script.BLOCKS)
    assert script.filled(PAGE, STUDY) == PAGE
    assert all(make(STUDY) for make in script.BLOCKS.values())


@pytest.mark.parametrize(
    ("verdict", "comparable", "cell"),
    [
        ("fewer", "true", "−1.2*"),
        ("more", "true", "−1.2*"),
        ("undecided", "true", "−1.2"),
        ("undecided", "false", "+17 points diverge"),
        ("more diverge", "false", "+17 points diverge*"),
    ],
)
def test_a_star_follows_the_reports_verdict(scripts, verdict, comparable, cell):
    """Whatever the p-value of the spikes is."""
    _, tables, _ = scripts
    numbers = {"spikes_per_1000": "-1.2", "p_spikes": "0.0001", "diverged": "0.171875"}
    assert tables.spikes_cell({**numbers, "verdict": verdict, "comparable": comparable}) == cell


@pytest.fixture
def changed(tmp_path):
    """A copy of the study's tables, in which rows can be changed."""
    shutil.copytree(STUDY, tmp_path / "study", ignore=shutil.ignore_patterns("*.png"))

    def change(name, to_change, **values):
        path = tmp_path / "study" / name
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        keys = dict.fromkeys([*rows[0], *values])
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, keys)
            writer.writeheader()
            writer.writerows({**row, **values} if to_change(row) else row for row in rows)
        return tmp_path / "study"

    return change


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        (["fewer"], "takes spikes away, where that is decided: fewer in 12 of 12"),
        (["more"], "makes more spikes, where that is decided: fewer in 0 of 12, more in 12 of 12"),
        (["undecided"], "is not shown to change spikes: fewer in 0 of 12, more in 0 of 12"),
        (["fewer", "more"], "takes spikes away in some settings and makes more in others"),
    ],
)
def test_what_is_said_of_a_cure_follows_from_its_verdicts(scripts, changed, verdicts, words):
    _, _, sentences = scripts
    for verdict in verdicts:
        alone = " clip=norm norm=none schedule=constant"
        optimizer = "optimizer=adam" if verdict == verdicts[-1] and len(verdicts) > 1 else ""
        folder = changed(
            "cures/comparisons.csv",
            lambda row, words=(alone, optimizer): all(word in row["arm"] for word in words),
            verdict=verdict, comparable="true",
        )  # fmt: skip
    (line,) = (each for each in sentences.findings(folder).splitlines() if "Clipping by" in each)
    assert words in line


def test_what_is_said_of_solving_needs_decided_differences(scripts, changed):
    _, _, sentences = scripts
    values = {"solved": "-0.4", "p_solved": "0.2", "ends_solved": "-0.5", "p_ends_solved": "0.01"}
    folder = changed("cures/comparisons.csv", lambda row: True, **values)
    line = sentences.findings(folder).splitlines()[0]
    assert "no change in how many solve the task is decided" in line
    assert "of 100 runs, so many more or fewer end solved: sgd: gated_rnn −50" in line


def test_ranges_and_ratios_are_those_of_the_arms(scripts, changed):
    _, _, sentences = scripts
    columns = ("arm", "runs", "runs_with_spikes", "spikes", "above_initial", "after_explosion",
               "after_explosion_low", "after_explosion_high", "steps_after_explosion",
               "explosions", "explosions_before_spike")  # fmt: skip
    arm = "model={} optimizer=rmsprop clip=none norm=none schedule=constant optimizer.lr=1"
    rows = [
        (arm.format("rnn"), 64, 60, 500, 0.5, 0.6, 0.55, 0.65, 0.2, 100, 20),
        (arm.format("lstm"), 64, 9, 100, 0.9, 0.3, 0.2, 0.4, 0.05, 100, 1),
        (arm.format("gated_rnn"), 64, 2, 3, 0.0, 0.0, 0.0, 0.7, 0.01, 9, 0),  # too few spikes
        (arm.format("lstm") + " init.readout=zeros", 64, 64, 900, 1.0, 1.0, 1.0, 1.0, 0.1, 5, 5),
    ]
    folder = changed("cures/arms.csv", lambda row: False)
    with (folder / "cures" / "spikes.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    text = sentences.findings(folder)
    assert "30 to 60 % of them begin" in text
    assert "5 to 20 % of all steps" in text
    assert "3.0 to 6.0 times as often (2 arms" in text
    assert "shown for rnn under rmsprop, that most don't for lstm under rmsprop" in text
    assert "80 to 99 % of those in all runs" in text
    assert "50 to 90 % of the spikes" in text
    assert "gated RNN 0, 2, 0, of the LSTM 0, 9, 0" in text


def test_what_ends_solved_is_counted(scripts, changed):
    _, _, sentences = scripts
    ends = {"solved": "0.5", "ends_solved": "0.25", "runs": "64"}
    text = sentences.findings(changed("cures/arms.csv", lambda row: True, **ends))
    with (STUDY / "cures" / "arms.csv").open(encoding="utf-8") as file:
        plain = sum(
            "clip=none norm=none schedule=constant" in row["arm"] for row in csv.DictReader(file)
        )
    assert f"{16 * plain} of {32 * plain} without cures" in text


def test_explosions_are_told_of_arms_that_have_many_whatever_their_spikes(scripts, monkeypatch):
    _, tables, sentences = scripts
    kept = Path(__file__).parents[1] / "docs" / "study"
    rows = tables.plain_arms(kept, "spikes").values()
    many = [row for row in rows if int(row["explosions"]) >= sentences.MANY]
    assert any(int(row["spikes"]) < sentences.FEWEST for row in many)
    shares = [1 - int(row["explosions_before_spike"]) / int(row["explosions"]) for row in many]
    told = f"{100 * min(shares):.0f} to {100 * max(shares):.0f} % of those in all runs"
    assert told in sentences.findings(kept)
    monkeypatch.setattr(sentences, "MANY", 10**9)
    assert "No arm without cures has" in sentences.findings(kept)
