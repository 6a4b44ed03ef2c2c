"""Which cases of a long test run at each landing, and which every night."""

import pytest


def first_slow(*cases, slow=1):
    """Return the parameters of a test: the first are slow, all others nightly.

    Args:
        cases: the parameters, tuples where there are several names.
        slow: how many are slow.
    """
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=pytest.mark.slow if number < slow else pytest.mark.nightly,
        )
        for number, case in enumerate(cases)
    ]
