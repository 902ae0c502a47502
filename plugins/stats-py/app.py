"""Sells descriptive statistics of a list of numbers."""

from dataclasses import dataclass
from typing import Annotated

from coinslot import Length, Range, post
from statistics_of import LARGEST, MAX_VALUES, Statistics, describe


@dataclass
class Sample:
    """Numbers, in any order."""

    values: Annotated[list[Annotated[float, Range(-LARGEST, LARGEST)]], Length(1, MAX_VALUES)]


@post("/py/stats", price="0.002", examples=[{"body": {"values": [1, 2.5, 4]}}])
def stats(sample: Sample) -> Statistics:
    """Descriptive statistics of a list of numbers

    Count, sum, range, mean, median, sample variance and standard deviation, skewness, interquartile range and five
    quantiles (linear interpolation, as in R and NumPy). Sums are exact to the last bit.
    """
    return describe(sample.values)
