"""A simulated activity_trend in which one segment falls in the last week."""

from datetime import date, timedelta

import numpy as np

from churnwatch.activity import fall_detector

FIRST = date(2025, 1, 1)
PARTS = (("north", "basic", 4000), ("north", "gold", 3000), ("south", "basic", 3000), ("south", "gold", 2000))


def trend(days, fall, first=FIRST):
    """Rows of activity_trend of ``days`` days in which region north loses ``fall`` of its users in the last week."""
    base = np.random.default_rng(9)
    made = []
    for number in range(days):
        sums = {}
        for region, plan, size in PARTS:
            left = fall if region == "north" and number >= days - 7 else 0
            came = int(base.binomial(size, 0.6 * (1 - left)))
            for group in (("all", "all"), ("region", region), ("plan", plan)):
                active, back = sums.get(group, (0, 0))
                sums[group] = active + size, back + came
        day = first + timedelta(days=number)
        made += [
            {"day": day, "segment": s, "value": v, "active": a, "came_back": b, "share": b / a} for (s, v), (a, b) in sums.items()
        ]
    return made


def verdicts(given):
    """What the detector finds of the newest day of ``given``, rows of activity_trend, by segment and value."""
    day = np.array([row["day"].toordinal() for row in given], dtype=np.int32)
    columns = [[row[name] for row in given] for name in ("segment", "value", "active", "came_back")]
    found = fall_detector.detect(day, *columns[:2], *(np.array(c, dtype=float) for c in columns[2:]))
    return {(row["segment"], row["value"]): row for row in found}
