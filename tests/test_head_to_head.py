"""The script that compares every cure with none, at a size of seconds."""

import sys
from pathlib import Path

import polars
import pytest
from PIL import Image

from hw2exp.config.command_line import read

SCRIPTS = Path(__file__).parents[1] / "scripts"
GROUPS = ("clip", "norm", "regularizer", "schedule")


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(SCRIPTS))
    import head_to_head

    yield head_to_head
    sys.path.remove(str(SCRIPTS))


@pytest.mark.nightly
def test_every_cure_composes_and_has_the_same_budget(script):
    names = set()
    for model, optimizer in (("attn_rnn", "adam"), ("rnn", "sgd")):
        for name, cure in script.cures_of(model, optimizer):
            if name in names:
                continue
            words = script._last([f"model={model}", f"optimizer={optimizer}", *cure.words.split()])
            jobs = read(["-m", *words, *script._grid(script.FULL, cure, optimizer)]).jobs
            assert len(jobs) == script.FULL.budget * script.FULL.tuning_seeds, name
            names.add(name)
    assert names == set(script.CURES)


@pytest.mark.nightly
def test_cures_are_tuned_compared_and_resumed(script, tmp_path, monkeypatch, capsys):
    kept = {name: script.CURES[name] for name in ("none", "clip norm", "StableAdamW")}
    for module in (script, sys.modules["study.head_to_head"]):
        monkeypatch.setattr(module, "CURES", kept)
    monkeypatch.setattr(script, "OPTIMIZERS", {"adam": (1e-3, 1e-1)})
    short = ("task=easy", "steps=30", "batch_size=8", "eval_every=10", "eval_batches=1",
             "check_initial_loss=off", "plot=false", "records=packed")  # fmt: skip
    monkeypatch.setattr(script, "RUNS", short)
    monkeypatch.setattr(script, "QUICK", script.Profile(("rnn",), 4, 6, 1, (0.5, 1.0)))
    for _ in range(2):
        words = ["head_to_head", "--out", str(tmp_path / "out"), "--docs", str(tmp_path / "docs")]
        monkeypatch.setattr(sys, "argv", words)
        assert script.main() == 0
    assert capsys.readouterr().out.count("6 of 6 jobs have their result") == 3
    table = polars.read_csv(tmp_path / "docs" / "head_to_head.csv")
    assert table["cure"].to_list() == list(kept)
    assert table["solved_less_none"].null_count() == 1  # that of none
    assert table["lr_sensitivity"].is_not_null().all()
    lines = (tmp_path / "docs" / "head_to_head.md").read_text().splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:]] == [
        ["| clip norm", "1"],
        ["| StableAdamW", "1"],
    ]
    with Image.open(tmp_path / "docs" / "head_to_head.png") as picture:
        assert picture.width > 400


def test_a_row_is_the_mean_over_settings_of_independent_differences(script):
    from study.head_to_head_table import markdown

    def row(optimizer, cure, slowdown, **differences):
        found = {
            "model": "rnn",
            "optimizer": optimizer,
            "cure": cure,
            "slowdown": slowdown,
            "edge": "upper" * (slowdown > 1),
        }
        for measured in script.COMPARED:
            values = differences.get(measured, (0.0, 0.0, 0.0, "undecided"))
            ends = (f"{measured}_{end}" for end in ("less_none", "low", "high", "verdict"))
            found |= dict(zip(ends, values, strict=True))
        return found

    rows = [
        row("sgd", "none", 1.0),
        row("adam", "none", 1.0),
        row("sgd", "clip", 2.0, spikes=(-2.0, -5.0, -1.0, "less"), solved=(0.5, 0.2, 0.6, "more")),
        row("adam", "clip", 8.0, spikes=(4.0, 0.0, 4.0, "more")),
    ]
    clip = markdown(rows).splitlines()[2].replace("\N{NO-BREAK SPACE}", " ")
    assert "| +1.00 [−1.50, +1.50]; 1 / 1 |" in clip  # (3² + 4²)½ / 2 below
    assert "| +25.0 [+10.0, +30.0]; 1 / 0 |" in clip
    assert clip.endswith("| × 4.0 | 2 |")  # of 2 and 8
