"""The features per user and day, and the comment of each."""

import re

from churnwatch.core import Table, column
from churnwatch.settings import Settings, feature_names
from churnwatch.settings.names import text_names
from churnwatch.tables.columns import day, table, user


def user_features(settings: Settings) -> Table:
    """The contract of ``user_features`` under ``settings``."""
    return table(
        "user_features",
        "features per user at the end of a day: users active within population_days who did not refuse profiling",
        [
            day("as-of day: nothing later is in the row"),
            user(),
            *(column(name, "double", _feature_comment(name, settings)) for name in feature_names(settings)),
            *(
                column(name, "string", f"the user's {name.removeprefix('segment_')} as of the day")
                for name in text_names(settings)
            ),
            # nullable: days that were stored before it was known have none until they are built again
            column(
                "bot",
                "boolean",
                "more events than a person makes on a day of the longest window: neither trained on nor scored",
            ),
        ],
        ("day", "user_id"),
        partitions=("day",),
    )


FEATURE_ENDINGS = {
    "_days_since": "days since the last day with {0}; 0: that day; null: not in the days that features know",
    "_trend": "{0}: (last n days - n days before) / both together, in -1 .. 1; null: none in both",
    "_slope": "{0}: rise a week of the least-squares line through the weekly sums; null: not all weeks are stored",
    "_new": "{0}: values of the last trend_days that no earlier day of the longest window has",
    "_given_up": "{0}: values of earlier days of the longest window that the last trend_days lack",
    "_change": "{0}: value in force less the one change_days before",
}


FEATURES = {
    "tenure_days": "days since registration, else since the first active day",
    "history_days": "days of stored history up to the as-of day, at most the longest window",
    "longest_gap_days": "days of the longest gap between two active days within the longest window; null: under two",
    "usual_gap_days": "mean days from one active day to the next within the longest window; null: under two active days",
    "gap_ratio": "days since the last active day by usual_gap_days",
    "regularity": "how alike the gaps are: 1 all the same, 0 chance, towards -1 bursts; null: under two gaps",
    "rfm_recency": "recency score, 1 (long ago) .. 5 (just now)",
    "rfm_frequency": "frequency score, 1 (seldom) .. 5 (often)",
    "rfm_monetary": "monetary score, 1 (little) .. 5 (much)",
}


WINDOW_STEMS = {
    "active_share": "share of the days with activity, of those on which the user could have been active,",
    "active_hours": "hours of the clock with activity, 0 .. 24,",
}


def _feature_comment(name: str, settings: Settings) -> str:
    if name in settings.measures.context:
        return f"value of {settings.measures.context[name].name} in force on the as-of day"
    if name in FEATURES:
        return FEATURES[name]
    for ending, text in FEATURE_ENDINGS.items():
        if name.endswith(ending):
            return text.format(name.removesuffix(ending))
    if month := re.fullmatch(r"(\w+)_m(\d+)", name):
        return f"{month[1]} in the calendar month {month[2]} months before the as-of day's; 0: that month so far"
    stem, _, window = name.rpartition("_")
    what = WINDOW_STEMS.get(stem, stem)
    if stem.removesuffix("_rate") in settings.measures.rates:
        what = f"{stem.removesuffix('_rate')} per day on which the user could have been active,"
    return f"{what} over the {window.removesuffix('d')} days that end with the as-of day"
