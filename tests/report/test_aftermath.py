"""What follows an exploding gradient, of made runs."""

from dataclasses import replace

import pytest

from hw2exp.config.command_line import read
from hw2exp.records.arms import Run, gather
from hw2exp.records.metrics import MetricsTable
from hw2exp.records.run_dir import RunResult
from hw2exp.report.aftermath import Stage, aftermath
from hw2exp.report.claim import Evidence, Finding
from hw2exp.report.claims import judge
from hw2exp.report.comparisons import compare


def made_run(tmp_path, seed, levels, moved, alpha="0.99", clip="none"):
    """A run that explodes once at each level of its loss, then moves so far; it has one spike."""
    words = [f"clip={clip}", "optimizer=rmsprop", f"optimizer.alpha={alpha}", "log_every=1"]
    config = read([*words, f"seed={seed}", f"steps={400 * len(levels)}"]).jobs[0].config
    folder = tmp_path / f"{alpha}-{clip}-{seed}"
    folder.mkdir()
    table = MetricsTable()
    for step in range(1, 400 * len(levels) + 1):
        place, since = divmod(step - 1, 400)
        after = moved[place] if 200 < since <= 240 else 1.0
        norm = 100.0 if since == 200 else 1.0
        row = {"grad_norm_raw": norm, "update_norm_max": after, "loss_train": levels[place]}
        table.append(step, row)
    table.write(folder / "metrics.parquet")
    final = {"train_loss": 1.0, "test_loss": 1.0, "test_accuracy": 0.5}
    made = RunResult(
        "finished", config.steps, None, None, {"loss": 1.39, "accuracy": 0.25}, final,
        [{"start": 230, "step": 230, "above_initial": False}],  # amid the first level
        "", "", 1.0, {},
    )  # fmt: skip
    return Run(folder, config, made)


def test_stages_of_learning_are_told_apart(tmp_path):
    """The brake of the plateau is not that of networks that have learned; nor are their spikes."""
    levels, moved = (1.38, 1.1, 0.2), (0.3, 0.8, 1.0)
    runs = [made_run(tmp_path, seed, levels, moved) for seed in range(6)]
    (arm,) = gather(runs)[0]
    found = aftermath(arm).stages
    assert [found[stage].moved.value for stage in Stage] == [0.3, 0.8, 1.0]
    assert [found[stage].explosions for stage in Stage] == [6, 6, 6]
    assert [found[stage].spikes.value for stage in Stage] == [1, 0, 0]
    assert found[Stage.PLATEAU].expected == pytest.approx(150 / 400, rel=0.05)
    assert found[Stage.LEARNED].expected == 0


def test_a_shorter_memory_can_make_the_brake_stronger(tmp_path):
    words = "A shorter memory of RMSprop releases the brake sooner"

    def findings(short, long):
        folder = tmp_path / f"{short}-{long}"
        folder.mkdir()
        runs = [
            made_run(folder, seed, (1.38,), (moved,), alpha)
            for alpha, moved in (("0.9", short), ("0.99", long))
            for seed in range(6)
        ]
        claims = {claim.words: judged for claim, judged in judge(Evidence(gather(runs)[0]))}
        return [each.finding for each in claims[words]]

    assert findings(0.3, 0.5) == [Finding.REFUTED]
    assert findings(0.9, 0.5) == [Finding.SUPPORTED]


def test_the_claim_of_the_brake_follows_its_data(tmp_path):
    words = "An explosion puts a brake on RMSprop, which clipping takes off"
    runs = [
        made_run(tmp_path, seed, (1.38, 0.2), moved, clip=clip)
        for clip, moved in (("none", (0.3, 1.0)), ("norm", (1.1, 1.0)))
        for seed in range(6)
    ]
    arms = gather(runs)[0]
    plain = next(arm for arm in arms if not arm.cures)
    clipped = next(arm for arm in arms if arm.cures)

    def findings(free, held):
        """As if the runs of one arm had been those of the other."""
        swapped = [
            replace(arm, runs={
                seed: replace(run, config=arm.runs[seed].config) for seed, run in other.runs.items()
            })
            for arm, other in ((plain, free), (clipped, held))
        ]  # fmt: skip
        compared = compare([(swapped[1], swapped[0])])
        claims = {claim.words: judged for claim, judged in judge(Evidence(swapped, compared))}
        return [each.finding for each in claims[words]]

    assert findings(plain, clipped) == [Finding.SUPPORTED, Finding.UNDECIDED]
    assert findings(clipped, plain) == [Finding.REFUTED, Finding.UNDECIDED]
    assert findings(plain, plain) == [Finding.UNDECIDED, Finding.UNDECIDED]
    few = replace(clipped, runs=dict(list(clipped.runs.items())[:2]))  # too few for an interval
    assert findings(plain, few) == [Finding.UNDECIDED, Finding.UNDECIDED]
