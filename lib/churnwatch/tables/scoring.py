"""Tables of the model: attempts to train and the scores of users."""

from churnwatch.core import column
from churnwatch.settings.terms import REFUSED, RELEASED
from churnwatch.tables.columns import (
    EVIDENCE,
    IMPROVEMENT,
    NUMBER_BY_NAME,
    PROBABILITY,
    REASONS,
    STRINGS,
    TEXT_BY_NAME,
    day,
    one_of,
    table,
    user,
)

MODEL_RUNS = table(
    "model_runs",
    "an attempt to train, by algorithm, with metrics and the decision of the gate",
    [
        day("as-of day of the attempt"),
        column("run_id", "string", "hash of day, configuration, code and versions of the input", nullable=False),
        column(
            "algorithm",
            "string",
            "algorithm of model.yaml; rule: the best single feature, released where no model is shown to beat it; recalibrated: "
            "the last release with a new calibration",
            nullable=False,
        ),
        column("at", "timestamp", "instant at which the row was written", nullable=False),
        column("definition", "string", "churn definition that the model predicts", nullable=False),
        column(
            "spans",
            TEXT_BY_NAME,
            "first..last day of train, calibration and test; released_train and released_calibration: those of the released "
            "model, which was fitted again on the newest days",
        ),
        column("trials", "integer", "trials of hyper-parameters"),
        column("parameters", TEXT_BY_NAME, "chosen hyper-parameters, and the number of trees"),
        column(
            "metrics",
            NUMBER_BY_NAME,
            "metrics on the test span; <name>_low and <name>_high: 95 % interval; origins_<name>: mean over the rolling origins. "
            "An algorithm that did not go to the gate has only the metrics by which algorithms are compared",
        ),
        column("curves", "string", "JSON of calibration bins, ROC, precision-recall and lift points, quality by segment"),
        column("outcome", "string", "released or refused", nullable=False),
        column("conditions", STRINGS, "conditions of the gate, each with both numbers, and ok or failed"),
        column("model_version", "string", "released model version; null when refused"),
        column("features", STRINGS, "feature columns, in order"),
        column("schema_hash", "string", "hash of the features: names, values that fill missing ones, and their definitions"),
        column("mlflow_run_id", "string", "run in MLflow"),
        column("origins", "string", "JSON of the rolling origins, oldest first: spans, algorithm, metrics"),
        column("left_out", TEXT_BY_NAME, "features that were left out before the fit, with the reason"),
        column("reference", "string", "JSON: bin edges, shares and fill value of each feature, and of the margin, in training"),
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
    "risk of a user who is eligible on the as-of day",
    [
        day("as-of day of the score"),
        user(),
        column(
            "margin",
            "double",
            "output of the model before calibration: log-odds; for a forest or a single tree the share of churned users",
            nullable=False,
        ),
        column("probability", "double", "calibrated probability of churn, 0 .. 1", nullable=False),
        column(
            "percentile",
            "double",
            "share of the day's scored users with a lower risk, 0 .. 1",
            nullable=False,
        ),
        column("tier", "string", "risk tier of tiers.yaml", nullable=False),
        column("previous_tier", "string", "tier of the user's newest score in O-7 .. O-1; null: none"),
        column("value_cents", "long", "value of the user (value of model.yaml), cents", nullable=False),
        column("value_at_risk_cents", "long", "probability x value, cents", nullable=False),
        column(
            "reasons",
            REASONS,
            "measures that moved the margin most, as exact Shapley values of all features of the measure together; with the "
            "feature that is farthest from its usual value, the user's value of it and the usual one: the median of users of "
            "the same segment in training, null where most have none. The rest is in '(other)' and '(base)', so that "
            "contributions add up to the margin. Of a forest too deep for path tables only users in tiers with a level have "
            "exact values",
            nullable=False,
        ),
        column("model_version", "string", "released model version that scored", nullable=False),
        column(
            "cause",
            "string",
            "cause of causes.yaml: of a rule that is true for the user, else the specific cause with the largest surprise above "
            "causes.least, else the general cause where its measures raise the risk; null: not known",
        ),
        column("cause_rule", "string", "rule that named the cause; null: none did"),
        column(
            "causes",
            NUMBER_BY_NAME,
            "surprise of each cause with symptoms: log-likelihood ratio of the user's symptoms against their usual rate per "
            "event, in the window where it is largest; 0: nothing above usual; null: the release knows no usual rates",
        ),
        column(
            "evidence",
            EVIDENCE,
            "symptoms of the cause that lie above usual: value over `days` days, and the usual value for as many events; in the "
            "unit of the measure, most surprising first",
        ),
        column(
            "improvement",
            IMPROVEMENT,
            "the actionable measure whose usual value would lower the risk most: the user's value, the usual one, and the "
            "probability with it; null: none would lower it",
        ),
        column("features_hash", "long", "hash of the scored feature values, by which a later change by late data is found"),
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
    "scores of the challenger of model.yaml for the users of user_scores; nobody acts on them",
    [
        day("as-of day of the score"),
        user(),
        column("margin", "double", "output of the challenger before calibration", nullable=False),
        column("probability", "double", "calibrated probability of churn, 0 .. 1", nullable=False),
        column("percentile", "double", "share of the day's scored users with a lower risk, 0 .. 1", nullable=False),
        column("tier", "string", "risk tier that the score would give", nullable=False),
        column("model_version", "string", "model version (else the run in MLflow), and '(shadow)'", nullable=False),
    ],
    ("day", "user_id"),
    partitions=("day",),
    rules={"probability_in_range": PROBABILITY.format("probability")},
)
