"""Judge claims by runs; :mod:`hw2exp.theory` judges those that have closed forms."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hw2exp.report import brake, gated_rnn, intervention_claims, lengths, published, spikes
from hw2exp.report.arm_claims import AnyClaim
from hw2exp.report.claim import Evidence, Judged
from hw2exp.report.claims_file import CLAIMS_FILE, read_claims


@cache
def shipped_claims() -> tuple[AnyClaim, ...]:
    """Return the claims that come with the package."""
    return (
        *spikes.CLAIMS,
        *read_claims(Path(__file__).with_name(CLAIMS_FILE)),
        *intervention_claims.CLAIMS,
        *brake.CLAIMS,
        *gated_rnn.CLAIMS,
        *published.CLAIMS,
        *lengths.CLAIMS,
    )


def claims_of_parts(
    parts: bool | Sequence[str] = True, own: Sequence[AnyClaim] = ()
) -> list[AnyClaim]:
    """Return the claims of some parts, the user's own first.

    Args:
        parts: the parts; True for all, False for none.
        own: the user's claims.
    """
    claims = (*own, *shipped_claims())
    return [claim for claim in claims if parts is True or (parts and claim.part in parts)]


def judge(
    evidence: Evidence, parts: bool | Sequence[str] = True, own: Sequence[AnyClaim] = ()
) -> list[tuple[AnyClaim, list[Judged]]]:
    """Judge the claims of some parts; leave out claims without suitable runs.

    Args:
        evidence: the evidence.
        parts: the parts; True for all, False for none.
        own: the user's claims, which come first.
    """
    found = [(claim, list(claim.judge(evidence))) for claim in claims_of_parts(parts, own)]
    return [(claim, judged) for claim, judged in found if judged]


def claim_rows(claims: Sequence[tuple[AnyClaim, Sequence[Judged]]]) -> list[dict[str, Any]]:
    """Make a row for each claim and setting: the finding and its numbers."""
    return [
        {
            "part": claim.part,
            "claim": claim.words,
            "where": each.setting,
            "finding": str(each.finding),
            "numbers": each.numbers,
        }
        for claim, judged in claims
        for each in judged
    ]
