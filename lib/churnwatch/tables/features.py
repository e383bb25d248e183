"""The features per user and day, and the comment of each feature."""

import re

from churnwatch.core import Table, column
from churnwatch.settings import Settings, feature_names
from churnwatch.settings.attributes import PREFIX, attribute_column, days_column
from churnwatch.settings.names import text_names
from churnwatch.tables.columns import day, table, user


def user_features(settings: Settings) -> Table:
    """The contract of ``user_features`` under ``settings``."""
    return table(
        "user_features",
        "features of a user at the end of a day; users active within population_days who did not refuse profiling",
        [
            day("as-of day: the row uses no later event"),
            user(),
            *(column(name, "double", _feature_comment(name, settings)) for name in feature_names(settings)),
            *(
                column(name, "string", f"{_of_user(name)} of the user, in force on the as-of day")
                for name in text_names(settings)
            ),
            # nullable: days that were stored before this column existed lack it until they are built again
            column(
                "bot",
                "boolean",
                "true when the user was a bot on bots.days_share of the active days of the longest window; bots are not scored",
            ),
        ],
        ("day", "user_id"),
        partitions=("day",),
    )


def _of_user(name: str) -> str:
    return name.removeprefix("segment_").removeprefix(PREFIX)


FEATURE_ENDINGS = {
    "_days_since": "days since the last day with {0}; 0: the as-of day; null: further back than features look",
    "_trend": "trend of {0}, -1 .. 1: (last n days - n days before) / (sum of both), n = trend_days; null: both are 0, or fewer "
    "than 2n days of the user or of history",
    "_slope": "rise of {0} per week: slope of the least-squares line through the weekly sums; null: fewer days of the user or of "
    "history than these weeks have",
    "_new": "new values of {0}: in the last trend_days, and not in the earlier days of the longest window",
    "_given_up": "given-up values of {0}: in the earlier days of the longest window, and not in the last trend_days",
    "_change": "{0}: value in force on the as-of day minus the value in force change_days before",
}


FEATURES = {
    "tenure_days": "days since registration; without one, since the first active day",
    "history_days": "days of stored history that end with the as-of day, at most the longest window",
    "longest_gap_days": "longest gap between two active days of the longest window, days; null: fewer than two active days",
    "usual_gap_days": "mean gap between active days of the longest window, days; null: fewer than two active days",
    "gap_ratio": "days since the last active day / usual_gap_days",
    "regularity": "regularity of the gaps: 1 equal gaps, 0 random, towards -1 bursts; null: fewer than two gaps",
    "rfm_recency": "recency score, 1 (long ago) .. 5 (recent)",
    "rfm_frequency": "frequency score, 1 (rare) .. 5 (often)",
    "rfm_monetary": "monetary score, 1 (little) .. 5 (much)",
}


WINDOW_STEMS = {
    "active_share": "share of days with activity, of the days on which the user could have been active,",
    "active_hours": "different hours of the clock with activity, 0 .. 24,",
}


def _feature_comment(name: str, settings: Settings) -> str:
    if name in settings.measures.context:
        return f"value of the series {settings.measures.context[name].name} in force on the as-of day"
    for attribute, one in settings.measures.attributes.items():
        if name == days_column(attribute):
            return f"days from the as-of day to the {attribute} of the user, negative: it has passed; null: not known"
        if name == attribute_column(attribute):
            unit = ", 1: yes, 0: no" if one.kind == "boolean" else ""
            return f"{attribute} of the user, in force on the as-of day{unit}; null: not known"
    if name in FEATURES:
        return FEATURES[name]
    for ending, text in FEATURE_ENDINGS.items():
        if name.endswith(ending):
            return text.format(name.removesuffix(ending))
    if month := re.fullmatch(r"(\w+)_m(\d+)", name):
        return f"{month[1]} in the calendar month {month[2]} months before that of the as-of day; 0: that month so far"
    stem, _, window = name.rpartition("_")
    what = WINDOW_STEMS.get(stem, stem)
    if stem.removesuffix("_rate") in settings.measures.rates:
        what = f"{stem.removesuffix('_rate')} per day on which the user could have been active,"
    return f"{what} over the {window.removesuffix('d')} days that end with the as-of day"
