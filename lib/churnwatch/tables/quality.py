"""Tables of quality: warnings, scores and features against what then happened, and the advice on thresholds."""

from churnwatch.core import column
from churnwatch.tables.columns import INTERVAL, PROBABILITY, day, table

ALERT_QUALITY = table(
    "alert_quality",
    "users warned on a day against what then happened: by rule, level, cause, owner, segment, and two rules together",
    [
        day("day on which the warnings were raised"),
        column("rule_id", "string", "rule, or 'model'; 'all' where the look is no rule's", nullable=False),
        column("level", "string", "warning level of a rule's look, or 'all'", nullable=False),
        column("fired", "long", "users warned on the day", nullable=False),
        column(
            "matured",
            "long",
            "of them, with a label and not treated while it matured: a treated user is no false alarm",
            nullable=False,
        ),
        column("churned", "long", "of the matured, users who churned", nullable=False),
        column("base_eligible", "long", "labelled users of the day (of the segment) who were not treated", nullable=False),
        column("base_churned", "long", "of them, users who churned", nullable=False),
        column("base_rate", "double", "churn rate of the labelled users; the held-out stand for the treated too"),
        column("precision", "double", "churned of the matured; the held-out stand for the treated too"),
        column("low", "double", f"{INTERVAL} (Wilson, on the effective number) of precision, lower end"),
        column("high", "double", f"{INTERVAL} (Wilson, on the effective number) of precision, upper end"),
        column(
            "recall",
            "double",
            "share of the churned users who were warned; the held-out stand for the treated too",
        ),
        column("lift", "double", "precision / base_rate"),
        column(
            "lead_days",
            "double",
            "mean days from the warning of a churned user to the day on which the silence had lasted the horizon",
        ),
        # nullable: days that were stored before these columns were known have none; they hold rules alone
        column("by", "string", "the look: rule, level, cause, owner, a segment, together (two rules), all; null: rule"),
        column("value", "string", "value of the look; the other rule of two; 'all' for rules"),
        column("treated", "long", "warned users who were treated while their label matured: judged by the held-out"),
        column("effective", "double", "users without weights that tell as much as the matured: (sum w)^2 / sum w^2"),
        column("recall_low", "double", f"{INTERVAL} (Wilson) of recall, lower end"),
        column("recall_high", "double", f"{INTERVAL} (Wilson) of recall, upper end"),
        column("lift_low", "double", f"{INTERVAL} of lift, lower end; the base rate is taken as known"),
        column("lift_high", "double", f"{INTERVAL} of lift, upper end; the base rate is taken as known"),
        column("lead_low", "double", f"{INTERVAL} of lead_days (normal), lower end; null under two users"),
        column("lead_high", "double", f"{INTERVAL} of lead_days (normal), upper end; null under two users"),
    ],
    ("day", "rule_id", "level", "by", "value"),
    rules={
        "precision_in_range": PROBABILITY.format("precision"),
        "recall_in_range": PROBABILITY.format("recall"),
    },
)


MODEL_QUALITY = table(
    "model_quality",
    "scores of a day against what then happened",
    [
        day("day that was scored"),
        column("model_version", "string", "model version that scored; a challenger has '(shadow)'", nullable=False),
        column(
            "metric",
            "string",
            "auc, average_precision and its lift over the base rate, brier, log_loss, calibration_error, base_rate and "
            "what was predicted in its place, top_decile_lift; precision, recall and lift of each tier with a level and "
            "those above it, and at the team's capacity (capacity_share of the users); empc_cents and empc_share, "
            "expected maximum profit a user and the share contacted for it; margin_psi against training; skew_share: "
            "users whose features late data changed after they were scored",
            nullable=False,
        ),
        column("users", "long", "scored users with a label who were not treated", nullable=False),
        column("churned", "long", "of them, users who churned", nullable=False),
        column("metric_value", "double", "the metric; the held-out stand for the treated too"),
        column("note", "string", "why metrics are undefined"),
        # nullable: days that were stored before these columns were known have none; they hold all users alone
        column("by", "string", "of whom: all, a tenth by risk (said and seen alone), a segment (errors too); null: all"),
        column("value", "string", "tenth (1: lowest risk), or value of the segment: the 12 largest; 'all' for all"),
    ],
    ("day", "model_version", "metric", "by", "value"),
)


FEATURE_DRIFT = table(
    "feature_drift",
    "distribution of a feature among the scored users of a day against training",
    [
        day("day that was scored"),
        column("feature", "string", "column of user_features", nullable=False),
        column("reference_day", "date", "last day of the train span that it is compared with"),
        column("psi", "double", "population stability index over the deciles of training and one bin for missing"),
        column("missing_share", "double", "share of users without a value"),
        column("reference_missing_share", "double", "the same in training"),
    ],
    ("day", "feature"),
)


THRESHOLDS = table(
    "thresholds",
    "the probability from which a level warns: advice; and the cuts of tiers that go by it",
    [
        day("day whose labels the advice rests on"),
        column("level", "string", "warning level", nullable=False),
        column("old", "double", "lowest probability that was warned at the level"),
        column("new", "double", "advised lowest probability"),
        column("reason", "string", "why", nullable=False),
        # nullable: days that were stored before there were cuts have none, and only tiers with adjust do
        column("tier", "string", "tier whose cut is adjusted; null: none, the row is advice"),
        column("cut_before", "double", "cut of the tier, in its own unit: top share of users, or probability"),
        column("cut", "double", "cut of the tier from the day on which this row was known"),
    ],
    ("day", "level"),
)
