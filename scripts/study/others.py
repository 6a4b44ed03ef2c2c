"""What the study looks at besides cures: one sweep each."""

from pathlib import Path

from study.profiles import Profile
from study.sweeps import seeds, sweep, values

NOTEBOOK_SEED = 100
"""The first seed on the notebook's draws: the reference runs are seeds 1 to 16, and a test for a
difference between runs that are the same finds none."""


def brake(profile: Profile, folder: Path) -> None:
    """Look at RMSprop after an explosion, with clipping and without, at every step.

    Args:
        profile: the study's size.
        folder: of the reproduction.
    """
    words = "experiment=brake", "clip=none,norm", "optimizer.alpha=0.9,0.99"
    sweep(folder / "brake", *words, seeds(profile.brake_seeds), *profile.overrides)


def notebook(profile: Profile, folder: Path) -> None:
    """Train the published network on the published draws from many seeds, and with cures.

    Args:
        profile: the study's size.
        folder: of the reproduction.
    """
    words = "experiment=notebook_lstm_moderate", "clip=none,norm", "schedule=constant,cosine"
    own_seeds = seeds(profile.notebook_seeds, NOTEBOOK_SEED)
    sweep(folder / "notebook", *words, own_seeds, *profile.overrides)


def reach(profile: Profile, folder: Path) -> None:
    """Train networks of which it is asked how far back a gradient reaches.

    Args:
        profile: the study's size.
        folder: of the reproduction.
    """
    words = "experiment=gradient_reach", "model=gated_rnn,attn_rnn,attn_rnn_inf,rnn,lstm"
    sweep(folder / "reach", *words, seeds(profile.reach_seeds), *profile.overrides)


def pascanu(profile: Profile, folder: Path) -> None:
    """Ask which sequences are learned by SGD, with clipping, and with Ω as well.

    Args:
        profile: the study's size.
        folder: of the reproduction.
    """
    words = (
        "experiment=pascanu_sigmoid,pascanu_tanh,pascanu_smart_tanh",
        values("task.symbols", profile.pascanu_lengths),
        f"steps={profile.pascanu_steps}",
        "optimizer.lr=0.03",
        seeds(profile.pascanu_seeds),
        *profile.overrides,
    )
    sweep(folder / "pascanu" / "sgd", *words, "clip=none,norm")
    sweep(folder / "pascanu" / "omega", *words, "clip=norm", "regularizer=omega")


def hochreiter(profile: Profile, folder: Path) -> None:
    """Count the sequences until an LSTM solves HARD.

    Args:
        profile: the study's size.
        folder: of the reproduction.
    """
    online = "batch_size=1", "optimizer.lr=0.002", "steps=40000"
    tests = "eval_batches=2000", "eval_every=800"  # 2,000 fresh sequences each
    words = "experiment=hochreiter_6a", *online, *tests, seeds(profile.hochreiter_seeds)
    sweep(folder / "hochreiter", *words, *profile.overrides)
