"""``churnwatch rules test``: apply the rules to a stored day and compare them. Writes nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import DataFrame

from churnwatch.activity import only_people
from churnwatch.alerts.groups import group_inputs, matching_groups, with_base
from churnwatch.alerts.rules import with_scores_and_attributes
from churnwatch.core import ConfigError, DataQualityError, Job
from churnwatch.core.small_frames import collect_together
from churnwatch.model.judged_cases import judged_cases
from churnwatch.reading import Step
from churnwatch.reports.labelled_users import per_labelled_user
from churnwatch.reports.rule_trial import EVERYBODY, RuleOverlap, RulePrecision, count_overlaps, replay_rules, stored_precision
from churnwatch.runner import Runner
from churnwatch.scoring.rule_conditions import check_conditions
from churnwatch.settings import Rule, Settings
from churnwatch.settings.rule_columns import absent_columns, rules_on

PAIRS = 10  # pairs of rules that are shown


@dataclass(frozen=True)
class Trial:
    """What the rules in force do on ``day``: users and groups by rule, and precision where labels have matured.

    ``agreed``: pairs of rules with their common users; ``stored``: precision as alert_quality has it; ``replayed``: precision of
    new rules, measured on ``replayed_on``, the newest day with labels (None: there is none).
    """

    day: date
    agreed: Sequence[RuleOverlap]
    groups: dict[str, list[str]]
    stored: dict[str, RulePrecision]
    replayed: dict[str, RulePrecision]
    replayed_on: date | None

    @property
    def users(self) -> dict[str, int]:
        """Users by rule; under '' the number of users to whom the rules were applied."""
        return {pair.rule_id: pair.users for pair in self.agreed if pair.rule_id == pair.other}

    def overlaps(self, rule: str | None) -> list[RuleOverlap]:
        """The PAIRS pairs of rules with most common users; only pairs with ``rule`` when it is given."""
        pairs = [a for a in self.agreed if EVERYBODY not in (a.rule_id, a.other) and a.rule_id != a.other]
        return [a for a in pairs if rule in (None, a.rule_id, a.other)][:PAIRS]


def off(settings: Settings, day: date | None = None) -> Iterator[tuple[Rule, str]]:
    """Rules that are off, and why: a column is absent, or (when ``day`` is given) the rule is not in force on it."""
    for rule in settings.rules.rules:
        if absent := absent_columns(rule, settings):
            yield rule, f"there is no column {', '.join(absent)}"
        elif day and not rule.valid_on(day):
            yield rule, f"in force from {rule.valid_from or 'the beginning'} to {rule.valid_to or 'further notice'}"


def tried(runner: Runner, day: date, rule: str | None = None) -> Trial:
    """Try all rules in force on ``day``.

    Raises ConfigError for a rule that does not exist, DataQualityError when the day has no features.
    """
    settings = runner.settings
    ids = [one.id for one in settings.rules.rules]
    if rule is not None and rule not in ids:
        raise ConfigError(f"no such rule: {rule}\nrules.yaml has: {', '.join(ids)}")
    runner.store.refresh()
    runner.ledger.refresh()
    if day not in runner.ledger.done_days("build_features", day):
        raise DataQualityError(f"user_features of {day} were never built: churnwatch run build_features --day {day}")
    rules = [one for one in rules_on(day, settings) if one.scope == "user"]
    raising = _job(runner, "raise_alerts")
    people = _people(runner, raising, day, day)
    check_conditions(people, rules)
    agreed = count_overlaps(people, rules, settings)
    trend, rates = _cuts(runner, raising, ("trend", "rates"), day, day)
    context = _cuts(runner, raising, ("context",), day, day)[0] if "context" in raising.reads else None
    lag = settings.label_lag_days(settings.churn.primary)
    known = day - timedelta(days=lag)
    stored = stored_precision(runner.store.read(runner.tables.alert_quality, f"day <= DATE'{known}'"))
    labelled, built = (runner.ledger.done_days(job, None) for job in (f"label_churn:{settings.churn.primary}", "build_features"))
    on = max((d for d in labelled & built if d <= known), default=None)
    new = [one for one in rules if one.id not in stored]
    again = _replayed(runner, raising, on, day, new) if on and new else {}
    return Trial(day, agreed, matching_groups(trend, rates, context, day, settings), stored, again, on if again else None)


def _replayed(runner: Runner, raising: Job, on: date, day: date, rules: Sequence[Rule]) -> dict[str, RulePrecision]:
    judging = _job(runner, "judge_alerts")
    labels, actions, alerts, events = _cuts(runner, judging, ("labels", "actions", "alerts", "alert_events"), on, day)
    cases = judged_cases(alerts, events, [on], runner.settings)
    known = per_labelled_user(labels, actions, cases, on, runner.settings)
    return replay_rules(_people(runner, raising, on, day), known, rules, runner.settings)


def _people(runner: Runner, raising: Job, on: date, day: date) -> DataFrame:
    aliases = ("features", "scores", "users", "trend", "rates")
    features, scores, users, trend, rates = _cuts(runner, raising, aliases, on, day)
    small = collect_together(group_inputs(trend, rates, runner.settings))
    people = with_scores_and_attributes(only_people(features), scores, users, runner.settings)
    return with_base(people, small["trend"], runner.settings)


def _cuts(runner: Runner, job: Job, aliases: Sequence[str], on: date, day: date) -> list[DataFrame]:
    """Inputs ``aliases`` of ``job`` for its output day ``on``, as known on ``day``."""
    return [runner.reader.cut(Step(job, day, (on,)), job.reads[alias]) for alias in aliases]


def _job(runner: Runner, name: str) -> Job:
    return next(job for job in runner.jobs if job.name == name)
