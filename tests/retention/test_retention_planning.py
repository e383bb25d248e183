"""Who is assigned: the offer, what suppresses, the limits, and that nothing knows the arm before it is drawn."""

from datetime import UTC, date, datetime

import pytest
from pyspark.sql import functions as F

from churnwatch.core.chance import share_of
from churnwatch.retention import plan_retention
from churnwatch.retention.limits import with_limits
from churnwatch.retention.planning import send_start

DAY = date(2025, 5, 1)
DECIDED = ("offer", "channel", "cause", "tier", "suppressed_because", "cost_cents", "expected_value_cents", "expires_at")


@pytest.fixture(scope="module")
def plan(frames):
    """Actions of DAY as rows by (user, campaign)."""

    def made(settings, scores, consents=None, actions=()):
        users = sorted({score["user_id"] for score in scores})
        if consents is None:
            consents = [{"user_id": u, "channel": c} for u in users for c in ("email", "push")]
        inputs = {
            "scores": frames.scores(*scores),
            "consents": frames.consents(*consents),
            "actions": frames.actions(*actions),
        }
        actions_of_day = plan_retention(inputs, (DAY,), settings)["retention_actions"]
        instants = {name: F.date_format(name, "yyyy-MM-dd HH:mm") for name in ("earliest_send_at", "expires_at")}
        rows = actions_of_day.withColumns(instants).collect()
        found = {(row["user_id"], row["campaign"]): row.asDict() for row in rows}
        assert len(found) == len(rows), "a user stands once a campaign"
        return found

    return made


def users(number, **fields):
    return [{"user_id": f"u{n:03}"} | fields for n in range(number)]


@pytest.mark.case(42)
def test_share_of_is_the_same_everywhere(spark):
    found = spark.range(1).select(share_of(F.lit("user-1"), "global").alias("share")).collect()[0]["share"]
    assert found == pytest.approx(0.8454089990607907, abs=0)


def test_the_offer_answers_the_cause_and_fits_the_value(plan, make_settings):
    scores = [
        {"user_id": "price", "cause": "price"},
        {"user_id": "engagement", "cause": "engagement"},
        {"user_id": "not worth the voucher", "value_cents": 499, "cause": "price"},
        {"user_id": "nothing known"},
        {"user_id": "not at risk", "tier": "low"},
    ]
    found = {user: (row["cause"], row["offer"]) for (user, _), row in plan(make_settings(), scores).items()}
    assert found == {
        "price": ("price", "voucher"),
        "engagement": ("engagement", "tour"),
        "not worth the voucher": ("price", "hello"),
        "nothing known": ("unknown", "hello"),
    }


def test_expected_value_is_probability_times_value_times_saved_share_less_cost(plan, make_settings):
    scores = [{"user_id": "u", "probability": 0.31, "value_cents": 1001, "cause": "price"}]
    row = plan(make_settings(), scores)["u", "wave"]
    assert (row["expected_value_cents"], row["cost_cents"]) == (round(0.31 * 1001 * 0.5) - 100, 100)


def test_suppressed_users_are_rows_with_the_reason(plan, make_settings, frames):
    settings = make_settings(
        [{"contact_pause_days": 10, "offers": [{"name": "a", "causes": ["price"], "channel": "email", "cost_cents": 1}]}]
    )
    names = ("free", "no offer", "unknown", "opted out", "other purpose", "paused", "paused control", "long ago", "elsewhere")
    scores = [{"user_id": name, "cause": None if name == "no offer" else "price"} for name in names]
    granted = [n for n in names if n not in ("unknown", "opted out", "other purpose")]
    consents = [{"user_id": n, "channel": "email"} for n in granted]
    consents += [
        {"user_id": "unknown", "channel": "push"},
        {"user_id": "opted out", "channel": "email", "granted": False},
        {"user_id": "other purpose", "channel": "email", "purpose": "billing"},
    ]
    actions = [
        {"user_id": "paused", "day": date(2025, 4, 21)},
        {"user_id": "paused control", "day": date(2025, 4, 21), "arm": "control"},
        {"user_id": "long ago", "day": date(2025, 4, 20)},
        {"user_id": "elsewhere", "day": date(2025, 4, 30), "campaign": "other"},
        {"user_id": "free", "day": date(2025, 4, 30), "arm": None, "suppressed_because": "no consent to contact"},
    ]
    found = plan(settings, scores, consents, actions)
    assert {user: row["suppressed_because"] for (user, _), row in found.items()} == {
        "free": None,
        "no offer": "no offer fits",
        "unknown": "no consent to contact",
        "opted out": "no consent to contact",
        "other purpose": "no consent to contact",
        "paused": "assigned within the pause",
        "paused control": "assigned within the pause",
        "long ago": None,
        "elsewhere": None,
    }
    for (_, _), row in found.items():
        free = row["suppressed_because"] is None
        assert (row["arm"] is not None, row["earliest_send_at"] is not None) == (free, free)


def test_another_salt_changes_the_arm_and_nothing_else(plan, make_settings):
    scores = [user | {"value_cents": 300 + 7 * n} for n, user in enumerate(users(200))]
    limits = {"max_users_a_day": 150, "daily_budget_cents": 120}
    one, other = (plan(make_settings([limits | {"salt": salt}]), scores) for salt in ("one", "two"))
    assert {k: [row[c] for c in DECIDED] for k, row in one.items()} == {k: [row[c] for c in DECIDED] for k, row in other.items()}
    arms = [[row["arm"] for _, row in sorted(found.items())] for found in (one, other)]
    assert sum(a != b for a, b in zip(*arms, strict=True)) > 30
    assert [a is None for a in arms[0]] == [b is None for b in arms[1]]


def test_control_users_carry_the_offer_they_would_have_had(plan, make_settings):
    found = plan(make_settings(global_holdout_share=0.2), users(300)).values()
    arms = [row["arm"] for row in found]
    assert {row["offer"] for row in found} == {"hello"} and {row["cost_cents"] for row in found} == {1}
    # 99.9 % ranges of 300 users by 0.2 : 0.4 : 0.4
    assert 39 <= arms.count("global_control") <= 84
    assert 93 <= arms.count("control") <= 149 and 93 <= arms.count("offer") <= 149


def test_who_is_held_out_of_everything_is_so_in_every_campaign(plan, make_settings):
    campaigns = [{"salt": "a"}, {"name": "second", "salt": "b"}]
    found = plan(make_settings(campaigns, global_holdout_share=0.3), users(120))
    held_out = {
        name: {u for (u, c), row in found.items() if c == name and row["arm"] == "global_control"} for name in ("wave", "second")
    }
    assert held_out["wave"] == held_out["second"] and len(held_out["wave"]) > 15
    controls = [{u for (u, c), row in found.items() if c == name and row["arm"] == "control"} for name in ("wave", "second")]
    assert controls[0] != controls[1], "campaigns with salts of their own draw on their own"


def test_a_campaign_assigns_on_its_days_alone(plan, make_settings):
    over = make_settings([{"from_day": "2025-04-01", "until_day": "2025-04-30"}, {"name": "on", "from_day": "2025-05-01"}])
    assert set(plan(over, users(1))) == {("u000", "on")}
    assert plan(make_settings([{"from_day": "2025-05-02"}]), users(1)) == {}


def test_limits_take_the_best_expected_value_first(frames, make_settings):
    """Against plain Python: few cents are exact bins, so that rank is value, then the hash; suppressed rows are free."""
    campaign = make_settings([{"max_users_a_day": 58, "daily_budget_cents": 250}]).offers.campaigns
    rows = [
        {
            "user_id": f"u{n:03}",
            "day": DAY,
            "cost_cents": n % 13,
            "expected_value_cents": (n * 37) % 40 - 20,
            "arm": None,
            "suppressed_because": "no offer fits" if n % 5 == 0 else None,
        }
        for n in range(200)
    ]
    frame = frames.of("retention_actions", {**_action(), "campaign": "wave"}, *rows)
    tie = share_of(F.col("user_id"), f"rank:wave:{DAY}")
    ties = {row["user_id"]: row["tie"] for row in frame.select("user_id", tie.alias("tie")).collect()}
    order = sorted(
        (row for row in rows if row["suppressed_because"] is None),
        key=lambda row: (-row["expected_value_cents"], ties[row["user_id"]]),
    )
    expected, spent = {}, 0
    for place, row in enumerate(order, start=1):
        spent += row["cost_cents"]
        over = "over capacity" if place > 58 else "budget exhausted" if spent > 250 else None
        expected[row["user_id"]] = over
    found = {row["user_id"]: row["suppressed_because"] for row in with_limits(frame, campaign, DAY).collect()}
    assert {u: r for u, r in found.items() if r != "no offer fits"} == expected
    assert {reason: list(expected.values()).count(reason) for reason in ("over capacity", "budget exhausted")} == {
        "over capacity": 160 - 58,
        "budget exhausted": 4,
    }


def test_large_amounts_rank_within_a_hundredth(frames, make_settings):
    campaign = make_settings([{"max_users_a_day": 50}]).offers.campaigns
    rows = [{"user_id": f"u{n}", "day": DAY, "expected_value_cents": round(300 * 1.05**n)} for n in range(100)]
    found = with_limits(frames.of("retention_actions", _action(), *rows), campaign, DAY).collect()
    taken = {row["user_id"] for row in found if row["suppressed_because"] is None}
    assert taken == {f"u{n}" for n in range(50, 100)}


@pytest.mark.parametrize(
    ("quiet", "zone", "start"),
    [
        ((21, 8), "UTC", datetime(2025, 5, 2, 8, tzinfo=UTC)),
        ((21, 8), "Asia/Shanghai", datetime(2025, 5, 2, 0, tzinfo=UTC)),
        ((0, 7), "UTC", datetime(2025, 5, 2, 7, tzinfo=UTC)),
        ((1, 5), "UTC", datetime(2025, 5, 2, 0, tzinfo=UTC)),
    ],
)
def test_sending_starts_after_the_quiet_hours_of_the_next_day(make_settings, quiet, zone, start):
    assert send_start(DAY, zone, make_settings(quiet_hours=quiet).offers) == start


def test_an_offer_ends_at_the_hour_it_began_whatever_summer_time_does(plan, make_settings):
    settings = make_settings([{"expires_days": 200}])
    berlin = settings.model_copy(update={"clock": settings.clock.model_copy(update={"time_zone": "Europe/Berlin"})})
    row = plan(berlin, users(1))["u000", "wave"]
    assert (row["earliest_send_at"], row["expires_at"]) == ("2025-05-02 06:00", "2025-11-18 07:00")


def _action():
    return {
        "campaign": "wave",
        "offer": "hello",
        "channel": "email",
        "arm": None,
        "suppressed_because": None,
        "cause": "price",
        "tier": "high",
        "probability": 0.5,
        "value_cents": 1000,
        "cost_cents": 1,
        "expected_value_cents": 0,
        "earliest_send_at": None,
        "expires_at": None,
    }
