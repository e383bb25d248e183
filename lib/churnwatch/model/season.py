"""Snapshots of the same season: what a base with yearly habits is trained on, where earlier days show that it is better.

A shop of gifts sells before Christmas. A silence of sixty days means nothing in spring and much in December, so a model that
learns from all snapshots of some years mixes them up. It can learn from those alone that lie near the same day of earlier
years; these are fewer, which costs where the season matters little. So both are tried.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from churnwatch.model import frame as fr
from churnwatch.model import gate
from churnwatch.model import recipe as rc
from churnwatch.model.run_rows import Attempt
from churnwatch.model.spans import Spans
from churnwatch.model.tuning import Budget
from churnwatch.settings import Settings

YEAR_DAYS = 365.25
LEAST_GAIN = 0.005  # of AUC: about the noise of a difference on 2,000 churned users
LOG = logging.getLogger(__name__)


def same_season(days: Sequence[date], near: Sequence[date], around_days: int) -> tuple[date, ...]:
    """Keep the days within ``around_days`` days of the day of the year of one of ``near``, in any year.

    >>> same_season([date(2023, 12, 28), date(2024, 1, 9), date(2024, 6, 1)], [date(2025, 1, 3)], 7)
    (datetime.date(2023, 12, 28), datetime.date(2024, 1, 9))
    """
    return tuple(day for day in days if any(_apart(day, one) <= around_days for one in near))


def _apart(one: date, other: date) -> float:
    """Days between the days of the year, at most half a year; a day more or less, because of leap years."""
    apart = abs((one - other).days) % YEAR_DAYS
    return math.floor(min(apart, YEAR_DAYS - apart) + 0.5)


def in_season(spans: Spans, near: Sequence[date], settings: Settings) -> Spans | None:
    """``spans`` with the train days of the season of ``near`` alone. None where the train span is no longer than a year, or has
    too few days of that season for the gate."""
    around, train = settings.model.season_days, spans.train
    if around is None or (train[-1] - train[0]).days < YEAR_DAYS:
        return None
    kept = same_season(train, near, around)
    few = len(kept) < max(2, settings.model.gate.min_days) or len(kept) == len(train)
    return None if few else replace(spans, train=kept)


def with_season(attempt: Attempt, models: Any, settings: Settings) -> Attempt:
    """The attempt on snapshots of the same season, where they are better; else as it is.

    At each origin, a model of all train days and one of the season of the calibration span are fitted on the search sample and
    compared by AUC on the calibration span, which neither has seen. The season is taken where it is better by LEAST_GAIN on
    average, and where its snapshots are enough for the gate. The newest test span, on which the gate decides, takes no part.
    """
    pairs = [(n, in_season(spans, spans.calibration, settings)) for n, spans in enumerate(attempt.origins)]
    seasonal = [(n, spans) for n, spans in pairs if spans is not None]
    narrowed = [in_season(spans, spans.test, settings) for spans in attempt.origins]
    # the final fit is used in the days after the run
    newest = narrowed[0] if attempt.newest is attempt.spans else in_season(attempt.newest, [attempt.today], settings)
    if not seasonal or newest is None or None in narrowed:
        return attempt
    sizes = fr.span_sizes(attempt.frame, [spans for _, spans in seasonal])
    found = []
    for (n, spans), own in zip(seasonal, sizes, strict=True):
        if all(
            0 < size[span].positives < size[span].rows for size in (own, attempt.sizes[n]) for span in ("train", "calibration")
        ):
            found.append(_difference(attempt, n, spans, own, models, settings))
    LOG.info("snapshots of the same season against all, difference of AUC at the origins: %s", [round(d, 4) for d in found])
    if not found or sum(found) / len(found) < LEAST_GAIN:
        return attempt
    origins = tuple(spans for spans in narrowed if spans is not None)
    *own_sizes, newest_sizes = fr.span_sizes(attempt.frame, [*origins, newest])
    data = gate.Data(own_sizes[0], len(origins[0].train), None, len(origins))
    trained = [newest_sizes["train"], *(own["train"] for own in own_sizes)]
    if not gate.check_data(data, settings).passed or any(size.positives in (0, size.rows) for size in trained):
        LOG.info("snapshots of the same season are too few for the gate: all are taken")
        return attempt
    return replace(attempt, origins=origins, sizes=own_sizes, newest=newest, newest_sizes=newest_sizes, season=True)


def _difference(
    attempt: Attempt, n: int, seasonal: Spans, sizes: Mapping[str, fr.Size], models: Any, settings: Settings
) -> float:
    """AUC on the calibration span of origin ``n``: that of a model of the season minus that of a model of all train days."""
    tried = {"season": (seasonal, sizes), "all": (attempt.origins[n], attempt.sizes[n])}
    season, every_day = (
        _rank(attempt, spans, sizes, rc.Trials(models, f"{name}{n}"), settings) for name, (spans, sizes) in tried.items()
    )
    return season - every_day


def _rank(attempt: Attempt, spans: Spans, sizes: Mapping[str, fr.Size], trials: rc.Trials, settings: Settings) -> float:
    """AUC on the calibration span of the recipe with one trial, fitted on the search sample of the train span."""
    with rc.cached_span(attempt.frame, spans, sizes, attempt.whole, settings, sampled=True) as span:
        selection = rc.select(span, settings)
        recipe = rc.tune(span, selection.kept, selection.moments, Budget.of(settings, 1), trials, settings)
        return rc.fit_candidates(span, recipe, selection.moments, trials.port, settings)[0].rank
