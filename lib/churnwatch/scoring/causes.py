"""Prepare what workers need to name causes: usual rates of symptoms from the release, and the rules that are true for a user."""

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.model.reference import usual_matrix
from churnwatch.scoring.rule_conditions import check_conditions, with_attributes, with_indicators
from churnwatch.scoring.worker_causes import CauseFinder, Floats, Symptom
from churnwatch.settings import Rule, Settings
from churnwatch.settings.names import symptom_windows, window_column
from churnwatch.settings.rule_columns import SCORE_COLUMNS, base_column, columns_of, rules_on
from churnwatch.settings.terms import ALL

LOG = logging.getLogger(__name__)
SHRINK_EVENTS = 20  # a segment's rate counts like the rate of all users until it has far more symptoms than this


def cause_finder(
    reference: Mapping[str, Any] | None, measures: Sequence[str], place: Mapping[str, int], day: date, settings: Settings
) -> CauseFinder:
    """How workers find causes on ``day``. ``measures``: those of the reasons, in order; ``place``: columns of the raw matrix by
    name. Symptoms without a usual rate in the release are left out, and the log says so."""
    causes, windows = settings.causes, symptom_windows(settings)
    per = (reference or {}).get("usual", {}).get("per")
    symptoms, unknown = [], []
    for number, name in enumerate(causes.specific):
        for measure in causes.causes[name].symptoms:
            columns = [window_column(measure, days) for days in windows]
            unit = _unit(reference, measure, settings)
            rates = [] if per is None else _rates(reference, columns, [window_column(per, days) for days in windows], unit)
            if not rates or any(np.isnan(rate).any() for rate in rates):
                unknown.append(measure)
            else:
                symptoms.append(Symptom(measure, number, unit, [place[column] for column in columns], rates))
    if unknown:
        LOG.info("the release has no usual rate of %s: until the next release these symptoms name no cause", ", ".join(unknown))
    rules = cause_rules(day, settings)
    levels = [level.name for level in settings.tiers.levels]
    general = causes.causes[causes.general].measures if causes.general else []
    return CauseFinder(
        names=causes.specific,
        general=causes.general,
        general_measures=[number for number, name in enumerate(measures) if name in general],
        windows=[(days, place[window_column(per, days)]) for days in windows] if symptoms else [],
        symptoms=symptoms,
        least=causes.least,
        prior_events=causes.prior_events,
        rules=[rule.id for rule in rules],
        levels=[levels.index(rule.level) + 1 for rule in rules],
        rule_columns=[(_number(cause, settings), column) for cause, column in _by_cause(rules)],
    )


def symptom_columns(reference: Mapping[str, Any] | None, settings: Settings) -> list[str]:
    """Columns of user_features that are needed to measure surprise: symptoms, and the events that their rates are per."""
    per = (reference or {}).get("usual", {}).get("per")
    if per is None:
        return []
    symptoms = [measure for name in settings.causes.specific for measure in settings.causes.causes[name].symptoms]
    return [window_column(name, days) for name in [per, *symptoms] for days in symptom_windows(settings)] if symptoms else []


def _unit(reference: Mapping[str, Any] | None, measure: str, settings: Settings) -> float:
    """The usual size of one occurrence: 1 for counts; for sums the mean of the positive values of the shortest window, which
    rarely holds more than one occurrence."""
    configured = settings.measures.measures.get(measure)
    if configured is None or configured.kind != "sum":
        return 1.0
    _, _, sizes = usual_matrix(reference, [window_column(measure, settings.measures.windows_days[0])], "sizes")
    size = float(sizes[-1, 0])
    return size if size > 0 else 1.0


def _rates(reference: Any, columns: Sequence[str], events: Sequence[str], unit: float) -> list[Floats]:
    """For each window the usual occurrences per event: one row a segment value, shrunk towards the last row, all users.

    The shrunk rate is the mean of the Gamma posterior whose prior has the rate of all users and SHRINK_EVENTS occurrences.
    """
    _, _, rates = usual_matrix(reference, columns, "rates")
    _, _, means = usual_matrix(reference, events, "means")
    rows = np.array(reference["usual"]["rows"], dtype=np.float64)[:, None]
    per_event, exposure = rates / unit, np.nan_to_num(means) * rows
    of_all = per_event[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        shrunk = (np.nan_to_num(per_event) * exposure + SHRINK_EVENTS) / (exposure + SHRINK_EVENTS / of_all)
    found = np.where(of_all > 0, shrunk, of_all)
    found[-1] = of_all
    return list(found.T)


def cause_rules(day: date, settings: Settings) -> list[Rule]:
    """Rules of users in force on ``day`` whose conditions can be evaluated before anybody is scored, strongest level first. Rules
    that name scores are left out: their warnings keep their own cause."""
    levels = [level.name for level in settings.tiers.levels]
    rules = [rule for rule in rules_on(day, settings) if rule.scope == "user" and not _names_scores(rule)]
    return sorted(rules, key=lambda rule: -levels.index(rule.level))


def _names_scores(rule: Rule) -> bool:
    return bool(columns_of(rule.when) & {*SCORE_COLUMNS})


def rule_inputs(settings: Settings) -> tuple[list[str], list[str]]:
    """Attributes of users, and indicators of all users, that conditions of user rules name: scoring reads the tables users and
    activity_trend only for these."""
    source = settings.sources.users
    rules = [rule for rule in settings.rules.rules if rule.scope == "user" and not _names_scores(rule)]
    named = {name for rule in rules for name in columns_of(rule.when)}
    attributes = [name for name in (source.map if source else ()) if name in named - {"user_id"}]
    return attributes, [name for name in settings.measures.indicators if base_column(name) in named]


def with_rule_inputs(people: DataFrame, inputs: Mapping[str, DataFrame], settings: Settings) -> DataFrame:
    """Add the attributes and the indicators of all users that conditions of user rules name; same grain.

    ``inputs``: ``users`` as of the day, one row per user, and ``trend`` (its newest day counts), each where it is needed.
    """
    attributes, indicators = rule_inputs(settings)
    if attributes:
        people = with_attributes(people, inputs["users"], attributes)
    if not indicators:
        return people
    row = inputs["trend"].where(F.col("segment") == ALL).orderBy(F.desc("day")).first()
    return with_indicators(people, (row["indicators"] or {}) if row else {}, settings)


def rule_columns(people: DataFrame, day: date, settings: Settings) -> list[Column]:
    """For each cause with rules the number of its strongest rule that is true, else null. ``people``: see ``with_rule_inputs``.
    Raises ConfigError for a rule whose ``when`` is no condition."""
    rules = cause_rules(day, settings)
    check_conditions(people, rules)
    found = []
    for cause, column in _by_cause(rules):
        own = [F.when(F.expr(rule.when), F.lit(n)) for n, rule in enumerate(rules) if rule.cause == cause]
        found.append(F.coalesce(*own).alias(column))
    return found


def _by_cause(rules: Sequence[Rule]) -> list[tuple[str, str]]:
    return [(cause, f"rule_{n}") for n, cause in enumerate(dict.fromkeys(rule.cause for rule in rules))]


def _number(cause: str, settings: Settings) -> int:
    specific = settings.causes.specific
    return specific.index(cause) if cause in specific else len(specific)
