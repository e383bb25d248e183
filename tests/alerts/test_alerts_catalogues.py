"""The rules of the three domains: each warns on one side of its edge and not on the other."""

from pathlib import Path

import pyarrow as pa
import pytest
from alertworld import DAY, frame, in_force
from pyspark.sql import functions as F

from churnwatch import activity
from churnwatch.alerts.groups import with_base
from churnwatch.alerts.rules import holds, present_signals, rule_signals, with_scores_and_attributes
from churnwatch.settings import load
from churnwatch.settings.names import features_with_measure
from churnwatch.settings.rule_columns import FALL_COLUMNS, rule_columns
from churnwatch.tables import tables
from smallworld import rows

CONF = Path(__file__).resolve().parents[2] / "conf"
# rule: what warns, what differs in each of those that do not
APP = {
    "no_login_7d": (
        {"logins_days_since": 7, "active_days_30d": 4},
        {"logins_days_since": 6},
        {"logins_days_since": 14},
        {"active_days_30d": 3},
    ),
    "silent_10d": ({"acts_days_since": 13}, {"acts_days_since": 14}, {"acts_days_since": 9}),
    "logins_falling": ({"logins_14d": 6, "logins_trend": -0.5}, {"logins_trend": -0.49}, {"logins_14d": 5}),
    "use_falling": ({"use_ms_14d": 600000, "use_ms_trend": -0.6}, {"use_ms_14d": 599999}, {"use_ms_trend": -0.59}),
    "interactions_falling": (
        {"interactions_14d": 6, "interactions_trend": -0.6},
        {"interactions_trend": None},
        {"interactions_trend": -0.59},
        {"interactions_14d": 5},
    ),
    "functions_given_up": (
        {"functions_30d": 5, "functions_7d": None, "active_days_7d": 1},
        {"functions_7d": 2},
        {"functions_30d": 4},
        {"active_days_7d": 0},
    ),
    "newcomer_stays_away": (
        {"tenure_days": 30, "active_days_14d": 2, "acts_days_since": 5},
        {"tenure_days": 31},
        {"active_days_14d": 3},
        {"acts_days_since": 4},
        {"acts_days_since": 14},
    ),
    "crashes": ({"crashes_7d": 2, "slow_pages_7d": 1}, {"slow_pages_7d": 0}, {"crashes_7d": 1}),
    "looks_at_prices": ({"price_views_14d": 4}, {"price_views_14d": 3}),
    "cancels_rising": ({"cancels_30d": 2, "cancel_rate_30d": 0.5}, {"cancels_30d": 1}, {"cancel_rate_30d": 0.49}),
    "complaints": ({"complaints_14d": 2}, {"complaints_14d": 1}),
    "service_slow": ({"service_wait_ms_30d": 3600000}, {"service_wait_ms_30d": 3599999}),
    "looks_at_competitor": ({"competitor_views_14d": 3}, {"competitor_views_14d": 2}),
}
ECOMMERCE = {
    "no_visit_21d": (
        {"visits_days_since": 21, "visits_90d": 3},
        {"visits_days_since": 20},
        {"visits_days_since": 30},
        {"visits_90d": 2},
    ),
    "no_order_45d": (
        {"orders_days_since": 45, "orders_90d": 2},
        {"orders_days_since": 44},
        {"orders_days_since": 60},
        {"orders_90d": 1},
    ),
    "orders_falling": ({"orders_60d": 4, "orders_trend": -0.5}, {"orders_60d": 3}, {"orders_trend": -0.49}),
    "no_order_75d": ({"orders_days_since": 75}, {"orders_days_since": 74}, {"orders_days_since": 90}),
    "no_order_two_months": (
        {"orders_m3": 2, "orders_m2": 0, "orders_m1": 0, "orders_m0": 0},
        {"orders_m3": 1},
        {"orders_m1": 1},
        {"orders_m0": 1},
    ),
    "visits_falling_by_months": (
        {"visits_m3": 8, "visits_m2": 4, "visits_m1": 2},
        {"visits_m3": 7},
        {"visits_m2": 5},
        {"visits_m1": 3},
    ),
    "no_order_half_a_year": (
        {"orders_days_since": 180, "visits_30d": 1},
        {"orders_days_since": 179},
        {"orders_days_since": 210},
        {"visits_30d": 0},
    ),
    "looks_without_order": (
        {"orders_days_since": 90, "history_days": 90, "tenure_days": 90, "visits_30d": 1},
        {"orders_days_since": 89},
        {"visits_30d": 0},
        {"orders_days_since": None, "history_days": 89},
        {"orders_days_since": None, "tenure_days": 89},
    ),
    "conversion_falling": (
        {"views_30d": 10, "conversion_30d": 0.04, "conversion_90d": 0.1},
        {"conversion_30d": 0.05},
        {"views_30d": 9},
    ),
    "search_conversion_falling": (
        {"searches_30d": 5, "search_conversion_30d": 0.0, "search_conversion_90d": 0.1},
        {"searches_30d": 4},
        {"search_conversion_30d": 0.05},
    ),
    "nothing_found": ({"empty_searches_30d": 3, "searches_30d": 6}, {"searches_30d": 7}, {"empty_searches_30d": 2}),
    "carts_left": ({"carts_14d": 3, "orders_14d": 0}, {"orders_14d": 1}, {"carts_14d": 2}),
    "spend_falling": (
        {"spend_cents_60d": 5000, "spend_cents_trend": -0.5, "visits_30d": 2},
        {"visits_30d": 1},
        {"spend_cents_60d": 4999},
        {"spend_cents_trend": -0.49},
    ),
    "cancels_rising": (
        {"cancels_30d": 2, "cancels_trend": 0.1, "cancel_rate_30d": 0.5},
        {"cancels_trend": 0.0},
        {"cancels_30d": 1},
        {"cancel_rate_30d": 0.49},
    ),
    "looks_at_competitor": ({"competitor_views_14d": 2}, {"competitor_views_14d": 1}),
    "reviews_falling": (
        {"ratings_30d": 1, "mean_stars_30d": 3.0, "mean_stars_90d": 4.0},
        {"mean_stars_30d": 3.1},
        {"ratings_30d": 0},
    ),
    "dissatisfied": ({"ratings_90d": 2, "mean_stars_90d": 2.0}, {"ratings_90d": 1}, {"mean_stars_90d": 2.01}),
    "price_gap": (
        {"own_price": 10.1, "competitor_price": 10.0, "own_price_change": 0.1, "coupons_90d": 2},
        {"own_price": 10.0},
        {"own_price_change": 0.0},
        {"coupons_90d": 1},
    ),
    # all customers give 4.2 stars
    "satisfaction_under_mean": ({"ratings_90d": 2, "mean_stars_90d": 3.2}, {"mean_stars_90d": 3.21}, {"ratings_90d": 1}),
    "errors": ({"errors_7d": 1, "crashes_7d": 1, "slow_pages_7d": 1}, {"crashes_7d": 0}, {"errors_7d": 0}, {"slow_pages_7d": 0}),
    "security_incident": ({"security_incidents_30d": 1}, {"security_incidents_30d": 0}),
    "complaints_rising": ({"complaints_30d": 2, "complaints_trend": 0.1}, {"complaints_trend": 0.0}, {"complaints_30d": 1}),
    "service_slow": (
        {"service_answers_30d": 1, "mean_wait_ms_30d": 1800001},
        {"mean_wait_ms_30d": 1800000},
        {"service_answers_30d": 0},
    ),
}
CLASS_A = {"class": "A", "class_level": "100"}
NO_TRAFFIC = {f"{measure}_m{back}": 0 for measure in ("calls", "messages", "data_kb") for back in (0, 1, 2)}
# on 10 March the month before last is 68 days old, the last one 37
TWO_MONTHS, LAST_MONTH = {"tenure_days": 68}, {"tenure_days": 37}
FALLING = {"bill_cents_m4": 3500, "bill_cents_m3": 3000, "bill_cents_m2": 2500, "bill_cents_m1": 2100}
TELECOM = {
    "key_account_below_class": (
        {**CLASS_A, **TWO_MONTHS, "bill_cents_m1": 9999, "bill_cents_m2": 9999},
        {"bill_cents_m1": 10000},
        {"bill_cents_m2": 10000},
        {"class": "E"},
        {"tenure_days": 67},
        # a month that is not stored is no month below the level
        {"bill_cents_m2": None},
        {"bill_cents_m1": None},
        # no level of its own: that of its class in rules.yaml, 300 a month for class D
        {"class": "D", "class_level": None, "bill_cents_m1": 30000},
    ),
    "bill_falling": (
        FALLING,
        {"bill_cents_m4": 3499},
        {"bill_cents_m3": 3500},
        {"bill_cents_m2": 3000},
        {"bill_cents_m2": 2100},
        {"bill_cents_m1": 2101},
    ),
    "prepaid_running_out": ({"payment": "prepaid", "balance": "4.99"}, {"balance": "5.00"}, {"payment": "postpaid"}),
    "prepaid_without_calls": (
        {"payment": "prepaid", "history_days": 90, "tenure_days": 90, "calls_days_since": 90},
        {"calls_days_since": 89},
        # activated three days ago, and never called
        {"calls_days_since": None, "tenure_days": 3},
        {"calls_days_since": None, "history_days": 89},
        {"payment": "postpaid"},
    ),
    "dunning": (
        {"payment": "postpaid", "arrears": "0.01", "dunning": "true"},
        {"dunning": "no idea"},
        {"arrears": "0.00"},
        {"payment": "prepaid"},
    ),
    "campus_without_traffic": (
        # without calls: messages and data are no reason to keep quiet
        {"product": "campus", **LAST_MONTH, **NO_TRAFFIC, "calls_m2": 1, "messages_m1": 1, "data_kb_m0": 1},
        {"calls_m0": 1},
        {"tenure_days": 36},
        {"product": "mobile"},
        {"calls_m1": 1},
    ),
    "suspended_broadband": (
        {"product": "broadband", "suspended": "true", **TWO_MONTHS, **NO_TRAFFIC},
        {"data_kb_m1": 1},
        {"calls_m2": 1},
        {"data_kb_m0": 1},
        {"tenure_days": 67},
        {"suspended": "false"},
        {"product": "mobile"},
    ),
    "other_operator": ({"other_operator_ms_m0": 2400001}, {"other_operator_ms_m0": 2400000}),
    "faults": ({"fault_reports_m0": 2}, {"fault_reports_m0": 1}),
    "still_dissatisfied": ({"dissatisfied_30d": 1}, {"dissatisfied_30d": 0}),
    "demolition": ({"demolition": "true"}, {"demolition": "false"}),
    "contract_ending": ({"contract_end": "2026-05-10"}, {"contract_end": "2026-05-11"}, {"contract_end": "2026-03-09"}),
    "other_access": ({"sole_network": "true", "other_access": "true"}, {"sole_network": "false"}, {"other_access": "false"}),
    "move_refused": ({"move_refused": "true"}, {"move_refused": None}, {"move_refused": "false"}),
    "key_account_need": ({"class": "D", "open_need": "true"}, {"class": "E"}, {"open_need": "false"}),
    "asks_competitor": ({"competitor_enquiries_30d": 1}, {"competitor_enquiries_30d": 0}),
}
BASE = pa.Table.from_pylist([{"day": DAY, "segment": "all", "value": "all", "satisfaction": 4.2}])
# of groups and the base alike
FALL = ({"fall_p": 0.049, "share": 0.479, "expected_share": 0.5}, {"fall_p": 0.05}, {"share": 0.481}, {"fall_p": None})
FALLS = {"group_stays_away": FALL, "base_stays_away": FALL}
TROUBLE = ({"active": 500, "trouble_rate": 0.21, "trouble_rate_usual": 0.1}, {"trouble_rate": 0.2}, {"active": 499})
BUYING = ({"active": 500, "conversion": 0.069, "conversion_usual": 0.1}, {"conversion": 0.071}, {"active": 499})
GAP = (
    {"segment": "region", "own_price": 11.1, "competitor_price": 10.0, "own_price_change": 0.1, "competitor_price_change": 0.0},
    {"own_price": 11.0},
    {"own_price_change": 0.0},
    {"segment": "level"},
    {"competitor_price": None},
)
STAFF = ({"staff_turnover": 0.05, "staff_turnover_change": 0.01}, {"staff_turnover": 0.049}, {"staff_turnover_change": 0.0})
GROUPS = {
    "app": FALLS | {"base_in_trouble": TROUBLE},
    "ecommerce": FALLS | {"staff_leaving": STAFF, "group_buys_less": BUYING, "price_gap_of_region": GAP},
    "telecom": FALLS | {"staff_leaving": STAFF},
}


@pytest.mark.parametrize(("domain", "cases"), [("app", APP), ("ecommerce", ECOMMERCE), ("telecom", TELECOM)])
def test_each_rule_of_a_domain_warns_on_one_side_of_its_edge(spark, domain, cases):
    settings = load(CONF / "local.yaml", [f"domain={domain}"])
    t = tables(settings)
    rules = [rule for rule in settings.rules.rules if rule.scope == "user"]
    assert set(cases) == {rule.id for rule in rules}
    known = set(t.user_features.schema.names)
    people, attributes = [], []
    for rule, (warns, *others) in cases.items():
        for number, values in enumerate([warns, *(warns | differs for differs in others)]):
            case = f"{rule} {number}"
            features = {k: v if v is None else float(v) for k, v in values.items() if k in known}
            people.append({"day": DAY, "user_id": case} | features)
            texts = {k: v for k, v in values.items() if k not in known}
            attributes.append({"user_id": case, "attributes": texts, "full": False})
    # every case of the domain in one frame, all rules in one query
    given = rows(spark, t.user_features, people), frame(spark, t.user_scores, []), in_force(spark, t.users, attributes)
    frame_ = with_base(with_scores_and_attributes(*given, settings), BASE, settings)
    signals = present_signals(rule_signals(rules, frame_.schema, settings))
    found = [row.asDict() for row in frame_.select("user_id", F.explode(signals).alias("s")).select("user_id", "s.*").collect()]
    of_own_rule = {row["user_id"] for row in found if row["user_id"].split()[0] == row["rule_id"]}
    assert of_own_rule == {f"{rule} 0" for rule in cases}
    assert all(row["evidence"] for row in found)


@pytest.mark.parametrize("domain", ["app", "ecommerce", "telecom"])
def test_each_rule_of_groups_warns_on_one_side_of_its_edge(spark, domain):
    settings = load(CONF / "local.yaml", [f"domain={domain}"])
    rules = [rule for rule in settings.rules.rules if rule.scope != "user"]
    cases = GROUPS[domain]
    assert {rule.id for rule in rules} == set(cases)
    columns = rule_columns("group", settings)
    given = [
        (f"{rule.id} {n}", rule.id, cases[rule.id][0] | differs)
        for rule in rules
        for n, differs in enumerate([{}, *cases[rule.id][1:]])
    ]
    schema = ", ".join(["name string", "of string", *(f"{name} {type_}" for name, type_ in columns.items())])
    frame = spark.createDataFrame([(name, of, *(values.get(c) for c in columns)) for name, of, values in given], schema)
    mine = [F.when((F.col("of") == rule.id) & holds(rule), F.col("name")) for rule in rules]
    found = [row[0] for row in frame.select(F.coalesce(*mine)).collect() if row[0]]
    assert sorted(found) == sorted(f"{rule.id} 0" for rule in rules)


def test_every_measure_speaks_for_one_cause():
    for domain in ("app", "ecommerce", "telecom"):
        settings = load(CONF / "local.yaml", [f"domain={domain}"])
        named = sorted(m for cause in settings.causes.causes.values() for m in cause.measures)
        # how long a user is known speaks for none, nor does a pause against the own rhythm: it says that somebody stays away
        spoken_of = {measure for _, measure in features_with_measure(settings)} - {"tenure", "history", "habit"}
        # attributes are no measures: they say who somebody is
        assert named == sorted(measure for measure in spoken_of if not measure.startswith("attribute_"))


def test_rules_know_the_columns_of_the_detector():
    assert tuple(FALL_COLUMNS) == activity.FALL_COLUMNS
