"""Judge claims by runs; :mod:`hw2exp.theory` judges those that have closed forms."""

from collections.abc import Sequence
from typing import Any

from hw2exp.report import brake, cures, gated_rnn, intervention_claims, lengths, published, spikes
from hw2exp.report.claim import Claim, Evidence, Judged

CLAIMS = (
    *spikes.CLAIMS,
    *cures.CLAIMS,
    *intervention_claims.CLAIMS,
    *brake.CLAIMS,
    *gated_rnn.CLAIMS,
    *published.CLAIMS,
    *lengths.CLAIMS,
)


def judge(
    evidence: Evidence, parts: bool | Sequence[str] = True
) -> list[tuple[Claim, list[Judged]]]:
    """Judge the claims of some parts, or all, or none; leave out claims without suitable runs."""
    wanted = [claim for claim in CLAIMS if parts is True or (parts and claim.part in parts)]
    found = [(claim, list(claim.judge(evidence))) for claim in wanted]
    return [(claim, judged) for claim, judged in found if judged]


def claim_rows(claims: Sequence[tuple[Claim, Sequence[Judged]]]) -> list[dict[str, Any]]:
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
