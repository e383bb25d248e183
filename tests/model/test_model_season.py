"""Snapshots of the same season: which days they are, and when they are taken."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from modelworld import MODEL, conf

from churnwatch.core import is_snapshot
from churnwatch.io.models import Models
from churnwatch.model import frame as fr
from churnwatch.model import season
from churnwatch.model import spans as sp
from churnwatch.model.run_rows import Attempt
from churnwatch.model.schema import schema_of
from churnwatch.model.spans import Spans
from churnwatch.settings import feature_names
from churnwatch.tables import tables
from smallworld import rows

YEARS = MODEL | {
    "algorithms": ["tree"],
    "train_days": 730,
    "calibration_days": 28,
    "test_days": 28,
    "snapshot_every_days": 28,
    "season_days": 60,
    "max_depth": 2,
    "selection": {"max_psi": None},
    "gate": MODEL["gate"] | {"min_days": 4},
}
TODAY = date(2025, 6, 21)
USERS = 250


def every(days, first, last):
    return [first + timedelta(days=n) for n in range(0, (last - first).days + 1, days)]


def test_days_of_the_same_season_of_any_year():
    days = every(1, date(2022, 1, 1), date(2024, 12, 31))
    kept = season.same_season(days, [date(2025, 1, 2)], 3)
    assert 20 <= len(kept) <= 22 and {(day.month, day.day) for day in kept} <= {(12, n) for n in (29, 30, 31)} | {
        (1, n) for n in range(1, 7)
    }
    assert season.same_season(days, [date(2025, 1, 2)], 200) == tuple(days)


def test_a_train_span_of_less_than_a_year_or_with_few_days_of_the_season_stays(tmp_path):
    one = conf("unused", model=YEARS)
    later = (date(2025, 7, 1),)

    def narrowed(days, settings=one):
        return season.in_season(Spans(tuple(days), later, later), later, settings)

    years = every(28, date(2022, 6, 1), date(2024, 6, 1))
    assert len(narrowed(years).train) == 10 and narrowed(years).calibration == later
    assert narrowed(years[:13]) is None
    assert narrowed(every(180, date(2022, 6, 1), date(2024, 6, 1))) is None  # three days: fewer than gate.min_days
    assert narrowed(years, conf("unused", model=YEARS | {"season_days": None})) is None


def attempt_of(spark, one, flips):
    """An attempt on three years of monthly snapshots; where it ``flips``, orders are risky in the first half of a year and a
    good sign in the second."""
    rng = np.random.default_rng(2)
    days = [day for day in every(1, date(2022, 6, 1), TODAY - timedelta(days=5)) if is_snapshot(day, 28)]
    names = feature_names(one)
    columns = {name: rng.normal(size=len(days) * USERS) for name in names}
    day = np.repeat(np.array(days), USERS)
    sign = np.where(np.array([d.month <= 6 for d in day]) | (not flips), 1, -1)
    churned = rng.random(len(day)) < 1 / (1 + np.exp(-2.5 * sign * columns["orders_4d"]))
    keys = {"day": pa.array(day.tolist(), pa.date32()), "user_id": [f"u{n}" for n in range(USERS)] * len(days)}
    features = pa.table({**keys, "bot": [False] * len(day), "segment_plan": ["gold"] * len(day), **columns})
    labels = pa.table({**keys, "definition": ["silent"] * len(day), "churned": churned})
    inputs = {"features": spark.createDataFrame(features), "labels": spark.createDataFrame(labels)}
    t = tables(one)
    inputs |= {"actions": rows(spark, t.retention_actions, []), "alert_events": rows(spark, t.alert_events, [])}
    whole = schema_of(names, one)
    origins = sp.rolling_origins(days, TODAY, one)
    newest = sp.newest_spans(days, origins[0], one)
    frame = fr.training_frame(inputs, days, whole, one).cache()
    *sizes, newest_sizes = fr.span_sizes(frame, [*origins, newest])
    return Attempt(TODAY, origins, sizes, newest, newest_sizes, frame, whole)


@pytest.mark.parametrize("flips", [True, False])
def test_snapshots_of_the_season_are_taken_where_the_base_has_yearly_habits(spark, tmp_path, flips):
    one = conf(tmp_path, model=YEARS)
    attempt = attempt_of(spark, one, flips)
    found = season.with_season(attempt, Models(spark, one, "season"), one)
    if not flips:
        assert found is attempt, "a quarter of the rows is no better where the season does not matter"
        return
    assert found.season and {day.month for day in found.spans.train} <= {4, 5, 6, 7, 8}
    assert len(found.spans.train) < len(attempt.spans.train) / 2
    assert (found.spans.calibration, found.spans.test) == (attempt.spans.calibration, attempt.spans.test)
    assert found.sizes[0]["train"].rows == USERS * len(found.spans.train)
    assert found.newest_sizes["train"].rows == USERS * len(found.newest.train) < attempt.newest_sizes["train"].rows


def test_a_season_whose_rows_are_too_few_for_the_gate_is_not_taken(spark, tmp_path, monkeypatch):
    one = conf(tmp_path, model=YEARS)
    attempt = attempt_of(spark, one, True)
    monkeypatch.setattr(season, "_difference", lambda *_: 1.0)  # far better, which fits need not show again
    enough = attempt.sizes[0]["train"].positives
    strict = conf(tmp_path, model=YEARS | {"gate": YEARS["gate"] | {"min_positives": enough}})
    assert season.with_season(attempt, None, strict) is attempt
    assert season.with_season(attempt, None, one).season
