"""Score recency, frequency and monetary value by fixed cut points, and name the segment."""

from collections.abc import Iterator, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.settings.feature_families import Rfm
from churnwatch.settings.names import window_column

BEST = 5
# rows: recency 5 .. 1; columns: frequency 1 .. 5; names as in Putler's RFM segments
GRID = (
    ("new", "potential_loyal", "potential_loyal", "champion", "champion"),
    ("promising", "potential_loyal", "potential_loyal", "loyal", "loyal"),
    ("about_to_sleep", "about_to_sleep", "needs_attention", "loyal", "loyal"),
    ("hibernating", "hibernating", "at_risk", "at_risk", "cannot_lose"),
    ("hibernating", "hibernating", "at_risk", "at_risk", "cannot_lose"),
)


def rfm_scores(rfm: Rfm) -> Iterator[tuple[str, Column]]:
    """Yield ``rfm_recency``, ``rfm_frequency`` and ``rfm_monetary``, 1 (worst) .. 5 (best), after A. M. Hughes, Strategic
    Database Marketing, 1994, but with fixed cut points instead of quintiles."""
    since = F.col(f"{rfm.recency}_days_since")
    # null: not in the windows, so longer ago than any cut point
    yield "rfm_recency", F.when(since.isNull(), 1).otherwise(BEST - _passed(since > cut for cut in rfm.recency_cuts))
    for score, measure, cuts in (
        ("frequency", rfm.frequency, rfm.frequency_cuts),
        ("monetary", rfm.monetary, rfm.monetary_cuts),
    ):
        value = F.coalesce(F.col(window_column(measure, rfm.window_days)), F.lit(0))
        yield f"rfm_{score}", 1 + _passed(value >= cut for cut in cuts)


def rfm_segment(rfm: Rfm) -> Column:
    """Look up the segment in the grid by the scores of recency and frequency."""
    scores = dict(rfm_scores(rfm))
    rows = F.array(*(F.array(*(F.lit(name) for name in row)) for row in GRID))
    return F.get(F.get(rows, BEST - scores["rfm_recency"]), scores["rfm_frequency"] - 1)


def _passed(cuts: Iterator[Column] | Sequence[Column]) -> Column:
    count = F.lit(0)
    for cut in cuts:
        count += cut.cast("int")
    return count
