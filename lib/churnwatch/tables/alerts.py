"""Tables of warnings: the warnings, and what was done about them."""

from churnwatch.core import column
from churnwatch.settings.terms import ACTIONS, CASE_OUTCOMES, LEVELS, SCOPES
from churnwatch.tables.columns import STRINGS, day, one_of, table

RISK_ALERTS = table(
    "risk_alerts",
    "a warning by a rule or the model; a subject has at most one open case per cause, and a further row raises its level",
    [
        day("day on which the warning was raised"),
        column("alert_id", "string", "hash of day, rule and subject", nullable=False),
        column("scope", "string", "subject: user, group (a segment) or base (all users)", nullable=False),
        column("user_id", "string", "user, for scope user; else null"),
        column("segment", "string", "segment, for scope group; 'all' for scope base; else null"),
        column("value", "string", "value of the segment; null for scope user"),
        column("rule_id", "string", "rule of the strongest signal, or 'model'", nullable=False),
        column("level", "string", "blue, yellow, orange or red", nullable=False),
        column("cause", "string", "cause of causes.yaml; null: not known"),
        column("evidence", "string", "numbers behind the warning, as text", nullable=False),
        column("owner", "string", "owner: who acts", nullable=False),
        column("due_on", "date", "day by which to act", nullable=False),
        # nullable: days that were stored before these columns existed lack them
        column("measure", "string", "what the owner does, by the level"),
        column(
            "signals",
            STRINGS,
            "all rules (and 'model') that signalled the subject and cause on the day, sorted; rule_id is the strongest",
        ),
        column(
            "escalates",
            "string",
            "alert_id of the open warning whose level this row raises; null: a new case",
        ),
        column("value_at_risk_cents", "long", "probability x value of the user on the day, cents; null: not scored"),
        column(
            "class",
            "string",
            "kind of churn that the warning is about: short, long or competitor; of the rule's definition, or of the primary one",
        ),
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
    "an action on a warning, by a person or the system",
    [
        day("business day of the action"),
        column("event_id", "string", "hash of warning, instant, person and action", nullable=False),
        column("alert_id", "string", "warning", nullable=False),
        column("at", "timestamp", "instant of the action; for the system the end of the day", nullable=False),
        column("who", "string", "person who acted, or 'system'", nullable=False),
        column("action", "string", "acknowledged, acted, closed, or escalated (by the system, when overdue)", nullable=False),
        column("note", "string", "note of the person; null: none"),
        column("outcome", "string", "how a closed warning ended: retained, churned, false_alarm or expired; else null"),
        column("lesson", "string", "what to do differently next time; null: none"),
        column("rule_id", "string", "rule of the warning, or 'model'"),
        column("owner", "string", "new owner of an escalated warning; else null"),
    ],
    ("event_id",),
    kind="log",
    rules={
        "action_known": one_of("action", ACTIONS),
        "outcome_known": f"outcome IS NULL OR {one_of('outcome', CASE_OUTCOMES)}",
    },
)
