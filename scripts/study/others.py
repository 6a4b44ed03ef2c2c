"""The parts of the study besides cures."""

from pathlib import Path

from study.profiles import Profile
from study.sweeps import seeds, sweep, values

NOTEBOOK_SEED = 100
"""The first seed on the notebook's draws. The reference runs are seeds 1 to 16; a comparison with
the same seeds would compare runs with themselves."""


def brake(profile: Profile, folder: Path) -> None:
    """Record RMSprop after an explosion at every step, with and without clipping.

    Args:
        profile: the size of the study.
        folder: the folder of the reproduction.
    """
    words = "experiment=brake", "clip=none,norm", "optimizer.alpha=0.9,0.99"
    sweep(folder / "brake", *words, seeds(profile.brake_seeds), *profile.overrides)


def notebook(profile: Profile, folder: Path) -> None:
    """Train the published network on the published draws from many seeds, and with cures.

    Args:
        profile: the size of the study.
        folder: the folder of the reproduction.
    """
    words = "experiment=notebook_lstm_moderate", "clip=none,norm", "schedule=constant,cosine"
    own_seeds = seeds(profile.notebook_seeds, NOTEBOOK_SEED)
    sweep(folder / "notebook", *words, own_seeds, *profile.overrides)


def reach(profile: Profile, folder: Path) -> None:
    """Train the networks whose gradients' reach is measured.

    Args:
        profile: the size of the study.
        folder: the folder of the reproduction.
    """
    words = "experiment=gradient_reach", "model=gated_rnn,attn_rnn,attn_rnn_inf,rnn,lstm"
    sweep(folder / "reach", *words, seeds(profile.reach_seeds), *profile.overrides)


def pascanu(profile: Profile, folder: Path) -> None:
    """Train on several lengths by SGD, with clipping, and with clipping and Ω.

    Args:
        profile: the size of the study.
        folder: the folder of the reproduction.
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
    """Train LSTMs on HARD, to count the sequences until they solve it.

    Args:
        profile: the size of the study.
        folder: the folder of the reproduction.
    """
    online = "batch_size=1", "optimizer.lr=0.002", "steps=40000"
    tests = "eval_batches=2000", "eval_every=800"  # 2,000 fresh sequences each time
    words = "experiment=hochreiter_6a", *online, *tests, seeds(profile.hochreiter_seeds)
    sweep(folder / "hochreiter", *words, *profile.overrides)
