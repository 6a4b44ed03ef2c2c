"""Claims as data, and what runs say of each; the closed forms are the business of the theory."""

from collections.abc import Sequence

from hw2exp.records.runs import Arm
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
    """Judge every claim that there are runs for.

    Args:
        arms: all.
        compared: all.
        parts: those that claims are to be of; or whether there are to be any.
    """
    wanted = [claim for claim in CLAIMS if parts is True or (parts and claim.part in parts)]
    found = [(claim, list(claim.judge(arms, compared))) for claim in wanted]
    return [(claim, judged) for claim, judged in found if judged]
