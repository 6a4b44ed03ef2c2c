import math
from dataclasses import replace

import numpy as np
import pytest

from hw2exp.config.command_line import read
from hw2exp.records.arm_pairs import references
from hw2exp.records.arms import Run, gather
from hw2exp.records.metrics import MetricsTable
from hw2exp.records.run_dir import RunResult
from hw2exp.records.runs import read_runs
from hw2exp.report.claim import Evidence, Finding
from hw2exp.report.claims import judge
from hw2exp.report.comparisons import compare
from hw2exp.report.curves import POINTS, examples, loss_band
from hw2exp.report.lengths import by_length, lengths_figure
from hw2exp.report.measures import measure
from hw2exp.report.spikes import causes


def result(
    spikes=0, above=0, solved_at=None, diverged_at=None, loss=0.1, step=1_000, initial=1.39,
    ends_solved=False,
):  # fmt: skip
    """A run's result, made up."""
    return RunResult(
        status="diverged" if diverged_at else "solved" if solved_at else "finished",
        step=diverged_at or step,
        diverged_at=diverged_at,
        solved_at=solved_at,
        initial={"loss": initial, "accuracy": 0.25},
        final={"train_loss": loss, "test_loss": loss, "test_accuracy": 0.9},
        spikes=[
            {"step": 10 * place + 60, "loss": 2.0, "above_initial": place < above}
            for place in range(spikes)
        ],
        parameters_sha256="",
        metrics_sha256="",
        seconds=1.0,
        versions={"hw2exp": "0"},
        ends_solved=ends_solved,
    )


def arms(tmp_path, made, words=("steps=1000",)):
    """Arms of made results.

    Args:
        tmp_path: where the folders would be.
        made: by overrides, the results of the seeds 0, 1, ….
        words: overrides of all.
    """
    runs = []
    for overrides, results in made.items():
        config_of_all = read([*overrides.split(), *words]).jobs[0].config
        for seed, each in enumerate(results):
            config = config_of_all.model_copy(update={"seed": seed})
            runs.append(Run(tmp_path / f"{overrides}-{seed}", config, each))
    return gather(runs)[0]


def test_the_measures_of_an_arm(tmp_path):
    made = [
        result(spikes=4, above=1, solved_at=300, loss=0.1),
        result(spikes=0, solved_at=500, ends_solved=True, loss=0.2),
        result(spikes=2, above=2, loss=0.6),
        result(spikes=1, diverged_at=100),
    ]
    (arm,) = arms(tmp_path, {"": made})
    found = measure(arm)
    assert (found.diverged.value, found.solved.value) == (0.25, 0.5)
    assert found.ends_solved.value == 0.25
    assert found.spikes.value == pytest.approx(7 / 3.1)  # 3,100 steps were made
    assert found.above_initial.value == pytest.approx(3 / 3.1)
    assert found.steps_to_solve.value == 500
    assert found.unsolved.times.tolist() == [300, 500, 1_000]
    assert found.test_loss.value == pytest.approx(0.4)
    assert found.test_loss_mean.value == pytest.approx(0.4)


def test_a_run_that_diverged_early_counts_as_unsolved_to_the_end(tmp_path):
    made = [result(diverged_at=10)] * 6 + [result(solved_at=900)] * 4
    (arm,) = arms(tmp_path, {"": made})
    assert measure(arm).steps_to_solve.value == math.inf
    assert measure(arm).test_loss.value == math.inf


def paired(tmp_path, with_clip, without):
    made = {
        "clip=none": [result(spikes=count) for count in without],
        "clip=norm": [result(spikes=count) for count in with_clip],
    }
    found = arms(tmp_path, made)
    return found, compare(references(found))


@pytest.mark.parametrize(
    ("with_clip", "without", "verdict", "finding"),
    [
        ([1] * 12, range(4, 16), "fewer", Finding.SUPPORTED),
        (range(4, 16), [1] * 12, "more", Finding.REFUTED),
        ([3, 4] * 6, [4, 3] * 6, "undecided", Finding.UNDECIDED),
    ],
)
def test_a_verdict_changes_with_its_data(tmp_path, with_clip, without, verdict, finding):
    found, (compared,) = paired(tmp_path, with_clip, without)
    assert compared.verdict == verdict
    assert compared.spikes.value == pytest.approx(np.mean(list(with_clip)) - np.mean(list(without)))
    claims = {claim.words: judged for claim, judged in judge(Evidence(found, [compared]))}
    (judged,) = claims["We can clip the gradient"]
    assert (judged.setting, judged.finding) == ("rmsprop clip=norm", finding)
    (opposite,) = claims["Clipping makes more spikes under RMSprop"]
    assert {opposite.finding, finding} in (
        {Finding.SUPPORTED, Finding.REFUTED},
        {Finding.UNDECIDED},
    )


def test_a_cure_under_which_runs_diverge_is_none(tmp_path):
    made = {
        "clip=none": [result(spikes=8 + seed % 3) for seed in range(12)],
        "clip=norm": [result(spikes=0, diverged_at=100)] * 12,
    }
    found = arms(tmp_path, made)
    (compared,) = compare(references(found))
    assert compared.spikes.value < 0
    assert compared.verdict == "more diverge"
    claims = {claim.words: judged for claim, judged in judge(Evidence(found, [compared]))}
    assert [each.finding for each in claims["We can clip the gradient"]] == [Finding.REFUTED]


def test_where_divergence_may_differ_spikes_decide_nothing(tmp_path):
    """Six of twelve diverge: corrected for three comparisons p is 0.09, alone it is 0.03."""
    plain = [result(spikes=seed % 3) for seed in range(12)]
    some = [result(spikes=90, diverged_at=900 if seed % 2 else None) for seed in range(12)]
    made = {"": plain, "clip=norm": some, "clip=value": plain, "clip=zclip": plain}
    compared = compare(references(arms(tmp_path, made)))
    assert [each.verdict for each in compared] == ["undecided"] * 3
    assert [each.comparable for each in compared] == [False, True, True]
    assert compared[0].spikes.pvalue < 0.05 < compared[0].diverged.pvalue
    alone = compare(references(arms(tmp_path, {"": plain, "clip=norm": some})))
    assert alone[0].verdict == "more diverge"


def test_who_ends_solved_is_compared_too(tmp_path):
    made = {
        "": [result(solved_at=300)] * 12,
        "clip=norm": [result(solved_at=300, ends_solved=True)] * 12,
    }
    (compared,) = compare(references(arms(tmp_path, made)))
    assert (compared.solved.value, compared.ends_solved.value) == (0, 1)
    assert compared.ends_solved.pvalue < 0.05 < compared.solved.pvalue


def test_spikes_of_runs_that_diverge_early_say_nothing(tmp_path):
    """Without clipping all diverge before they could spike; with it they live to have spikes."""
    made = {
        "clip=none": [result(diverged_at=60)] * 12,
        "clip=norm": [result(spikes=8 + seed % 3) for seed in range(12)],
    }
    found = arms(tmp_path, made)
    (compared,) = compare(references(found))
    assert compared.spikes.value > 0
    assert compared.verdict == "fewer diverge"
    claims = {claim.words: judged for claim, judged in judge(Evidence(found, [compared]))}
    assert [each.finding for each in claims["We can clip the gradient"]] == [Finding.SUPPORTED]
    (more,) = claims["Clipping makes more spikes under RMSprop"]
    assert more.finding is Finding.UNDECIDED


def test_a_cure_with_a_rate_of_its_own(tmp_path):
    """It is compared with the one arm without cures, whatever its rate, unless that is not one."""
    made = {
        "optimizer.lr=0.01": [result(spikes=8 + seed % 3) for seed in range(8)],
        "clip=norm optimizer.lr=0.01": [result(spikes=seed % 3) for seed in range(8)],
        "clip=norm optimizer.lr=0.1": [result(spikes=20 + seed % 3) for seed in range(8)],
        "schedule=cosine optimizer.lr=0.1": [result(spikes=seed % 3) for seed in range(8)],
    }
    found = compare(references(arms(tmp_path, made)))
    assert [(each.own_rate, each.verdict) for each in found] == [
        (False, "fewer"), (True, "more"), (True, "fewer"),
    ]  # fmt: skip
    assert {each.plain.rate for each in found} == {0.01}
    made["optimizer.lr=0.3"] = made["optimizer.lr=0.01"]
    assert len(references(arms(tmp_path, made))) == 1


@pytest.mark.parametrize(
    ("brought", "rest"),
    [
        ("norm=layer", ("init.readout", "zeros")),
        ("clip=norm init.scale=0.5", ("init.scale", 0.5)),
    ],
)
def test_a_cure_is_compared_where_all_else_is_equal(tmp_path, brought, rest):
    """Whatever sets it, a value outside the groups of cures must be the same on both sides."""
    made = {"": [result(spikes=9)] * 4, brought: [result(spikes=1)] * 4}
    assert references(arms(tmp_path, made)) == []
    key, value = rest
    made |= {f"{key}={value}": [result(spikes=3)] * 4, "clip=value": [result(spikes=2)] * 4}
    pairs = {cured.cures: plain for cured, plain in references(arms(tmp_path, made))}
    assert pairs.pop("clip=value").settings[key] != value
    (plain,) = pairs.values()
    assert plain.settings[key] == value
    assert plain.results[0].spikes == result(spikes=3).spikes


def test_models_under_an_optimizer_are_judged_together(tmp_path):
    fewer, more = (
        [result(spikes=s % 3) for s in range(12)],
        [result(spikes=9 + s % 3) for s in range(12)],
    )
    made = {
        "model=rnn": more, "model=rnn clip=norm": fewer, "model=lstm": more,
        "model=lstm clip=norm": more,
    }  # fmt: skip

    def finding():
        found = arms(tmp_path, made)
        claims = {
            claim.words: each for claim, each in judge(Evidence(found, compare(references(found))))
        }
        (judged,) = claims["We can clip the gradient"]
        return judged

    assert finding().finding is Finding.SUPPORTED
    assert finding().numbers == "rnn −9.0*; lstm +0.0"
    made["model=lstm"] = fewer
    assert finding().finding is Finding.UNDECIDED  # it depends on the model
    made["model=rnn"] = fewer
    assert finding().finding is Finding.REFUTED


def exploding(before, base, spikes=4, steps=1_000):
    """A run with spikes, some of them soon after explosions, as some of all steps are."""
    made = result(spikes=spikes, step=steps)
    each = [{**spike, "after_explosion": n < before} for n, spike in enumerate(made.spikes)]
    counts = {"steps": base // 5, "followed": before, "watched": steps - 25, "soon_after": base}
    return replace(made, spikes=each, explosions=counts)


@pytest.mark.parametrize(
    ("made", "finding"),
    [
        ([exploding(3, 30), exploding(4, 50)] * 4, Finding.SUPPORTED),
        ([exploding(1, 30), exploding(0, 50)] * 4, Finding.REFUTED),
        ([exploding(2, 30), exploding(2, 50)] * 4, Finding.UNDECIDED),
        ([exploding(3, 800), exploding(4, 900)] * 4, Finding.UNDECIDED),  # no more than any step
    ],
)
def test_the_claim_that_spikes_come_after_explosions(tmp_path, made, finding):
    found = arms(tmp_path, {"": made, "clip=norm": [exploding(0, 30)] * 8})
    claims = {claim.words: judged for claim, judged in judge(Evidence(found))}
    (judged,) = claims["The spikes come from exploding gradients"]
    assert judged.finding is finding


def test_runs_without_spikes_count_among_explosions_and_steps(tmp_path):
    """Their explosions are followed by no spike, and their steps are steps."""
    spiking, calm = exploding(2, 50), exploding(0, 450, spikes=0)
    (arm,) = arms(tmp_path, {"": [spiking, *[calm] * 3]})
    found = causes(arm)
    assert (found.spiking, found.spikes, found.explosions.after) == (1, 4, 2)
    assert found.explosions.steps == 10 + 3 * 90
    assert found.explosions.followed == 2
    assert found.explosions.base == pytest.approx((50 + 3 * 450) / (4 * 975))
    assert found.above_share.high > 0.4  # of four spikes none is above: that is not never


def test_two_spikes_decide_nothing(tmp_path):
    found = arms(
        tmp_path, {"": [exploding(1, 30, spikes=1)] * 2 + [exploding(0, 30, spikes=0)] * 6}
    )
    claims = {claim.part: judged for claim, judged in judge(Evidence(found))}
    assert [claims[part][0].finding for part in ("1.3 (a)", "1.3 (b)")] == [Finding.UNDECIDED] * 2


def test_older_records_say_nothing_of_explosions(tmp_path):
    found = arms(tmp_path, {"": [result(spikes=3)] * 4})
    claims = {claim.words for claim, _ in judge(Evidence(found))}
    assert "The spikes come from exploding gradients" not in claims
    assert "The loss is also higher than the initial one" in claims


def test_only_seeds_that_both_have_are_compared(tmp_path):
    _, (compared,) = paired(tmp_path, [1, 2, 3], [5, 6, 7, 100, 100])
    assert (compared.seeds, compared.spikes.value) == (3, -4)
    assert paired(tmp_path, [1], [5])[1] == []


def test_p_values_are_corrected_for_the_number_of_comparisons(tmp_path):
    plain = [result(spikes=5 + seed % 3) for seed in range(10)]
    few = [result(spikes=4 + seed % 3) for seed in range(10)]
    alone = compare(references(arms(tmp_path, {"clip=none": plain, "clip=norm": few})))
    made = {"clip=none": plain, "clip=norm": few, "clip=value": plain, "clip=zclip": plain}
    together = compare(references(arms(tmp_path, made)))
    assert together[0].spikes.pvalue == pytest.approx(3 * alone[0].spikes.pvalue)


@pytest.mark.parametrize(
    ("initial", "finding"), [(1.39, Finding.SUPPORTED), (1.6, Finding.REFUTED)]
)
def test_the_claim_of_the_initial_loss(tmp_path, initial, finding):
    found = arms(tmp_path, {"": [result(initial=initial)] * 3})
    ((claim, (judged,)),) = judge(Evidence(found))
    assert (claim.part, judged.finding) == ("1.3 (d)", finding)


@pytest.mark.parametrize(
    ("above", "finding"),
    [(4, Finding.SUPPORTED), (0, Finding.REFUTED), (2, Finding.UNDECIDED)],
)
def test_the_claim_that_spikes_exceed_the_initial_loss(tmp_path, above, finding):
    made = {
        "clip=none": [result(spikes=4, above=above)] * 6,
        "clip=norm": [result(spikes=4, above=4 - above)] * 6,
    }
    (judged,) = (
        each for claim, judged in judge(Evidence(arms(tmp_path, made))) if claim.part == "1.3 (b)"
        for each in judged
    )  # fmt: skip
    assert (judged.setting, judged.finding) == ("no cure", finding)


@pytest.mark.parametrize(
    ("gated", "lstm", "finding"),
    [(2, 0, Finding.SUPPORTED), (0, 2, Finding.REFUTED), (1, 1, Finding.UNDECIDED)],
)
def test_the_claim_that_the_gated_rnn_explodes_more(tmp_path, gated, lstm, finding):
    made = {
        "model=gated_rnn": [result(spikes=gated)] * 8,
        "model=lstm": [result(spikes=lstm)] * 8,
    }
    (judged,) = (
        each for claim, judged in judge(Evidence(arms(tmp_path, made))) if claim.part == "1.2.1 (d)"
        for each in judged
    )  # fmt: skip
    assert judged.finding is finding


def test_a_band_is_of_the_runs_own_metrics(sweep):
    arm = read_runs(sweep).arms[0]
    band = loss_band(arm)
    assert band.runs.shape == (4, len(band.steps))
    assert len(band.steps) == 120
    for own, run in zip(band.runs, arm.runs.values(), strict=True):
        metrics = run.metrics()
        logged = np.searchsorted(band.steps, metrics["step"].to_numpy())
        np.testing.assert_array_equal(own[logged], metrics["loss_train_max"].to_numpy())
    assert (band.low <= band.middle).all()
    assert (band.middle <= band.high).all()


def write_metrics(arm, losses, every=1):
    for run in arm.runs.values():
        run.folder.mkdir(parents=True)
        table = MetricsTable()
        for place, loss in enumerate(losses, 1):
            table.append(place * every, {"loss_train_max": loss})
        table.write(run.folder / "metrics.parquet")


def test_a_point_of_many_steps_is_their_largest(tmp_path):
    (arm,) = arms(tmp_path, {"": [result(step=3_000)]}, ["steps=3000"])
    losses = np.ones(3_000)
    losses[1_234] = 7
    write_metrics(arm, losses)
    band = loss_band(arm)
    assert len(band.steps) == POINTS
    assert band.runs.max() == 7
    assert band.steps[band.runs[0].argmax()] == 1_240


def test_a_run_that_diverged_is_at_infinity_from_then_on(tmp_path):
    (arm,) = arms(tmp_path, {"": [result(step=200), result(diverged_at=100)]}, ["steps=200"])
    write_metrics(arm, np.ones(200))
    band = loss_band(arm)
    assert np.isinf(band.runs[1][band.steps >= 100]).all()
    assert (band.runs[1][band.steps < 100] == 1).all()
    assert (band.low == 1).all()


def test_examples_range_from_few_spikes_to_many(tmp_path):
    (arm,) = arms(tmp_path, {"": [result(spikes=count) for count in (5, 0, 9, 2, 7)]})
    assert list(examples(arm, 3)) == [1, 0, 2]
    assert list(examples(arm, 9)) == [1, 3, 0, 4, 2]


def at_lengths(tmp_path, solved):
    """Arms at three lengths, with how many of them each method's runs solve."""
    methods = {"sgd": "", "clip": "clip=norm", "omega": "clip=norm regularizer=omega"}
    made = {
        f"{methods[method]} task.symbols={length}": [
            result(solved_at=100 if place < count else None) for _ in range(8)
        ]
        for method, count in solved.items()
        for place, length in enumerate((10, 20, 30))
    }
    return arms(tmp_path, made, ("steps=1000", "model=rnn", "task=torder", "optimizer=sgd"))


@pytest.mark.parametrize(
    ("solved", "finding"),
    [
        ({"sgd": 0, "clip": 1, "omega": 3}, Finding.SUPPORTED),
        ({"sgd": 1, "clip": 1, "omega": 3}, Finding.UNDECIDED),
        ({"sgd": 0, "clip": 3, "omega": 2}, Finding.REFUTED),
    ],
)
def test_the_claim_of_pascanus_order(tmp_path, solved, finding):
    found = at_lengths(tmp_path, solved)
    (group,) = by_length(found)
    assert list(group.lines) == ["", "clip=norm", "clip=norm regularizer=omega"]
    assert all(list(line) == [10, 20, 30] for line in group.lines.values())
    claims = {claim.part: judged for claim, judged in judge(Evidence(found))}
    (judged,) = claims["Pascanu, fig. 7"]
    assert judged.finding is finding


def test_lines_of_one_cure_are_told_apart_by_its_knobs(tmp_path):
    caps = [0.1 * n for n in range(1, 15)]  # more than there are colors
    made = {
        f"clip=norm clip.max_norm={cap:.1f} task.symbols={length}": [result()] * 8
        for cap in caps
        for length in (10, 20, 30)
    }
    found = arms(tmp_path, made, ("steps=1000", "model=rnn", "task=torder", "optimizer=sgd"))
    (group,) = by_length(found)
    assert list(group.lines) == [f"clip=norm clip.max_norm={cap:.1f}" for cap in caps]
    assert all(
        arm.settings["clip.max_norm"] == pytest.approx(cap)
        for cap, line in zip(caps, group.lines.values(), strict=True)
        for arm in line.values()
    )
    assert len(lengths_figure([group]).axes[0].containers) == len(caps)


def test_two_lengths_are_too_few(tmp_path):
    found = at_lengths(tmp_path, {"sgd": 1, "clip": 1, "omega": 3})
    assert by_length([arm for arm in found if arm.settings["task.symbols"] != 30]) == []
