"""Descriptive statistics of a list of numbers, by the definitions that R and NumPy use by default."""

from math import fsum, sqrt
from typing import TypedDict

MAX_VALUES = 10_000
"""The interpreter is slow beside native code: this many values take about a tenth of the CPU time a request has."""

LARGEST = 1e150
"""Squares of larger numbers leave the range of a double."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class Statistics(TypedDict):
    """What needs two (or three) values is null when there are fewer."""

    count: int
    sum: float
    min: float
    max: float
    mean: float
    median: float
    variance: float | None
    stddev: float | None
    skewness: float | None
    quantiles: dict[str, float]
    iqr: float


def quantile(ordered: list[float], q: float) -> float:
    """Linear interpolation between the two neighbours: Hyndman and Fan's type 7."""
    place = q * (len(ordered) - 1)
    below = int(place)
    rest = place - below
    if rest == 0.0:
        return ordered[below]
    return ordered[below] + rest * (ordered[below + 1] - ordered[below])


def describe(values: list[float]) -> Statistics:
    """Expects at least one value."""
    ordered = sorted(values)
    count = len(ordered)
    mean = fsum(ordered) / count
    deviations = [value - mean for value in ordered]
    squares = fsum(d * d for d in deviations)
    variance = squares / (count - 1) if count > 1 else None
    stddev = sqrt(variance) if variance is not None else None
    skewness = None
    if count > 2 and squares > 0.0:
        spread = sqrt(squares / count)
        skewness = fsum((d / spread) ** 3 for d in deviations) / count
    return {
        "count": count,
        "sum": fsum(ordered),
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "median": quantile(ordered, 0.5),
        "variance": variance,
        "stddev": stddev,
        "skewness": skewness,
        "quantiles": {f"p{round(q * 100):02d}": quantile(ordered, q) for q in QUANTILES},
        "iqr": quantile(ordered, 0.75) - quantile(ordered, 0.25),
    }
