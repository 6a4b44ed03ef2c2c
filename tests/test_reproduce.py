"""The study, at a size of seconds."""

import sys
from dataclasses import replace
from pathlib import Path

import polars
import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(scope="module")
def study():
    """The script and its parts."""
    sys.path.insert(0, str(SCRIPTS))
    import reproduce
    from study import cures, profiles

    yield reproduce, cures, profiles
    sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def tiny(study):
    _, _, profiles = study
    return replace(
        profiles.QUICK,
        models=("rnn", "gated_rnn"),
        cures=("none", "clip", "clip_cosine"),
        seeds=3,
        rates={"rmsprop": (1e-3, 1e-2)},
        tuning_seeds=2,
        notebook_seeds=2,
        brake_seeds=2,
        reach_seeds=1,
        pascanu_lengths=(10, 12, 14),
        pascanu_steps=20,
        pascanu_seeds=2,
        hochreiter_seeds=2,
        spikes=2,
        overrides=("steps=62", "eval_every=31", "eval_batches=1", "workers=2", "plot=false"),
    )


def digests(folder):
    return {
        path.parent: polars.read_json(path)["metrics_sha256"][0]
        for path in sorted(folder.rglob("result.json"))
    }


@pytest.mark.nightly
def test_rates_are_tuned_arms_run_and_a_page_is_made(study, tiny, tmp_path, capsys):
    script, _, _ = study
    script.reproduce(tiny, tmp_path, ["tune", "cures"])
    rates = polars.read_csv(tmp_path / "rates.csv")
    chosen = {(model, cure): lr for model, cure, lr in rates.select("model", "cure", "lr").rows()}
    assert set(chosen) == {(model, cure) for model in tiny.models for cure in tiny.cures}
    arms = polars.read_csv(tmp_path / "report" / "cures" / "runs.csv")
    tried = set(arms.select("model", "clip", "schedule", "optimizer.lr").unique().rows())
    for model in tiny.models:
        plain = chosen[model, "none"]
        assert (model, "none", "constant", plain) in tried
        assert (model, "norm", "cosine", plain) in tried
        assert (model, "norm", "cosine", chosen[model, "clip_cosine"]) in tried
    assert set(arms["seed"]) == {0, 1, 2}
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Cures on trial</h2>" in page
    assert "Learning rates</h2>" in page
    assert "The quick profile" in page
    assert "Pascanu, Mikolov & Bengio 2013, figure 7</h2>" not in page  # not run yet

    # Once more: nothing is trained, what is missing is.
    before = digests(tmp_path)
    gone = next(iter(before)) / "result.json"
    gone.unlink()
    tables = {path: path.read_bytes() for path in (tmp_path / "report").rglob("*.csv")}
    capsys.readouterr()
    script.reproduce(tiny, tmp_path, ["tune", "cures"])
    assert capsys.readouterr().out.count("jobs have their result") >= 4
    assert digests(tmp_path) == before
    assert {path: path.read_bytes() for path in tables} == tables


def tuned(cures, monkeypatch, solved, losses):
    """The choice among the rates 0.001, 0.01 and so on, by shares solved and test losses."""
    from types import SimpleNamespace

    arms = [
        SimpleNamespace(
            model="rnn",
            optimizer="sgd",
            rate=10.0**power,
            cures="clip=norm",
            runs=dict.fromkeys(range(4)),
            measured=SimpleNamespace(
                solved=SimpleNamespace(value=share), test_loss=SimpleNamespace(value=loss)
            ),
        )
        for power, (share, loss) in enumerate(zip(solved, losses, strict=True), -3)
    ]
    # Read in another order than that of the rates: "0.01" before "0.001".
    monkeypatch.setattr(cures, "read_runs", lambda folder: SimpleNamespace(arms=arms[::-1]))
    monkeypatch.setattr(cures, "measure", lambda arm: arm.measured)
    return cures.chosen(Path())


@pytest.mark.parametrize(
    ("solved", "losses", "best"),
    [((0.5, 1), (0.1, 0.2), 0.01), ((1, 1), (0.1, 0.2), 0.001), ((0, 0), (1.4, 1.3), 0.01)],
)
def test_the_rate_at_which_most_runs_solve_is_the_best(study, monkeypatch, solved, losses, best):
    ((key, choice),) = tuned(study[1], monkeypatch, solved, losses).items()
    assert (key, choice.rate) == (("rnn", "sgd", "clip"), best)


@pytest.mark.parametrize(
    ("solved", "row", "note"),
    [
        ((0.25, 1, 0.5), "0.01,1,4,", ""),
        ((1, 0.5, 0), "0.001,1,4,lowest", "lowest rate of the grid: widen it"),
        ((0, 0.5, 0.75), "0.1,0.75,4,highest", "highest rate of the grid: widen it"),
        ((0, 0, 0), "0.001,0,4,lowest", "none solves"),
    ],
)
def test_the_table_of_rates_says_where_the_best_is_at_the_edge(
    study, monkeypatch, tmp_path, solved, row, note
):
    _, cures, _ = study
    choices = tuned(cures, monkeypatch, solved, (0.1, 0.2, 0.3))
    assert [choice.note for choice in choices.values()] == [note]
    cures.write(choices, tmp_path / "rates.csv")
    table = (tmp_path / "rates.csv").read_text()
    assert table == f"model,optimizer,cure,lr,solved,runs,edge\nrnn,sgd,clip,{row}\n"


def test_the_published_curve_is_studied_on_other_seeds_than_the_reference(study, monkeypatch):
    from study import others

    asked = []
    monkeypatch.setattr(others, "sweep", lambda folder, *words: asked.append(words))
    reference = polars.read_csv(SCRIPTS.parent / "docs" / "study" / "notebook" / "reference.csv")
    for profile in (study[2].QUICK, study[2].FULL):
        others.notebook(profile, Path("study"))
        (words,) = (word for word in asked.pop() if word.startswith("seed="))
        own = range(*map(int, words.removeprefix("seed=range(").removesuffix(")").split(",")))
        assert len(own) == profile.notebook_seeds
        assert not set(own) & set(reference["seed"])


@pytest.mark.nightly
def test_every_experiment_of_a_cure_has_its_label(study, compose):
    from hw2exp.records.arms import Arm, Run

    _, cures, profiles = study
    for label, name in cures.ARMS.items():
        config = compose(f"experiment=cure_{name}", "model=attn_rnn", "optimizer=sgd")
        assert Arm("", {0: Run(Path(), config, None)}).cures == label
        assert config.steps == 2000
    for profile in (profiles.QUICK, profiles.FULL):
        assert {*profile.cures, *profile.attention_cures} <= set(cures.ARMS.values())


def test_every_cure_of_the_study_has_a_partner_without(study, compose):
    """All else is equal, also what a cure's own file sets; but for what is listed, nothing is."""
    from hw2exp.records.arm_pairs import references
    from hw2exp.records.arms import Run, gather

    _, cures, _ = study
    shared = "model=attn_rnn", "optimizer=sgd"
    plain = [
        Run(Path(), compose("experiment=cure_none", *shared, *rest), None)
        for rest in ((), *([each] for each in cures.BESIDES.values()))
    ]
    cured = [
        Run(Path(), compose(f"experiment=cure_{name}", *shared), None)
        for name in cures.ARMS.values()
        if name != "none"
    ]
    pairs = references(gather([*plain, *cured])[0])
    assert len(pairs) == len(cured)
    without = references(gather([plain[0], *cured])[0])
    lonely = {arm.cures for arm, _ in pairs} - {arm.cures for arm, _ in without}
    assert {cures.ARMS[each] for each in lonely} == set(cures.BESIDES)


@pytest.mark.slow
def test_cures_can_be_tried_at_the_rate_without_alone(study, tiny, tmp_path):
    script, _, _ = study
    script.reproduce(replace(tiny, models=("rnn",), own_rates=False), tmp_path, ["tune", "cures"])
    chosen = polars.read_csv(tmp_path / "rates.csv")
    assert chosen["cure"].to_list() == ["none"]
    runs = polars.read_csv(tmp_path / "report" / "cures" / "runs.csv")
    assert runs["optimizer.lr"].unique().to_list() == chosen["lr"].to_list()
    assert len(runs) == 3 * len(tiny.cures)


@pytest.mark.nightly
def test_every_part_runs(study, tiny, tmp_path):
    script, _, _ = study
    script.reproduce(tiny, tmp_path, [part for part in script.PARTS if part != "reach"])
    page = (tmp_path / "report" / "report.html").read_text()
    for title in ("The published curve", "experiment 6a", "figure 7", "Why clipping"):
        assert title in page
    assert (tmp_path / "report" / "pascanu" / "lengths.png").exists()
    assert (tmp_path / "report" / "notebook" / "published.png").exists()


@pytest.mark.nightly
def test_interventions_are_tried_on_the_spikes_of_each_setting(study, tiny, tmp_path, capsys):
    script, _, _ = study
    words = [word for word in tiny.overrides if not word.startswith("steps")]
    low = "spikes.margin=0.02", "spikes.deviations=1"  # so that noise has spikes
    spiky = replace(
        tiny, models=("rnn",), rates={"rmsprop": (3e-2,)}, overrides=("steps=200", *low, *words)
    )
    script.reproduce(spiky, tmp_path, ["tune", "whatif"])
    tables = list(tmp_path.glob("whatif/rnn_rmsprop/*/whatif/branches.parquet"))
    assert len(tables) == spiky.seeds
    rows = polars.concat(map(polars.read_parquet, tables))
    own = rows.filter(polars.col("do") == "nothing", polars.col("moment") == "spike")
    assert len(own) > 0
    assert own["outcome"].is_in(["happens", "worse"]).all()
    assert {"optimizer.alpha=0.9", "params~1e-6", "lr*0.5"} <= set(rows["do"])
    capsys.readouterr()
    script.reproduce(spiky, tmp_path, ["whatif"])
    assert "0 runs to survey, 3 as they are" in capsys.readouterr().out
