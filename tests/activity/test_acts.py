"""Acts of the user and other events: a bill, a message that was sent and a refund make nobody active."""

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from rollupworld import DAY, NEXT, built, event

from churnwatch.activity import detect_falls, first_seen, per_user_day, per_user_month, trend
from churnwatch.churn import labels
from churnwatch.features import per_user
from churnwatch.reports.cohorts import measure_cohorts
from churnwatch.settings import load
from churnwatch.tables import tables
from smallworld import SMALL, activity, as_of, collected, contracts, on_days, plan_of, rows, settings

LOCAL = Path(__file__).resolve().parents[2] / "conf" / "local.yaml"
ACTS = ["order", "view"]
# the shop's primary definition waits for an order, of everybody who came; the others count acts
CHURN = {
    "primary": "no_order",
    "definitions": {
        "no_order": {"events": ["order"], "active_events": "acts", "horizon_days": 3, "active_within_days": 3},
        "silent": {"horizon_days": 3, "active_within_days": 3},
        "silent_half_a_year": {"horizon_days": 100, "active_within_days": 100},
        "left": {"kind": "event", "events": ["closed"], "horizon_days": 3, "active_within_days": 3},
        "read_nothing": {"events": ["order"], "active_events": ["view", "mail"], "horizon_days": 3, "active_within_days": 3},
        "no_order_ever": {"events": ["order"], "active_events": "registered", "horizon_days": 3},
    },
}
USERS = {**SMALL["sources"]["users"], "map": {"user_id": "u", "plan": "p", "registered_on": "r"}}
SHOP = {
    "measures": {
        "acts": ACTS,
        "habit": True,
        "active_hours": True,
        "bots": {"events_a_day": 3},
        "indicators": {"mails": {"of": "mails", "days": 14}},
        "measures": {**SMALL["measures"]["measures"], "mails": {"kind": "count", "where": "event_type = 'mail'"}},
    },
    "churn": CHURN,
    "sources": {**SMALL["sources"], "users": USERS},
}
TODAY = date(2024, 3, 1)


def ago(days):
    return TODAY - timedelta(days=days)


def test_a_day_counts_acts_apart_and_keeps_its_row_without_any(spark):
    found = built(
        spark,
        [
            event("acts", time="09:00", kind="mail"), event("acts", time="10:00"), event("acts", time="10:10", kind="refund"),
            event("acts", time="10:35", kind="order"), event("acts", time="11:20", kind="mail"),
            event("acts", time="11:40", kind="order"),
            event("none", time="12:00", kind="refund"), event("none", time="23:50", kind="mail"),
            # an evening's mail is no part of a session that begins after midnight
            event("none", NEXT, time="00:05"),
            *(event("busy", time=f"{hour}:00") for hour in (10, 11, 12)), event("busy", time="13:00", kind="mail"),
            *(event("robot", time=f"{hour}:00") for hour in (10, 11, 12, 13)),
        ],
        (DAY, NEXT),
        **SHOP,
    )  # fmt: skip
    day = {(row["user_id"], row["day"]): row for row in collected(found)}
    columns = ("events", "acts", "sessions", "hours", "bot", "def_silent", "def_no_order", "active_def_read_nothing")
    assert {key: tuple(row[name] for name in columns) for key, row in day.items()} == {
        # 09:00 and 11:20 are no acts: a session begins at 10:00, at 10:35 and at 11:40
        ("acts", DAY): (6, 3, 3, 1 << 10 | 1 << 11, False, 3, 2, 3),
        ("none", DAY): (2, 0, 0, 0, False, 0, 0, 1),
        ("none", NEXT): (1, 1, 1, 1, False, 1, 0, 1),
        ("busy", DAY): (4, 3, 3, 0b111 << 10, False, 3, 0, 4),
        ("robot", DAY): (4, 4, 4, 0b1111 << 10, True, 4, 0, 4),
    }


def test_without_the_key_every_event_is_an_act(spark):
    found = built(spark, [event(time="10:00", kind="mail"), event(time="12:00", kind="refund")], (DAY,))
    (row,) = collected(found)
    assert (row["events"], row["acts"], row["sessions"], row["hours"]) == (2, 2, 2, 1 << 10 | 1 << 12)


def acted(user, day, acts=1, orders=0, **more):
    """A row of daily_activity of a shop: views, unless ``acts`` is 0; ``orders`` are acts too."""
    counts = {f"def_{name}": 0 for name in CHURN["definitions"]} | {"def_silent": acts, "def_silent_half_a_year": acts}
    counts |= {"def_no_order": orders, "def_read_nothing": orders, "def_no_order_ever": orders}
    return activity(user, day, acts=acts, **(counts | {"mails": 0, "active_def_read_nothing": acts} | more))


def only_event(user, day, **more):
    """A row of daily_activity of a day on which the user did nothing: a mail was sent, or money was given back."""
    return acted(user, day, acts=0, sessions=0, hours=0, **more)


# gone since three weeks: got a mail each day, and a refund today
WORLD = [
    acted("gone", ago(22), orders=1), *(only_event("gone", ago(n), mails=1) for n in range(21)),
    acted("there", ago(22)), acted("there", ago(8)), acted("there", ago(1)), only_event("there", TODAY),
    only_event("never", ago(2)),
    # stored before acts were counted: each event counts
    {**acted("old", ago(9)), "acts": None}, {**acted("old", ago(1)), "acts": None},
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(spark):
    """Inputs of every job that asks who is active, as the runner cuts them for TODAY."""
    one, t = settings(**SHOP), contracts(**SHOP)
    frame = rows(spark, t.daily_activity, WORLD)
    known = {"activity": frame, "first_seen": rows(spark, t.first_seen, []), "users": as_of(spark, t.users, [], (TODAY,))}
    seen = collected(first_seen(known, [ago(n) for n in range(23)], one)["first_seen"])
    registered = {"gone": ago(400), "there": ago(22), "never": ago(400), "unseen": TODAY}
    users = [plan_of(user, ago(400), None, registered_on=day) for user, day in registered.items()]
    users.append(plan_of("tomorrow", ago(400), None, registered_on=ago(-1)))
    return {
        "settings": one,
        "seen": {row["user_id"]: row["day"] for row in seen},
        "inputs": {
            "activity": frame,
            "before": frame,
            "after": rows(spark, t.daily_activity, []),
            "first_seen": as_of(spark, t.first_seen, seen, (TODAY,)),
            "users": as_of(spark, t.users, users, (TODAY,)),
            "consents": as_of(spark, t.consents, [], (TODAY,)),
            "bots": as_of(spark, t.bots, [], (TODAY,)),
        },
    }


def test_first_seen_is_the_first_act(shop):
    assert shop["seen"] == {"gone": ago(22), "there": ago(22), "old": ago(9)}


def test_a_mail_and_a_refund_bring_nobody_back(shop):
    (row,) = (
        r
        for r in collected(trend(shop["inputs"], (TODAY,), shop["settings"])["activity_trend"])
        if (r["segment"], r["value"]) == ("all", "all")
    )
    # indicators add up all events of users who acted: nobody who did so got a mail
    assert (row["active"], row["came_back"], row["indicators"]) == (2, 2, {"mails": 0.0})


def test_the_population_and_its_features_look_at_acts(shop):
    found = {r["user_id"]: r for r in collected(per_user(shop["inputs"], (TODAY,), shop["settings"])["user_features"])}
    assert set(found) == {"there", "old"}
    columns = ("acts_4d", "events_4d", "acts_days_since", "events_days_since", "active_days_4d", "active_hours_4d")
    assert [found["there"][name] for name in columns] == [1, 2, 1, 0, 1, 1]
    assert (found["there"]["gap_ratio"], found["there"]["tenure_days"]) == (None, 22)
    assert [found["old"][name] for name in columns[:4]] == [1, 1, 1, 1]


def labelled(shop, name):
    found = collected(labels(shop["inputs"], (TODAY,), shop["settings"], name)["user_labels"])
    return {row["user_id"]: ((TODAY - row["last_active_day"]).days, row["churned"]) for row in found}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no_order", {"there": (1, True), "old": (1, True)}),
        ("silent", {"there": (1, True), "old": (1, True)}),
        ("left", {"there": (1, False), "old": (1, False)}),
        ("read_nothing", {"there": (1, True), "old": (1, True)}),
        # however long silent, and whether seen or not; who registers tomorrow is not registered today
        ("no_order_ever", {"gone": (400, True), "there": (1, True), "never": (400, True), "unseen": (0, True)}),
    ],
)
def test_who_is_eligible(shop, name, expected):
    assert labelled(shop, name) == expected


def test_a_cohort_keeps_who_acted(shop):
    found = collected(measure_cohorts(shop["inputs"], (TODAY,), shop["settings"])["cohort_churn"])
    weeks = {(r["cohort"], r["before_data"]): (r["size"], r["active"]) for r in found if r["cohort_by"] == "week"}
    # "there" acted in the week of TODAY (26 February on); "gone", from before the data, got mails alone
    first = date(2024, 2, 5)
    assert weeks == {(first, True): (1, 0), (first, False): (1, 1), (date(2024, 2, 19), False): (1, 1)} | {
        (date(2024, 2, 26), False): (1, 0)  # registered today, and not seen yet
    }


def test_a_month_holds_the_last_act_and_the_days_with_acts(spark):
    one, t = settings(**SHOP), contracts(**SHOP)
    leap = date(2024, 2, 29)
    frame = rows(spark, t.daily_activity, on_days(WORLD, date(2024, 2, 1), leap))
    found = {r["user_id"]: r for r in collected(per_user_month({"activity": frame}, (leap,), one)["monthly_activity"])}
    columns = ("active_days", "events", "acts", "acts_last_day", "active_def_read_nothing_last_day")
    assert {user: tuple(row[name] for name in columns) for user, row in found.items()} == {
        "gone": (1, 21, 1, ago(22), ago(22)),
        "there": (3, 3, 3, ago(1), ago(1)),
        "never": (0, 1, 0, None, None),
        "old": (2, 2, 2, ago(1), ago(1)),
    }
    # a definition over months reads them: "gone" acted once in the 100 days, "never" did not
    before = rows(spark, t.daily_activity, on_days(WORLD, TODAY, TODAY))
    inputs = {
        "before": before,
        "months_before": rows(spark, t.monthly_activity, found.values()),
        "after": rows(spark, t.daily_activity, []),
    }
    made = collected(labels(inputs, (TODAY,), one, "silent_half_a_year")["user_labels"])
    assert {row["user_id"]: row["last_active_day"] for row in made} == {"old": ago(1)} | {
        "gone": ago(22),
        "there": ago(1),
    }


LINES, DORMANT, DAYS, FIRST = 300, 15, 300, date(2025, 1, 1)


def billed_lines(spark, domain):
    """Events of LINES lines over DAYS days: calls on six days of ten, a bill on the first of each month. DORMANT of them call
    no more after their twentieth day."""
    made = spark.sql(
        f"""SELECT day, concat(type, line, day) AS event_id, concat('line', line) AS user_id,
        cast(day AS timestamp) + INTERVAL 12 HOURS AS event_time, type AS event_type
        FROM (SELECT explode(sequence(1, {LINES})) AS line)
        LATERAL VIEW explode(sequence(DATE'{FIRST}', DATE'{FIRST + timedelta(days=DAYS - 1)}')) AS day
        LATERAL VIEW explode(array('call', 'bill')) AS type
        WHERE CASE type WHEN 'bill' THEN dayofmonth(day) = 1
        ELSE pmod(xxhash64(line, day), 10) < 6 AND (line > {DORMANT} OR day < DATE'{FIRST + timedelta(days=20)}') END"""
    )
    return rows(spark, tables(domain).events, []).unionByName(made, allowMissingColumns=True)


def test_lines_that_are_billed_on_the_first_raise_no_false_alarm_and_dormant_ones_leave(spark):
    domain = load(LOCAL, ["domain=telecom"])
    # of activity_trend the row of all lines alone
    domain = domain.model_copy(update={"measures": domain.measures.model_copy(update={"segments": [], "indicators": {}})})
    days = [FIRST + timedelta(days=n) for n in range(DAYS)]
    active = per_user_day({"events": billed_lines(spark, domain)}, days, domain)["daily_activity"].cache()
    nobody = {"users": as_of(spark, tables(domain).users, [], days)}
    nobody["first_seen"] = as_of(spark, tables(domain).first_seen, [], days)

    all_lines = trend({"activity": active, **nobody}, days, domain)["activity_trend"].where("segment = 'all'")
    shares = all_lines.select("day", "segment", "value", "active", "came_back").orderBy("day").toArrow()
    lost = [day for day in range(60, shares.num_rows) if _stays_away(shares.slice(0, day + 1))]
    assert shares.num_rows > 280 and lost == []

    last = days[-1]
    eligible = labels({"before": active, "after": active}, [last - timedelta(days=60)], domain, "ported_out_60d")
    assert eligible["user_labels"].count() == LINES - DORMANT
    first = days[25]  # the dormant are eligible for the last time, and lost: they are billed on 1 February and 1 March
    lost = labels({"before": active, "after": active}, [first], domain, "no_traffic_30d")["user_labels"]
    assert lost.where("churned").count() == DORMANT


def _stays_away(shares: pa.Table) -> bool:
    """Whether the shipped rule base_stays_away warns on the newest day."""
    (found,) = detect_falls(shares)
    share = shares["came_back"][-1].as_py() / shares["active"][-1].as_py()
    return found["fall_p"] is not None and found["fall_p"] < 0.05 and share < found["expected_share"] - 0.02
