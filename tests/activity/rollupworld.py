"""Hand-made events, and the rollup over them as the runner calls it."""

from datetime import date, timedelta

from churnwatch.activity import per_user_day
from smallworld import at, contracts, on_days, rows, settings

DAY = date(2024, 2, 29)
NEXT = date(2024, 3, 1)


def event(user="u", day=DAY, time="12:00", kind="view", **more):
    """An event of ``day``: a view at noon unless ``more`` says otherwise."""
    return {"day": day, "event_id": "e", "user_id": user, "event_time": at(day, time), "event_type": kind, **more}


def built(spark, events, days, **changes):
    """``daily_activity`` of ``days``; ``changes`` as of ``smallworld.settings``."""
    made = settings(**changes)
    read = on_days(events, min(days) - timedelta(days=1), max(days))
    return per_user_day({"events": rows(spark, contracts(**changes).events, read)}, days, made)["daily_activity"]
