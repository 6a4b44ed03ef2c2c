"""The study of cures on the spikes themselves: at each spike, at quiet moments, and staying on."""

from pathlib import Path

from hw2exp.whatif.survey import survey_folder
from hw2exp.whatif.survey_run import Survey
from study.cures import chosen, of, settings
from study.profiles import Profile
from study.sweeps import seeds, sweep

DOS = (
    *(f"clip=norm clip.max_norm={threshold}" for threshold in ("10", "1", "0.1", "1e30")),
    *("clip=value clip.max_value=0.1", "clip=zclip clip.warmup_steps=2 clip.z_threshold=2.5"),
    *("lr*0.1", "lr*0.5", "lr*2", "lr*0.999", "data=1", "data=1 around=2", "skip=100"),
    *("readout*0.5", "readout*0.999"),
)
"""Interventions on all runs, placebos among them; noise on the parameters comes to them."""
SCALED = tuple(f"optimizer.mean_square*{factor}" for factor in ("0", "4", "0.999"))
CLIPPED = "update=1", "update=1e30"
MORE = {
    "sgd": ("optimizer.velocity*0",),
    "rmsprop": (*SCALED, *CLIPPED, "optimizer.alpha=0.9"),
    "adam": (*SCALED, *CLIPPED, "optimizer.mean*0"),
}
"""Further interventions by optimizer."""

LEADS = 20, 10, 2
FOLLOWING = 40
"""Steps that branches are followed after a moment."""
STARTS, STAYING = (1_001,), 1_000
"""Steps from which cures stay on, and for how many; arms of cures show the effect from step 1."""


def run(profile: Profile, folder: Path) -> None:
    """Try interventions on the spikes of runs without cures, at the best rate without cures.

    Args:
        profile: the size of the study.
        folder: the folder of the reproduction, with its tuning.
    """
    rates = chosen(folder)
    for model, optimizer in settings(profile):
        place = folder / "whatif" / f"{model}_{optimizer}"
        words = of(["none"], model, optimizer, [rates[model, optimizer, "none"].rate])
        sweep(place, *words, seeds(profile.seeds), *profile.overrides)
        dos = (*DOS, *MORE[optimizer])
        print(f"\n$ python -m hw2exp.whatif {place}, {len(dos)} interventions", flush=True)
        survey = Survey(dos, LEADS, FOLLOWING, profile.spikes, STARTS, STAYING)
        if lost := survey_folder(place, survey, print):
            raise RuntimeError(f"runs were left out: {lost[0]}")
