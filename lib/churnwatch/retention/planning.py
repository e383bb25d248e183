"""Plan a day's retention actions: candidates, offers and limits without knowing the arm, then the arm, then send times."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.core.job import Frames
from churnwatch.retention.arms import arm_of
from churnwatch.retention.candidates import per_candidate, per_user
from churnwatch.retention.limits import with_limits
from churnwatch.settings import Campaign, Offers, Settings
from churnwatch.tables import tables


def plan_retention(inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> Frames:
    """Return one row per day, user and campaign that takes the user's tier: offer and arm, or why the user is in no arm.

    Candidates are the day's scored users, because a user without a score has no tier. Control users are rows with the offer
    that they would have had. There are no rows without scores or outside a campaign's days.
    """
    (day,) = days
    contract = tables(settings).retention_actions
    campaigns = [campaign for campaign in settings.offers.campaigns if campaign.assigns_on(day)]
    if not campaigns:
        empty = inputs["scores"].sparkSession.createDataFrame([], contract.schema)
        return {contract.name: empty}
    users = per_user(inputs["consents"], inputs["actions"])
    chosen = per_candidate(inputs["scores"], users, campaigns, day).transform(with_limits, campaigns, day)
    # nothing above depends on the arm, and nothing below changes who is in one
    free = F.col("suppressed_because").isNull()
    arm = arm_of(F.col("user_id"), F.col("campaign"), campaigns, settings.offers)
    start = send_start(day, settings.clock.time_zone, settings.offers)
    actions = (
        chosen.withColumn("day", F.lit(day))
        .withColumn("arm", F.when(free, arm))
        .withColumn("earliest_send_at", F.when(free, _instant(start)))
        .withColumn("expires_at", F.when(free, _expiry(start, campaigns)))
    )
    return {contract.name: actions.select(*contract.schema.names)}


def send_start(day: date, time_zone: str, offers: Offers) -> datetime:
    """Return the first instant after ``day`` (in ``time_zone``) outside the quiet hours."""
    begin, end = offers.quiet_hours
    quiet_at_midnight = begin > end or (begin == 0 and end > 0)
    return datetime.combine(day + timedelta(days=1), time(end if quiet_at_midnight else 0), ZoneInfo(time_zone))


def _expiry(start: datetime, campaigns: Sequence[Campaign]) -> Column:
    # days of the wall clock: an offer that starts at 8:00 ends at 8:00, also across a change to summer time
    ends = [F.when(F.col("campaign") == c.name, _instant(start + timedelta(days=c.expires_days))) for c in campaigns]
    return F.coalesce(*ends)


def _instant(moment: datetime) -> Column:
    return F.lit(f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}").cast("timestamp")
