"""The catalogues of the three domains: hand-made events through the real transforms, a hand-computed value an indicator."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from churnwatch.activity import per_user_day, per_user_month, trend
from churnwatch.core import day_range
from churnwatch.features import per_user
from churnwatch.settings import load
from churnwatch.tables import tables
from smallworld import as_of, collected, first_days, rows

CONF = Path(__file__).resolve().parents[2] / "conf"
FIRST, DAY, LATER = date(2025, 12, 30), date(2026, 3, 31), date(2026, 4, 1)
PEOPLE = {"region": "north", "product": "mobile", "plan": "free"}


def did(user, time, kind, minutes=None, item=None, cents=None, **properties):
    """An event of ``user`` at 'MM-DD HH:MM'; December is 2025's."""
    instant = datetime.fromisoformat(f"{2025 if time.startswith('12') else 2026}-{time}").replace(tzinfo=UTC)
    lasted = None if minutes is None else round(minutes * 60000)
    event = {"day": instant.date(), "event_time": instant, "user_id": user, "event_type": kind, "source": "s", "event_id": "e"}
    return {**event, "duration_ms": lasted, "item_id": item, "amount_cents": cents, "properties": properties or None}


def done(user, time, *kinds):
    """Events without a further field, at one instant."""
    return [did(user, time, kind) for kind in kinds]


def series(day, name, value, scope="base"):
    return {"day": date.fromisoformat(f"2026-{day}"), "scope": scope, "name": name, "value": value, "full": False}


MARKET = [
    *(series("01-10", name, 10.0) for name in ("own_price", "market_index")),
    series("02-10", "staff_turnover_share", 0.125),
    series("03-15", "staff_turnover_share", 0.25),
    series("03-20", "own_price", 12.0),
    series("03-31", "market_index", 9.0),
    series("01-10", "competitor_price", 11.0, "region=north"),
    series("03-31", "competitor_price", 9.0, "region=north"),
    series("03-31", "competitor_price", 1.0, "region=south"),
    # published after the day: nobody knew
    *(series("04-01", name, 99.0) for name in ("own_price", "staff_turnover_share", "market_index")),
    series("04-01", "competitor_price", 99.0, "region=north"),
]
SHOP = [
    did("old", "12-30 12:00", "visit"),
    did("ann", "01-05 09:00", "register"),
    did("ann", "01-05 09:10", "purchase", cents=3000, category="books"),
    # 49 days ago: looks, searches and buys from the cart
    *done("ann", "02-10 10:00", "login", "search"),
    did("ann", "02-10 09:59", "visit", 10),
    did("ann", "02-10 10:01", "view", item="p1", category="books"),
    did("ann", "02-10 10:02", "view", item="p2", category="books"),
    did("ann", "02-10 10:04", "cart"),
    did("ann", "02-10 10:05", "purchase", cents=2000, category="books"),
    did("ann", "02-10 10:06", "use", 1, "wish_list"),
    did("ann", "02-10 10:07", "use", 0.5, "compare"),
    # 11 days ago: leaves at the checkout and at the cart; later from the wish list to the basket
    did("ann", "03-20 20:00", "visit", 5),
    did("ann", "03-20 20:01", "page", 0.5, "home"),
    did("ann", "03-20 20:02", "page", 1, "basket"),
    did("ann", "03-20 20:03", "page", 2, "checkout"),
    *done("ann", "03-20 20:04", "login", "click", "click", "comment", "like", "like", "like", "share"),
    did("ann", "03-20 20:10", "view", item="p3", category="garden"),
    did("ann", "03-20 20:11", "cart"),
    did("ann", "03-20 22:00", "use", 3, "wish_list"),
    did("ann", "03-20 22:01", "page", 0.5, "basket"),
    # 3 days ago: finds something, and is not content
    did("ann", "03-28 08:00", "visit", 3),
    did("ann", "03-28 08:01", "search", results="0"),
    did("ann", "03-28 08:02", "search", results="7"),
    did("ann", "03-28 08:03", "view", item="p3", category="garden"),
    did("ann", "03-28 08:04", "purchase", cents=5000, category="garden"),
    did("ann", "03-28 08:05", "cancel", cents=5000),
    did("ann", "03-28 08:06", "refund", cents=1500),
    did("ann", "03-28 08:10", "review", stars="2"),
    did("ann", "03-28 08:11", "review", stars="4.5"),
    did("ann", "03-28 08:12", "review", stars="very good"),
    did("ann", "03-28 09:10", "service", 2, handling_s="300"),
    did("ann", "03-28 09:20", "service", 1, handling_s="soon"),
    did("ann", "03-28 09:21", "service"),  # nobody answered
    *done("ann", "03-28 10:00", "login", "complaint", "coupon", "competitor_view"),
    *done("ann", "03-28 10:00", "error", "slow_page", "slow_page", "crash", "security_incident"),
    # others, for the indicators of the base
    *done("bob", "03-20 12:00", "visit", "purchase", "purchase"),
    *done("dan", "02-20 12:00", "purchase"),
    *done("eve", "03-10 12:00", "register", "visit"),
]
APP = [
    did("pat", "03-20 09:00", "login"),
    *done(
        "pat", "03-30 10:00", "login", "click", "comment", "like", "like", "share", "complaint", "crash", "slow_page", "slow_page"
    ),
    did("pat", "03-30 10:00", "view", 0.5, "pricing"),
    did("pat", "03-30 10:01", "view", 0.5, "competitor"),
    did("pat", "03-30 10:02", "use", 2, "function_01"),
    did("pat", "03-30 10:05", "use", 1, "function_02"),
    did("pat", "03-30 10:06", "purchase", cents=700),
    did("pat", "03-30 10:07", "cancel", cents=700),
    did("pat", "03-30 10:08", "rating", stars="1"),
    did("pat", "03-30 10:09", "rating", stars="4"),
    did("pat", "03-30 10:10", "service", 15),
    # new: known since a day of March
    did("nia", "03-11 10:00", "purchase", cents=300),
    did("nia", "03-12 10:00", "purchase", cents=200),
    did("noa", "03-22 10:00", "login"),
    *done("noa", "03-22 11:00", "register", "download", "download", "subscribe"),
    did("nia", "03-11 09:50", "register"),
    did("pat", "03-30 10:11", "rating", stars="1.5"),
    did("old", "02-01 10:00", "login"),
]
LINES = [
    did("old", "12-30 12:00", "call"),
    did("lou", "02-10 12:00", "call", 3, "cell 1"),
    did("lou", "02-10 12:10", "bill", cents=4500),
    did("lou", "03-10 12:00", "call", 1, "cell 2"),
    did("lou", "03-10 13:00", "other_operator_call", 5, "elsewhere"),
    did("lou", "03-10 14:00", "data", item="cell 2", megabytes="10.6"),
    did("lou", "03-10 14:01", "data", item="cell 2", megabytes="much"),
    *(did("lou", f"03-10 {hour:02d}:30", "data", item="cell 2", megabytes="0.4") for hour in range(22)),
    did("lou", "03-10 15:00", "service", 4),
    did("lou", "03-10 15:10", "service", 2),
    did("lou", "03-10 16:00", "bill", cents=3000),
    *done("lou", "03-10 17:00", "sms", "fault_report", "fault_report", "complaint", "complaint", "dissatisfied"),
    *done("lou", "03-10 17:00", "app_login", "line_move", "suspend", "competitor_enquiry"),
    did("max", "03-12 12:00", "recharge", cents=1000),
    did("max", "03-13 12:00", "recharge", cents=500),
    # a complaint of long ago ends: it is one complaint of these days
    did("kim", "02-10 12:00", "complaint"),
    *done("kim", "03-20 12:00", "call", "dissatisfied"),
    # billed, and used by nobody: no active line
    did("dormant", "03-01 00:00", "bill", cents=990000),
]
WORLDS = {"ecommerce": SHOP, "app": APP, "telecom": LINES}


def computed(spark, domain):
    """Features of DAY by user, and the trend of DAY by segment and value, with the domain's own settings."""
    one = load(CONF / "local.yaml", [f"domain={domain}"])
    t, events = tables(one), WORLDS[domain]
    daily = per_user_day({"events": rows(spark, t.events, events)}, day_range(FIRST, DAY), one)["daily_activity"]
    daily = collected(daily)
    activity = rows(spark, t.daily_activity, daily)
    registered = {"ann": date(2026, 1, 5), "eve": date(2026, 3, 10), "pat": date(2026, 1, 1)}
    users = [
        {"day": FIRST, "user_id": user, "registered_on": registered.get(user), "attributes": PEOPLE, "full": False}
        for user in {e["user_id"] for e in events}
    ]
    inputs = {
        "activity": activity,
        "first_seen": as_of(spark, t.first_seen, first_days(daily), (DAY,)),
        "users": as_of(spark, t.users, users, (DAY,)),
        "consents": as_of(spark, t.consents, [], (DAY,)),
        # as read for a range of days that goes on: what is published later is there to be looked at
        "context": as_of(spark, t.context, MARKET, (DAY, LATER), one.measures.context_days),
    }
    if one.measures.months_days:
        # the months before DAY's; built from stored days, as build_months does
        months = per_user_month({"activity": activity}, day_range(FIRST, date(2026, 2, 28)), one)["monthly_activity"]
        inputs["months"] = rows(spark, t.monthly_activity, collected(months))
    # the columns of the cases alone: Spark then leaves out what makes the others
    asked = sorted({name for _, of, _, expected in OF_A_USER if of == domain for name in expected})
    made = per_user(inputs, (DAY,), one)["user_features"].select("user_id", *asked)
    features = {row["user_id"]: row for row in collected(made)}
    shown = {(row["segment"], row["value"]): row for row in collected(trend(inputs, (DAY,), one)["activity_trend"])}
    return features, shown


@pytest.fixture(scope="module")
def world(spark):
    return {domain: computed(spark, domain) for domain in WORLDS}


# ann was there on 86 days of the longest window; her active days are 3, 11, 49 and 85 days ago
SPREAD = (3 * (8**2 + 38**2 + 36**2) - 82**2) ** 0.5
OF_A_USER = [
    ("log-in frequency", "ecommerce", "ann", {"logins_30d": 2, "logins_60d": 3, "logins_rate_90d": 3 / 86}),
    ("log-in frequency", "app", "pat", {"logins_7d": 1, "logins_14d": 2, "logins_days_since": 1}),
    ("log-in frequency", "telecom", "lou", {"app_logins_30d": 1}),
    ("visit frequency", "ecommerce", "ann", {"visits_30d": 2, "visits_rate_30d": 2 / 30, "visits_trend": 1 / 3}),
    ("sessions", "ecommerce", "ann", {"sessions_30d": 5}),
    ("visits of long ago", "ecommerce", "old", {"visits_90d": 0, "visits_days_since": 91}),
    ("page-view frequency", "ecommerce", "ann", {"page_views_30d": 4, "page_views_rate_30d": 4 / 30, "views_60d": 4}),
    ("stay time per visit", "ecommerce", "ann", {"stay_ms_30d": 480000, "stay_per_visit_ms_30d": 240000}),
    ("stay time per page", "ecommerce", "ann", {"page_ms_30d": 240000, "stay_per_page_ms_30d": 60000}),
    ("use time per function", "ecommerce", "ann", {"use_ms_60d": 270000, "use_per_function_ms_60d": 135000}),
    ("use time", "app", "pat", {"use_ms_7d": 180000}),
    ("use time", "telecom", "lou", {"call_ms_30d": 360000, "mean_call_ms_30d": 180000, "data_kb_30d": 10600 + 22 * 400}),
    ("interactions by kind", "ecommerce", "ann", {"clicks_30d": 2, "comments_30d": 1, "likes_30d": 3, "shares_30d": 1}),
    ("interactions", "ecommerce", "ann", {"interactions_30d": 7, "interactions_7d": 0}),
    ("interactions", "app", "pat", {"interactions_7d": 5}),
    ("purchase frequency and count", "ecommerce", "ann", {"orders_90d": 3, "orders_rate_90d": 3 / 86, "orders_m1": 1}),
    ("purchase trend", "ecommerce", "ann", {"orders_trend": 0, "orders_days_since": 3}),
    ("purchase frequency and count", "app", "nia", {"orders_30d": 2, "spend_cents_30d": 500}),
    ("purchase frequency and count", "telecom", "max", {"recharges_30d": 2, "recharge_cents_m0": 1500}),
    ("value of purchases", "ecommerce", "ann", {"spend_cents_90d": 10000, "largest_order_cents_90d": 5000}),
    ("scores of purchases", "ecommerce", "ann", {"rfm_recency": 5, "rfm_frequency": 3, "rfm_monetary": 3}),
    ("segment by purchases", "ecommerce", "ann", {"segment_rfm": "potential_loyal"}),
    ("bills by calendar month", "telecom", "lou", {"bill_cents_m0": 3000, "bill_cents_m1": 4500, "bill_cents_m2": 0}),
    ("bills", "telecom", "lou", {"mean_bill_cents_60d": 3750}),
    ("cancel rate", "ecommerce", "ann", {"cancel_rate_30d": 1, "cancel_rate_90d": 1 / 3, "refund_cents_30d": 1500}),
    ("cancel rate", "app", "pat", {"cancel_rate_7d": 1}),
    ("complaints", "ecommerce", "ann", {"complaints_30d": 1, "complaints_m0": 1, "complaints_m1": 0}),
    ("complaints", "app", "pat", {"complaints_7d": 1}),
    ("complaints", "telecom", "lou", {"complaints_30d": 2, "dissatisfied_30d": 1}),
    ("ratings", "ecommerce", "ann", {"reviews_30d": 3, "mean_stars_30d": 3.25, "last_star_tenths_30d": 45}),
    ("negative feedback", "ecommerce", "ann", {"negative_reviews_30d": 1}),
    ("negative feedback", "app", "pat", {"low_ratings_7d": 2}),
    ("key events", "app", "noa", {"registrations_14d": 1, "downloads_14d": 2, "subscriptions_14d": 1}),
    ("use of functions", "ecommerce", "ann", {"uses_60d": 3, "functions_60d": 2, "functions_30d": 1}),
    ("use of functions", "app", "pat", {"functions_7d": 2}),
    ("frequency of functions", "ecommerce", "ann", {"uses_per_active_day_30d": 1 / 2, "uses_per_active_day_60d": 1}),
    ("duration of functions", "ecommerce", "ann", {"ms_per_use_60d": 90000}),
    ("preference of functions", "ecommerce", "ann", {"wish_list_share_60d": 2 / 3, "wish_list_share_30d": 1}),
    ("transitions between pages", "ecommerce", "ann", {"basket_to_checkout_30d": 1, "basket_to_checkout_7d": 0}),
    ("transitions from a function", "ecommerce", "ann", {"wish_list_to_basket_60d": 1}),
    ("drop-out points", "ecommerce", "ann", {"left_at_checkout_30d": 1, "left_at_cart_60d": 1}),
    ("key events", "ecommerce", "ann", {"registrations_90d": 1, "carts_60d": 2, "bought_after_cart_60d": 1, "coupons_30d": 1}),
    ("register-to-buy", "ecommerce", "ann", {"register_conversion_90d": 3, "register_conversion_30d": None}),
    ("browse-to-buy", "ecommerce", "ann", {"conversion_60d": 2 / 4, "conversion_30d": 1 / 2}),
    ("search-to-buy", "ecommerce", "ann", {"search_conversion_60d": 2 / 3, "empty_searches_30d": 1}),
    ("service response time", "ecommerce", "ann", {"service_contacts_30d": 3, "mean_wait_ms_30d": 90000}),
    ("service response time", "app", "pat", {"service_wait_ms_7d": 900000}),
    ("service response time", "telecom", "lou", {"mean_wait_ms_30d": 180000}),
    ("service handling", "ecommerce", "ann", {"service_handling_ms_30d": 300000, "mean_handling_ms_30d": 300000}),
    ("service staff turnover", "ecommerce", "ann", {"staff_turnover": 0.25, "staff_turnover_change": 0.125}),
    ("service staff turnover", "telecom", "lou", {"staff_turnover": 0.25}),
    ("slow pages", "ecommerce", "ann", {"slow_pages_7d": 2}),
    ("slow pages", "app", "pat", {"slow_pages_7d": 2}),
    ("crashes", "ecommerce", "ann", {"crashes_7d": 1}),
    ("crashes", "app", "pat", {"crashes_7d": 1}),
    ("security incidents", "ecommerce", "ann", {"security_incidents_30d": 1}),
    ("errors", "ecommerce", "ann", {"errors_7d": 1}),
    ("errors", "telecom", "lou", {"fault_reports_30d": 2, "suspensions_30d": 1, "line_moves_30d": 1}),
    ("own price change", "ecommerce", "ann", {"own_price": 12, "own_price_change": 2}),
    ("competitor price", "ecommerce", "ann", {"competitor_price": 9, "competitor_price_change": -2, "competitor_views_30d": 1}),
    ("competitor price", "telecom", "lou", {"competitor_price": 9, "competitor_enquiries_30d": 1}),
    ("competitors", "telecom", "lou", {"other_operator_ms_30d": 300000}),
    ("competitors", "app", "pat", {"competitor_views_7d": 1, "price_views_7d": 1}),
    ("market series", "ecommerce", "ann", {"market": 9, "market_change": -1}),
    ("demand shifts: new categories", "ecommerce", "ann", {"categories_90d": 2, "categories_new": 1, "categories_given_up": 1}),
    ("demand shifts: products", "ecommerce", "ann", {"products_new": 1, "products_given_up": 2}),
    ("demand shifts: functions given up", "ecommerce", "ann", {"functions_given_up": 1, "functions_new": 0}),
    ("demand shifts: cells", "telecom", "lou", {"cells_new": 1, "cells_given_up": 1}),
    ("active hours", "ecommerce", "ann", {"active_hours_7d": 3, "active_hours_30d": 5}),
    ("active cycle", "ecommerce", "ann", {"longest_gap_days": 38, "usual_gap_days": 82 / 3, "gap_ratio": 9 / 82}),
    ("active cycle", "app", "pat", {"longest_gap_days": 10, "usual_gap_days": 10, "gap_ratio": 1 / 10, "regularity": None}),
    ("demand shifts: functions", "app", "pat", {"functions_new": 2, "functions_given_up": 0}),
    ("scores of use and purchases", "app", "pat", {"rfm_recency": 5, "rfm_frequency": 1, "rfm_monetary": 3}),
    ("segment by use and purchases", "app", "pat", {"segment_rfm": "new"}),
    ("regularity of the cycle", "ecommerce", "ann", {"regularity": (82 - SPREAD) / (82 + SPREAD)}),
    ("share of active days", "ecommerce", "ann", {"active_days_90d": 4, "active_share_90d": 4 / 86}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("domain", "user", "expected"), [pytest.param(*case, id=f"{case[0]}: {what}") for what, *case in OF_A_USER]
)
def test_an_indicator_of_a_user_has_a_column_and_this_value(world, domain, user, expected):
    row = world[domain][0][user]
    assert {name: row[name] for name in expected} == pytest.approx(expected, nan_ok=True)


EVERYBODY = ("all", "all")
OF_A_SEGMENT = [
    # ann and bob were active 11 days ago, ann again
    ("retention", "ecommerce", EVERYBODY, "share", 1 / 2),
    ("retention", "app", EVERYBODY, "share", 1 / 2),
    ("complaint rate", "ecommerce", EVERYBODY, "complaint_rate", 1 / 3),
    ("complaint rate", "app", EVERYBODY, "complaint_rate", 1 / 3),
    ("complaint rate", "telecom", EVERYBODY, "complaint_rate", 2 / 3),
    ("satisfaction", "ecommerce", EVERYBODY, "satisfaction", 3.25),
    ("satisfaction", "app", EVERYBODY, "satisfaction", 2 / 3),
    ("satisfaction", "telecom", EVERYBODY, "satisfaction", 1 / 3),
    ("transaction frequency", "ecommerce", EVERYBODY, "transaction_frequency", 3 / 2),
    ("transaction frequency", "app", EVERYBODY, "transaction_frequency", 3 / 2),
    ("transaction frequency", "telecom", EVERYBODY, "transaction_frequency", 2 / 1),
    ("customer lifetime value", "ecommerce", EVERYBODY, "customer_value_cents", (10000 - 1500) / 3),
    ("customer lifetime value", "app", EVERYBODY, "customer_value_cents", 1200 / 3),
    ("customer lifetime value", "telecom", EVERYBODY, "customer_value_cents", 4500 / 3),
    ("repurchase", "ecommerce", EVERYBODY, "repurchase", 2 / 3),
    ("repurchase", "app", EVERYBODY, "repurchase", 1 / 2),
    ("repurchase", "telecom", EVERYBODY, "repurchase", 1 / 1),
    ("conversion", "ecommerce", EVERYBODY, "conversion", 2 / 3),
    ("conversion", "app", EVERYBODY, "conversion", 2 / 3),
    ("register-to-buy", "ecommerce", EVERYBODY, "register_conversion", 1 / 2),
    ("register-to-subscribe", "app", EVERYBODY, "register_conversion", 1 / 2),
    ("downloads", "app", EVERYBODY, "download_rate", 1 / 3),
    ("conversion", "telecom", EVERYBODY, "conversion", 2 / 3),
    ("register-to-buy", "app", ("tenure", "new"), "conversion", 1 / 2),
]


@pytest.mark.parametrize(
    ("domain", "of", "name", "expected"), [pytest.param(*case, id=f"{case[0]}: {what}") for what, *case in OF_A_SEGMENT]
)
def test_an_indicator_of_a_segment_has_this_value(world, domain, of, name, expected):
    row = world[domain][1][of]
    found = row[name] if name in row else row["indicators"][name]
    assert found == pytest.approx(expected)
