"""The effects of interventions on spikes: made-up worlds whose answers are known."""

import json
import os
import shutil
from dataclasses import replace
from functools import cache
from itertools import product
from types import SimpleNamespace

import numpy as np
import polars
import pytest
from scipy.stats import binom

from hw2exp.config.command_line import read
from hw2exp.fleet.fleet import Fleet
from hw2exp.records.arms import Arm, Run
from hw2exp.records.moments import (
    BRANCH,
    BRANCHES_FILE,
    HAPPENS,
    LEAST_NOISE,
    NOTHING,
    PLACEBOS,
    RUN,
    Family,
    write_moments,
)
from hw2exp.records.runs import read_runs
from hw2exp.report.__main__ import main
from hw2exp.report.branches import ArmBranches, read_tried
from hw2exp.report.claim import Evidence, Finding
from hw2exp.report.claims import judge
from hw2exp.report.dose_response import FAMILIES, dose_response
from hw2exp.report.effects import MAIN, OTHER_DATA, effects
from hw2exp.report.lasting import lasting
from hw2exp.report.trade_off import at_once_and_lasting
from hw2exp.whatif import choices

CLIP, FREE = "clip=norm clip.max_norm=1", PLACEBOS[Family.NORM]
SPIKES = [(60, 63), (90, 92)]
QUIET = [(70, 73), (80, 82)]


def row(moment, do, happens, **more):
    """A branch, made up."""
    kind = Family.NORM if do.startswith("clip=norm") and do != FREE else Family.PLACEBO
    outcome = "happens" if happens else "prevented"
    own = {"moment": moment, "number": 1, "start": 60, "end": 63, "stage": 0.5, "lead": 10}
    own |= {"do": do, "kind": str(kind), "outcome": outcome, "spikes": 1}
    own |= {"steps": 60, "diverged": False, "test_loss": 0.1, "test_accuracy": 1.0, "solved": True}
    return own | more


def table(rows):
    return polars.DataFrame(rows, schema=BRANCH)


@cache
def config():
    return read(["model=rnn"]).jobs[0].config


def arm(name="all runs"):
    return Arm(name, {0: Run(None, config(), SimpleNamespace(step=200))})


def tried(runs, name="all runs"):
    """An arm of runs, a list of rows each."""
    frames = [table(rows).with_columns(seed=polars.lit(seed)) for seed, rows in enumerate(runs)]
    return ArmBranches(arm(name), polars.concat(frames))


def moments(kind, count, **do_hit):
    """Rows of moments of a run: whether each intervention changed what happened, by its words."""
    rows = []
    for number in range(1, count + 1):
        for do, hits in {NOTHING: [False] * count, **do_hit}.items():
            happens = hits[number - 1] != (kind == "spike")
            rows.append(row(kind, do, happens, number=number, start=60 + number))
    return rows


def run_of(spikes, quiet):
    """A run's rows: for each intervention the spikes that it takes away and those it provokes."""
    counts = [len(next(iter(hits.values()))) for hits in (spikes, quiet)]
    return [*moments("spike", counts[0], **spikes), *moments("quiet", counts[1], **quiet)]


def effect_of(runs, do=CLIP):
    (found,) = (each for each in effects([tried(runs)]) if each.do == do)
    return found


def test_an_intervention_that_prevents_all_and_provokes_none():
    none, everything = [False] * 5, [True] * 5
    run = run_of({CLIP: everything, FREE: none}, {CLIP: none, FREE: none})
    found = effect_of([run] * 10)
    assert (found.runs, found.spikes, found.quiet, found.placebo) == (10, 50, 50, FREE)
    assert found.gone.value == found.prevented.value == found.effect.value == 1
    assert found.provoked.value == 0
    assert found.effect.pvalue < 0.05
    assert 0.8 < found.effect.low < 1  # not even of 50 alike is it known that all are


def random_run(rng, gone, provoked, count=6):
    """A run in which each intervention acts by chance; its spikes have much in common."""
    luck = rng.uniform(0, 2)

    def hits(shares):
        return {do: (rng.random(count) < luck * share).tolist() for do, share in shares.items()}

    return run_of(hits(gone), hits(provoked))


def test_one_that_provokes_as_many_as_it_prevents_has_no_effect():
    rng = np.random.default_rng(3)
    both = {CLIP: 0.3, FREE: 0.0}
    found = effect_of([random_run(rng, both, both) for _ in range(12)])
    assert found.gone.low > 0.1
    assert found.provoked.low > 0.05
    assert found.effect.low < 0 < found.effect.high
    assert found.effect.pvalue > 0.05


def test_one_that_does_what_its_placebo_does_has_no_effect():
    rng = np.random.default_rng(4)
    worlds = 50
    dos = CLIP, "clip=norm clip.max_norm=9", FREE
    shares = dict.fromkeys(dos, 0.3), dict.fromkeys(dos, 0.1)

    def least():
        found = effects([tried([random_run(rng, *shares) for _ in range(8)])])
        return min(each.effect.pvalue for each in found if each.kind == Family.NORM)

    false = sum(least() < 0.05 for _ in range(worlds))
    assert false <= binom.ppf(0.999, worlds, 0.05)


def test_the_numbers_are_those_counted_by_hand():
    rng = np.random.default_rng(5)
    gone, provoked = {CLIP: 0.6, FREE: 0.2}, {CLIP: 0.3, FREE: 0.1}
    runs = [random_run(rng, gone, provoked, count) for count in (2, 7, 4, 9, 3, 5)]

    def share(kind, do):
        rows = [each for run in runs for each in run if (each["moment"], each["do"]) == (kind, do)]
        return sum((each["outcome"] in HAPPENS) != (kind == "spike") for each in rows) / len(rows)

    found = effect_of(runs)
    net = [share(kind, CLIP) - share(kind, FREE) for kind in ("spike", "quiet")]
    assert found.gone.value == pytest.approx(share("spike", CLIP))
    assert found.provoked.value == pytest.approx(share("quiet", CLIP))
    assert [found.net_gone.value, found.net_provoked.value] == pytest.approx(net)
    assert found.effect.value == pytest.approx(net[0] - net[1])


def test_spikes_that_are_gone_need_not_be_prevented():
    rows = run_of({CLIP: [True] * 4}, {CLIP: [False] * 4})
    late = [each | {"outcome": "delayed"} if each["number"] < 4 else each for each in rows]
    found = effect_of([late] * 3)
    assert (found.gone.value, found.prevented.value) == (1, 0.25)
    assert found.net_prevented == found.prevented
    assert found.placebo == NOTHING  # the placebo was not tried


def test_runs_are_what_counts_not_spikes():
    """Of 20 spikes each, two runs lose all: by sign patterns of two runs p is 1/2."""
    none = [False] * 20
    struck, spared = (run_of({CLIP: [hit] * 20}, {CLIP: none}) for hit in (True, False))
    found = effect_of([struck, struck, *[spared] * 6])
    assert found.effect.pvalue_alone == 0.5
    assert found.effect.low <= 0


def test_without_quiet_moments_an_effect_is_unknown():
    found = effect_of([moments("spike", 3, **{CLIP: [True] * 3})] * 4)
    assert found.gone.value == 1
    assert np.isnan(found.effect.value)
    assert found.effect.pvalue == 1


def steps(start, without, with_cure, do=CLIP, **more):
    known = {"number": 0, "start": start, "lead": 0, "steps": 1000}
    return [
        row("step", NOTHING, True, **known, spikes=without),
        row("step", do, True, **known | {"spikes": with_cure} | more),
    ]


def test_a_cure_that_adds_spikes_adds_them():
    runs = [[*steps(1, n, n + 10), *steps(501, n, n)] for n in range(8)]
    first, second = lasting([tried(runs)])
    assert (first.start, first.seeds, first.spikes.value, first.verdict) == (1, 8, 10, "more")
    assert first.without.value == 3.5
    assert (second.start, second.spikes.value, second.verdict) == (501, 0, "undecided")


def test_of_a_cure_that_diverges_spikes_decide_nothing():
    runs = [steps(1, 5, 0, steps=9 * n, diverged=True, solved=False) for n in range(8)]
    (found,) = lasting([tried(runs)])
    assert (found.verdict, found.diverged.value, found.ends_solved.value) == ("more diverge", 1, -1)
    assert not found.comparable


def test_claims_have_both_numbers():
    """Clipping prevents every spike that is about to happen, and makes more if it stays on."""
    none, everything = [False] * 3, [True] * 3
    free = {FREE: none, OTHER_DATA: none}
    run = run_of({CLIP: everything, **free}, {CLIP: none, **free})
    found = [tried([[*run, *steps(1, 2, 9)]] * 8)]
    evidence = Evidence([], (), effects(found), lasting(found))
    claims = {claim.words: own for claim, (own,) in judge(evidence, ["1.3 (a)", "1.3 (c)"])}
    at_once = claims["Clipping prevents spikes about to happen"]
    stays = claims["Clipping that stays on takes spikes away"]
    assert (at_once.setting, at_once.finding) == (f"rmsprop {CLIP}", Finding.SUPPORTED)
    against = "100 % prevented, +100 points [+86 points, +100 points] against other data"
    assert at_once.numbers == f"rnn +100 points* (100 % less 0 %; {against})"
    assert (stays.finding, stays.numbers) == (Finding.REFUTED, "rnn +7.0* from step 1")
    (causes,) = (own for words, own in claims.items() if "exploding" in words)
    assert causes.finding is Finding.SUPPORTED
    assert "100 % [86 %, 100 %] are prevented; with other data 0 % and 0 %" in causes.numbers
    assert "a spike is provoked at 0 %" in causes.numbers
    assert causes.numbers.endswith("if it stays on, spikes per 1,000 steps +7.0* from step 1")


def test_claims_are_about_runs_without_cures():
    run = run_of({CLIP: [True] * 3}, {CLIP: [False] * 3})
    found = effects([tried([run] * 8)])
    cured = Arm("cured", {0: Run(None, read(["clip=value"]).jobs[0].config, None)})
    assert judge(Evidence([], (), found), ["1.3 (a)"])
    assert not judge(Evidence([], (), [replace(each, arm=cured) for each in found]), ["1.3 (a)"])


@pytest.mark.parametrize(("outcome", "finding"), [("earlier", False), ("prevented", True)])
def test_spikes_that_come_at_other_steps_are_not_prevented(outcome, finding):
    """That they don't happen then decides on their data alone, not on what they come from."""
    others, none = f"{OTHER_DATA} around=2", [False] * 2
    run = run_of({CLIP: [True] * 2, others: [True] * 2}, {CLIP: none, others: none})
    elsewhere = [
        each | {"outcome": outcome} if each["outcome"] not in HAPPENS else each for each in run
    ]
    evidence = Evidence([], (), effects([tried([elsewhere] * 8)]))
    found = {claim.part: own for claim, (own,) in judge(evidence, ["1.3 (a)", "PaLM, 5.1"])}
    assert found["PaLM, 5.1"].finding is Finding.SUPPORTED
    assert found["1.3 (a)"].finding is (Finding.SUPPORTED if finding else Finding.REFUTED)


def test_the_interventions_that_are_tried_have_kinds_and_placebos():
    dos = set()
    for optimizer in ("sgd", "rmsprop", "adam"):
        found = choices.shipped(Fleet([read([f"optimizer={optimizer}"]).jobs[0].config]))[0]
        own = {each.do for each in found}
        assert {PLACEBOS[Family(each.kind)] for each in found} <= {*own, NOTHING}
        dos |= own
    assert set(MAIN) <= dos
    families = {do for do in dos if do.startswith(tuple(FAMILIES))}
    assert {each.kind for each in found if each.do in families} == {
        *(Family.NORM, Family.RATE, Family.MOMENTS, Family.PLACEBO)
    }


def write(folder, rows, spikes=SPIKES):
    """Give a run branches and spikes."""
    (folder / "whatif").mkdir()
    path = folder / "result.json"
    digest = json.loads(path.read_text())["metrics_sha256"]
    write_moments(folder / "whatif" / BRANCHES_FILE, table(rows), {RUN: digest})
    made = [
        {"step": start, "start": start, "end": end, "loss": 2.0, "median": 1.0}
        | {"above_initial": True, "after_explosion": False}
        for start, end in spikes
    ]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"spikes": made}))


def of_run(rng):
    """The rows of a run with ``SPIKES``: some interventions from two leads, and two cures."""
    dos = {NOTHING: 0.0, FREE: 0.0, CLIP: 0.7, "clip=norm clip.max_norm=0.1": 0.9}
    kinds = {OTHER_DATA: (0.5, Family.DATA), "lr*0.1": (1.0, Family.RATE)}
    kinds |= {do: (share, None) for do, share in dos.items()}
    rows = []
    for kind, places in (("spike", SPIKES), ("quiet", QUIET)):
        for number, (start, end) in enumerate(places, 1):
            for lead, (do, (share, family)) in product((10, 2), kinds.items()):
                hit = rng.random() < share * (1 if kind == "spike" else 0.1)
                own = {"number": number, "start": start, "end": end, "lead": lead}
                own |= {"kind": str(family)} if family else {}
                rows.append(row(kind, do, hit != (kind == "spike"), **own))
    return [*rows, *steps(1, 3, int(rng.integers(9, 12))), *steps(51, 3, int(rng.integers(3, 6)))]


@pytest.fixture
def runs(sweep, tmp_path):
    """Eight runs without cures, of two models, with branches."""
    folder, rng = tmp_path / "runs", np.random.default_rng(1)
    for path in sorted(sweep.iterdir()):
        if path.name.isdigit() and "clip=none" in (path / ".hydra/overrides.yaml").read_text():
            shutil.copytree(path, folder / path.name)
            write(folder / path.name, of_run(rng))
    return folder


def page_of(folder, out, figures, arms):
    """The page of a chapter of nothing else."""
    plan = f"{{folder: runs, title: y, claims: true, figures: {figures}, arms: {arms}}}"
    (folder / "report.yaml").write_text(f"{{title: x, chapters: [{plan}]}}")
    assert main([str(folder), "--out", str(out)]) == 0
    return (out / "report.html").read_text()


@pytest.mark.slow
def test_the_report_shows_tables_and_figures(runs, tmp_path):
    page = page_of(tmp_path, tmp_path / "out", "[effects]", "true")
    table = polars.read_csv(tmp_path / "out" / "runs" / "effects.csv")
    of_data = table.filter(polars.col("do") == OTHER_DATA)
    assert of_data.select("arm", "lead").n_unique() == of_data.height == 4
    assert of_data["spikes"].unique().to_list() == [8]
    stays = polars.read_csv(tmp_path / "out" / "runs" / "lasting.csv")
    assert stays.select("from_step", "seeds").unique().sort("from_step").rows() == [(1, 4), (51, 4)]
    assert page.count("<img") == 2
    assert "What would have prevented spikes" in page
    assert "At once and in the long run" in page
    assert '<table id="effects" class="sortable">' in page
    assert '<table id="lasting" class="sortable">' in page
    assert "Clipping that stays on takes spikes away" in page


def test_a_plan_can_leave_them_out(runs, tmp_path):
    page = page_of(tmp_path, tmp_path / "out", "[]", "false")
    assert "<img" not in page
    assert "<h3>Interventions</h3>" not in page


def test_without_branches_the_page_says_nothing_of_them(runs, tmp_path):
    for path in runs.glob("*/whatif"):
        shutil.rmtree(path)
    page = page_of(tmp_path, tmp_path / "out", "[effects]", "true")
    assert "<img" not in page
    assert "<h3>Interventions</h3>" not in page
    assert "Clipping that stays on" not in page
    assert not list((tmp_path / "out").rglob("effects*"))


def forged(run, **columns):
    rewritten(run, lambda frame: frame.with_columns(**columns))


def kept(run, condition):
    rewritten(run, lambda frame: frame.filter(condition))


def rewritten(run, change, digest=None):
    """Change a table that still says to be of the run, or of one with another digest."""
    path = run / "whatif" / BRANCHES_FILE
    own = json.loads((run / "result.json").read_text())["metrics_sha256"]
    write_moments(path, change(polars.read_parquet(path)), {RUN: digest or own})


COL = polars.col
DAMAGE = {
    "cut off": lambda run: os.truncate(run / "whatif" / BRANCHES_FILE, 100),
    "pipe": lambda run: (
        (run / "whatif" / BRANCHES_FILE).unlink(),
        os.mkfifo(run / "whatif" / BRANCHES_FILE),
    ),
    "numbers as text": lambda run: forged(run, lead=COL("lead").cast(str)),
    "numbers too large": lambda run: forged(run, lead=polars.lit(2**64 - 1, polars.UInt64)),
    "another run": lambda run: rewritten(run, lambda frame: frame, "0" * 64),
    "another kind": lambda run: forged(run, kind=polars.lit("prayer")),
    "another moment": lambda run: forged(run, moment=polars.lit("noon")),
    "after its spike": lambda run: forged(run, lead=-COL("lead")),
    "less than no steps": lambda run: forged(run, steps=polars.lit(-1)),
    "steps after the run's last": lambda run: forged(run, start=COL("start") + 1_000),
    "spikes of another run": lambda run: forged(run, start=COL("start") + 1),
    "branches twice": lambda run: forged(run, do=COL("do").str.replace("=0.1", "=1")),
    "without the run itself": lambda run: kept(run, (COL("do") != NOTHING) | (COL("lead") == 2)),
    "another than the run itself": lambda run: forged(
        run,
        outcome=polars.when((COL("do") == NOTHING) & (COL("number") == 2))
        .then(polars.lit("prevented"))
        .otherwise(COL("outcome")),
    ),
}  # fmt: skip


@pytest.mark.nightly
def test_branches_that_fit_no_run_are_left_out_with_a_line(runs):
    found, notes = read_tried(read_runs(runs).arms)
    assert ([each.branches["seed"].n_unique() for each in found], notes) == ([4, 4], [])
    assert len(DAMAGE) > 8
    damaged = sorted(path for path in runs.iterdir() if path.is_dir())[0]
    whole = (damaged / "whatif" / BRANCHES_FILE).read_bytes()
    for kind, damage in DAMAGE.items():
        (damaged / "whatif" / BRANCHES_FILE).unlink()
        (damaged / "whatif" / BRANCHES_FILE).write_bytes(whole)
        damage(damaged)
        found, notes = read_tried(read_runs(runs).arms)
        assert sorted(each.branches["seed"].n_unique() for each in found) == [3, 4], kind
        assert notes == ["branches of 1 run left out: can't be read, or not of this run"], kind


def test_words_of_others_break_no_figure(tmp_path):
    words = ["lr*$", "clip=norm clip.max_norm=$\\frac", "params~1e999", "a" * 300, "lr*0.5*2"]
    rows = run_of({do: [True, False] for do in words}, {do: [False, True] for do in words})
    rows += [each for do in words for each in steps(1, 1, 2, do)][: len(words) * 2]
    rows = [each for place, each in enumerate(rows) if each not in rows[:place]]
    asked = [each | {"kind": Family.OWN} if each["do"] in words else each for each in rows]
    found = [tried([asked] * 3)]
    for name, figure in (
        ("doses", dose_response(effects(found))),
        ("both", at_once_and_lasting(effects(found), lasting(found))),
    ):
        figure.savefig(tmp_path / f"{name}.png")


def test_without_its_placebo_an_intervention_is_net_of_the_least_noise():
    """Clipping and the least noise both take all spikes away, so clipping has no effect."""
    none, everything = [False] * 3, [True] * 3
    rows = run_of({CLIP: everything, LEAST_NOISE: everything}, {CLIP: none, LEAST_NOISE: none})
    (each,) = (own for own in effects([tried([rows] * 8)]) if own.do == CLIP)
    assert (each.placebo, each.net_gone.value, each.effect.value) == (LEAST_NOISE, 0.0, 0.0)


def test_a_placebo_of_some_runs_alone_is_not_used():
    """All spikes count, also those of the runs without it."""
    none, everything = [False] * 3, [True] * 3
    some = run_of({CLIP: none, FREE: none}, {CLIP: none, FREE: none})
    others = run_of({CLIP: everything}, {CLIP: none})
    (each,) = (own for own in effects([tried([some] * 4 + [others] * 4)]) if own.do == CLIP)
    assert (each.placebo, each.spikes, each.gone.value) == (NOTHING, 24, 0.5)


def test_what_prevents_no_more_than_other_data_is_not_shown_to_prevent():
    free = {FREE: [False] * 3}
    run = run_of(
        {CLIP: [True] * 3, OTHER_DATA: [True] * 3, **free},
        {CLIP: [False] * 3, OTHER_DATA: [False] * 3, **free},
    )
    evidence = Evidence([], (), effects([tried([run] * 8)]), [])
    claims = {claim.words: own for claim, own in judge(evidence, ["1.3 (c)"])}
    (at_once,) = claims["Clipping prevents spikes about to happen"]
    assert at_once.finding is Finding.UNDECIDED
