"""Recall of warnings counts who had a new or open warning, so that it does not fall when warned users are not warned again."""

from datetime import date, timedelta

import numpy as np
import pytest
from judgedday import READS

from churnwatch.model.judged_cases import judged_cases
from churnwatch.reports.alert_quality import alert_quality
from churnwatch.reports.labelled_users import per_labelled_user
from churnwatch.tables import tables
from reportworld import frames

FIRST = date(2025, 9, 1)
HORIZON = 14  # days of the app's label window
USERS, WARNED_SHARE = 3000, 0.5


def planted():
    """Of the users who will be gone half are warned on the first day on which their label is churned, once; and some others.

    Users by name: the last active day before they go (a number from FIRST; far away for those who stay) and the day of the
    warning (or None).
    """
    rng = np.random.default_rng(8)
    goes = rng.random(USERS) < 0.5
    last = np.where(goes, rng.integers(-20, 40, USERS), 9999)
    found = np.where(goes, rng.random(USERS) < WARNED_SHARE, rng.random(USERS) < 0.1)
    on = np.where(goes, last, rng.integers(-10, 10, USERS))
    return {f"u{n}": (int(last[n]), int(on[n]) if found[n] else None) for n in range(USERS)}


def warned(user, day):
    return {"day": FIRST + timedelta(days=day), "alert_id": user, "scope": "user", "user_id": user, "rule_id": "model"} | {
        "level": "orange",
        "evidence": "e",
        "owner": "o",
        "due_on": FIRST,
    }


def labels(people, day, settings):
    """Labels of ``day``: eligible is who was active in the fortnight before; who is gone from then on churned."""
    rows = []
    for user, (last, _) in people.items():
        if last > day - HORIZON:
            active = FIRST + timedelta(days=min(last, day))
            row = {"day": FIRST + timedelta(days=day), "definition": settings.churn.primary, "user_id": user}
            gone = active + timedelta(days=HORIZON) if last <= day else None
            rows.append(row | {"churned": last <= day, "last_active_day": active, "churned_on": gone})
    return rows


def test_recall_is_the_planted_share_on_every_day(spark, app_settings):
    people = planted()
    alerts = [warned(user, day) for user, (_, day) in people.items() if day is not None]
    days = [0, 1, 9]
    rows = {"alerts": alerts, "labels": [row for day in days for row in labels(people, day, app_settings)]}
    read = frames(spark, app_settings, rows, READS)
    names = tables(app_settings).alert_quality.schema.names
    for number in days:
        day = FIRST + timedelta(days=number)
        cases = judged_cases(read["alerts"], read["alert_events"], [day], app_settings)
        known = per_labelled_user(read["labels"], read["actions"], cases, day, app_settings)
        made = [dict(zip(names, row, strict=True)) for row in alert_quality(cases, known, read["features"], day, app_settings)]
        model = next(row for row in made if (row["by"], row["rule_id"], row["level"]) == ("rule", "model", "all"))
        assert model["recall_low"] <= WARNED_SHARE <= model["recall_high"], (number, model["recall"])
        assert model["recall_high"] - model["recall_low"] < 0.13
        # the warnings of the day alone found a fourteenth of that
        new = sum(last <= number < last + HORIZON and on == number for last, on in people.values())
        assert model["fired"] < model["warned"] / 3 and new / model["base_churned"] < 0.12
        # half of the users who went were warned on their last day: it came HORIZON days before they counted as gone
        assert model["lead_days"] == pytest.approx(HORIZON) and model["silent_days"] == 0
