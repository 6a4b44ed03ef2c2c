"""List the interventions that are tried if the user names none, each with its source; and placebos.

A placebo is the same change at a dose that should do nothing: any effect of it is chance.

A schedule that has fallen to half is almost ``lr*0.5``: it falls little in the few steps that are
followed.
"""

from dataclasses import dataclass

from hw2exp.config.registry import equations
from hw2exp.fleet.fleet import Fleet
from hw2exp.optim.optimizers.adam import Adam
from hw2exp.records.moments import PLACEBOS, Kind
from hw2exp.whatif.intervention import changes_adam, has_second_moments


@dataclass(frozen=True)
class Choice:
    """An intervention to try.

    Args:
        do: its words.
        kind: its family.
        source: who proposed it.
    """

    do: str
    kind: Kind
    source: str = ""


PASCANU = "Pascanu, Mikolov & Bengio 2013, algorithm 1"
MIKOLOV = "Mikolov 2012"
ZCLIP = "Kumar et al. 2025, arXiv:2504.02507; measures for two steps before it clips"
PALM = "Chowdhery et al. 2022 (PaLM), section 5.1"
SPAM = "Huang et al. 2025 (SPAM), arXiv:2501.06842"
BRAKE = "the bench's own question: the brake of the second moments, released and pressed"
COSINE = "Loshchilov & Hutter 2017, arXiv:1608.03983; as it would stand at that step"
RATES = "Bengio 2012, arXiv:1206.5533, on the initial learning rate"

STABLE = "Wortsman et al. 2023 (StableAdamW), arXiv:2304.13013, algorithm 2"

NOISE = tuple(
    Choice(f"params~1e-{power}", Kind.PLACEBO, "of everything: parameters a little elsewhere")
    for power in (6, 5, 4, 3, 2)
)


def shipped(run: Fleet) -> tuple[list[Choice], list[str]]:
    """Return the interventions that apply to a run, and a line for each that does not.

    Args:
        run: a fleet of the run alone.
    """
    config, state = run.config, run.state.optimizer
    found = [
        *(Choice(f"clip=norm clip.max_norm={x}", Kind.NORM, PASCANU) for x in ("10", "1", "0.1")),
        *(Choice(f"clip=value clip.max_value={x}", Kind.VALUE, MIKOLOV) for x in ("1", "0.1")),
        *(Choice(f"clip=zclip {warm} clip.z_threshold={z}", Kind.ZCLIP, ZCLIP)
          for warm in ("clip.warmup_steps=2",) for z in ("4", "2.5", "1.5")),
        *(Choice(f"lr*{factor}", Kind.RATE, RATES) for factor in ("0.1", "0.5", "2")),
        Choice("skip=100", Kind.DATA, PALM),
    ]  # fmt: skip
    placebos = [
        *NOISE,
        Choice(PLACEBOS[Kind.NORM], Kind.PLACEBO, "of clipping: clips nothing"),
        Choice(PLACEBOS[Kind.RATE], Kind.PLACEBO, "of the learning rate"),
        Choice(PLACEBOS[Kind.READOUT], Kind.PLACEBO, "of the readout"),
    ]
    left_out = []
    if run.notebook is None:
        found += [Choice(words, Kind.DATA, PALM) for words in ("data=1", "data=1 around=2")]
    else:
        left_out.append("other data: the notebook's stream depends on no seed")
    if has_second_moments(run):
        if changes_adam(run):
            left_out.append(
                f"update clipped to RMS 1: optimizer={config.optimizer.name} has limits"
            )
        else:
            found.append(Choice("update=1", Kind.UPDATE, STABLE))
            words = PLACEBOS[Kind.UPDATE]
            placebos.append(Choice(words, Kind.PLACEBO, "of the clipping of updates"))
        moments = "optimizer.mean_square"
        found += [
            Choice(f"{moments}*{factor}", Kind.MOMENTS, BRAKE) for factor in ("0", "0.25", "4")
        ]
        placebos.append(Choice(PLACEBOS[Kind.MOMENTS], Kind.PLACEBO, "of the second moments"))
    else:
        name = config.optimizer.name
        left_out.append(f"second moments: optimizer={name} has none that can be scaled alone")
        left_out.append("update clipped to RMS 1 (Wortsman et al. 2023): needs second moments")
    if issubclass(equations("optimizer", config.optimizer.name), Adam):
        found.append(Choice("optimizer.mean*0", Kind.MOMENTUM, SPAM))
        found.append(Choice("optimizer.mean*0 optimizer.mean_square*0", Kind.MOMENTUM, SPAM))
    elif "velocity" in state and getattr(config.optimizer, "momentum", None):
        found.append(Choice("optimizer.velocity*0", Kind.MOMENTUM, SPAM))
    else:
        left_out.append("momentum reset (Huang et al. 2025): the run has no momentum")
    if getattr(config.optimizer, "alpha", 0.9) != 0.9:
        found.append(Choice("optimizer.alpha=0.9", Kind.MOMENTS, BRAKE))
    if config.schedule.name == "constant":
        found.append(Choice("schedule=cosine", Kind.RATE, COSINE))
    found.append(Choice("readout*0.5", Kind.READOUT, "the bench's own question"))
    return [*found, *placebos], left_out
