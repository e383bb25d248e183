"""Say in words what a feature is, for pages and messages."""

import re

from churnwatch.settings.attributes import PREFIX, attribute_column, category_of, days_column
from churnwatch.settings.root import Settings

WINDOW = re.compile(r"^(?P<stem>\w+)_(?P<days>\d+)d$")
MONTH = re.compile(r"^(?P<stem>\w+)_m(?P<back>\d+)$")
ENDINGS = {
    "_trend": "trend",
    "_slope": "rise a week",
    "_new": "new ones",
    "_given_up": "given up",
    "_change": "change",
}
MINUTE_MS = 60_000.0
FIXED = {
    "events": "events",
    "acts": "acts",
    "sessions": "sessions",
    "active": "active days",
    "active_days": "active days",
    "tenure_days": "days since registration",
    "history_days": "days of history",
    "longest_gap_days": "longest pause, days",
    "usual_gap_days": "usual pause, days",
    "gap_ratio": "days since the last activity, by the usual pause",
    "regularity": "regularity of activity",
    "habit": "usual rhythm",
    "active_share": "share of active days",
    "active_hours": "active hours of the day",
}


def measure_title(name: str, settings: Settings) -> str:
    """A feature in words: ``logins_7d`` -> log-ins, 7 days; an attribute by its name."""
    if category := category_of(name):
        return category[0].removeprefix(PREFIX).replace("_", " ")
    for attribute in settings.measures.attributes:
        if name in (attribute_column(attribute), days_column(attribute)):
            return ("days until " if name == days_column(attribute) else "") + attribute.replace("_", " ")
    if name in FIXED:
        return FIXED[name]
    if name.endswith("_days_since"):
        return f"days without {_stem(name.removesuffix('_days_since'), settings)}"
    for ending, text in ENDINGS.items():
        if name.endswith(ending):
            return f"{_stem(name.removesuffix(ending), settings)}, {text}"
    if found := MONTH.match(name):
        back = int(found["back"])
        return f"{_stem(found['stem'], settings)}, " + (f"{_months(back)} before" if back else "month so far")
    if found := WINDOW.match(name):
        return f"{_stem(found['stem'], settings)}, {_days(int(found['days']))}"
    return _stem(name, settings)


def _stem(name: str, settings: Settings) -> str:
    measure = settings.measures.measures.get(name)
    text = (measure.comment if measure else None) or FIXED.get(name) or name.replace("_", " ")
    if name.endswith("_ms"):
        return text.removesuffix(" ms").removesuffix(",")
    return text.removesuffix(" cents").removesuffix(",") if name.endswith("_cents") else text


def counted_words(measure: str, settings: Settings) -> str:
    """What stands after the measure's value: ``crashes`` -> crashes; ``wait_ms`` -> of time until the service answered."""
    words = _stem(measure, settings)
    return f"of {words}" if measure.endswith(("_cents", "_ms")) else words


def feature_unit(feature: str, settings: Settings) -> tuple[float, str]:
    """By what the stored value of a column of user_features is divided for readers, and the unit behind it.

    Windows and months of money are shown in major units, those of milliseconds in minutes; other values as they are.
    """
    found = WINDOW.match(feature) or MONTH.match(feature)
    stem = found["stem"] if found else ""
    if stem.endswith("_cents"):
        return float(10**settings.money.minor_digits), ""
    return (MINUTE_MS, " min") if stem.endswith("_ms") else (1.0, "")


def _days(count: int) -> str:
    return f"{count} day" if count == 1 else f"{count:,} days"


def _months(count: int) -> str:
    return f"{count} month" if count == 1 else f"{count:,} months"
