"""Planted warning rules: each rule of the three domains speaks of those planted for it, and of no usual user."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from churnwatch.activity import per_user_day, per_user_month
from churnwatch.alerts.rules import holds
from churnwatch.core import ConfigError, day_range
from churnwatch.events.event_rows import classify_events
from churnwatch.features import per_user
from churnwatch.hashes import config_hash
from churnwatch.io.planted import plant
from churnwatch.io.sources import Sources
from churnwatch.settings import Planted, PlantedEvents, load
from churnwatch.settings.names import features_with_measure
from churnwatch.settings.rule_columns import columns_of
from churnwatch.simulate import PlantedWorld, planted_world
from churnwatch.simulate.planted import USUAL, days_of
from churnwatch.tables import tables
from fallworld import verdicts
from smallworld import as_of, collected, first_days, rows

CONF = Path(__file__).resolve().parents[2] / "conf"
DOMAINS = ("app", "ecommerce", "telecom")
DAY = date(2025, 9, 13)


def test_days_count_back_and_months_are_the_calendars():
    def days(**when):
        return [str(day) for day in days_of(PlantedEvents(type="call", **when), date(2025, 3, 1))]

    assert days(days_ago=0) == ["2025-03-01"]
    assert days(days_ago=5, until_days_ago=0, every_days=2) == ["2025-02-24", "2025-02-26", "2025-02-28"]
    assert [days(months_ago=n) for n in (0, 2, 3)] == [["2025-03-01"], ["2025-01-01"], ["2024-12-01"]]


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_rule_of_a_domain_can_be_planted(domain):
    settings = load(CONF / "local.yaml", [f"domain={domain}"])
    assert set(settings.planted.rules) == {rule.id for rule in settings.rules.rules}


def test_what_is_planted_changes_nothing_of_what_a_run_means():
    settings = load(CONF / "local.yaml", ["domain=telecom"])
    assert config_hash(settings) == config_hash(settings.model_copy(update={"planted": Planted()}))


def of_users(domain):
    """The domain's settings with its rules of users alone, and of features what these speak of: a fifth of the columns."""
    settings = load(CONF / "local.yaml", [f"domain={domain}"])
    kept = [rule for rule in settings.rules.rules if rule.scope == "user"]
    planted = settings.planted.model_copy(update={"rules": {rule.id: settings.planted.rules[rule.id] for rule in kept}})
    named, m = set().union(*(columns_of(rule.when) for rule in kept)), settings.measures
    of_feature = dict(features_with_measure(settings))
    ratios = {name: text for name, text in m.ratios.items() if name in {of_feature.get(one) for one in named}}
    spoken_of = {of_feature.get(one) for one in named}.union(*(columns_of(text) for text in ratios.values()))
    lean = {
        "measures": {name: one for name, one in m.measures.items() if name in spoken_of},
        "ratios": ratios,
        "months_of": [name for name in m.months_of if name in spoken_of],
        **{"rfm": None, "habit": False, "active_share": False, "active_hours": False, "slope_weeks": None},
        **{"slopes": [], "rates": [], "shifts": [], "indicators": {}},
    }
    changed = {
        "rules": settings.rules.model_copy(update={"rules": kept}),
        "planted": planted,
        "measures": m.model_copy(update=lean),
    }
    return settings.model_copy(update=changed)


def spoken_of(spark, domain):
    """(user, rule) of each rule that holds on DAY in a world of one user a rule and two usual ones; and as planted."""
    settings = of_users(domain)
    t, world = tables(settings), PlantedWorld(settings.planted, DAY, 210, users_a_rule=1, usual_users=2)
    made = planted_world(spark, world)
    money, time = F.round(F.col("amount") * 100).cast("long"), F.round(F.col("duration_s") * 1000).cast("long")
    events = made["events"].withColumns({"amount_cents": money, "duration_ms": time})
    daily = collected(per_user_day({"events": events}, day_range(world.first_day, DAY), settings)["daily_activity"])
    activity = rows(spark, t.daily_activity, daily)
    users = [
        {
            "day": world.first_day,
            "user_id": u["user_id"],
            "registered_on": u["registered_on"],
            "attributes": texts(u),
            "full": False,
        }
        for u in (row.asDict() for row in made["users"].collect())
    ]
    market = [row.asDict() | {"full": False} for row in made["context"].collect()]
    inputs = {
        "activity": rows(
            spark, t.daily_activity, [row for row in daily if (DAY - row["day"]).days < settings.measures.activity_days]
        ),
        "first_seen": as_of(spark, t.first_seen, first_days(daily), (DAY,)),
        "users": as_of(spark, t.users, users, (DAY,)),
        "consents": as_of(spark, t.consents, [], (DAY,)),
        "context": as_of(spark, t.context, market, (DAY,), settings.measures.context_days),
    }
    if settings.measures.months_days:
        over = day_range(world.first_day, DAY.replace(day=1) - timedelta(days=1))
        months = per_user_month({"activity": activity}, over, settings)["monthly_activity"]
        inputs["months"] = rows(spark, t.monthly_activity, collected(months))
    people = per_user(inputs, (DAY,), settings)["user_features"]
    stars = [(row["star_tenths"], 10 * row["ratings"]) for row in daily if "ratings" in row and (DAY - row["day"]).days < 30]
    mean = sum(s for s, _ in stars) / sum(n for _, n in stars) if stars else None
    facts = {name: F.col("attributes")[name] for name in settings.sources.users.map if name not in people.columns}
    judged_on = people.join(inputs["users"].select("user_id", "attributes"), "user_id")
    judged_on = judged_on.withColumns({"satisfaction_base": F.lit(mean).cast("double"), **facts})
    told = [F.when(holds(rule), F.lit(rule.id)) for rule in settings.rules.rules]
    found = judged_on.select("user_id", F.array_compact(F.array(*told)).alias("rules")).collect()
    planted = {(row["user_id"], row["rule"]) for row in made["truth"].collect()}
    return {(row["user_id"], rule) for row in found for rule in row["rules"]}, planted, world


def texts(user):
    """A user's attributes."""
    return {name: value for name, value in user.items() if name not in ("user_id", "registered_on", "changed_at")}


@pytest.fixture(scope="module")
def found(spark):
    return {domain: spoken_of(spark, domain) for domain in DOMAINS}


@pytest.mark.parametrize("domain", DOMAINS)
def test_each_rule_speaks_of_those_planted_for_it_and_of_no_usual_user(found, domain):
    warned, planted, world = found[domain]
    assert planted - warned == set()
    assert {rule for user, rule in warned if user not in {u for u, _ in planted}} == set()
    assert len(planted) == len(world.planted.rules)


FIELDS = ("user_id", "event_time", "event_type", "amount_cents", "duration_ms", "item_id", "properties")


def as_text(fields):
    """An event as text, without properties that are null."""
    *plain, properties = fields
    return str((*plain, {name: value for name, value in (properties or {}).items() if value is not None}))


def times(number, value):
    return None if value is None else round(number * value)


def read_back(spark, settings, world, folder):
    """Accepted events of the files that the domain's sources read, as text."""
    days = day_range(world.first_day, world.last_day)
    found = []
    for source in settings.sources.events:
        there = source.model_copy(update={"path": f"{folder}/{source.path}"})
        rows_ = classify_events(Sources(spark, settings).rows(there, days), there, days, settings)
        found += rows_.where("verdict = 'accepted'").select(*FIELDS).collect()
    return sorted(map(as_text, found))


# of each source something, with amounts, durations, items and properties
SOME = {
    "ecommerce": ("conversion_falling", "service_slow", "nothing_found"),
    "telecom": ("faults", "other_operator", "still_dissatisfied"),
}


@pytest.mark.parametrize("domain", SOME)
def test_the_files_are_what_the_domains_own_sources_read(spark, tmp_path, domain):
    settings = of_users(domain)
    only = settings.planted.model_copy(update={"rules": {name: settings.planted.rules[name] for name in SOME[domain]}})
    world = PlantedWorld(only, DAY, 20, users_a_rule=2, usual_users=1)
    told = plant(spark, world, settings, tmp_path / "raw")
    assert told["planted"] == dict.fromkeys(SOME[domain], 2) and told["last_day"] == DAY
    frames = planted_world(spark, world)
    planted = {(r["user_id"], r["rule"]) for r in spark.read.parquet(f"{tmp_path}/truth/rules").collect()}
    assert planted == {(r["user_id"], r["rule"]) for r in frames["truth"].collect()} and len(planted) == 6
    wanted = frames["events"].select(*FIELDS[:3], "amount", "duration_s", "item_id", "properties").collect()
    assert wanted
    assert read_back(spark, settings, world, tmp_path) == sorted(
        as_text((*row[:3], times(100, row["amount"]), times(1000, row["duration_s"]), row["item_id"], row["properties"]))
        for row in wanted
    )
    users = (
        spark.read.option("header", True).csv(f"{tmp_path}/raw/lines")
        if domain == "telecom"
        else spark.read.json(f"{tmp_path}/raw/customers")
    )
    assert users.count() == 7
    with pytest.raises(ConfigError, match="exists already and is not overwritten"):
        plant(spark, world, settings, tmp_path / "raw")


def test_what_cannot_be_planted_is_said(spark, tmp_path):
    settings = of_users("telecom")
    world = PlantedWorld(settings.planted, DAY, 10)
    odd = settings.planted.usual.model_copy(update={"events": [PlantedEvents(type="walk", days_ago=1)]})
    with pytest.raises(ConfigError, match="usual: walk"):
        plant(spark, replace(world, planted=settings.planted.model_copy(update={"usual": odd})), settings, tmp_path / "raw")
    with pytest.raises(ConfigError, match="usage .* is not below"):
        plant(spark, world, settings, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "when", [{}, {"days_ago": 1, "months_ago": 1}, {"days_ago": 1, "until_days_ago": 2}, {"until_days_ago": 2, "months_ago": 1}]
)
def test_a_pattern_whose_days_mean_nothing_is_refused(when):
    with pytest.raises(ValueError, match="days_ago"):
        PlantedEvents(type="call", **when)


def weekly_trend(world):
    """Rows of activity_trend of the days before the last one, from the patterns alone: all users of a pattern do the same."""
    planted, made = world.planted, []
    groups = {}
    for rule, pattern in world.patterns.items():
        events = [*pattern.events, *(planted.usual.events if pattern.as_usual and rule != USUAL else [])]
        active_on = {day for one in events for day in days_of(one, world.last_day) if day >= world.first_day}
        region = (planted.usual.attributes | pattern.attributes)["region"]
        for group in (("all", "all"), ("region", region)):
            groups.setdefault(group, []).append((world.users(rule), active_on))

    def seen(active_on, day, first, last):
        return any(day - timedelta(days=n) in active_on for n in range(first, last))

    for ago in range(100, 0, -1):
        day = world.last_day - timedelta(days=ago)
        for (segment, value), parts in groups.items():
            active = sum(users for users, on in parts if seen(on, day, 7, 14))
            back = sum(users for users, on in parts if seen(on, day, 7, 14) and seen(on, day, 0, 7))
            made += [{"day": day, "segment": segment, "value": value, "active": active, "came_back": back}] if active else []
    return made


@pytest.mark.parametrize("domain", DOMAINS)
def test_planted_falls_are_found_where_they_were_planted_and_nowhere_else(domain):
    settings = load(CONF / "local.yaml", [f"domain={domain}"])
    given = weekly_trend(PlantedWorld(settings.planted, DAY, 251))
    found = verdicts(given)
    share = {(row["segment"], row["value"]): row["came_back"] / row["active"] for row in given}  # the newest day comes last
    fallen = {
        g
        for g, row in found.items()
        if row["fall_p"] is not None and row["fall_p"] < 0.05 and share[g] < row["expected_share"] - 0.02
    }
    assert fallen == {("all", "all"), ("region", "valley"), ("region", "south")}
    assert "region=" in found["all", "all"]["fall_because"]
