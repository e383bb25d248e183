"""Tables of warnings: the warnings, and what was done about them."""

from churnwatch.core import column
from churnwatch.settings.terms import ACTIONS, CASE_OUTCOMES, LEVELS, SCOPES
from churnwatch.tables.columns import STRINGS, day, one_of, table

RISK_ALERTS = table(
    "risk_alerts",
    "warnings by rules and by the model: a subject has one open warning a cause, further rows raise its level",
    [
        day("day on which the warning was raised"),
        column("alert_id", "string", "hash of day, rule and subject", nullable=False),
        column("scope", "string", "user, group or base", nullable=False),
        column("user_id", "string", "user, for scope user"),
        column("segment", "string", "segment, for scope group; 'all' for scope base"),
        column("value", "string", "value of the segment"),
        column("rule_id", "string", "the strongest signal: a rule of rules.yaml, or 'model'", nullable=False),
        column("level", "string", "blue, yellow, orange or red", nullable=False),
        column("cause", "string", "cause of causes.yaml"),
        column("evidence", "string", "the numbers behind the warning, as text", nullable=False),
        column("owner", "string", "who acts", nullable=False),
        column("due_on", "date", "day by which to act", nullable=False),
        # nullable: days that were stored before these columns were known have none
        column("measure", "string", "what the level asks for"),
        column(
            "signals",
            STRINGS,
            "rules, and 'model', that spoke of the subject and cause on the day, sorted; rule_id is the strongest",
        ),
        column(
            "escalates",
            "string",
            "the open warning of the subject and cause whose level this one raises; null: a new warning",
        ),
        column("value_at_risk_cents", "long", "the user's probability x value on the day, cents"),
    ],
    ("day", "alert_id"),
    partitions=("day",),
    rules={
        "level_known": one_of("level", LEVELS),
        "scope_known": one_of("scope", SCOPES),
        "user_where_scope_user": "(scope = 'user') = (user_id IS NOT NULL)",
    },
)


ALERT_EVENTS = table(
    "alert_events",
    "what people, and the system, did about warnings",
    [
        day("business day of the action"),
        column("event_id", "string", "hash of warning, instant, person and action", nullable=False),
        column("alert_id", "string", "warning", nullable=False),
        column("at", "timestamp", "instant of the action; the system's: the end of the day", nullable=False),
        column("who", "string", "person, or 'system'", nullable=False),
        column("action", "string", "acknowledged, acted, closed, or escalated (overdue)", nullable=False),
        column("note", "string", "note"),
        column("outcome", "string", "of a closed one: retained, churned, false_alarm or expired"),
        column("lesson", "string", "what is to be done otherwise the next time"),
        column("rule_id", "string", "rule of the warning, or 'model'"),
        column("owner", "string", "of an escalated one: who answers for it now"),
    ],
    ("event_id",),
    kind="log",
    rules={
        "action_known": one_of("action", ACTIONS),
        "outcome_known": f"outcome IS NULL OR {one_of('outcome', CASE_OUTCOMES)}",
    },
)
