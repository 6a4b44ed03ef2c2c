"""Judge claims by runs; :mod:`hw2exp.theory` judges those that have closed forms."""

from collections.abc import Sequence

from hw2exp.records.arms import Arm
from hw2exp.report.claims import aftermath, cures, lengths, models, published_curve, reach, spikes
from hw2exp.report.claims.claim import Claim, Finding, Judged, percent, signed
from hw2exp.report.measures import Comparison

__all__ = ["CLAIMS", "Claim", "Finding", "Judged", "judge", "percent", "signed"]

CLAIMS = (
    *spikes.CLAIMS,
    *cures.CLAIMS,
    *aftermath.CLAIMS,
    *models.CLAIMS,
    *reach.CLAIMS,
    *published_curve.CLAIMS,
    *lengths.CLAIMS,
)


def judge(
    arms: Sequence[Arm], compared: Sequence[Comparison], parts: bool | Sequence[str] = True
) -> list[tuple[Claim, list[Judged]]]:
    """Judge the wanted claims; leave out claims without suitable runs.

    Args:
        arms: all arms.
        compared: all comparisons.
        parts: the parts whose claims are wanted; or all claims, or none.
    """
    wanted = [claim for claim in CLAIMS if parts is True or (parts and claim.part in parts)]
    found = [(claim, list(claim.judge(arms, compared))) for claim in wanted]
    return [(claim, judged) for claim, judged in found if judged]
