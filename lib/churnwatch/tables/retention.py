"""Tables of retention: assignments with offers, outside experiments and lift."""

from churnwatch.core import column
from churnwatch.settings.terms import ARMS
from churnwatch.tables.columns import INTERVAL, NUMBER_BY_NAME, day, one_of, table, user

RETENTION_ACTIONS = table(
    "retention_actions",
    "offers planned for warned users; control users are rows with the offer they would have had",
    [
        day("day of the assignment"),
        user(),
        column("campaign", "string", "campaign of offers.yaml", nullable=False),
        column("offer", "string", "offer"),
        column("channel", "string", "channel of the offer"),
        column("arm", "string", "offer, control or global_control; null when suppressed"),
        column("suppressed_because", "string", "why the user is in no arm"),
        column("cause", "string", "cause that the offer answers"),
        column("tier", "string", "risk tier on the day"),
        column("probability", "double", "probability of churn on the day"),
        column("value_cents", "long", "what the user is worth on the day, cents"),
        column("cost_cents", "long", "cost of the offer, cents", nullable=False),
        column("expected_value_cents", "long", "expected saved value minus cost, cents", nullable=False),
        column("earliest_send_at", "timestamp", "instant before which nothing is sent"),
        column("expires_at", "timestamp", "instant after which nothing is sent"),
    ],
    ("day", "user_id", "campaign"),
    partitions=("day",),
    rules={
        "arm_known": f"arm IS NULL OR {one_of('arm', ARMS)}",
        "arm_or_suppressed": "(arm IS NULL) = (suppressed_because IS NOT NULL)",
    },
)


EXPERIMENT_UNITS = table(
    "experiment_units",
    "units of outside experiments with their outcomes",
    [
        day("day of the assignment, else of the import"),
        column("experiment", "string", "name in experiments.yaml", nullable=False),
        column("unit", "string", "unit of the experiment", nullable=False),
        column("arm", "string", "arm", nullable=False),
        column("cluster", "string", "cluster, where units were assigned together"),
        column("stratum", "string", "stratum"),
        column("outcomes", NUMBER_BY_NAME, "outcomes by name", nullable=False),
        column("covariates", NUMBER_BY_NAME, "values from before the assignment, by name"),
    ],
    ("experiment", "unit"),
    replace_key=("experiment",),
    partitions=("experiment",),
    pick="latest",
    pick_key=("experiment", "unit"),
)


RETENTION_LIFT = table(
    "retention_lift",
    "what campaigns and experiments brought: treated against control, intention to treat",
    [
        day("day of the reading"),
        column("campaign", "string", "campaign or experiment", nullable=False),
        column("arm", "string", "treated arm", nullable=False),
        column("outcome", "string", "outcome", nullable=False),
        column("segment", "string", "'all', tier, cause, offer or stratum", nullable=False),
        column("value", "string", "value of the segment", nullable=False),
        column(
            "treated",
            "long",
            "treated users with an outcome (clusters, where those were assigned)",
            nullable=False,
        ),
        column(
            "control",
            "long",
            "control users with an outcome (clusters, where those were assigned)",
            nullable=False,
        ),
        column(
            "treated_mean",
            "double",
            "rate or mean of the treated, adjusted where there is a covariate (CUPED)",
        ),
        column("control_mean", "double", "rate or mean of the control, adjusted likewise"),
        column("difference", "double", "treated_mean - control_mean"),
        column("relative_lift", "double", "difference / control_mean"),
        column("low", "double", f"{INTERVAL} of difference, lower end"),
        column("high", "double", f"{INTERVAL} of difference, upper end"),
        column("p", "double", "two-sided p of difference = 0; null while interim"),
        column("q", "double", "p corrected for the segments looked at (Benjamini-Hochberg)"),
        column("srm_p", "double", "p of the sample-ratio check on assigned users"),
        column("srm_outcome_p", "double", "the same on users with an outcome"),
        column(
            "srm_day_p",
            "double",
            "the same by day of assignment: the smallest p times the number of days",
        ),
        column(
            "srm_alarm",
            "boolean",
            "a sample-ratio p of the whole campaign is under the limit in conf",
            nullable=False,
        ),
        column("cuped_variance_saved", "double", "share of variance that the covariate took away"),
        column(
            "min_detectable",
            "double",
            "smallest difference that the sample shows with 80 % power at 5 %",
        ),
        column("incremental_users", "double", "difference x treated, for rates"),
        column(
            "incremental_cents",
            "long",
            "difference x value of the treated (rates), x treated (measures in cents)",
        ),
        column("cost_cents", "long", "cost of the treated whose outcome has matured, cents"),
        column("interim", "boolean", "not all assignments have matured", nullable=False),
        column("randomised", "boolean", "arms were assigned by chance", nullable=False),
    ],
    ("day", "campaign", "arm", "outcome", "segment", "value"),
)
