"""The definition of each feature as text, so that a model notices a measure that was redefined under its old name."""

import re

from churnwatch.settings.attributes import attribute_column, days_column
from churnwatch.settings.measures import Measure
from churnwatch.settings.names import ACTS, RFM, definition_column, features_with_measure, slope_measures, summed_measures
from churnwatch.settings.root import Settings

OF_ACTS = (ACTS, "active_days", "active_hours", "habit", "tenure", "history")  # features that only acts decide
NAMES = re.compile(r"[A-Za-z_]\w*")


def feature_meanings(settings: Settings) -> dict[str, str]:
    """Definition of each feature, by name, as far as name and window do not say it; '' when they say it all.

    ``memory_days`` is not part of it, because values further back are missing and get filled. Neither are comments and white
    space.
    """
    measures, how = _by_measure(settings), _by_feature(settings)
    return {
        feature: ", ".join(text for text in (measures.get(measure), how.get(feature)) if text)
        for feature, measure in features_with_measure(settings)
    }


def activity_meanings(settings: Settings) -> dict[str, str]:
    """Definition of each column of daily_activity that is configured; ``day`` is what makes an event belong to a day."""
    m, gap = settings.measures, f"{settings.activity.session_gap_minutes} minutes apart"
    acts = "of all types" if m.acts is None else f"of {', '.join(sorted(m.acts))}"
    found = {"day": settings.clock.time_zone, "sessions": f"{gap} {acts}", "hours": acts, ACTS: acts}
    found["bot"] = f"{m.bots.events_a_day} events, {m.bots.hours_a_day} hours a day, {m.bots.days_share} of days, {acts}"
    found |= {name: _measure(measure, settings) for name, measure in m.measures.items()}
    definitions = settings.churn.definitions.items()
    return found | {definition_column(name): ", ".join(sorted(one.events)) if one.events else acts for name, one in definitions}


def user_feature_meanings(settings: Settings) -> dict[str, str]:
    """Definition of the columns of user_features, by measure and by what is made of it; the windows are columns of their own."""
    return {"day": settings.clock.time_zone} | _by_measure(settings) | _by_feature(settings)


def label_meaning(settings: Settings, definition: str) -> dict[str, str]:
    """What a label of a definition of churn means."""
    text = settings.churn.definitions[definition].model_dump_json(exclude={"class_"})
    return {"day": settings.clock.time_zone, "churned": text}


def _by_measure(settings: Settings) -> dict[str, str]:
    m = settings.measures
    own = {"sessions": f"{settings.activity.session_gap_minutes} minutes apart"}
    if m.acts is not None:
        acts = f"of {', '.join(sorted(m.acts))}"
        own = {"sessions": f"{own['sessions']} {acts}"} | dict.fromkeys(OF_ACTS, acts)
    own |= {name: _measure(measure, settings) for name, measure in m.measures.items()}
    found = {**own}
    for name, text in m.ratios.items():
        # a ratio changes when a measure in it does
        parts = "; ".join(f"{part}: {own[part]}" for part in sorted({*NAMES.findall(text)} & own.keys()))
        found[name] = f"{_plain(text)} ({parts})"
    found |= {name: f"{series.name} of {series.scope}" for name, series in m.context.items()}
    return found


def _measure(measure: Measure, settings: Settings) -> str:
    scale = None if measure.scale is None else f"{measure.scale:g}"
    parts = [("of", measure.of), ("scale", scale), ("where", measure.where), ("from", measure.from_), ("to", measure.to)]
    text = " ".join([measure.kind, *(f"{word} {_plain(said)}" for word, said in parts if said is not None)])
    if measure.kind == "transition":
        text += f" within {settings.activity.session_gap_minutes} minutes"
    if measure.kind == "distinct":
        text += f", at most {settings.activity.distinct_cap} a day"
    return text


def _by_feature(settings: Settings) -> dict[str, str]:
    m = settings.measures
    how = {f"{name}_trend": f"{m.trend_days} days against the {m.trend_days} before" for name in summed_measures(settings)}
    how |= {f"{name}_slope": f"{m.slope_weeks} weeks" for name in slope_measures(settings)}
    how |= {f"{name}_{what}": f"{m.trend_days} days" for name in m.shifts for what in ("new", "given_up")}
    if m.rfm is not None:
        # recency has no window
        window = {"recency": "", "frequency": f"{m.rfm.window_days} days, ", "monetary": f"{m.rfm.window_days} days, "}
        how |= {f"rfm_{part}": f"{window[part]}cuts {list(getattr(m.rfm, f'{part}_cuts'))}" for part in RFM}
    how |= {column(name): one.kind for name, one in m.attributes.items() for column in (attribute_column, days_column)}
    how |= {f"{name}_change": f"{series.change_days} days" for name, series in m.context.items() if series.change_days}
    return how


def _plain(text: str) -> str:
    return " ".join(text.split())
