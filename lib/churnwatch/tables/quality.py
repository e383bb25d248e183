"""Tables of quality: warnings, scores and features against what then happened, and the advice on thresholds."""

from churnwatch.core import column
from churnwatch.tables.columns import INTERVAL, PROBABILITY, day, table

ALERT_QUALITY = table(
    "alert_quality",
    "quality of the warnings of a day, once labels are known: by rule, level, cause, owner, class, segment, and pairs of rules",
    [
        day("day on which the warnings were raised"),
        column("rule_id", "string", "rule, or 'model'; 'all' where the row is not about a rule", nullable=False),
        column("level", "string", "warning level of the rule, or 'all'", nullable=False),
        column("fired", "long", "users warned on the day", nullable=False),
        column(
            "matured",
            "long",
            "users warned on the day whose label window has ended and who were not treated: treated users are left out, because "
            "an offer or a call that worked would look like a false alarm",
            nullable=False,
        ),
        column("churned", "long", "matured users who churned", nullable=False),
        column(
            "base_eligible",
            "long",
            "users of the day (and segment) with a label who were not treated, warned or not",
            nullable=False,
        ),
        column("base_churned", "long", "users counted in base_eligible who churned", nullable=False),
        column("base_rate", "double", "churn rate of the users with a label; untreated users also weigh for the treated"),
        column(
            "precision",
            "double",
            "share of the matured users who churned; untreated users also weigh for the treated; null: nobody matured, or see "
            "note",
        ),
        column("low", "double", f"{INTERVAL} (Wilson, on the effective sample size) of precision, lower end"),
        column("high", "double", f"{INTERVAL} (Wilson, on the effective sample size) of precision, upper end"),
        column(
            "recall",
            "double",
            "share of the churned users who had a new or open warning on the day; untreated users also weigh for the treated; "
            "null: nobody churned, or see note",
        ),
        column("lift", "double", "precision / base_rate"),
        column(
            "lead_days",
            "double",
            "mean days from the warning of a churned user to the day on which the user counts as churned (churned_on of the "
            "label); see silent_days; null: churn is neither silence nor a pause, or nobody churned",
        ),
        # nullable: days that were stored before these columns existed lack them; their rows are about rules
        column(
            "by",
            "string",
            "what the row is about: rule, level, cause, owner, class, a segment, together (a pair of rules) or all; null: rule",
        ),
        column("value", "string", "value of `by`; for together the other rule; 'all' for rules"),
        column(
            "treated", "long", "warned users who got an offer that could change the label, or on whose warning somebody acted"
        ),
        column("effective", "double", "effective sample size of the matured users: (sum of weights)^2 / sum of squared weights"),
        column("recall_low", "double", f"{INTERVAL} (Wilson) of recall, lower end"),
        column("recall_high", "double", f"{INTERVAL} (Wilson) of recall, upper end"),
        column("lift_low", "double", f"{INTERVAL} of lift, lower end, with the base rate taken as exact"),
        column("lift_high", "double", f"{INTERVAL} of lift, upper end, with the base rate taken as exact"),
        column("lead_low", "double", f"{INTERVAL} of lead_days (normal), lower end; null: fewer than two users"),
        column("lead_high", "double", f"{INTERVAL} of lead_days (normal), upper end; null: fewer than two users"),
        column("warned", "long", "users with a new or open warning on the day"),
        column("acted", "long", "users warned on the day on whose warning somebody acted; counted in treated"),
        column(
            "silent_days",
            "double",
            "mean days from the last active day of a churned user to the warning: how long the user had been silent then",
        ),
        column(
            "note",
            "string",
            "why precision, recall or the base rate is null: too few untreated users represent the users acted on",
        ),
    ],
    ("day", "rule_id", "level", "by", "value"),
    rules={
        "precision_in_range": PROBABILITY.format("precision"),
        "recall_in_range": PROBABILITY.format("recall"),
    },
)


MODEL_QUALITY = table(
    "model_quality",
    "a metric of the scores of a day, once labels are known",
    [
        day("as-of day of the scores"),
        column("model_version", "string", "model version that scored; '(shadow)' marks a challenger", nullable=False),
        column(
            "metric",
            "string",
            "auc, average_precision and its lift over the base rate, brier, log_loss, calibration_error, base_rate and the mean "
            "prediction, top_decile_lift; precision, recall and lift of each tier with a level together with the tiers above "
            "it, and at the team's capacity (capacity_share of the users); empc_cents, the expected maximum profit per user, "
            "and empc_share, the share contacted for it; margin_psi, against training; skew_share, the share of users whose "
            "features were changed by late data after they were scored",
            nullable=False,
        ),
        column("users", "long", "scored users with a label who were not treated", nullable=False),
        column("churned", "long", "users counted in users who churned", nullable=False),
        column(
            "metric_value", "double", "value of the metric; untreated users also weigh for the treated; null: undefined, see note"
        ),
        column(
            "note",
            "string",
            "why the metric is undefined, or leaves out users who were acted on: too few untreated users represent them",
        ),
        # nullable: days that were stored before these columns existed lack them; their rows are about all users
        column(
            "by",
            "string",
            "users of the row: all, a tenth by risk (predicted and observed rate alone), tenure, or a segment; null: all",
        ),
        column(
            "value",
            "string",
            "tenth (1: lowest risk), days since registration, or value of the segment (its 12 largest ones); 'all' for all users",
        ),
    ],
    ("day", "model_version", "metric", "by", "value"),
)


FEATURE_DRIFT = table(
    "feature_drift",
    "drift of a feature: its distribution among the scored users of a day, against training",
    [
        day("as-of day of the scores"),
        column("feature", "string", "column of user_features", nullable=False),
        column("reference_day", "date", "last day of the train span that is compared with"),
        column("psi", "double", "population stability index over the deciles of training and a bin for missing values"),
        column("missing_share", "double", "share of users without a value, 0 .. 1"),
        column("reference_missing_share", "double", "missing_share in training"),
        # nullable: days that were stored before this column existed lack it
        column("usual_psi", "double", "mean of psi when nothing has changed, given the numbers of users and of training rows"),
    ],
    ("day", "feature"),
)


THRESHOLDS = table(
    "thresholds",
    "advice on the cut of a tier from which a level warns: whether it achieves its aim; and the cuts that follow the advice",
    [
        day("as-of day of the labels behind the advice"),
        column("level", "string", "warning level", nullable=False),
        column("old", "double", "lowest probability of the users at or above the tier's cut on the day; null: nobody"),
        column("new", "double", "advised lowest probability; equal to old where no other cut is advised"),
        column("reason", "string", "reason for the advice", nullable=False),
        # nullable: only tiers with adjust have a cut, and days that were stored before these columns existed lack them
        column("tier", "string", "tier whose cut is adjusted; null: the row is advice alone"),
        column("cut_before", "double", "cut of the tier before, in its own unit: top share of users, or probability"),
        column("cut", "double", "cut of the tier from the run day of this row on"),
        column("aim", "double", "aim of tiers.yaml: precision, cost ratio or users a day; null: it has none"),
        column("users", "long", "users at or above the cut on the day with a label who were not treated"),
        column("effective", "double", "effective sample size of users, by their weights: (sum of w)^2 / sum of w^2"),
        column("precision", "double", "share of users who churned; untreated users also weigh for the treated; null: no users"),
        column("low", "double", f"{INTERVAL} (Wilson, on the effective sample size) of precision, lower end"),
        column("high", "double", f"{INTERVAL} (Wilson, on the effective sample size) of precision, upper end"),
        column("predicted", "double", "mean probability of users, by the same weights"),
        column(
            "recalibrate",
            "boolean",
            "true when precision and predicted are further apart than chance explains, and than a tenth of predicted: the "
            "calibration of the model is to be made anew; no cut makes up for it",
        ),
    ],
    ("day", "level"),
)
