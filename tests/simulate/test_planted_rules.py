"""What the app's rules speak of is what worlds are made of: each of them can be planted."""

import re
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from churnwatch import simulate as sim
from churnwatch.activity import per_user_day
from churnwatch.core import day_range
from churnwatch.features import per_user
from churnwatch.settings import load
from churnwatch.settings.names import features_with_measure
from churnwatch.settings.rule_columns import named_columns
from churnwatch.simulate import World
from churnwatch.simulate.events import PAGES, SYMPTOMS, TYPES
from churnwatch.tables import tables
from smallworld import OPEN_END, as_of

SETTINGS = load(Path(__file__).resolve().parents[2] / "conf" / "local.yaml")
RULES = [rule for rule in SETTINGS.rules.rules if rule.scope == "user"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_world_has_the_events_and_items_that_a_rule_speaks_of(rule):
    made = {name.partition(":")[0] for symptoms in SYMPTOMS.values() for name in symptoms} | {*TYPES, "login"}
    of_feature = dict(features_with_measure(SETTINGS))
    measures = {of_feature[name] for name in named_columns(rule) if name in of_feature} & set(SETTINGS.measures.measures)
    for name in measures:
        where = SETTINGS.measures.measures[name].where or ""
        types = set(re.findall(r"'(\w+)'", re.sub(r"\b(item_id|properties)\b.*", "", where)))
        assert types and types <= made, f"{name} counts {types - made}"
        assert set(re.findall(r"item_id = '(\w+)'", where)) <= set(PAGES)


# three days of a small world; each rule is to be found on one of them
WORLD = World(users=1200, days=60, events_a_day=6.0, mean_stay_days=90.0, waves=())  # many leave: few users are enough
DAYS = tuple(WORLD.day(n) for n in (46, 53, 60))


@pytest.fixture(scope="module")
def warned(spark):
    """How many users and days of the world each rule of users warns of, by the app's own measures and features."""
    who = sim.people(spark, WORLD)
    money, time = F.round(F.col("amount") * 100).cast("long"), F.round(F.col("duration_s") * 1000).cast("long")
    events = sim.clean_events(sim.active_days(who, WORLD, 1, WORLD.days), WORLD).withColumns(
        {"day": F.to_date("event_time"), "amount_cents": money, "duration_ms": time}
    )
    daily = per_user_day({"events": events}, day_range(WORLD.day(1), WORLD.day(WORLD.days)), SETTINGS)["daily_activity"].cache()
    for_ever, attributes = F.lit(OPEN_END), F.create_map(F.lit("region"), "region", F.lit("plan"), "plan")
    inputs = {
        "activity": daily,
        "first_seen": daily.groupBy("user_id").agg(F.min("day").alias("day")).withColumn("until", for_ever),
        "users": who.where(F.col("joined") <= WORLD.days)
        .withColumn("day", F.date_add(F.lit(WORLD.first_day), F.col("joined") - 1))
        .select("day", "user_id", F.col("day").alias("registered_on"), attributes.alias("attributes"), for_ever.alias("until")),
        "consents": as_of(spark, tables(SETTINGS).consents, [], DAYS),
    }
    features = per_user(inputs, DAYS, SETTINGS)["user_features"]
    (row,) = features.where(~F.col("bot")).agg(*(F.count_if(F.expr(rule.when)).alias(rule.id) for rule in RULES)).collect()
    daily.unpersist()
    return row.asDict()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_warns_of_somebody_in_a_simulated_world_and_not_of_most(warned, rule):
    assert 0 < warned[rule.id] < 0.2 * len(DAYS) * WORLD.users
