"""Names of configured columns, all of them defined here."""

from churnwatch.settings.attributes import attribute_column, days_column
from churnwatch.settings.root import Settings

SUMMED = ("count", "sum", "transition")
COUNTED = ("count", "transition")  # never below zero, though a day that goes on with a path of the evening before may hold -1
SYMPTOM_WINDOWS = (14, 30)  # where causes.yaml names none
EVENTS, ACTS, SESSIONS = "events", "acts", "sessions"


def measure_names(settings: Settings) -> list[str]:
    """Configured measures of daily_activity, in order; the table has those of ``base_measures`` before them."""
    return list(settings.measures.measures)


def base_measures(settings: Settings) -> list[str]:
    """Measures that every domain has: ``events``, ``sessions``, and ``acts`` where not every event is an act."""
    return [EVENTS, SESSIONS] if settings.measures.acts is None else [EVENTS, ACTS, SESSIONS]


def act_measure(settings: Settings) -> str:
    """The measure that counts acts: ``acts``, or ``events`` where every event is an act."""
    return EVENTS if settings.measures.acts is None else ACTS


def definition_column(definition: str) -> str:
    """Column of daily_activity that counts a churn definition's events of the day."""
    return f"def_{definition}"


def active_column(definition: str, settings: Settings) -> str:
    """Column of daily_activity that counts the events of the day that make a user eligible for a churn definition."""
    spec = settings.churn.definitions[definition]
    if spec.active_types == spec.counted:
        return definition_column(definition)
    return ACTS if spec.active_types is None else f"active_{definition_column(definition)}"


def active_columns(settings: Settings) -> dict[str, list[str]]:
    """Columns of ``active_column`` that count other event types than acts and the definition's own, with these types."""
    found = {}
    for name, spec in settings.churn.definitions.items():
        column = active_column(name, settings)
        if spec.active_types is not None and column != definition_column(name):
            found[column] = spec.active_types
    return found


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
    """Measures that are summed over days: those of ``base_measures`` and of kind count, sum and transition."""
    return base_measures(settings) + [n for n, m in settings.measures.measures.items() if m.kind in SUMMED]


def counted_measures(settings: Settings) -> list[str]:
    """Measures that are counts: those of ``base_measures`` and of kind count and transition."""
    return base_measures(settings) + [n for n, m in settings.measures.measures.items() if m.kind in COUNTED]


def symptom_windows(settings: Settings) -> list[int]:
    """Windows over which the surprise of a cause's symptoms is measured."""
    windows = settings.measures.windows_days
    if settings.causes.windows_days is not None:
        return settings.causes.windows_days
    return [days for days in SYMPTOM_WINDOWS if days in windows] or [windows[-1]]


def slope_measures(settings: Settings) -> list[str]:
    """Measures that have a slope over weeks."""
    m = settings.measures
    if m.slope_weeks is None:
        return []
    return summed_measures(settings) if m.slopes is None else list(m.slopes)


def rate_column(measure: str, days: int) -> str:
    """Column of user_features: the measure per day of the window on which the user could have been active."""
    return f"{measure}_rate_{days}d"


def month_column(measure: str, back: int) -> str:
    """Column of user_features: the measure in the calendar month ``back`` months before O's; 0: O's month so far.

    Null for a month before O's when not all of its days are stored."""
    return f"{measure}_m{back}"


HABIT = ("longest_gap_days", "usual_gap_days", "gap_ratio", "regularity")
RFM = ("recency", "frequency", "monetary")
RFM_SEGMENT = "segment_rfm"


def feature_names(settings: Settings) -> list[str]:
    """Numeric columns of user_features that a model may learn from, in order."""
    return [name for name, _ in features_with_measure(settings)]


def features_with_measure(settings: Settings) -> list[tuple[str, str]]:
    """Every feature with its measure. Reasons are summed by measure, and causes are found by it."""
    windows = settings.measures.windows_days
    measures = [*base_measures(settings), *measure_names(settings)]
    pairs = [(f"active_days_{w}d", "active_days") for w in windows]
    pairs += [(window_column(m, w), m) for m in measures for w in windows]
    pairs += [(f"{m}_trend", m) for m in summed_measures(settings)]
    pairs += [(f"{m}_days_since", m) for m in measures if m != "sessions"]
    pairs += [(window_column(r, w), r) for r in settings.measures.ratios for w in windows]
    return [*pairs, ("tenure_days", "tenure"), ("history_days", "history"), *_signals(settings)]


def _signals(settings: Settings) -> list[tuple[str, str]]:
    m = settings.measures
    pairs = [(f"{name}_slope", name) for name in slope_measures(settings)]
    pairs += [(name, "habit") for name in HABIT if m.habit]
    pairs += [(f"active_share_{w}d", "active_days") for w in m.windows_days if m.active_share]
    pairs += [(f"active_hours_{w}d", "active_hours") for w in m.windows_days if m.active_hours]
    pairs += [(rate_column(name, w), name) for name in m.rates for w in m.windows_days]
    pairs += [(f"{name}_{what}", name) for name in m.shifts for what in ("new", "given_up")]
    pairs += [(f"rfm_{part}", getattr(m.rfm, part)) for part in RFM if m.rfm]
    pairs += [(month_column(name, back), name) for name in m.months_of for back in range(m.months + 1)]
    columns = {"date": days_column}
    for name, attribute in m.attributes.items():
        if attribute.kind != "category":
            pairs.append((columns.get(attribute.kind, attribute_column)(name), attribute_column(name)))
    for name, series in m.context.items():
        pairs += [(name, name)] + ([(f"{name}_change", name)] if series.change_days else [])
    return pairs


def text_names(settings: Settings) -> list[str]:
    """Text columns of user_features: the configured segments, the segment by RFM scores, and categories."""
    return [*segment_names(settings), *([RFM_SEGMENT] if settings.measures.rfm else []), *category_columns(settings)]


def category_columns(settings: Settings) -> list[str]:
    """Text columns of the attributes that are categories. A model learns a feature for each frequent value."""
    return [attribute_column(name) for name, one in settings.measures.attributes.items() if one.kind == "category"]


def segment_names(settings: Settings) -> list[str]:
    """Text columns of the configured segments: ``segment_<name>``."""
    return [f"segment_{name}" for name in settings.measures.segments]
