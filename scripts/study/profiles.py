"""What a quick and a full reproduction consist of."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """A size of the study.

    Args:
        name: of its folder.
        note: what its page says of it.
        models: that are trained.
        cures: that are tried, as the experiments ``cure_*``.
        attention_cures: that are tried on attention cells besides.
        seeds: runs of an arm.
        rates: the learning rates tried, by optimizer; wide enough that the best of every arm lies
            inside, where any run solves the task.
        tuning_seeds: runs for each of them; other seeds than the arms'.
        notebook_seeds: networks on the published curve's data.
        brake_seeds: runs that are looked at step by step.
        reach_seeds: networks of which it is asked how far back a gradient reaches.
        pascanu_lengths: of sequences, in Pascanu's figure 7.
        pascanu_steps: updates, at most.
        pascanu_seeds: runs of each method, initialization and length.
        hochreiter_seeds: runs of Hochreiter & Schmidhuber's experiment 6a.
        own_rates: tune each cure too, and try it at its own best learning rate as well.
        overrides: of every sweep besides; for a trial.
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
)
