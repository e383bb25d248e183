"""Tables of activity: what users did per day and per month, when they were first seen, and how segments fare."""

from collections.abc import Iterator

from pyspark.sql.types import ArrayType, LongType, StructField

from churnwatch.core import Table, column
from churnwatch.settings import Settings
from churnwatch.settings.names import definition_column, first_day_column, last_day_column, summed_measures
from churnwatch.tables.columns import INTERVAL, NUMBER_BY_NAME, PROBABILITY, day, table, user

HOURS = "hours with an event: bit h stands for the hour h (0 .. 23) of the clock in clock.time_zone"


def daily_activity(settings: Settings) -> Table:
    """The contract of ``daily_activity`` under ``settings``."""
    return table(
        "daily_activity",
        "what a user did on a day: measures without windows; sorted by bucket and user",
        [
            day(),
            user(),
            column("bucket", "integer", "pmod(xxhash64(user_id), activity.buckets)", nullable=False),
            column("events", "long", "events of the day, all types", nullable=False),
            column("sessions", "long", "sessions that started on the day", nullable=False),
            column("first_time", "timestamp", "instant of the first event", nullable=False),
            column("last_time", "timestamp", "instant of the last event", nullable=False),
            # nullable: days that were stored before these columns were known have none until they are built again
            column("hours", "integer", HOURS),
            column("bot", "boolean", "more events or hours than the limits of bots in measures.yaml: no person"),
            *_measure_columns(settings),
            *(
                column(
                    definition_column(name),
                    "long",
                    f"events of the day that count for churn definition {name}",
                    nullable=False,
                )
                for name in settings.churn.definitions
            ),
        ],
        ("day", "user_id"),
        rules={"events_positive": "events > 0"},
        partitions=("day",),
        complete=True,
        properties={"churnwatch.buckets": str(settings.activity.buckets)},
    )


def monthly_activity(settings: Settings) -> Table:
    """The contract of ``monthly_activity`` under ``settings``."""
    return table(
        "monthly_activity",
        "what a user did in a calendar month: the month's days of daily_activity put together",
        [
            day("last day of the calendar month"),
            user(),
            column("bucket", "integer", "pmod(xxhash64(user_id), activity.buckets)", nullable=False),
            column("active_days", "long", "days of the month with an event", nullable=False),
            column("first_day", "date", "first day of the month with an event", nullable=False),
            column("last_day", "date", "last day of the month with an event", nullable=False),
            column("events", "long", "events of the month, all types", nullable=False),
            column("sessions", "long", "sessions that started in the month", nullable=False),
            column("hours", "integer", HOURS),
            column("bot", "boolean", "whether the user was a bot on any day of the month"),
            *_measure_columns(settings),
            *(column(last_day_column(name), "date", f"last day of the month with {name}") for name in settings.measures.measures),
            *_monthly_definitions(settings),
        ],
        ("day", "user_id"),
        rules={"active_days_in_month": "active_days >= 1 AND active_days <= 31", "day_ends_month": "day = last_day(day)"},
        partitions=("day",),
        complete=True,
    )


FIRST_SEEN = table(
    "first_seen",
    "users on the first day on which they were active",
    [day("first active day"), user()],
    ("day", "user_id"),
    partitions=("day",),
    pick="earliest",
    pick_key=("user_id",),
)


ACTIVITY_TREND = table(
    "activity_trend",
    "how a segment fares: last week's users who came back this week, and indicators; 'all' is the base; no bots",
    [
        day("last day of this week (7 days)"),
        column(
            "segment",
            "string",
            "'all', 'tenure' (new: under 30 days), 'cohort' (month of the first day) or a configured segment",
            nullable=False,
        ),
        column("value", "string", "value of the segment", nullable=False),
        column("active", "long", "users active in the 7 days before the last 7", nullable=False),
        column("came_back", "long", "of them, users active in the last 7 days", nullable=False),
        column("share", "double", "came_back / active"),
        column("low", "double", f"{INTERVAL} (Wilson) of share, lower end"),
        column("high", "double", f"{INTERVAL} (Wilson) of share, upper end"),
        column("indicators", NUMBER_BY_NAME, "indicators of measures.yaml by name; null: none is configured"),
    ],
    ("day", "segment", "value"),
    rules={
        "share_in_range": PROBABILITY.format("share"),
        "came_back_of_active": "came_back <= active",
    },
)


def _measure_columns(settings: Settings) -> Iterator[StructField]:
    summed = summed_measures(settings)
    for name, measure in settings.measures.measures.items():
        steps = f" from {measure.from_ or 'outside'} to {measure.to or 'outside'}" if measure.kind == "transition" else ""
        text = measure.comment or f"{measure.kind}{steps} of {measure.of or 'events'}" + (
            f" where {measure.where}" if measure.where else ""
        )
        if measure.kind == "distinct":
            yield column(
                name,
                ArrayType(LongType(), False),
                f"{text}: sorted hashes of the distinct values, capped",
                nullable=False,
            )
        else:
            yield column(name, "long", text, nullable=name not in summed)


def _monthly_definitions(settings: Settings) -> Iterator[StructField]:
    for name in settings.churn.definitions:
        counted, what = definition_column(name), f"events that count for churn definition {name}"
        yield column(counted, "long", what, nullable=False)
        yield column(first_day_column(counted), "date", f"first day of the month with {what}")
        yield column(last_day_column(counted), "date", f"last day of the month with {what}")
