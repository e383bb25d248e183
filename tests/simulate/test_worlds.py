"""Worlds: every row a function of seed, user and day; what was planted is there."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from churnwatch import simulate as sim
from churnwatch.activity import per_user_day
from churnwatch.settings import load
from churnwatch.simulate import Run, Wave, World
from churnwatch.simulate.draws import Draws
from churnwatch.simulate.events import FUNCTIONS, PAGES, TYPES

CONF = Path(__file__).resolve().parents[2] / "conf"
WORLD = World(users=300, days=56, events_a_day=3.0, waves=(Wave(day=40, region="north", share=0.6),))
BOTH_RUNS = (Run(1, 30), Run(31, 56, actions_until=30))


def rows(frame):
    """All rows as sorted text: whole rows, whatever their order."""
    return sorted(r[0] for r in frame.select(F.to_json(F.struct(*frame.columns))).collect())


def written(spark, world=WORLD, first=1, last=None, treated=None):
    return sim.events(sim.people(spark, world, treated), world, first, last or world.days)


def of_files(rows, first, last):
    """The rows whose files are those of the day numbers ``first`` .. ``last``."""
    return [row for row in rows if str(WORLD.day(first)) <= row.split('"day":"')[1][:10] <= str(WORLD.day(last))]


@pytest.fixture(scope="module")
def whole(spark):
    """The raw rows of WORLD."""
    return rows(written(spark))


def test_a_draw_is_the_same_number_everywhere(spark):
    found = [r[0] for r in spark.range(3).select(Draws(7).uniform("golden", F.col("id"))).collect()]
    assert found == pytest.approx([0.1481671599086219, 0.4215906510165032, 0.32434171631809566], abs=1e-15)


def test_partitions_change_no_row(spark, whole):
    who = sim.people(spark, WORLD).repartition(7, "region")
    assert rows(sim.events(who, WORLD, 1, WORLD.days).repartition(3)) == whole


def test_another_seed_gives_other_rows(spark, whole):
    assert rows(written(spark, replace(WORLD, seed=8), last=3)) != of_files(whole, 1, 3)


def test_going_on_gives_the_rows_of_one_longer_run(spark, whole):
    assert rows(written(spark, WORLD.until(30))) == of_files(whole, 1, 30)
    assert rows(written(spark, first=31)) == of_files(whole, 31, WORLD.days)


def actions(spark, count=150):
    """An offer on day 30 for the first users, a hold-out for the others."""
    who = sim.people(spark, WORLD).select("no", "user_id")
    arm = F.when(F.col("no") <= count, "offer").otherwise("control")
    return who.select(F.lit(WORLD.day(30)).alias("day"), "user_id", arm.alias("arm"))


def test_only_treated_users_change_and_only_after_the_offer(spark, whole):
    treated = sim.treated_users(actions(spark), WORLD, BOTH_RUNS)
    changed = set(rows(written(spark, first=31, treated=treated))) ^ set(of_files(whole, 31, WORLD.days))
    days = sorted(r.split('"day":"')[1][:10] for r in changed)
    assert changed
    assert days[0] >= str(WORLD.day(31))
    numbers = {int(r.split('"user_id":"u')[1][:15]) for r in changed if '"user_id":"u' in r}
    assert max(numbers) <= 150


def test_an_offer_never_reaches_days_that_were_written_before_it_was_known(spark):
    runs = (Run(1, 34), Run(35, 40, actions_until=30), Run(41, 56, actions_until=38))
    given = [
        (WORLD.day(30), "a", "offer"),
        (WORLD.day(38), "b", "offer"),
        (WORLD.day(37), "c", "control"),
        (WORLD.day(56), "d", "offer"),
    ]
    frame = spark.createDataFrame(given, "day date, user_id string, arm string")
    found = {r.user_id: (r.action_day, r.treated_from) for r in sim.treated_users(frame, WORLD, runs).collect()}
    assert found == {"a": (30, 35), "b": (38, 41)}


def test_the_first_offer_counts_and_gives_one_row_a_user(spark):
    given = [(WORLD.day(d), "a", "offer") for d in (28, 30)]
    frame = spark.createDataFrame(given, "day date, user_id string, arm string")
    assert [tuple(r) for r in sim.treated_users(frame, WORLD, BOTH_RUNS).collect()] == [("a", 28, 31)]


def test_the_truth_of_a_treatment_holds_both_outcomes(spark):
    """Who is spared is retained; who is not behaves as without the offer."""
    treated = sim.treated_users(actions(spark), WORLD, BOTH_RUNS)
    found = sim.treatments(sim.people(spark, WORLD, treated), WORLD, treated).collect()
    assert found and {r.day for r in found} == {WORLD.day(30)}
    assert all(r.retained_with == r.retained_without for r in found if not r.spared)
    with_, without = (sum(getattr(r, f"retained_{w}") for r in found) for w in ("with", "without"))
    assert with_ > without


def test_an_offer_saves_by_cause(spark):
    causes = tuple(replace(cause, save_share=float(cause.name == "price")) for cause in WORLD.causes)
    world = replace(WORLD, causes=causes)
    treated = sim.treated_users(actions(spark, 300), world, BOTH_RUNS)
    spared = sim.people(spark, world, treated).where("spared").select("cause").distinct().collect()
    assert {row.cause for row in spared} == {"price"}


def test_planted_leavers_are_silent_after_they_left(spark):
    truth = sim.planted_users(sim.people(spark, WORLD), WORLD).where("leaves_on IS NOT NULL AND returns_on IS NULL")
    seen = sim.active_days(sim.people(spark, WORLD), WORLD, 1, WORLD.days).groupBy("user_id").agg(F.max("n").alias("n"))
    last = F.date_add(F.lit(WORLD.first_day), F.col("n") - 1)
    joined = truth.join(seen, "user_id").agg(
        F.count(F.lit(1)).alias("left"), F.count_if(last >= F.col("leaves_on")).alias("later")
    )
    row = joined.first()
    assert row.left > 30
    assert row.later == 0


def test_the_wave_takes_its_share_of_its_region_at_once(spark):
    who = sim.people(spark, WORLD)
    days = sim.active_days(who, WORLD, 33, 49).join(who.select("user_id", "region"), "user_id")
    north = F.col("region") == "north"
    before, after = F.col("n").between(33, 39), F.col("n").between(43, 49)
    row = days.agg(
        *(
            F.count_if(region & week).alias(name)
            for name, region, week in (("nb", north, before), ("na", north, after), ("ob", ~north, before), ("oa", ~north, after))
        )
    ).first()
    assert row.na / row.nb < 0.65
    assert row.oa / row.ob > 0.8


# a cause and what shows it: conditions of an event
SHOWN = {
    "price": ("item_id = 'pricing'", "event_type = 'cancel'"),
    "quality": ("event_type = 'crash'", "event_type = 'slow_page'"),
    "service": ("event_type = 'complaint'", "event_type = 'service'"),
    "competitor": ("item_id = 'competitor'",),
}


COUNTED = ("events", *(condition for conditions in SHOWN.values() for condition in conditions), "use_s", "uses", "depth")


@pytest.fixture(scope="module")
def near_leaving(spark):
    """What is done in the last two weeks before leaving, by cause, and by all others in the last week (cause None)."""
    world = replace(WORLD, users=1000, mean_stay_days=60.0, waves=())  # many leave: few users are enough
    who = sim.people(spark, world)
    sudden, near = F.col("decline_days") == 1, (F.col("leaves") - F.col("n")).between(1, 14)
    days = sim.active_days(who, world, 1, world.days).join(who.select("user_id", "leaves", "decline_days"), "user_id")
    days = days.where((near & ~sudden) | (~near & (F.col("n") > world.days - 7)))
    group = F.when(near, F.col("because")).alias("cause")
    because = days.select("user_id", "n", "leaves", F.col("cause").alias("because"))
    done = sim.clean_events(days.drop("leaves", "decline_days"), world).join(because, ["user_id", "n"])
    used = F.when(F.col("event_type") == "use", F.col("duration_s"))
    depth = F.when(F.col("event_type") == "use", F.substring("item_id", -2, 2).cast("int"))  # the first are used most
    rows = (
        done.groupBy(group, "user_id")
        .agg(
            F.count(F.lit(1)).alias("events"),
            *(F.count_if(F.expr(condition)).alias(condition) for conditions in SHOWN.values() for condition in conditions),
            F.sum(used).alias("use_s"),
            F.count(used).alias("uses"),
            F.sum(depth).alias("depth"),
        )
        .groupBy("cause")
        .agg(F.count(F.lit(1)).alias("users"), *(F.sum(f"`{name}`").alias(name) for name in COUNTED))
        .collect()
    )
    return {row["cause"]: row.asDict() for row in rows}


def share(rows, name, of):
    return sum(row[name] for row in rows) / sum(row[of] for row in rows)


def test_symptoms_of_a_cause_show_in_the_weeks_before_leaving_and_in_nobody_else(near_leaving):
    assert {cause: row["users"] > 20 for cause, row in near_leaving.items()} == dict.fromkeys([None, "engagement", *SHOWN], True)
    for cause, conditions in SHOWN.items():
        # who leaves by another cause, and who does not leave
        leavers = [row for other, row in near_leaving.items() if other not in (cause, None)]
        for condition in conditions:
            shown = share([near_leaving[cause]], condition, "events")
            assert shown > 4 * share(leavers, condition, "events"), (cause, condition)
            assert shown > 4 * share([near_leaving[None]], condition, "events"), (cause, condition)


def test_falling_engagement_shows_in_shorter_use_of_the_first_functions(near_leaving):
    tired = near_leaving["engagement"]
    leavers = [row for cause, row in near_leaving.items() if cause not in ("engagement", None)]
    for others in (leavers, [near_leaving[None]]):
        for name in ("use_s", "depth"):
            assert share([tired], name, "uses") < 0.75 * share(others, name, "uses"), name


def test_users_do_everything_by_its_weight(spark):
    world = replace(WORLD, users=800, waves=(), bot_share=0.0)
    done = sim.clean_events(sim.active_days(sim.people(spark, world), world, 1, 28), world)
    counts = {r.event_type: r["count"] for r in done.groupBy("event_type").count().collect()}
    total = sum(counts.values()) - counts.pop("login") - counts.pop("register")
    assert {name: counts[name] / total for name in ("view", "use", "click")} == pytest.approx(
        {name: TYPES[name] for name in ("view", "use", "click")}, rel=0.1
    )
    assert set(counts) == set(TYPES)
    items = {
        r.event_type: set(r.items) for r in done.groupBy("event_type").agg(F.collect_set("item_id").alias("items")).collect()
    }
    assert items["view"] == set(PAGES)
    assert items["use"] == set(FUNCTIONS)


def test_the_app_tells_its_bots_by_their_hours_and_no_person(spark):
    app = load(CONF / "local.yaml", ["domain=app"])
    who = sim.people(spark, replace(WORLD, bot_share=0.1))
    done = sim.clean_events(sim.active_days(who, WORLD, 1, 2), WORLD).withColumn("day", F.to_date("event_time"))
    missing = {name: F.lit(None).cast("long") for name in ("amount_cents", "duration_ms")}
    daily = per_user_day({"events": done.withColumns(missing)}, (WORLD.day(1), WORLD.day(2)), app)["daily_activity"]
    told = daily.join(who.select("user_id", F.col("bot").alias("is_one")), "user_id").groupBy("bot", "is_one").count().collect()
    counts = {(row.bot, row.is_one): row["count"] for row in told}
    assert set(counts) == {(True, True), (False, False)}
    assert min(counts.values()) > 10


def test_users_join_over_time(spark):
    counts = sim.people(spark, replace(WORLD, users=2000)).agg(
        F.count_if(F.expr("joined <= 0")).alias("old"), F.count_if(F.expr("joined > 0 AND joined <= 56")).alias("new")
    )
    old, new = counts.first()
    assert 0.50 < old / 2000 < 0.60
    assert 0.06 < new / 2000 < 0.12


def test_seasons_swing_over_week_and_year():
    seasons = WORLD.seasons(1, 365)
    weekend, workday = ([s for n, s in enumerate(seasons) if WORLD.day(n + 1).weekday() in days] for days in ((5, 6), (0, 1, 2)))
    assert sum(weekend) / len(weekend) > 1.05 * sum(workday) / len(workday)
    assert sum(seasons[:28]) > 1.05 * sum(seasons[170:198])


def test_knobs_come_back_from_their_text():
    assert World.from_json(WORLD.to_json(BOTH_RUNS)) == (WORLD, BOTH_RUNS)


def test_knobs_out_of_range_are_all_named():
    with pytest.raises(ValueError, match="late_share.*users.*atlantis"):
        World(users=0, late_share=1.5, waves=(Wave(day=3, region="atlantis"),))


def test_day_one_is_a_monday():
    assert WORLD.day(1) == date(2025, 1, 6)
    assert WORLD.day(1).weekday() == 0
    assert WORLD.number(WORLD.day(56)) == 56
