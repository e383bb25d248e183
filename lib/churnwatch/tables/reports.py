"""Tables of reports: causes and profile of churn, and the pages that were rendered."""

from churnwatch.core import column
from churnwatch.tables.columns import INTERVAL, day, table

CHURN_CAUSES = table(
    "churn_causes",
    "causes in the reasons of scored users who then churned: associations",
    [
        day("as-of day of scores and labels"),
        column("cause", "string", "cause of causes.yaml, or 'unknown'", nullable=False),
        column("users", "long", "scored users whose strongest reason with a cause has this one", nullable=False),
        column("churned", "long", "of them, users who churned", nullable=False),
        column("share", "double", "share of the churned users whose strongest reason with a cause has this one"),
        column("low", "double", f"{INTERVAL} (Wilson) of share, lower end"),
        column("high", "double", f"{INTERVAL} (Wilson) of share, upper end"),
        column("rate", "double", "churned / users"),
        column("association", "boolean", "true: an association, no proof of cause", nullable=False),
    ],
    ("day", "cause"),
)


CHURN_PROFILE = table(
    "churn_profile",
    "how the features of churned users differed from those of the others: associations",
    [
        day("as-of day of features and labels"),
        column("measure", "string", "column of user_features", nullable=False),
        column("churned_mean", "double", "mean of the churned users"),
        column("stayed_mean", "double", "mean of the others"),
        column("effect", "double", "standardised difference of the means (Cohen's d)"),
        column("low", "double", f"{INTERVAL} of effect, lower end"),
        column("high", "double", f"{INTERVAL} of effect, upper end"),
        column("association", "boolean", "true: an association, no proof of cause", nullable=False),
    ],
    ("day", "measure"),
)


REPORT_PAGES = table(
    "report_pages",
    "pages that were rendered",
    [
        day("day of the page"),
        column("name", "string", "name of the page", nullable=False),
        column("path", "string", "where the page lies", nullable=False),
        column("sha256", "string", "SHA-256 of the page", nullable=False),
        column("bytes", "long", "size, bytes", nullable=False),
    ],
    ("day", "name"),
)
