"""Tables of retention: assignments with offers, outside experiments and lift."""

from churnwatch.core import column
from churnwatch.settings.terms import ARMS
from churnwatch.tables.columns import BUCKET, INTERVAL, NUMBER_BY_NAME, day, one_of, table, user

RETENTION_ACTIONS = table(
    "retention_actions",
    "assignment of a user to a campaign; held-out users have the offer that they would have got",
    [
        day("day of the assignment"),
        user(),
        column("campaign", "string", "campaign of offers.yaml", nullable=False),
        column("offer", "string", "offer of the campaign; null: none fits"),
        column("channel", "string", "channel of the offer; null: no offer"),
        column(
            "arm", "string", "offer, control (held out of the campaign) or global_control (held out of all); null: suppressed"
        ),
        column("suppressed_because", "string", "why the user is in no arm; null: in an arm"),
        column("cause", "string", "cause that the offer answers; null: not known"),
        column("tier", "string", "risk tier on the day"),
        column("probability", "double", "probability of churn on the day"),
        column("value_cents", "long", "value of the user on the day, cents"),
        column("cost_cents", "long", "cost of the offer, cents", nullable=False),
        column("expected_value_cents", "long", "probability x save share x value, minus cost, cents", nullable=False),
        column("earliest_send_at", "timestamp", "instant before which nothing is sent; null: none"),
        column("expires_at", "timestamp", "instant after which nothing is sent; null: none"),
    ],
    ("day", "user_id", "campaign"),
    partitions=("day",),
    rules={
        "arm_known": f"arm IS NULL OR {one_of('arm', ARMS)}",
        "arm_or_suppressed": "(arm IS NULL) = (suppressed_because IS NOT NULL)",
    },
)


ASSIGNMENTS_RESTATED = table(
    "assignments_restated",
    "every first assignment up to the first of a month: a copy of assignments, so that a day reads no more than a month of it",
    [
        day("first of a month"),
        user(),
        BUCKET,
        column("campaign", "string", "campaign of offers.yaml", nullable=False),
        column("since", "date", "day of the first assignment: the day in assignments", nullable=False),
        column("arm", "string", "arm of the first assignment", nullable=False),
    ],
    ("day", "user_id", "campaign"),
    partitions=("day",),
    keep_days=100,  # as first_seen_restated
)


ASSIGNMENTS = table(
    "assignments",
    "the first assignment of a user to an arm of a campaign; a later one to the same campaign is not another row",
    [
        day("day of the first assignment"),
        user(),
        column("campaign", "string", "campaign of offers.yaml", nullable=False),
        column("arm", "string", "arm of the assignment: offer, control or global_control", nullable=False),
    ],
    ("day", "user_id", "campaign"),
    partitions=("day",),
    pick="earliest",
    pick_key=("user_id", "campaign"),
    restatement=ASSIGNMENTS_RESTATED,
    complete=True,
    rules={"arm_known": one_of("arm", ARMS)},
)


EXPERIMENT_UNITS = table(
    "experiment_units",
    "a unit of an outside experiment with its outcomes",
    [
        day("day of the assignment; where it is not known, of the import"),
        column("experiment", "string", "name in experiments.yaml", nullable=False),
        column("unit", "string", "unit of the experiment", nullable=False),
        column("arm", "string", "arm of the experiment", nullable=False),
        column("cluster", "string", "cluster of units that were assigned together; null: assigned one by one"),
        column("stratum", "string", "stratum of the assignment; null: none"),
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
    "lift of a campaign or experiment: treated against control, by intention to treat",
    [
        day("day on which the lift was read"),
        column("campaign", "string", "campaign or experiment", nullable=False),
        column("arm", "string", "treated arm", nullable=False),
        column("outcome", "string", "outcome of offers.yaml or the experiment", nullable=False),
        column("segment", "string", "'all' (all users), tier, cause, offer or stratum", nullable=False),
        column("value", "string", "value of the segment", nullable=False),
        column(
            "treated",
            "long",
            "treated users with an outcome; clusters where those were assigned",
            nullable=False,
        ),
        column(
            "control",
            "long",
            "control users with an outcome; clusters where those were assigned",
            nullable=False,
        ),
        column(
            "treated_mean",
            "double",
            "rate or mean of the treated, adjusted by the covariate where there is one (CUPED)",
        ),
        column("control_mean", "double", "rate or mean of the control, adjusted likewise"),
        column("difference", "double", "treated_mean - control_mean"),
        column("relative_lift", "double", "difference / control_mean"),
        column("low", "double", f"{INTERVAL} of difference, lower end"),
        column("high", "double", f"{INTERVAL} of difference, upper end"),
        column("p", "double", "two-sided p of difference = 0; null while interim"),
        column("q", "double", "p corrected for the number of segments (Benjamini-Hochberg)"),
        column("srm_p", "double", "p of the sample-ratio check on the assigned users"),
        column("srm_outcome_p", "double", "p of the sample-ratio check on the users with an outcome"),
        column(
            "srm_day_p",
            "double",
            "p of the sample-ratio check by day of assignment: the smallest p times the number of days",
        ),
        column(
            "srm_alarm",
            "boolean",
            "true when a sample-ratio p of the whole campaign is below sample_ratio_alarm_p",
            nullable=False,
        ),
        column("cuped_variance_saved", "double", "share of the variance that the covariate removed; null: no covariate"),
        column(
            "min_detectable",
            "double",
            "smallest difference that this sample detects with 80 % power at the 5 % level",
        ),
        column("incremental_users", "double", "difference x treated, for rates; else null"),
        column(
            "incremental_cents",
            "long",
            "difference x value of the treated (rates) or x treated (measures in cents), cents",
        ),
        column("cost_cents", "long", "cost of the treated users whose outcome is known, cents"),
        column("interim", "boolean", "true while the outcome of some assignments is not yet known", nullable=False),
        column("randomised", "boolean", "true when arms were assigned at random", nullable=False),
        column(
            "held_out_reached",
            "long",
            "held-out users to whom an offer of any campaign was sent since their assignment; null: a segment or an experiment",
        ),
    ],
    ("day", "campaign", "arm", "outcome", "segment", "value"),
)
