"""Tables of activity: what users did per day and per month, when they were first seen, and how segments fare."""

from collections.abc import Iterator

from pyspark.sql.types import ArrayType, LongType, StructField

from churnwatch.core import Table, column
from churnwatch.settings import Settings
from churnwatch.settings.names import ACTS, active_columns, definition_column, first_day_column, last_day_column, summed_measures
from churnwatch.tables.columns import BUCKET, INTERVAL, NUMBER_BY_NAME, PROBABILITY, SEGMENTS, day, table, user

HOURS = "hours of the clock with an act, as bits: bit h is hour h (0 .. 23) in clock.time_zone"
OLD = "null: stored before this column; every event counts as an act then"


def daily_activity(settings: Settings) -> Table:
    """The contract of ``daily_activity`` under ``settings``."""
    return table(
        "daily_activity",
        "events of a user on a day, also when none of them is an act; files are sorted by bucket and user",
        [
            day(),
            user(),
            BUCKET,
            column("events", "long", "events of the day, of all types", nullable=False),
            # nullable like all columns that tables stored before do not have: their days lack them until they are built again
            column(ACTS, "long", f"acts of the user on the day: events of the types acts in measures.yaml; {OLD}"),
            column("sessions", "long", "sessions that began on the day, of acts", nullable=False),
            column("first_time", "timestamp", "instant of the first event of the day", nullable=False),
            column("last_time", "timestamp", "instant of the last event of the day", nullable=False),
            column("hours", "integer", HOURS),
            column(
                "bot",
                "boolean",
                "true when the day's acts or hours exceed the limits of bots in measures.yaml; null: stored before this column",
            ),
            *_measure_columns(settings),
            *(
                column(
                    definition_column(name),
                    "long",
                    f"events of the day that churn definition {name} counts",
                    nullable=False,
                )
                for name in settings.churn.definitions
            ),
            *(
                column(name, "long", f"events of the day that make a user active for a churn definition: {', '.join(types)}")
                for name, types in active_columns(settings).items()
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
        "activity of a user in a calendar month: the days of daily_activity, combined",
        [
            day("last day of the calendar month"),
            user(),
            BUCKET,
            column("active_days", "long", "days of the month with an act, 0 .. 31", nullable=False),
            column("first_day", "date", "first day of the month with an event", nullable=False),
            column("last_day", "date", "last day of the month with an event", nullable=False),
            column("events", "long", "events of the month, of all types", nullable=False),
            column(ACTS, "long", f"acts of the user in the month; {OLD}"),
            column(last_day_column(ACTS), "date", "last day of the month with an act; null: none, or stored before this column"),
            column("sessions", "long", "sessions that began in the month, of acts", nullable=False),
            column("hours", "integer", HOURS),
            column("bot", "boolean", "true when the user was a bot on bots.days_share of the active days of the month, or more"),
            column("bot_days", "long", "days of the month that exceed the limits of bots; null: stored before this column"),
            *_measure_columns(settings),
            *(
                column(last_day_column(name), "date", f"last day of the month with {name}; null: none")
                for name in settings.measures.measures
            ),
            *_monthly_definitions(settings),
            *(
                column(last_day_column(name), "date", f"last day of the month with one of {', '.join(types)}; null: none")
                for name, types in active_columns(settings).items()
            ),
        ],
        ("day", "user_id"),
        rules={"active_days_in_month": "active_days >= 0 AND active_days <= 31", "day_ends_month": "day = last_day(day)"},
        partitions=("day",),
        complete=True,
    )


FIRST_SEEN_RESTATED = table(
    "first_seen_restated",
    "every user who was seen up to the first of a month: a copy of first_seen, so that a day reads no more than a month of it",
    [
        day("first of a month"),
        user(),
        BUCKET,
        column("since", "date", "first day with an act of the user: the day in first_seen", nullable=False),
        column("segments", SEGMENTS, "segments of first_seen; null: stored before that column"),
    ],
    ("day", "user_id"),
    partitions=("day",),
    keep_days=100,  # an older one would only spare the rebuild of an old day some reading
)


FIRST_SEEN = table(
    "first_seen",
    "a user, on the first day with an act",
    [
        day("first day with an act of the user"),
        user(),
        # nullable: days that were stored before this column existed lack it until they are built again
        column("segments", SEGMENTS, "configured segments of the user as of the day; null: stored before this column"),
    ],
    ("day", "user_id"),
    partitions=("day",),
    pick="earliest",
    pick_key=("user_id",),
    restatement=FIRST_SEEN_RESTATED,
)


BOTS = table(
    "bots",
    "a user who was a bot in a calendar month; measures of groups over long times leave such users out from then on",
    [day("last day of the calendar month"), user()],
    ("day", "user_id"),
    partitions=("day",),
    pick="earliest",
    pick_key=("user_id",),
)


ACTIVITY_TREND = table(
    "activity_trend",
    "weekly return of a segment: the share of the users of the week before who came back, and indicators; without bots",
    [
        day("last day of the week of 7 days"),
        column(
            "segment",
            "string",
            "'all' (all users), 'tenure' (new: under 30 days), 'cohort' (month of the first active day) or a segment",
            nullable=False,
        ),
        column("value", "string", "value of the segment", nullable=False),
        column("active", "long", "users active in the week before: O-13 .. O-7", nullable=False),
        column("came_back", "long", "users counted in active who were active again in O-6 .. O", nullable=False),
        column("share", "double", "came_back / active; null: active is 0"),
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
                f"{text}: sorted hashes of the distinct values, at most activity.distinct_cap of them",
                nullable=False,
            )
        else:
            yield column(name, "long", text, nullable=name not in summed)


def _monthly_definitions(settings: Settings) -> Iterator[StructField]:
    for name in settings.churn.definitions:
        counted, what = definition_column(name), f"events that churn definition {name} counts"
        yield column(counted, "long", what, nullable=False)
        yield column(first_day_column(counted), "date", f"first day of the month with {what}; null: none")
        yield column(last_day_column(counted), "date", f"last day of the month with {what}; null: none")
