"""What few repetitions can say, without any assumption about a distribution.

With n values the largest one seen covers, with a confidence of 95 %, only the quantile 0.05^(1/n) of whatever they are
drawn from (the chance that all n lie below the q-quantile is q^n). Read the same way, n of n successes mean a rate of
success of at least that value. Everything that claims more is refused: None, never a number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_DOUBT = 0.05


def covered(count: int) -> float | None:
    """Return the quantile (0 to 1) that the largest of `count` values covers; None of none."""
    return _DOUBT ** (1 / count) if count > 0 else None


def least_runs(share: float) -> int:
    """Return how many values are needed before a quantile (above 0, below 1) can be told: 59 for P95, 299 for P99."""
    return math.ceil(math.log(_DOUBT) / math.log(share))


def quantile(values: Sequence[float], *, share: float) -> float | None:
    """Return an upper bound of a quantile, the least of the values that is one; None if they are too few for it.

    The k-th of n ordered values is a bound with 95 % confidence if at least k of n draws below the quantile are that
    unlikely (binomial, exact); for the fewest runs allowed that is the largest.
    """
    count = len(values)
    if count < least_runs(share):
        return None
    below = 0.0  # the chance that fewer than `place` of n draws lie below the quantile
    for place, value in enumerate(sorted(values), 1):
        below += math.comb(count, place - 1) * share ** (place - 1) * (1 - share) ** (count - place + 1)
        if below >= 1 - _DOUBT:
            return value
    return None


def all_well(count: int) -> str:
    """Say what n of n successes mean; empty of none."""
    rate = covered(count)
    if rate is None:
        return ""
    return f"{count} of {count} say with 95 % confidence that at least {math.floor(rate * 100)} % of such would succeed"
