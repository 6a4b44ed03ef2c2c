"""What is seen of a run: the same alone and in a fleet, at once and resumed; it changes nothing."""

import json

import numpy as np
import polars
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hw2exp.config.command_line import read
from hw2exp.diagnostics.gradient_flow import growth
from hw2exp.diagnostics.jacobian import jacobian_growth
from hw2exp.diagnostics.sharpness import sharpness
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train
from hw2exp.records.checkpoint_folder import newest
from hw2exp.records.diagnostics import COLUMNS, read_diagnostics
from hw2exp.records.kept_spikes import read_kept
from hw2exp.records.run_dir import read_result
from hw2exp.runs.fleet_run import run_fleet
from hw2exp.sweeps import execution
from hw2exp.sweeps.command_run import run_command
from hw2exp.system.interrupt import NEVER

SMALL = (
    "task=easy", "model.hidden_size=5", "batch_size=6", "steps=60", "eval_every=20",
    "eval_batches=2", "plot=false", "spikes.window=11", "optimizer.lr=0.05",
    "check_initial_loss=off",
)  # fmt: skip
OFTEN = (
    "diagnostics=all", "diagnostics.flow_every=3", "diagnostics.cell_every=10",
    "diagnostics.jacobian_every=15", "diagnostics.sharpness_every=25",
    "diagnostics.histogram_every=30", "diagnostics.spikes=3", "diagnostics.steps_before=7",
)  # fmt: skip


@pytest.fixture
def runs(compose, tmp_path):
    """Train replicas of one config, in folders named by their seeds."""

    def runs(name, seeds, *words, **options):
        config = compose(*SMALL, *words)
        configs = [config.model_copy(update={"seed": seed}) for seed in seeds]
        folders = [tmp_path / name / str(seed) for seed in seeds]
        outcomes = run_fleet(configs, folders, show=False, **options)
        assert not [each for each in outcomes if isinstance(each, Exception)], outcomes
        return folders

    return runs


def seen(folder):
    """All that diagnostics have left of a run."""
    result = json.loads((folder / "result.json").read_text())
    kept = folder / "spikes.safetensors"
    return {
        "digests": (result["parameters_sha256"], result["metrics_sha256"], result["spikes"]),
        "diagnostics": (folder / "diagnostics.parquet").read_bytes(),
        "kept": kept.read_bytes() if kept.exists() else None,
        "events": shown(folder),
    }


def shown(folder):
    everything = dict.fromkeys(("scalars", "images", "tensors", "histograms"), 0)
    accumulator = EventAccumulator(str(folder), everything)
    accumulator.Reload()
    tags = accumulator.Tags()
    return {
        **{
            tag: [(e.step, repr(e.value)) for e in accumulator.Scalars(tag)]  # NaN is NaN
            for tag in tags["scalars"]
        },
        **{
            tag: [(e.step, e.tensor_proto.SerializeToString()) for e in accumulator.Tensors(tag)]
            for tag in tags["tensors"]
            if not tag.startswith("_hparams_")  # with the time
        },
    }


@pytest.mark.parametrize("model", ["gated_rnn", "attn_rnn", "attn_rnn_inf", "rnn", "lstm"])
def test_a_run_is_seen_the_same_alone_and_in_a_fleet(runs, model):
    words = f"model={model}", *OFTEN
    together = runs("together", range(3), *words)
    alone = runs("alone", [1], *words)
    assert seen(alone[0]) == seen(together[1])


def test_images_come_at_their_cadence_and_at_the_end(runs, compose):
    words = *OFTEN, "diagnostics.histogram_every=25"
    (folder,) = runs("run", [0], *words)
    (short,) = runs("short", [0], *words, "steps=50")
    tag = "heat_map/gradient_flow"
    assert [step for step, _ in shown(folder)[tag]] == [25, 50, 60]
    assert [step for step, _ in shown(short)[tag]] == [25, 50]
    config = compose(*SMALL, *words, "seed=0")
    cut = folder.parent / "cut"
    run_fleet([config], [cut], EndAt(40), show=False)
    assert [step for step, _ in shown(cut)[tag]] == [25]  # it may go on
    run_fleet([config], [cut], show=False, saved=[newest(cut, print)])
    assert seen(cut) == seen(folder)


def test_damaged_kept_spikes_are_told_of(compose, tmp_path, capsys):
    lively = "spikes.margin=0.01", "spikes.deviations=0"
    config = compose(*SMALL, *OFTEN, *lively, "model=rnn", "seed=0")
    run_fleet([config], [tmp_path], EndAt(50), show=False)
    path = tmp_path / "spikes.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (outcome,) = run_fleet([config], [tmp_path], show=False, saved=[newest(tmp_path, print)])
    assert outcome.status == "finished"
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(path) in error
    assert "the steps before the first spikes are lost" in error


def test_looking_changes_nothing(runs):
    (looked,) = runs("looked", [4], *OFTEN)
    (plain,) = runs("plain", [4])
    own, other = (json.loads((folder / "result.json").read_text()) for folder in (looked, plain))
    for result in (own, other):
        result.pop("seconds")
    assert own["config"].pop("diagnostics") != other["config"].pop("diagnostics")
    assert own == other
    assert not (plain / "diagnostics.parquet").exists()


@pytest.mark.slow
def test_only_the_chosen_few_are_looked_into(runs):
    few = runs("few", range(4), *OFTEN, "diagnostics.seeds=[1,3]", "norm=layer")
    everyone = runs("all", range(4), *OFTEN, "norm=layer")
    for seed, folder in enumerate(few):
        assert (folder / "diagnostics.parquet").exists() == (seed in (1, 3))
    assert seen(few[3]) == seen(everyone[3])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["diagnostics.seeds=[7,1]"], "seed 7"),
        (["diagnostics.seeds=[9,8]"], "seed 8, 9"),
        (["diagnostics.seeds=[0]"], None),
        (["diagnostics.seeds=null"], None),
        (["hydra/sweeper=optuna", "diagnostics.seeds=[7]"], None),  # which seeds is not known yet
    ],
)
def test_seeds_that_no_run_has_are_told(words, told, tmp_path, monkeypatch, capsys):
    if words[0] == "hydra/sweeper=optuna":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    monkeypatch.chdir(tmp_path)
    command = read(["-m", "seed=0,1", *words])
    monkeypatch.setattr(execution, "execute", lambda *_: [])
    run_command(command, NEVER)
    expected = f"hw2exp: warning: diagnostics.seeds: no run has {told}\n" if told else ""
    assert capsys.readouterr().err == expected


class EndAt:
    """An interrupt that comes after so many steps."""

    signal, status = None, 130

    def __init__(self, step):
        self.left = step

    def __call__(self):
        return self.left <= 0

    def begin_to_save(self):
        self.left -= 1

    def asked_to_save(self):
        return False


@pytest.mark.slow
@pytest.mark.parametrize("steps", [(1,), (9,), (31, 2), (40,)])
def test_a_resumed_run_has_seen_the_same(runs, compose, steps):
    words = "model=attn_rnn", "optimizer.lr=0.1", *OFTEN
    seeds = [0, 5]
    whole = runs("whole", seeds, *words)
    assert any(read_result(folder).spikes for folder in whole)
    assert any((folder / "spikes.safetensors").exists() for folder in whole)
    parts = runs("parts", seeds, *words, interrupt=EndAt(steps[0]))
    for more in (*steps[1:], None):
        saved = [newest(folder, pytest.fail) for folder in parts]
        ends = NEVER if more is None else EndAt(more)
        runs("parts", seeds, *words, saved=saved, interrupt=ends)
    for one, other in zip(whole, parts, strict=True):
        assert seen(one) == seen(other)


def test_a_run_that_leaves_its_fleet_is_seen_as_if_alone(compose, tmp_path):
    """One diverges; the others are looked into by a fleet that has become smaller."""
    config = compose(*SMALL, "model=rnn", "optimizer=sgd", *OFTEN)
    rates = 0.1, 2e38, 0.2
    configs = [
        config.model_copy(
            update={"optimizer": config.optimizer.model_copy(update={"lr": lr}), "seed": seed}
        )
        for seed, lr in enumerate(rates)
    ]
    together = [tmp_path / "together" / str(seed) for seed in range(3)]
    run_fleet(configs, together, show=False)
    assert [read_result(folder).status for folder in together] == [
        "finished",
        "diverged",
        "finished",
    ]
    for config, folder in zip(configs, together, strict=True):
        alone = tmp_path / "alone" / folder.name
        run_fleet([config], [alone], show=False)
        assert seen(alone) == seen(folder)


def test_what_is_seen_is_what_the_parts_compute(runs, compose):
    words = "model=gated_rnn", "optimizer=adam", *OFTEN
    (folder,) = runs("run", [2], *words)
    frame = read_diagnostics(folder)
    assert frame["step"].to_list() == sorted({1, *range(3, 61, 3), *range(10, 61, 10), 25, 50})
    fleet = Fleet([compose(*SMALL, *words, "seed=2")])
    states = {}

    class Watch:
        def wants_flow(self, step):
            return True

        def inspect(self, step, made):
            states[step] = made

    train(fleet, [], inspector=Watch())
    row = {name: frame.filter(polars.col("step") == 15)[name][0] for name in COLUMNS}
    made = states[15]
    np.testing.assert_array_equal(row["gradient_flow"], made.flow[0])
    assert row["gradient_growth"] == growth(made.flow.numpy())[0][0]
    probe = Fleet([compose(*SMALL, *words, "seed=2")])
    probe.state = made.before
    grown = jacobian_growth(probe.model, probe.params, made.symbols[:, :1])
    np.testing.assert_array_equal(row["jacobian_norm"], grown.step[0].double())
    assert row["lyapunov"] == float(grown.exponent[0])
    assert row["lyapunov_spread"] == float(grown.spread[0]) > 0
    assert row["sharpness"] is None
    made = states[25]
    probe.state = made.after
    after = probe.state.params
    probe.state = made.before
    probe.state = type(made.before)(**{**vars(made.before), "optimizer": made.after.optimizer})
    sharp = sharpness(probe, made.symbols, made.labels, probe.optimizer.lr)
    row = frame.filter(polars.col("step") == 25)
    assert row["sharpness"][0] == float(sharp.raw.value[0])
    assert row["sharpness_preconditioned"][0] == float(sharp.preconditioned.value[0])
    assert row["sharpness_limit"][0] == pytest.approx(3.8 / 0.1 / 0.05)
    assert not torch.equal(after, made.before.params)


def test_what_is_kept_of_a_spike_is_what_came_before_it(runs, compose):
    words = "model=attn_rnn", "optimizer.lr=0.1", *OFTEN
    (folder,) = runs("run", [5], *words)
    spikes = read_result(folder).spikes
    kept = read_kept(folder)
    assert [each.number for each in kept] == list(range(1, min(len(spikes), 3) + 1))
    fleet = Fleet([compose(*SMALL, *words, "seed=5")])
    states = {}

    class Watch:
        def wants_flow(self, step):
            return False

        def inspect(self, step, made):
            states[step] = made

    train(fleet, [], inspector=Watch())
    for spike, own in zip(spikes, kept, strict=False):
        assert own.start == spike["start"]
        assert own.first == max(1, own.start - 7)
        steps = range(own.first, own.start + 1)
        params = torch.cat([states[step].before.params for step in steps]).numpy()
        np.testing.assert_array_equal(own.params, params)
        whole = np.sqrt(sum(norms**2 for norms in own.grad_norms.values()))
        expected = [float(states[step].grads.double().norm()) for step in steps]
        np.testing.assert_allclose(whole, expected, rtol=1e-12)
        moved = np.sqrt(sum(norms**2 for norms in own.update_norms.values()))
        np.testing.assert_allclose(moved, np.linalg.norm(np.diff(params, axis=0), axis=1), 1e-5)
        for name, value in states[own.first].before.tensors().items():
            np.testing.assert_array_equal(own.state[name], value[0].numpy())


def test_a_checkpoint_whose_diagnostics_are_damaged_is_not_used(runs):
    words = "model=gated_rnn", *OFTEN, "checkpoint_every=20"
    (folder,) = runs("run", [0], *words, interrupt=EndAt(45))
    rows = folder / "checkpoints" / "diagnostics.rows"
    whole = rows.read_bytes()
    told = []
    assert newest(folder, told.append).step == 45
    rows.write_bytes(whole[:-30])
    assert newest(folder, told.append).step == 40
    rows.write_bytes(b"x" + whole[1:])
    assert newest(folder, told.append) is None
    assert "diagnostics.rows is not what manifest.json has the digest of" in told[0]


def test_events_that_are_lost_are_made_again(runs):
    words = "model=attn_rnn", *OFTEN
    (whole,) = runs("whole", [0], *words)
    (folder,) = runs("parts", [0], *words, interrupt=EndAt(45))
    (events,) = folder.glob("events.*")
    events.unlink()
    runs("parts", [0], *words, saved=[newest(folder, pytest.fail)])
    own, other = shown(folder), shown(whole)
    assert {tag for tag in other if tag not in own} == set()
    for tag, values in other.items():
        if not tag.startswith(("parameters/", "gradients/")):  # histograms are lost
            assert own[tag] == values, tag
