"""A branch without an intervention is the run; with one, it differs by that alone."""

import numpy as np
import pytest
import torch

from hw2exp.config.registry import CHOICES
from hw2exp.fleet.evaluation import evaluate
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train_step
from hw2exp.models.axes import means
from hw2exp.runs.start_state import beginning, nearest
from hw2exp.system.problems import ConfigError
from hw2exp.tasks.task import TRAIN
from hw2exp.train import main as train
from hw2exp.whatif.branches import follow, make_again
from hw2exp.whatif.choices import shipped
from hw2exp.whatif.intervention import nothing, read_intervention
from tests.tiers import first_slow

SMALL = (
    "task=easy", "model.hidden_size=4", "batch_size=4", "steps=40", "eval_every=5",
    "eval_batches=2", "optimizer.lr=0.03",
)  # fmt: skip
FIRST, START, LAST = 12, 18, 30
STEPS = range(FIRST, LAST + 1)


def tried(config, *dos):
    """The run made again, and its branches: without an intervention, then one for each."""
    run = Fleet([config])
    again = make_again(config, beginning(config), [FIRST], LAST)
    interventions = [nothing(config), *(read_intervention(do, run) for do in dos)]
    return again, follow(config, again.states[FIRST], interventions, STEPS, START)


def check_is_the_run(config):
    dos = "clip=norm clip.max_norm=0.01", "lr*0.5", "params~1e-3", "seed=9 around=2", "skip=1"
    again, branches = tried(config, *dos)
    fleet = Fleet([config])
    losses = []
    for step in range(1, LAST + 1):
        losses.append(float(train_step(fleet, step).loss))
        if step % config.eval_every == 0:
            test_losses, accuracy = evaluate(fleet, step)
            fleet.judge(step, means(test_losses), accuracy)
    np.testing.assert_array_equal(again.losses, losses)
    np.testing.assert_array_equal(branches.losses[:, 0], losses[FIRST - 1 :])
    assert (branches.losses[1:, 1:] != branches.losses[1:, :1]).any(0).all()


@pytest.mark.parametrize(
    "words",
    [
        ["optimizer=rmsprop"],
        ["optimizer=adam", "clip=zclip", "clip.warmup_steps=3", "clip.z_threshold=1"],
        ["optimizer=sgd", "schedule=plateau", "schedule.patience=0", "schedule.threshold=0.9"],
        ["optimizer=rmsprop", "closed_form=false", "stop_when_solved=true"],
    ],
)
def test_without_an_intervention_it_is_the_run(compose, words):
    check_is_the_run(compose(*SMALL, "model=rnn", *words))


def norms(model):
    attention = CHOICES["model"][model].attention
    return ["none", "layer", "batch", *(["qk"] if attention else [])]


def by_turns():
    """Every model with every norm and, as the optimizers take turns, with every optimizer."""
    optimizers = list(CHOICES["optimizer"])
    for place, model in enumerate(CHOICES["model"]):
        for turn, norm in enumerate(norms(model), place):
            yield model, optimizers[turn % len(optimizers)], norm


@pytest.mark.parametrize(("model", "optimizer", "norm"), first_slow(*by_turns(), slow=4))
def test_every_model_with_every_norm_and_optimizer(compose, model, optimizer, norm):
    check_is_the_run(compose(*SMALL, f"model={model}", f"optimizer={optimizer}", f"norm={norm}"))


@pytest.mark.parametrize("words", [[], ["closed_form=false"]])
def test_skipped_batches_are_left_out_and_the_schedule_goes_on(compose, words):
    config = compose(*SMALL, "model=rnn", "schedule=cosine", *words)
    again, branches = tried(config, "skip=3")
    fleet = Fleet([config])
    fleet.state = again.states[FIRST]
    symbols, labels = fleet.batch(FIRST + 3, TRAIN, config.batch_size)
    _, back = fleet.loss_and_gradient(symbols, labels)
    assert branches.losses[0, 1] == float(back.loss)
    fleet = Fleet([config], skipped=3)
    fleet.state = again.states[FIRST]
    metrics = train_step(fleet, FIRST)
    assert float(metrics.lr) == float(Fleet([config]).rates(FIRST, FIRST))


def test_other_data_come_only_in_the_steps_around(compose):
    config = compose(*SMALL, "model=rnn")
    again, branches = tried(config, "seed=9 around=2", "seed=9")
    fleet = Fleet([config])
    fleet.state = again.states[FIRST]
    losses = []
    for step in STEPS:
        seed = 9 if START - 2 <= step <= START + 2 else config.seed
        fleet.enlist([config.model_copy(update={"seed": seed})])
        losses.append(float(train_step(fleet, step).loss))
    np.testing.assert_array_equal(branches.losses[:, 1], losses)
    assert branches.losses[0, 2] != losses[0]


def test_parts_of_the_state_change_as_asked(compose):
    config = compose(*SMALL, "model=rnn", "optimizer=adam")
    dos = "params*1", "readout*0", "params~1e-2", "optimizer.mean*0 optimizer.mean_square*4"
    again, branches = tried(config, *dos[1:])
    own = again.states[FIRST]

    def first_losses(change):
        """The losses of the first two steps from a changed state."""
        fleet = Fleet([config])
        tensors = {name: value.clone() for name, value in own.tensors().items()}
        change(tensors, fleet.layout.unflatten(tensors["params"]))
        fleet.state = own.with_tensors(tensors)
        return [float(train_step(fleet, step).loss) for step in (FIRST, FIRST + 1)]

    def no_readout(tensors, named):
        named["readout_weight"].zero_()
        named["readout_bias"].zero_()

    def other_moments(tensors, named):
        tensors["optimizer.mean"].zero_()
        tensors["optimizer.mean_square"].mul_(4)

    assert branches.losses[:2, 1].tolist() == first_losses(no_readout)
    assert branches.losses[0, 1] == pytest.approx(np.log(4))
    assert branches.losses[:2, 3].tolist() == first_losses(other_moments)
    near = abs(branches.losses[0, 2] / branches.losses[0, 0] - 1)
    assert 0 < near < 0.1


def test_noise_is_the_same_in_any_company_and_of_its_size(compose):
    config = compose(*SMALL, "model=rnn")
    alone = tried(config, "params~1e-3")[1].losses[:, 1]
    _, branches = tried(config, "lr*2", "params~2e-3", "params~1e-3")
    np.testing.assert_array_equal(branches.losses[:, 3], alone)
    small, large = (abs(branches.losses[0, k] - branches.losses[0, 0]) for k in (3, 2))
    assert large == pytest.approx(2 * small, rel=0.05)


def test_an_optimizer_of_another_kind_begins_anew_from_the_same_parameters(compose):
    config = compose(*SMALL, "model=rnn")
    again, branches = tried(config, "optimizer=adam optimizer.lr=0.01")
    other = compose(*SMALL, "model=rnn", "optimizer=adam", "optimizer.lr=0.01")
    fleet = Fleet([other])
    tensors = fleet.state.tensors() | {"params": again.states[FIRST].params}
    fleet.state = fleet.state.with_tensors(tensors)
    losses = [float(train_step(fleet, step).loss) for step in STEPS]
    np.testing.assert_array_equal(branches.losses[:, 1], losses)


def test_a_branch_that_diverges_leaves_the_others_alone(compose):
    config = compose(*SMALL, "model=rnn", "optimizer=sgd")
    again, branches = tried(config, "params~1e39", "lr*0.5")
    assert branches.diverged_at[1] > 0
    assert branches.diverged_at[[0, 2]].tolist() == [0, 0]
    assert np.isnan(branches.losses[-1, 1])
    assert np.isnan(branches.test_loss[1])
    np.testing.assert_array_equal(branches.losses[:, 0], again.losses[FIRST - 1 :])
    np.testing.assert_array_equal(branches.losses[:, 2], tried(config, "lr*0.5")[1].losses[:, 1])


def test_the_test_pass_at_the_end_is_on_the_runs_own_data(compose):
    config = compose(*SMALL, "model=rnn")
    _, branches = tried(config, "seed=9")
    fleet = Fleet([config.model_copy(update={"seed": 9})])
    fleet.state = make_again(config, beginning(config), [FIRST], LAST).states[FIRST]
    for step in STEPS:
        train_step(fleet, step)
    fleet.enlist([config])
    losses, accuracy = evaluate(fleet, LAST)
    assert branches.test_loss[1] == float(means(losses))
    assert branches.test_accuracy[1] == float(accuracy)


@pytest.mark.parametrize(
    ("do", "problem"),
    [
        ("", "nothing: changes nothing of this run"),
        ("around=2", "around=2: changes nothing"),
        ("seed=0", "seed=0: changes nothing"),
        ("lr*x", "lr*x: must end with a finite number"),
        ("lr*", "lr*: must end with a finite number"),
        ("params~nan", "params~nan: must end with a finite number"),
        ("lr*-1", "lr*-1: optimizer.lr=-0.03: must be a finite number > 0"),
        ("optimizer.beta*2", "optimizer.beta*2: no such number or state"),
        ("skip=-1", "skip=-1: must be an integer from 0 to 999999"),
        ("clip=norm around=2", "around= is for overrides of numbers"),
        ("optimizer.velocity~1 solved_at*2", "solved_at*2: no such number or state"),
    ],
)
def test_a_word_that_does_not_apply_is_refused_in_a_line(compose, do, problem):
    with pytest.raises(ConfigError) as error:
        read_intervention(do, Fleet([compose(*SMALL, "model=rnn")]))
    assert problem in str(error.value)
    assert len(error.value.problems) == 1


@pytest.mark.nightly
@pytest.mark.parametrize("optimizer", CHOICES["optimizer"])
@pytest.mark.parametrize("words", [[], ["task=torder"], ["clip=norm", "schedule=step"]])
def test_every_shipped_intervention_can_be_read(compose, optimizer, words):
    run = Fleet([compose("model=rnn", f"optimizer={optimizer}", *words)])
    choices, left_out = shipped(run)
    assert len({each.do for each in choices}) == len(choices)
    unread = []
    for each in choices:
        try:
            read_intervention(each.do, run)
        except ConfigError as error:
            unread.append(str(error))
    assert unread == ["clip=norm clip.max_norm=1: changes nothing of this run"] * (
        "clip=norm" in words
    )
    without = optimizer in ("sgd", "lion", "muon")
    assert any("second moments" in line for line in left_out) == without
    assert ("update=1" in {each.do for each in choices}) == (
        optimizer in ("rmsprop", "adam", "adamw")
    )


@pytest.mark.parametrize("every", [8, 0])
def test_a_run_is_made_again_from_its_nearest_checkpoint(compose, tmp_path, every):
    folder, words = tmp_path / "run", (*SMALL, "model=rnn", f"checkpoint_every={every}")
    more = "plot=false", "check_initial_loss=off", "keep_checkpoints=9", "log_every=1"
    assert train([*words, *more, f"hydra.run.dir={folder}"]) == 0
    config = compose(*words, *more)
    start = nearest(folder, config, FIRST)
    assert start.made == every
    again = make_again(config, start, [FIRST], LAST)
    whole = make_again(config, beginning(config), [FIRST], LAST)
    np.testing.assert_array_equal(again.losses[every:], whole.losses[every:])
    for name, value in again.states[FIRST].tensors().items():
        assert torch.equal(value, whole.states[FIRST].tensors()[name]), name
    known = start.recent[~np.isnan(start.recent)]
    np.testing.assert_array_equal(known, whole.losses[:every])


def test_a_checkpoint_of_another_run_is_not_used(compose, tmp_path):
    folder, words = tmp_path / "run", (*SMALL, "model=rnn", "checkpoint_every=8")
    more = "plot=false", "check_initial_loss=off", "keep_checkpoints=9"
    assert train([*words, *more, f"hydra.run.dir={folder}"]) == 0
    assert nearest(folder, compose(*words, *more, "seed=3"), FIRST).made == 0


def test_what_acts_at_every_step_can_stay_on(compose):
    """A limit on updates changes no key of the config, and yet acts at every step."""
    run = Fleet([compose(*SMALL, "model=rnn", "optimizer=adam")])
    lasting = {"update=1", "lr*0.5", "clip=norm"}
    for do in (*lasting, "params*0.9", "skip=1", "lr*0.5 around=5"):
        assert read_intervention(do, run).stays_on(run.config) is (do in lasting), do
    assert not nothing(run.config).stays_on(run.config)
