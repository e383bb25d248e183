"""The rules of the three domains: each warns on one side of its edge and not on the other."""

from pathlib import Path

import pytest
from alertworld import DAY, before, frame, in_force

from churnwatch import alerts
from churnwatch.settings import load
from churnwatch.settings.names import features_with_measure
from churnwatch.tables import tables
from smallworld import rows

CONF = Path(__file__).resolve().parents[2] / "conf"
# rule: what warns, what differs in what does not
APP = {
    "no_login_7d": ({"logins_days_since": 7, "active_days_30d": 4}, {"logins_days_since": 6}),
    "silent_10d": ({"events_days_since": 13}, {"events_days_since": 14}),
    "logins_falling": ({"logins_14d": 6, "logins_trend": -0.5}, {"logins_trend": -0.49}),
    "use_falling": ({"use_ms_14d": 600000, "use_ms_trend": -0.6}, {"use_ms_14d": 599999}),
    "interactions_falling": ({"interactions_14d": 6, "interactions_trend": -0.6}, {"interactions_trend": None}),
    "functions_given_up": ({"functions_30d": 5, "functions_7d": None, "active_days_7d": 1}, {"functions_7d": 2}),
    "newcomer_stays_away": ({"tenure_days": 30, "active_days_14d": 2, "events_days_since": 5}, {"tenure_days": 31}),
    "crashes": ({"crashes_7d": 3}, {"crashes_7d": 2}),
    "looks_at_prices": ({"price_views_14d": 4}, {"price_views_14d": 3}),
    "cancels_rising": ({"cancels_30d": 2, "cancel_rate_30d": 0.5}, {"cancels_30d": 1}),
    "complaints": ({"complaints_14d": 2}, {"complaints_14d": 1}),
    "service_slow": ({"service_wait_ms_30d": 3600000}, {"service_wait_ms_30d": 3599999}),
    "looks_at_competitor": ({"competitor_views_14d": 3}, {"competitor_views_14d": 2}),
}
ECOMMERCE = {
    "no_visit_21d": ({"visits_days_since": 21, "visits_90d": 3}, {"visits_days_since": 20}),
    "no_order_45d": ({"orders_days_since": 45, "orders_90d": 2}, {"orders_days_since": 60}),
    "orders_falling": ({"orders_60d": 4, "orders_trend": -0.5}, {"orders_60d": 3}),
    "no_order_75d": ({"orders_days_since": 75}, {"orders_days_since": 74}),
    "looks_without_order": ({"history_days": 90, "tenure_days": 90, "visits_30d": 1}, {"orders_days_since": 40}),
    "conversion_falling": ({"views_30d": 10, "conversion_30d": 0.04, "conversion_90d": 0.1}, {"conversion_30d": 0.05}),
    "search_conversion_falling": (
        {"searches_30d": 5, "search_conversion_30d": 0.0, "search_conversion_90d": 0.1},
        {"searches_30d": 4},
    ),
    "nothing_found": ({"empty_searches_30d": 3, "searches_30d": 6}, {"searches_30d": 7}),
    "carts_left": ({"carts_14d": 3, "orders_14d": 0}, {"orders_14d": 1}),
    "spend_falling": ({"spend_cents_60d": 5000, "spend_cents_trend": -0.5, "visits_30d": 2}, {"visits_30d": 1}),
    "cancels_rising": ({"cancels_30d": 2, "cancels_trend": 0.1, "cancel_rate_30d": 0.5}, {"cancels_trend": 0.0}),
    "looks_at_competitor": ({"competitor_views_14d": 2}, {"competitor_views_14d": 1}),
    "reviews_falling": ({"reviews_30d": 1, "mean_stars_30d": 3.0, "mean_stars_90d": 4.0}, {"mean_stars_30d": 3.1}),
    "dissatisfied": ({"reviews_90d": 2, "mean_stars_90d": 2.0}, {"reviews_90d": 1}),
    "errors": ({"errors_7d": 3}, {"errors_7d": 2}),
    "complaints_rising": ({"complaints_30d": 2, "complaints_trend": 0.1}, {"complaints_trend": 0.0}),
    "service_slow": ({"service_contacts_30d": 1, "mean_wait_ms_30d": 1800001}, {"mean_wait_ms_30d": 1800000}),
}
CLASS_A = {"class": "A", "class_level": "100"}
NO_TRAFFIC = {"calls_60d": 0, "messages_60d": 0, "data_mb_60d": 0}
TELECOM = {
    "key_account_below_class": (
        {**CLASS_A, "history_days": 60, "bill_cents_30d": 9999, "bill_cents_60d": 19998},
        {"bill_cents_60d": 19999},
    ),
    "prepaid_running_out": ({"payment": "prepaid", "balance": "4.99"}, {"balance": "5.00"}),
    "prepaid_without_calls": ({"payment": "prepaid", "history_days": 90}, {"calls_days_since": 89}),
    "dunning": ({"payment": "postpaid", "arrears": "0.01", "dunning": "true"}, {"dunning": "no idea"}),
    "campus_without_traffic": ({"product": "campus", "calls_30d": 0, "messages_30d": 0, "data_mb_30d": 0}, {"messages_30d": 1}),
    "suspended_broadband": ({"product": "broadband", "suspended": "true", "history_days": 60, **NO_TRAFFIC}, {"data_mb_60d": 1}),
    "other_operator": ({"other_operator_ms_30d": 2400001}, {"other_operator_ms_30d": 2400000}),
    "faults": ({"fault_reports_30d": 2}, {"fault_reports_30d": 1}),
    "still_dissatisfied": ({"dissatisfied_30d": 1}, {"dissatisfied_30d": 0}),
    "demolition": ({"demolition": "true"}, {"demolition": "false"}),
    "contract_ending": ({"contract_end": "2026-05-10"}, {"contract_end": "2026-05-11"}),
    "other_access": ({"sole_network": "true", "other_access": "true"}, {"sole_network": "false"}),
    "move_refused": ({"move_refused": "true"}, {"move_refused": None}),
    "key_account_need": ({"class": "D", "open_need": "true"}, {"class": "E"}),
    "asks_competitor": ({"competitor_enquiries_30d": 1}, {"competitor_enquiries_30d": 0}),
}
TREND = {"segment": "region", "value": "north", "active": 100, "came_back": 40, "share": 0.4, "low": 0.31}


@pytest.mark.parametrize(("domain", "cases"), [("app", APP), ("ecommerce", ECOMMERCE), ("telecom", TELECOM)])
def test_each_rule_of_a_domain_warns_on_one_side_of_its_edge(spark, domain, cases):
    settings = load(CONF / "local.yaml", [f"domain={domain}"])
    t = tables(settings)
    people, attributes = [], []
    for rule, (warns, differs) in cases.items():
        for side, values in (("warns", warns), ("does not", warns | differs)):
            person = {"day": DAY, "user_id": f"{rule} {side}"}
            known = set(t.user_features.schema.names)
            people.append(person | {k: v if v is None else float(v) for k, v in values.items() if k in known})
            texts = {k: v for k, v in values.items() if k not in known}
            attributes.append({"user_id": person["user_id"], "attributes": texts, "full": False})
    # usual is 0.6: a group whose interval ends at 0.54 fell, at 0.56 it did not
    groups = [("north", 0.54), ("south", 0.56)]
    trend = [TREND | {"value": v, "high": high, "day": before(1)} for v, high in groups]
    trend += [TREND | {"value": v, "share": 0.6, "day": before(2 + n)} for v, _ in groups for n in range(7)]
    inputs = {
        "features": rows(spark, t.user_features, people),
        "users": in_force(spark, t.users, attributes),
        "trend": rows(spark, t.activity_trend, trend),
    }
    for alias, table in [
        ("scores", t.user_scores),
        ("rates", t.churn_rates),
        ("alerts", t.risk_alerts),
        ("alert_events", t.alert_events),
    ]:
        inputs[alias] = frame(spark, table, [])
    warned = alerts.raised(inputs, (DAY,), settings)["risk_alerts"].collect()
    about_users = {(w["user_id"], w["rule_id"]) for w in warned if w["scope"] == "user"}
    mine = {(user, rule) for user, rule in about_users if user.rpartition(" ")[0].removesuffix(" does") == rule}
    assert mine == {(f"{rule} warns", rule) for rule in cases}
    assert [(w["value"], w["rule_id"], w["owner"]) for w in warned if w["scope"] == "group"] == [
        ("north", "group_stays_away", "product")
    ]
    assert set(cases) == {rule.id for rule in settings.rules.rules if rule.scope == "user"}
    assert all(w["evidence"] and w["owner"] and w["due_on"] for w in warned)


def test_every_measure_speaks_for_one_cause():
    for domain in ("app", "ecommerce", "telecom"):
        settings = load(CONF / "local.yaml", [f"domain={domain}"])
        named = sorted(m for cause in settings.causes.causes.values() for m in cause.measures)
        # how long a user is known speaks for none
        spoken_of = {measure for _, measure in features_with_measure(settings)} - {"tenure", "history"}
        assert named == sorted(spoken_of)
