"""The quick and the full profile of a reproduction."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """A size of the study.

    Args:
        name: the name of its folder.
        note: the remark on its page.
        models: the models to train.
        cures: the cures to try, as the experiments ``cure_*``.
        attention_cures: further cures to try on attention cells.
        seeds: the number of runs of an arm.
        rates: the learning rates to try, by optimizer; wide enough that the best rate of every arm
            lies inside, if any run solves the task.
        tuning_seeds: the number of runs for each rate; their seeds differ from the arms'.
        notebook_seeds: the number of networks of each arm on the published curve's data.
        brake_seeds: the number of runs of each arm recorded step by step.
        reach_seeds: the number of networks of each model for the reach of gradients.
        pascanu_lengths: the lengths of sequences, in Pascanu's figure 7.
        pascanu_steps: the most updates of a run.
        pascanu_seeds: the number of runs of each method, initialization and length.
        hochreiter_seeds: the number of runs of Hochreiter & Schmidhuber's experiment 6a.
        spikes: most spikes of a run at which interventions are tried.
        own_rates: whether to tune each cure too, and try it at its own best learning rate as well.
        overrides: further overrides of every sweep, for a trial.
    """

    name: str
    note: str
    models: tuple[str, ...]
    cures: tuple[str, ...]
    attention_cures: tuple[str, ...]
    seeds: int
    rates: dict[str, tuple[float, ...]]
    tuning_seeds: int
    notebook_seeds: int
    brake_seeds: int
    reach_seeds: int
    pascanu_lengths: tuple[int, ...]
    pascanu_steps: int
    pascanu_seeds: int
    hochreiter_seeds: int
    spikes: int
    own_rates: bool = True
    overrides: tuple[str, ...] = ()


FULL = Profile(
    name="full",
    note="The full profile.",
    models=("gated_rnn", "attn_rnn", "rnn", "lstm"),
    cures=("none", "clip", "batch", "layer", "step", "cosine", "warmup", "clip_cosine", "all"),
    attention_cures=("qk",),
    seeds=64,
    rates={
        "sgd": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0),
        "rmsprop": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
        "adam": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    },
    tuning_seeds=8,
    notebook_seeds=32,
    brake_seeds=64,
    reach_seeds=64,
    pascanu_lengths=(10, 20, 30, 40, 60),
    pascanu_steps=20_000,
    pascanu_seeds=8,
    hochreiter_seeds=16,
    spikes=4,
)

QUICK = Profile(
    name="quick",
    note="The quick profile: fewer seeds, learning rates and cures than the full one, so that "
    "intervals are wide and a claim may stay undecided that the full profile decides.",
    models=FULL.models,
    cures=("none", "clip", "batch", "cosine", "all"),
    attention_cures=(),
    seeds=16,
    rates={
        "sgd": (3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0),
        "rmsprop": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
        "adam": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    },
    tuning_seeds=4,
    notebook_seeds=16,
    brake_seeds=16,
    reach_seeds=16,
    pascanu_lengths=(10, 20, 30),
    pascanu_steps=10_000,
    pascanu_seeds=4,
    hochreiter_seeds=4,
    spikes=2,
)
