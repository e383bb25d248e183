"""The days that a definition of churn needs, as reads of the jobs that label and score by it."""

from churnwatch.core import Read
from churnwatch.settings import Definition
from churnwatch.tables import Tables

MONTH_DAYS = 31  # days of the longest calendar month


def reads_before(definition: Definition, t: Tables) -> dict[str, Read]:
    """Return the reads that decide who is eligible on O, by alias. Long spans read complete months from monthly_activity and
    only the rest by day."""
    days = definition.seen_days
    reads = {"before": t.daily_activity.trailing(MONTH_DAYS if definition.months_before else days)}
    if definition.months_before:
        reads["months_before"] = t.monthly_activity.trailing(days)
    if definition.attribute or definition.kind == "drop" or definition.takes_registered:
        reads["users"] = t.users.as_of()
    if definition.kind == "drop":
        # how long a user has been there, and how far history reaches
        reads["first_seen"] = t.first_seen.as_of()
    return reads


def reads_after(definition: Definition, t: Tables) -> dict[str, Read]:
    """Return the reads that decide who churned after O, by alias."""
    days = definition.ahead_days
    reads = {"after": t.daily_activity.following(days - MONTH_DAYS + 1 if definition.months_after else 1, days)}
    if definition.months_after:
        reads["months_after"] = t.monthly_activity.following(1, days)
        if definition.lead_decides:
            reads["lead"] = t.daily_activity.following(1, definition.lead_days)
    if definition.attribute:
        reads["changes"] = t.users.following(1, days)
    return reads
