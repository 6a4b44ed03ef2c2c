"""What a run gives alone it gives in any fleet: the digests by which two runs are compared."""

import pytest
import torch

from hw2exp.config.registry import CHOICES
from hw2exp.runs.fleet_run import run_fleet
from hw2exp.sweeps.executor import WorkerExecutor
from hw2exp.sweeps.sweep import run_sweep
from tests.tiers import first_slow

SHORT = (
    "steps=12",
    "eval_every=5",
    "eval_batches=2",
    "log_every=4",
    "task=easy",
    "plot=false",
    "check_initial_loss=off",
    # odd sizes, so that rows do not fill whole vector registers
    "batch_size=5",
    "model.hidden_size=7",
)
MODELS = (
    ["model=gated_rnn"],
    ["model=attn_rnn"],
    ["model=attn_rnn_inf"],
    ["model=rnn"],
    ["model=rnn", "model.nonlinearity=relu"],
    ["model=rnn", "model.nonlinearity=sigmoid", "regularizer=omega"],
    ["model=lstm"],
)

SOON = {
    "step": ["schedule.every=4"], "plateau": ["schedule.patience=0"],
    "warmup_cosine": ["schedule.warmup_steps=3"], "wsd": ["schedule.warmup_steps=3"],
}  # fmt: skip
"""Knobs by which a schedule changes the learning rate within some steps."""

OPTIMIZERS, CLIPS, SCHEDULES = (tuple(CHOICES[g]) for g in ("optimizer", "clip", "schedule"))
CLIPS = tuple(name for name in CLIPS if name != "qk_clip")  # of attention cells alone


@pytest.fixture
def run(tmp_path_factory):
    """Run a fleet and give the digests of each replica."""

    def run(configs):
        folder = tmp_path_factory.mktemp("fleet")
        folders = [folder / str(place) for place in range(len(configs))]
        return digests(run_fleet(configs, folders, show=False))

    return run


def digests(results):
    return [(r.status, r.step, r.parameters_sha256, r.metrics_sha256) for r in results]


def three(base):
    """Two seeds, and one that diverges within some steps where the optimizer lets it."""
    wild = base.optimizer.model_copy(update={"lr": 1e30})
    return [
        base,
        base.model_copy(update={"seed": 1, "optimizer": wild}),
        base.model_copy(update={"seed": 2}),
    ]


def many(base, size):
    """A fleet in which the three stand apart and in another order."""
    others = [base.model_copy(update={"seed": 10 + n}) for n in range(size - 3)]
    first, second, third = three(base)
    middle = size // 3, size - 9
    fleet = [*others[: middle[0]], third, *others[middle[0] : middle[1]], second, first]
    return [*fleet, *others[middle[1] :]], [middle[1] + 2, middle[1] + 1, middle[0]]


def compose_one(compose, model, optimizer, clip, schedule):
    choices = [f"optimizer={optimizer}", f"clip={clip}", f"schedule={schedule}"]
    return compose(*SHORT, *model, *choices, *SOON.get(schedule, []))


def assert_the_same_in_company(base, run, size=20):
    alone = [run([config])[0] for config in three(base)]
    assert run(three(base)) == alone
    fleet, places = many(base, size)
    together = run(fleet)
    assert [together[place] for place in places] == alone
    return alone


SAMPLE = [
    (MODELS[0], "sgd", "norm", "step"),
    (MODELS[1], "rmsprop", "zclip", "cosine"),
    (MODELS[2], "adam", "value", "warmup_cosine"),
    (MODELS[3], "rmsprop", "none", "plateau"),
    (MODELS[4], "sgd", "none", "constant"),
    (MODELS[5], "sgd", "norm", "constant"),
    (MODELS[6], "adam", "norm", "constant"),
]


@pytest.mark.parametrize("choices", SAMPLE, ids=str)
def test_a_sample(compose, run, choices):
    assert_the_same_in_company(compose_one(compose, *choices), run)


def test_a_neighbour_does_diverge_and_leave(compose, run):
    base = compose_one(compose, MODELS[4], "sgd", "none", "constant")
    statuses = [status for status, *_ in assert_the_same_in_company(base, run)]
    assert statuses == ["finished", "diverged", "finished"]


def test_rows_that_cover_many_steps(compose, run):
    sizes = ["batch_size=33", "steps=60", "log_every=20", "eval_every=60"]
    assert_the_same_in_company(compose(*SHORT, "model=gated_rnn", *sizes), run)


@pytest.mark.parametrize(
    "extra", [pytest.param("norm=layer", marks=pytest.mark.slow), "norm=batch", "closed_form=false"]
)
def test_the_processes_threads_change_nothing(compose, run, extra):
    sizes = ["steps=3", "eval_every=3", "eval_batches=2", "task=normal", "plot=false"]
    config = compose(*sizes, "model=gated_rnn", extra, "check_initial_loss=off")
    one = run([config])
    torch.set_num_threads(4)
    try:
        assert run([config]) == one
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(1)


@pytest.mark.nightly
def test_autograd_and_norms_too(compose, run):
    for extra in (["closed_form=false"], ["norm=batch"], ["norm=layer"]):
        assert_the_same_in_company(compose(*SHORT, "model=attn_rnn", *extra), run, 64)


@pytest.mark.parametrize("model", first_slow(*((model,) for model in MODELS)), ids=" ".join)
def test_all_pairs_of_choices(compose, run, model):
    """Each model with each schedule; optimizers and clips take turns with all of them."""
    place = MODELS.index(model)
    for turn in range(len(SCHEDULES)):
        optimizer = OPTIMIZERS[(place + turn) % len(OPTIMIZERS)]
        clip = CLIPS[(place // 2 + turn) % len(CLIPS)]
        base = compose_one(compose, model, optimizer, clip, SCHEDULES[turn])
        assert_the_same_in_company(base, run, 64 if SCHEDULES[turn] == "constant" else 20)


def test_any_number_of_workers_and_any_size_of_fleet(compose, run, tmp_path):
    base = compose(*SHORT, "model=attn_rnn")
    configs = [
        config.model_copy(update={"seed": config.seed + 3 * i})
        for i in range(3)
        for config in three(base)
    ]
    alone = [run([config])[0] for config in configs]
    for workers, size in ((3, 0), (2, 2)):
        chosen = [c.model_copy(update={"workers": workers, "fleet_size": size}) for c in configs]
        folders = [tmp_path / f"{workers}-{size}" / str(i) for i in range(len(configs))]
        with WorkerExecutor(workers) as executor:
            results = run_sweep(chosen, folders, executor, show=False)
        assert digests(results) == alone
