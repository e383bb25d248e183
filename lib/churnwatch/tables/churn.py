"""Tables of churn: the retention triangle of cohorts, labels and churn rates."""

from churnwatch.core import column
from churnwatch.tables.columns import INTERVAL, PROBABILITY, day, table, user

COHORT_CHURN = table(
    "cohort_churn",
    "retention triangle: users of a cohort who were active in a later calendar period; no bots",
    [
        day("first day of the period"),
        column("cohort_by", "string", "'month' or 'week': what a cohort and a period are", nullable=False),
        column("cohort", "date", "first day of the cohort's own month or ISO week", nullable=False),
        column("segment", "string", "'all' or a configured segment", nullable=False),
        column("value", "string", "value of the segment", nullable=False),
        column("period", "integer", "calendar periods since the cohort's own, which is 0", nullable=False),
        column("size", "long", "users of the cohort, as of the last day measured", nullable=False),
        column("active", "long", "of them, users active in the period", nullable=False),
        column("retained", "double", "active / size"),
        column("churned", "double", "1 - retained"),
        column("low", "double", f"{INTERVAL} (Wilson) of retained, lower end"),
        column("high", "double", f"{INTERVAL} (Wilson) of retained, upper end"),
        column("change", "double", "retained minus the cohort before's at the same period; null while the period runs"),
        column("complete", "boolean", "true when all days of the period have ended", nullable=False),
    ],
    ("day", "cohort_by", "cohort", "segment", "value", "period"),
    replace_key=("day", "cohort_by"),
    rules={"retained_in_range": PROBABILITY.format("retained"), "active_of_size": "active <= size"},
)


USER_LABELS = table(
    "user_labels",
    "whether an eligible user of the day churned, by definition; no bots",
    [
        day("as-of day of the label; what happened after it decides"),
        column("definition", "string", "churn definition of churn.yaml", nullable=False),
        user(),
        column(
            "churned",
            "boolean",
            "true: lost in O+lead+1 .. O+lead+horizon, as the definition means it",
            nullable=False,
        ),
        column("last_active_day", "date", "last day up to O of what makes the user eligible", nullable=False),
    ],
    ("day", "definition", "user_id"),
    replace_key=("day", "definition"),
    instance_column="definition",
    partitions=("day", "definition"),
    rules={"active_before": "last_active_day <= day"},
)


CHURN_RATES = table(
    "churn_rates",
    "churn rate of the day's eligible users, by definition and segment; no bots",
    [
        day("as-of day of the labels"),
        column("definition", "string", "churn definition of churn.yaml", nullable=False),
        column("segment", "string", "'all', 'tenure' or a configured segment", nullable=False),
        column("value", "string", "value of the segment", nullable=False),
        column("eligible", "long", "users who could churn", nullable=False),
        column("churned", "long", "of them, users who did", nullable=False),
        column("rate", "double", "churned / eligible"),
        column("low", "double", f"{INTERVAL} (Wilson) of rate, lower end"),
        column("high", "double", f"{INTERVAL} (Wilson) of rate, upper end"),
    ],
    ("day", "definition", "segment", "value"),
    replace_key=("day", "definition"),
    instance_column="definition",
    partitions=("definition",),
    rules={"rate_in_range": PROBABILITY.format("rate"), "churned_of_eligible": "churned <= eligible"},
)
