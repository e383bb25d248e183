"""Names of the columns that configuration makes: the one place that spells them."""

from churnwatch.settings.model import Settings

SUMMED = ("count", "sum", "transition")


def measure_names(settings: Settings) -> list[str]:
    """Measures of daily_activity in order: the configured ones; ``events`` and ``sessions`` come before them in the table."""
    return list(settings.measures.measures)


def definition_column(definition: str) -> str:
    """Column of daily_activity that counts a churn definition's events of the day."""
    return f"def_{definition}"


def first_day_column(stem: str) -> str:
    """Column of monthly_activity: first day of the month with the measure or definition column ``stem``."""
    return f"{stem}_first_day"


def last_day_column(stem: str) -> str:
    """Column of monthly_activity: last day of the month with the measure or definition column ``stem``."""
    return f"{stem}_last_day"


def window_column(measure: str, days: int) -> str:
    """Column of user_features: the measure over the ``days`` days that end with O."""
    return f"{measure}_{days}d"


def summed_measures(settings: Settings) -> list[str]:
    """Measures that add up over days: ``events``, ``sessions`` and those of kind count, sum and transition."""
    return ["events", "sessions"] + [n for n, m in settings.measures.measures.items() if m.kind in SUMMED]


def feature_names(settings: Settings) -> list[str]:
    """Numeric columns of user_features that a model may learn from, in order."""
    windows = settings.measures.windows_days
    measures = ["events", "sessions", *measure_names(settings)]
    names = [f"active_days_{w}d" for w in windows]
    names += [window_column(m, w) for m in measures for w in windows]
    names += [f"{m}_trend" for m in summed_measures(settings)]
    names += [f"{m}_days_since" for m in measures if m != "sessions"]
    names += [window_column(r, w) for r in settings.measures.ratios for w in windows]
    return [*names, "tenure_days", "history_days"]


def segment_names(settings: Settings) -> list[str]:
    """Text columns of user_features, one a configured segment: ``segment_<name>``."""
    return [f"segment_{name}" for name in settings.measures.segments]
