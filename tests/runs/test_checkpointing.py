"""A fleet that was ended and goes on, alone or in other company, gives what it gives whole."""

import json
from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hw2exp.config.registry import CHOICES
from hw2exp.records.checkpoint_folder import newest
from hw2exp.records.run_dir import read_finished
from hw2exp.runs.fleet_run import find_start, run_fleet
from hw2exp.system.interrupt import Interrupt
from tests.tiers import first_slow

pytestmark = pytest.mark.usefixtures("step_by_step")

STEPS = 47
SMALL = [
    f"steps={STEPS}", "eval_every=9", "eval_batches=2", "log_every=4", "batch_size=8",
    "check_initial_loss=off", "plot=false", "spikes.window=11", "task=easy", "model.hidden_size=5",
]  # fmt: skip

SETTINGS = {
    "gated_rnn": ["model=gated_rnn", "optimizer=adam", "clip=zclip", "clip.warmup_steps=5"],
    "attn_rnn": ["model=attn_rnn", "norm=qk", "optimizer.momentum=0.9", "schedule=cosine"],
    "attn_rnn_inf": ["model=attn_rnn_inf", "clip=value", "optimizer.centered=true"],
    "rnn": ["model=rnn", "regularizer=omega", "optimizer=sgd", "optimizer.momentum=0.5"],
    "lstm": ["model=lstm", "norm=batch", "schedule=plateau", "schedule.patience=0"],
    "layer": ["model=lstm", "norm=layer", "schedule=step", "schedule.every=10"],
    "autograd": ["model=rnn", "closed_form=false", "norm=batch", "clip=norm"],
    "notebook": [
        "model=lstm", "task.stream=notebook", "batch_size=100", "eval_every=10", "optimizer=adam",
    ],
    "spikes": ["model=attn_rnn", "optimizer.lr=0.3", "spikes.margin=0.01", "spikes.deviations=0"],
    "diverges": ["model=rnn", "optimizer=sgd", "optimizer.lr=0.1", "optimizer.weight_decay=110"],
    "solved before": [
        "model=lstm", "optimizer=adam", "optimizer.lr=0.03", "solved_accuracy=0.26",
        "solved_passes=2", "eval_every=4", "eval_batches=8",
    ],
    "solved after": [
        "model=lstm", "optimizer=adam", "optimizer.lr=0.03", "solved_accuracy=0.26",
        "solved_passes=5", "eval_every=4", "eval_batches=8",
    ],
    "solved": [
        "model=lstm", "optimizer=adam", "optimizer.lr=0.1", "stop_when_solved=true",
        "solved_accuracy=0.5", "solved_passes=1",
    ],
}  # fmt: skip
ALIKE = {"gated_rnn", "rnn", "layer", "autograd", "solved before", "solved after"}
"""What they carry, others carry too."""

OTHERS = SETTINGS.keys() - ALIKE


class At(Interrupt):
    """One that comes after some steps."""

    def __init__(self, steps):
        super().__init__([])
        self.left = steps

    def __call__(self):
        self.left -= 1
        return self.left == 0


def told(outcomes):
    """What became of runs, whatever number of steps they were to make."""
    return [
        replace(outcome, seconds=0.0, config={**outcome.config, "steps": 0}) for outcome in outcomes
    ]


def no_warning(line):
    raise AssertionError(line)


@pytest.fixture
def fleet(compose, tmp_path):
    """Configs of a setting, and the folders of their runs below a name."""

    def fleet(setting, name, *more):
        configs = [compose(*SMALL, *SETTINGS[setting], *more, f"seed={s}") for s in range(3)]
        return configs, [tmp_path / name / str(seed) for seed in range(3)]

    return fleet


@pytest.mark.slow
@pytest.mark.parametrize(
    "choice",
    ["closed_form=false", *(
        f"{group}={name}" for group in ("clip", "optimizer", "schedule", "regularizer")
        for name in CHOICES[group]
    )],
)  # fmt: skip
def test_every_choice_resumes(compose, tmp_path, choice):
    words = ["task=easy", "model=rnn", "steps=8", "batch_size=4", "eval_batches=1", "eval_every=3",
             "plot=false", "check_initial_loss=off", "checkpoint_every=3"]  # fmt: skip
    rises = choice in ("schedule=warmup_cosine", "schedule=wsd")
    needs = ["model=attn_rnn"] if choice == "clip=qk_clip" else []
    needs += ["schedule.warmup_steps=2"] if rises else []
    config = compose(*words, choice, *needs)
    (whole,) = run_fleet([config], [tmp_path / "whole"], show=False)
    (cut,) = run_fleet([config], [tmp_path / "cut"], At(5), show=False)
    assert (cut.status, cut.step) == ("interrupted", 5)
    saved = find_start(tmp_path / "cut", config)
    assert saved.step == 5
    (resumed,) = run_fleet([config], [tmp_path / "cut"], saved=[saved], show=False)
    assert told([resumed]) == told([whole])


@pytest.mark.parametrize(
    "setting",
    first_slow(*sorted(OTHERS), *sorted(ALIKE), slow=len(OTHERS)),
)
def test_ended_and_resumed_in_other_company(fleet, setting):
    configs, folders = fleet(setting, "whole")
    whole = run_fleet(configs, folders, show=False)
    configs, folders = fleet(setting, "parts")
    first = run_fleet(configs, folders, At(17), show=False)
    ended = [n for n, outcome in enumerate(first) if outcome.status != "interrupted"]
    left = [n for n in range(3) if n not in ended]
    assert left or setting in ("diverges", "solved")
    outcomes = dict(enumerate(first))
    for company, until in (([n for n in left if n], 15), (left[:1], 3), (left, 99)):
        if company:
            saved = [newest(folders[n], no_warning) for n in company]
            assert {each.step for each in saved} <= {17, 20, 32}
            by_step = {}
            for n, each in zip(company, saved, strict=True):
                by_step.setdefault(each.step, []).append((n, each))
            for members in by_step.values():
                places, own = zip(*members, strict=True)
                outcomes |= zip(
                    places,
                    run_fleet(
                        [configs[n] for n in places],
                        [folders[n] for n in places],
                        At(until),
                        show=False,
                        saved=own,
                    ),
                    strict=True,
                )
    assert told(outcomes[n] for n in range(3)) == told(whole)


def test_the_settings_see_what_they_are_for(fleet):
    """Else the test above could pass without having restored anything of a kind."""
    for setting, status in (("diverges", "diverged"), ("solved", "solved")):
        outcomes = run_fleet(*fleet(setting, setting), show=False)
        assert status in {outcome.status for outcome in outcomes}
    for setting, early in (("solved before", True), ("solved after", False)):
        outcomes = run_fleet(*fleet(setting, setting), show=False)
        solved = [outcome.solved_at for outcome in outcomes if outcome.solved_at is not None]
        # Two passes were made when it is cut off at step 17, or were being counted.
        assert any(8 <= step <= 17 if early else 17 < step <= 32 for step in solved), solved
    outcomes = run_fleet(*fleet("spikes", "spikes"), show=False)
    steps = [spike["step"] for outcome in outcomes for spike in outcome.spikes]
    assert min(steps) <= 17 < max(steps)


def test_explosions_before_the_end_are_counted(fleet):
    more = ["steps=240", "optimizer.lr=0.03", "log_every=50", "eval_every=200"]
    whole = run_fleet(*fleet("spikes", "whole", *more), show=False)
    configs, folders = fleet("spikes", "parts", *more)
    run_fleet(configs, folders, At(230), show=False)
    saved = [newest(folder, no_warning) for folder in folders]
    assert any(len(each.tensors()["exploded"]) for each in saved)
    assert told(run_fleet(configs, folders, show=False, saved=saved)) == told(whole)
    assert any(outcome.explosions["steps"] for outcome in whole)


def test_what_is_solved_after_the_last_step_has_not_ended_if_there_are_more(fleet):
    """The pass after the last step is one that a longer run would not make."""
    more = ["eval_every=1000", "solved_passes=1", "checkpoint_every=10", "stop_when_solved=true"]
    long = run_fleet(*fleet("solved before", "long", *more), show=False)
    configs, folders = fleet("solved before", "short", *more)
    short = [config.model_copy(update={"steps": 33}) for config in configs]
    first = run_fleet(short, folders, show=False)
    ended = [outcome for outcome in first if outcome.status == "solved"]
    assert ended
    assert {outcome.step for outcome in ended} == {33}
    for folder in folders:
        assert read_finished(folder, 33, 1000) is not None
        assert read_finished(folder, STEPS, 1000) is None
    saved = [newest(folder, no_warning) for folder in folders]
    assert told(run_fleet(configs, folders, show=False, saved=saved)) == told(long)


def test_what_diverges_in_the_last_step_is_recorded_as_in_a_longer_run(fleet):
    configs, folders = fleet("diverges", "long", "eval_every=1000")
    long = run_fleet(configs, folders, show=False)
    at = {outcome.step for outcome in long if outcome.status == "diverged"}
    assert at
    for step in at:
        configs, folders = fleet("diverges", f"to{step}", "eval_every=1000", f"steps={step}")
        for outcome, whole in zip(run_fleet(configs, folders, show=False), long, strict=True):
            if whole.status == "diverged" and whole.step == step:
                assert told([outcome]) == told([whole])


def test_more_steps_after_the_end(fleet):
    more = "checkpoint_every=10"
    long = run_fleet(*fleet("gated_rnn", "long"), show=False)
    configs, folders = fleet("gated_rnn", "short", more)
    short = [config.model_copy(update={"steps": 33}) for config in configs]
    run_fleet(short, folders, show=False)
    saved = [newest(folder, no_warning) for folder in folders]
    assert {each.step for each in saved} == {32}
    assert told(run_fleet(configs, folders, show=False, saved=saved)) == told(long)
    hparams = EventAccumulator(str(folders[0])).Reload()
    start = hparams.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"steps" in start


def events(folder):
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["remove", "shorten", "link", "zeros"])
def test_tensorboards_file_is_made_again_if_it_is_not_what_it_was(fleet, damage):
    configs, folders = fleet("rnn", "whole")
    run_fleet(configs[:1], folders[:1], show=False)
    whole = events(folders[0])
    configs, (folder, *_) = fleet("rnn", "part")
    run_fleet(configs[:1], [folder], At(20), show=False)
    (file,) = folder.glob("events*")
    if damage == "shorten":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "zeros":  # as a power cut may leave it
        size = file.stat().st_size
        file.write_bytes(file.read_bytes()[: size // 2] + bytes(size - size // 2))
    else:
        file.rename(folder.parent / "elsewhere")
        if damage == "link":
            file.symlink_to(folder.parent / "elsewhere")
    run_fleet(configs[:1], [folder], show=False, saved=[newest(folder, no_warning)])
    assert events(folder) == whole


def test_a_watching_tensorboard_reads_on(fleet):
    """What is written again is as long as it was, so that a reader's place stays one."""
    configs, (folder, *_) = fleet("gated_rnn", "run", "checkpoint_every=10", "log_every=1")
    run_fleet(configs[:1], [folder], At(19), show=False)
    (file,) = folder.glob("events*")
    watching = EventAccumulator(str(folder))
    watching.Reload()
    (older,) = (c for c in (folder / "checkpoints").glob("step_*10"))
    size = json.loads((older / "manifest.json").read_text())["facts"]["events"]["bytes"]
    assert size < file.stat().st_size
    for path in (folder / "checkpoints").glob("step_*19/*"):
        path.write_bytes(b"")
    warnings = []
    saved = newest(folder, warnings.append)
    assert saved.step == 10
    assert len(warnings) == 1
    run_fleet(configs[:1], [folder], show=False, saved=[saved])
    watching.Reload()
    steps = [event.step for event in watching.Scalars("loss/train")]
    assert sorted(set(steps)) == list(range(1, STEPS + 1))
    assert list(events(folder)["loss/train"]) == sorted(set(events(folder)["loss/train"]))


def test_no_checkpoint_is_made_where_none_is_wanted(fleet):
    configs, folders = fleet("rnn", "run", "checkpoint_every=0")
    run_fleet(configs, folders, At(20), show=False)
    assert not any((folder / "checkpoints").exists() for folder in folders)


def test_the_newest_stay(fleet):
    configs, folders = fleet("rnn", "run", "checkpoint_every=5", "keep_checkpoints=3")
    run_fleet(configs[:1], folders[:1], show=False)
    names = sorted(path.name for path in (folders[0] / "checkpoints").iterdir())
    assert names == ["metrics.rows", *(f"step_{step:010}" for step in (40, 45, 46))]
