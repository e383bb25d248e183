"""Tables of the model: attempts to train and the scores of users."""

from churnwatch.core import column
from churnwatch.settings.terms import REFUSED, RELEASED
from churnwatch.tables.columns import NUMBER_BY_NAME, PROBABILITY, REASONS, STRINGS, TEXT_BY_NAME, day, one_of, table, user

MODEL_RUNS = table(
    "model_runs",
    "attempts to train, with metrics and the gate's outcome",
    [
        day("as-of day of the attempt"),
        column("run_id", "string", "hash of day, configuration, code and input versions", nullable=False),
        column("algorithm", "string", "algorithm", nullable=False),
        column("at", "timestamp", "instant at which the row was written", nullable=False),
        column("definition", "string", "churn definition that the model predicts", nullable=False),
        column(
            "spans",
            TEXT_BY_NAME,
            "train, calibration and test: first..last day; released_train and released_calibration: those of the "
            "released model, where the recipe was rolled to the newest days",
        ),
        column("trials", "integer", "hyper-parameter sets that were tried"),
        column("parameters", TEXT_BY_NAME, "chosen hyper-parameters, trees kept"),
        column(
            "metrics",
            NUMBER_BY_NAME,
            "metrics on the test span; <name>_low and <name>_high are 95 % intervals; origins_<name>: mean over rolling "
            "origins; of an algorithm that did not go to the gate what it was compared by",
        ),
        column("curves", "string", "JSON of calibration bins, ROC, precision-recall and lift points, quality by segment"),
        column("outcome", "string", "released or refused", nullable=False),
        column("conditions", STRINGS, "the gate's conditions, each with both numbers and ok or failed"),
        column("model_version", "string", "released model version; null when refused"),
        column("features", STRINGS, "feature columns in order"),
        column("schema_hash", "string", "hash of the feature columns: names, fills and what configuration makes of them"),
        column("mlflow_run_id", "string", "run in MLflow"),
        column("origins", "string", "JSON of the rolling origins, oldest first: spans, algorithm, metrics"),
        column("left_out", TEXT_BY_NAME, "features that left before the fit, and why"),
        column("reference", "string", "JSON: edges, shares and fill of the features, and of the margin, in training"),
        column("artifacts_hash", "string", "hash of the files that scoring needs"),
    ],
    ("run_id", "algorithm"),
    kind="log",
    pick="latest",
    pick_key=("run_id", "algorithm"),
    rules={"outcome_known": one_of("outcome", (RELEASED, REFUSED))},
)


USER_SCORES = table(
    "user_scores",
    "risk of every eligible user of the day",
    [
        day("as-of day of the score"),
        user(),
        column(
            "margin",
            "double",
            "what the model says before calibration: log-odds, of a forest or a single tree a share of churned",
            nullable=False,
        ),
        column("probability", "double", "calibrated probability of churn", nullable=False),
        column(
            "percentile",
            "double",
            "share of the day's users with a lower risk, 0 .. 1",
            nullable=False,
        ),
        column("tier", "string", "risk tier of tiers.yaml", nullable=False),
        column("previous_tier", "string", "tier of the newest score in the 7 days before"),
        column("value_cents", "long", "what the user is worth, cents", nullable=False),
        column("value_at_risk_cents", "long", "probability x value, cents", nullable=False),
        column(
            "reasons",
            REASONS,
            "measures that moved the margin most, with value and the median of users of the same segment in training; "
            "the rest as '(other)' and '(base)': they add up to the margin. Exact Shapley values; of forests too deep "
            "for tables in tiers with a level alone",
            nullable=False,
        ),
        column("model_version", "string", "released model version that scored", nullable=False),
        column("features_hash", "long", "hash of the values that were scored: tells what late data changed since"),
    ],
    ("day", "user_id"),
    partitions=("day",),
    rules={
        "probability_in_range": PROBABILITY.format("probability"),
        "percentile_in_range": PROBABILITY.format("percentile"),
    },
)


SHADOW_SCORES = table(
    "shadow_scores",
    "what a challenger (challenger of model.yaml) says of the users of user_scores: nobody acts on it",
    [
        day("as-of day of the score"),
        user(),
        column("margin", "double", "what the challenger says before calibration", nullable=False),
        column("probability", "double", "calibrated probability of churn", nullable=False),
        column("percentile", "double", "share of the day's users with a lower risk, 0 .. 1", nullable=False),
        column("tier", "string", "risk tier of tiers.yaml that it would have been", nullable=False),
        column("model_version", "string", "model version, else run in MLflow, and '(shadow)'", nullable=False),
    ],
    ("day", "user_id"),
    partitions=("day",),
    rules={"probability_in_range": PROBABILITY.format("probability")},
)
