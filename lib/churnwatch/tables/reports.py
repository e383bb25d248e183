"""Tables of reports: causes and profile of churn, and the pages that were rendered."""

from churnwatch.core import column
from churnwatch.tables.columns import INTERVAL, day, table

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
