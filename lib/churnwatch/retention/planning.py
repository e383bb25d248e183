"""The day's retention actions: eligibility, offer and limits blind to the arm, then the arm, then the hours."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.core.job import Frames
from churnwatch.retention.arms import arm_of
from churnwatch.retention.candidates import per_candidate, with_suppression
from churnwatch.retention.limits import with_limits
from churnwatch.settings import Campaign, Offers, Settings
from churnwatch.tables import tables


def plan_retention(inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> Frames:
    """One row a day, user and campaign that takes the user's tier: offer, arm, or why the user is in no arm.

    Candidates are the day's scored users; users without a score are in no tier and so in no campaign. Control users
    are rows with the offer they would have had. Without scores or outside a campaign's days there are no rows.
    """
    (day,) = days
    contract = tables(settings).retention_actions
    campaigns = [campaign for campaign in settings.offers.campaigns if campaign.assigns_on(day)]
    if not campaigns:
        empty = inputs["scores"].sparkSession.createDataFrame([], contract.schema)
        return {contract.name: empty}
    chosen = (
        per_candidate(inputs["scores"], inputs["alerts"], campaigns)
        .transform(with_suppression, inputs["consents"], inputs["actions"], day)
        .transform(with_limits, campaigns, day)
    )
    # nothing above knows the arm, and nothing below changes who is in one
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
    """The first moment after ``day`` (in ``time_zone``) that is outside the quiet hours."""
    begin, end = offers.quiet_hours
    quiet_at_midnight = begin > end or (begin == 0 and end > 0)
    return datetime.combine(day + timedelta(days=1), time(end if quiet_at_midnight else 0), ZoneInfo(time_zone))


def _expiry(start: datetime, campaigns: Sequence[Campaign]) -> Column:
    # days are those of the wall clock: an offer that starts at 8 ends at 8, whatever summer time does
    ends = [F.when(F.col("campaign") == c.name, _instant(start + timedelta(days=c.expires_days))) for c in campaigns]
    return F.coalesce(*ends)


def _instant(moment: datetime) -> Column:
    return F.lit(f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}").cast("timestamp")
