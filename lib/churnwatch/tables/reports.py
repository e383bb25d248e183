"""Tables of reports: causes and profile of churn, and the pages that were rendered."""

from churnwatch.core import column
from churnwatch.tables.columns import CASES, GRANTS, INTERVAL, NUMBER_BY_NAME, PROBABILITY, TEXT_BY_NAME, day, table, user

CHURN_CAUSES = table(
    "churn_causes",
    "a cause of scored users, and how many of them churned: an association",
    [
        day("as-of day of scores and labels"),
        column("cause", "string", "cause of causes.yaml, or 'unknown'", nullable=False),
        column("users", "long", "scored users whose score names this cause", nullable=False),
        column("churned", "long", "users counted in users who churned", nullable=False),
        column("share", "double", "share of the churned users whose score names this cause"),
        column("low", "double", f"{INTERVAL} (Wilson) of share, lower end"),
        column("high", "double", f"{INTERVAL} (Wilson) of share, upper end"),
        column("rate", "double", "churned / users"),
        column("association", "boolean", "always true: the row shows an association, not a proof of cause", nullable=False),
    ],
    ("day", "cause"),
)


CHURN_PROFILE = table(
    "churn_profile",
    "difference of a feature between churned and other users: an association",
    [
        day("as-of day of features and labels"),
        column("measure", "string", "column of user_features", nullable=False),
        column("churned_mean", "double", "mean of the churned users"),
        column("stayed_mean", "double", "mean of the users who stayed"),
        column("effect", "double", "standardised difference of the means (Cohen's d)"),
        column("low", "double", f"{INTERVAL} of effect, lower end"),
        column("high", "double", f"{INTERVAL} of effect, upper end"),
        column("association", "boolean", "always true: the row shows an association, not a proof of cause", nullable=False),
    ],
    ("day", "measure"),
)


USER_PROFILES = table(
    "user_profiles",
    "all that is known of a user at the end of a day; users who have registered or have been active. No part of `run all`: "
    "`churnwatch run build_profiles --day D` writes it",
    [
        day("as-of day"),
        user(),
        column("registered_on", "date", "day of registration; null: not known"),
        column("first_active_day", "date", "first day with an event; null: none"),
        column("tenure_days", "integer", "days since registration, else since the first active day; null: no features"),
        column("silent_days", "integer", "days since the last event; null: no features"),
        column("attributes", TEXT_BY_NAME, "attributes in force on the day, by name"),
        column("segments", TEXT_BY_NAME, "segments of the user on the day, by name; null: no features"),
        column("habits", NUMBER_BY_NAME, "features about active days, hours, sessions and gaps, by name; null: no features"),
        column("bot", "boolean", "true when the user was a bot on a day of the longest window; null: no features"),
        column("scored_on", "date", "day of the newest score of the last 8 days; null: none"),
        column("probability", "double", "probability of churn of that score, 0 .. 1"),
        column("tier", "string", "risk tier of that score"),
        column("cause", "string", "cause of that score, or 'unknown': an association"),
        column("value_cents", "long", "value of the user on that day (value of model.yaml), cents"),
        column("value_at_risk_cents", "long", "probability x value, cents"),
        column("open_cases", CASES, "cases of the user that are not closed, each with its newest warning", nullable=False),
        column("consents", GRANTS, "consents in force on the day, with the day since which they hold", nullable=False),
    ],
    ("day", "user_id"),
    partitions=("day",),
    rules={"probability_in_range": PROBABILITY.format("probability")},
)


REPORT_PAGES = table(
    "report_pages",
    "a page that was rendered",
    [
        day("day of the page"),
        column("name", "string", "name of the page", nullable=False),
        column("path", "string", "path of the page", nullable=False),
        column("sha256", "string", "SHA-256 of the page", nullable=False),
        column("bytes", "long", "size of the page, bytes", nullable=False),
    ],
    ("day", "name"),
)
