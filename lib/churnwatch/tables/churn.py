"""Tables of churn: the retention triangle of cohorts, labels and churn rates."""

from churnwatch.core import column
from churnwatch.settings.losses import LOSS_KINDS
from churnwatch.settings.terms import UNKNOWN
from churnwatch.tables.columns import INTERVAL, PROBABILITY, day, one_of, table, user

COHORT_CHURN = table(
    "cohort_churn",
    "retention of a cohort in a calendar period (the retention triangle); without users who have ever been bots",
    [
        day("first day of the period"),
        column("cohort_by", "string", "'month' or 'week' (ISO): length of cohort and period", nullable=False),
        column(
            "cohort",
            "date",
            "first day of the month or week in which the users registered, or were first active where registration is not known; "
            "of users from before the data the month or week in which the data begin",
            nullable=False,
        ),
        column("segment", "string", "'all' (all users) or a configured segment", nullable=False),
        column("value", "string", "value of the segment on the user's first active day", nullable=False),
        column("period", "integer", "number of periods since the cohort's first period, which is 0", nullable=False),
        column(
            "size",
            "long",
            "users of the cohort who have registered since the data begin or have been active, as of the last measured day",
            nullable=False,
        ),
        column("active", "long", "users of the cohort who were active in the period", nullable=False),
        column("retained", "double", "active / size; null: size is 0"),
        column("churned", "double", "1 - retained"),
        column("low", "double", f"{INTERVAL} (Wilson) of retained, lower end"),
        column("high", "double", f"{INTERVAL} (Wilson) of retained, upper end"),
        column("change", "double", "retained minus retained of the cohort before at the same period; null while the period runs"),
        column("complete", "boolean", "true when the last day of the period has ended", nullable=False),
        # nullable: days that were stored before this column existed lack it until they are built again
        column(
            "before_data",
            "boolean",
            "true for users who were there before the data begin: only those who stayed so long are seen, so that they are no "
            "cohort to compare with; null: stored before this column",
        ),
    ],
    ("day", "cohort_by", "cohort", "before_data", "segment", "value", "period"),
    replace_key=("day", "cohort_by"),
    rules={"retained_in_range": PROBABILITY.format("retained"), "active_of_size": "active <= size"},
)


USER_LABELS = table(
    "user_labels",
    "whether a user who was eligible on the as-of day churned, by definition; without bots",
    [
        day("as-of day O of the label; the days after it decide"),
        column("definition", "string", "churn definition of churn.yaml", nullable=False),
        user(),
        column(
            "churned",
            "boolean",
            "true when the user churned in the label window O+lead+1 .. O+lead+horizon, by the definition",
            nullable=False,
        ),
        column(
            "last_active_day",
            "date",
            "last day up to O with an event that makes the user eligible, which may be the registration",
            nullable=False,
        ),
        # nullable: days that were stored before this column existed lack it until they are labelled again
        column(
            "churned_on",
            "date",
            "day on which a churned user's silence (kind inactivity) or pause (kind gap) has lasted as long as the definition "
            "says; null: not churned, another kind, or other events make users eligible than those whose absence is churn",
        ),
    ],
    ("day", "definition", "user_id"),
    replace_key=("day", "definition"),
    instance_column="definition",
    partitions=("day", "definition"),
    rules={"active_before": "last_active_day <= day"},
)


CHURN_RATES = table(
    "churn_rates",
    "churn rate of the users who were eligible on the as-of day, by definition and segment; without bots",
    [
        day("as-of day of the labels"),
        column("definition", "string", "churn definition of churn.yaml", nullable=False),
        column("segment", "string", "'all' (all users), 'tenure' or a configured segment", nullable=False),
        column("value", "string", "value of the segment", nullable=False),
        column("eligible", "long", "eligible users with a label", nullable=False),
        column("churned", "long", "eligible users who churned", nullable=False),
        column("rate", "double", "churned / eligible; null: eligible is 0"),
        column("low", "double", f"{INTERVAL} (Wilson) of rate, lower end"),
        column("high", "double", f"{INTERVAL} (Wilson) of rate, upper end"),
    ],
    ("day", "definition", "segment", "value"),
    replace_key=("day", "definition"),
    instance_column="definition",
    partitions=("definition",),
    rules={"rate_in_range": PROBABILITY.format("rate"), "churned_of_eligible": "churned <= eligible"},
)


LOST_USERS = table(
    "lost_users",
    "a user who churned by the primary definition: the kind of the loss, and when it happened. A loss appears on every "
    "as-of day whose label counts it: count (user_id, lost_on) once",
    [
        day("as-of day of the label"),
        user(),
        column("kind", "string", "kind of the loss: natural, active, competitive, passive or unknown", nullable=False),
        column("voluntary", "boolean", "true when the user wanted to leave; null: unknown"),
        column("rule", "string", "rule of losses in churn.yaml that says so; null: none applies"),
        column("cause", "string", "cause of the user's score on the as-of day, or 'unknown': an association", nullable=False),
        column("lost_on", "date", "day of the event that ended the relation, else the last active day", nullable=False),
        column("weekday", "integer", "weekday of lost_on, 1 (Monday) .. 7 (Sunday)", nullable=False),
        column("month", "integer", "calendar month of lost_on, 1 .. 12", nullable=False),
        column("tenure_days", "integer", "days from registration, else the first active day, to lost_on; null: not known"),
    ],
    ("day", "user_id"),
    partitions=("day",),
    rules={"kind_known": one_of("kind", (*LOSS_KINDS, UNKNOWN))},
)
