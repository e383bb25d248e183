"""Worlds with planted truth: users, events and what stands beside them, as columns over ``spark.range``.

Every row is a function of seed, user, day and the actions of earlier days: the same for any partitioning, and a world
goes on from any day.
"""

from pyspark.sql import DataFrame, SparkSession

from churnwatch.simulate.days import active_days
from churnwatch.simulate.events import BROKEN, EVENT_COLUMNS, SYMPTOMS, clean_events, events
from churnwatch.simulate.people import people, treated_users
from churnwatch.simulate.plan import PLANS, REGIONS, Cause, Run, Wave, World
from churnwatch.simulate.planted import PlantedWorld, planted_world
from churnwatch.simulate.records import consents, context, users
from churnwatch.simulate.truth import planted_users, treatments, truth

__all__ = [
    "BROKEN",
    "EVENT_COLUMNS",
    "PLANS",
    "REGIONS",
    "SYMPTOMS",
    "Cause",
    "PlantedWorld",
    "Run",
    "Wave",
    "World",
    "active_days",
    "clean_events",
    "consents",
    "context",
    "events",
    "people",
    "planted_users",
    "planted_world",
    "treated_users",
    "treatments",
    "truth",
    "users",
    "world",
]


def world(spark: SparkSession, plan: World, first: int = 1, who: DataFrame | None = None) -> dict[str, DataFrame]:
    """The raw input of the days ``first`` .. ``plan.days``, by name: ``events`` of these days; ``users``, ``consents``,
    ``context`` whole, up to the last day. ``who``: the users with their treatments, see ``people``; default untreated."""
    who = people(spark, plan) if who is None else who
    return {
        "events": events(who, plan, first, plan.days),
        "users": users(who, plan),
        "consents": consents(who, plan),
        "context": context(spark, plan),
    }
