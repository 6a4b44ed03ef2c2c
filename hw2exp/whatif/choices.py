"""List the interventions that are tried if the user names none, each with its source; and placebos.

A placebo is the same change at a dose that should do nothing: any effect of it is chance.

A schedule that has fallen to half is almost ``lr*0.5``: it falls little in the few steps that are
followed.
"""

from dataclasses import dataclass

from hw2exp.config.registry import equations
from hw2exp.fleet.fleet import Fleet
from hw2exp.optim.optimizers.adam import Adam
from hw2exp.records.moments import PLACEBOS, Family
from hw2exp.whatif.intervention import changes_adam, has_second_moments


@dataclass(frozen=True)
class Candidate:
    """An intervention to try.

    Args:
        do: its words.
        kind: its family.
        source: who proposed it.
    """

    do: str
    kind: Family
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
    Candidate(f"params~1e-{power}", Family.PLACEBO, "of everything: parameters a little elsewhere")
    for power in (6, 5, 4, 3, 2)
)


def shipped(run: Fleet) -> tuple[list[Candidate], list[str]]:
    """Return the interventions that apply to a run, and a line for each that does not.

    Args:
        run: a fleet of the run alone.
    """
    config, state = run.config, run.state.optimizer
    found = [
        *(Candidate(f"clip=norm clip.max_norm={x}", Family.NORM, PASCANU)
          for x in ("10", "1", "0.1")),
        *(Candidate(f"clip=value clip.max_value={x}", Family.VALUE, MIKOLOV) for x in ("1", "0.1")),
        *(Candidate(f"clip=zclip {warm} clip.z_threshold={z}", Family.ZCLIP, ZCLIP)
          for warm in ("clip.warmup_steps=2",) for z in ("4", "2.5", "1.5")),
        *(Candidate(f"lr*{factor}", Family.RATE, RATES) for factor in ("0.1", "0.5", "2")),
        Candidate("skip=100", Family.DATA, PALM),
    ]  # fmt: skip
    placebos = [
        *NOISE,
        Candidate(PLACEBOS[Family.NORM], Family.PLACEBO, "of clipping: clips nothing"),
        Candidate(PLACEBOS[Family.RATE], Family.PLACEBO, "of the learning rate"),
        Candidate(PLACEBOS[Family.READOUT], Family.PLACEBO, "of the readout"),
    ]
    left_out = []
    if run.notebook is None:
        found += [Candidate(words, Family.DATA, PALM) for words in ("data=1", "data=1 around=2")]
    else:
        left_out.append("other data: the notebook's stream depends on no seed")
    if has_second_moments(run):
        if changes_adam(run):
            left_out.append(
                f"update clipped to RMS 1: optimizer={config.optimizer.name} has limits"
            )
        else:
            found.append(Candidate("update=1", Family.UPDATE, STABLE))
            words = PLACEBOS[Family.UPDATE]
            placebos.append(Candidate(words, Family.PLACEBO, "of the clipping of updates"))
        moments = "optimizer.mean_square"
        found += [
            Candidate(f"{moments}*{factor}", Family.MOMENTS, BRAKE) for factor in ("0", "0.25", "4")
        ]
        placebos.append(
            Candidate(PLACEBOS[Family.MOMENTS], Family.PLACEBO, "of the second moments")
        )
    else:
        name = config.optimizer.name
        left_out.append(f"second moments: optimizer={name} has none that can be scaled alone")
        left_out.append("update clipped to RMS 1 (Wortsman et al. 2023): needs second moments")
    if issubclass(equations("optimizer", config.optimizer.name), Adam):
        found.append(Candidate("optimizer.mean*0", Family.MOMENTUM, SPAM))
        found.append(Candidate("optimizer.mean*0 optimizer.mean_square*0", Family.MOMENTUM, SPAM))
    elif "velocity" in state and getattr(config.optimizer, "momentum", None):
        found.append(Candidate("optimizer.velocity*0", Family.MOMENTUM, SPAM))
    else:
        left_out.append("momentum reset (Huang et al. 2025): the run has no momentum")
    if getattr(config.optimizer, "alpha", 0.9) != 0.9:
        found.append(Candidate("optimizer.alpha=0.9", Family.MOMENTS, BRAKE))
    if config.schedule.name == "constant":
        found.append(Candidate("schedule=cosine", Family.RATE, COSINE))
    found.append(Candidate("readout*0.5", Family.READOUT, "the bench's own question"))
    return [*found, *placebos], left_out
