"""What few repetitions can say, without any assumption about a distribution.

With n values the largest one seen covers, with a confidence of 95 %, only the quantile 0.05^(1/n) of whatever they are
drawn from (the chance that all n lie below the q-quantile is q^n). Read the same way, n of n successes mean a rate of
success of at least that value. Everything that claims more is refused: None, never a number.
"""

from __future__ import annotations

import math

_DOUBT = 0.05


def covered(count: int) -> float | None:
    """Return the quantile (0 to 1) that the largest of `count` values covers; None of none."""
    return _DOUBT ** (1 / count) if count > 0 else None


def least_runs(share: float) -> int:
    """Return how many values are needed before a quantile (above 0, below 1) can be told: 59 for P95, 299 for P99."""
    return math.ceil(math.log(_DOUBT) / math.log(share))


def all_well(count: int) -> str:
    """Say what n of n successes mean; empty of none."""
    rate = covered(count)
    if rate is None:
        return ""
    return f"{count} of {count} say with 95 % confidence that at least {math.floor(rate * 100)} % of such would succeed"
