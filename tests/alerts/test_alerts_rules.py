"""Rules of users: when they warn, what the warning says, in one pass."""

from datetime import timedelta

import pytest
from alertworld import DAY, RULE, SCORE, USER, before, inputs, raised, whom, world

from churnwatch import alerts
from churnwatch.alerts.evidence import fill_template
from churnwatch.core import ConfigError
from churnwatch.scoring.rule_conditions import check_conditions


def test_a_rule_warns_on_one_side_of_its_edge_and_of_nothing_unknown(spark):
    people = [USER | {"user_id": u, "orders_2d": n} for u, n in [("under", 2.99), ("edge", 3.0), ("unknown", None)]]
    assert whom(raised(spark, world(RULE), features=people)) == [("under", "quiet")]


def test_a_warning_has_level_owner_and_due_day_of_its_rule_and_its_title_where_it_has_no_evidence(spark):
    evidence = {"title": "not shown", "evidence": "{orders_2d} orders"}
    rules = [RULE, RULE | evidence | {"id": "owned", "level": "red", "owner": "key_accounts", "cause": "service"}]
    low = [USER | {"orders_2d": 0.0}]
    found = [
        (w["rule_id"], w["scope"], w["level"], w["cause"], w["owner"], w["due_on"] - DAY, w["evidence"])
        for w in raised(spark, world(*rules), features=low)
    ]
    assert found == [
        ("owned", "user", "red", "service", "key_accounts", timedelta(days=1), "0 orders"),
        ("quiet", "user", "yellow", "price", "operations", timedelta(days=5), "no order"),
    ]


def test_a_warning_carries_the_kind_of_churn_of_its_rule(spark):
    definitions = {
        "silent": {"events": ["order"], "horizon_days": 2, "active_within_days": 2, "class": "short"},
        "gone": {"events": ["order"], "horizon_days": 90, "active_within_days": 90, "class": "long"},
    }
    rules = [
        RULE | {"id": "of_primary", "cause": "price"},
        RULE | {"id": "of_definition", "cause": "service", "definition": "gone"},
        RULE | {"id": "of_its_own", "when": "orders_2d = 7", "class": "competitor"},
    ]
    one = world(*rules, churn={"primary": "silent", "definitions": definitions})
    people = [USER | {"orders_2d": 0.0}, USER | {"user_id": "ben", "orders_2d": 7.0}, USER | {"user_id": "model"}]
    found = {w["rule_id"]: w["class"] for w in raised(spark, one, features=people, scores=[SCORE | {"user_id": "model"}])}
    assert found == {"of_primary": "short", "of_definition": "long", "of_its_own": "competitor", "model": "short"}


def test_rules_speak_of_features_scores_attributes_and_the_day(spark):
    rules = [
        RULE | {"id": "by_score", "when": "probability > 0.5"},
        RULE | {"id": "by_attribute", "when": "plan = 'basic'"},
        RULE | {"id": "by_day", "when": "day = DATE'2026-03-10'"},
    ]
    one = world(*rules)
    people = [USER, USER | {"user_id": "ben"}, USER | {"user_id": "crawler", "bot": True}]
    users = [{"user_id": "anna", "attributes": {"plan": "basic"}}]
    given = {"features": people, "scores": [SCORE | {"tier": "low"}], "users": users}
    found = {w["user_id"]: (w["rule_id"], w["signals"], w["value_at_risk_cents"]) for w in raised(spark, one, **given)}
    # one warning a cause; of rules of one level the first stands for them; nobody is warned of a bot
    assert found == {"anna": ("by_score", ["by_attribute", "by_day", "by_score"], 834), "ben": ("by_day", ["by_day"], None)}


def test_without_a_release_rules_go_on_and_a_rule_whose_needed_column_is_absent_is_off(spark):
    rules = [
        RULE,
        RULE | {"id": "by_score", "when": "probability > 0.5 OR tier = 'critical'", "level": "red"},
        RULE | {"id": "off", "when": "orders_2d < 3 OR balance < 5", "needs": ["balance"], "level": "red"},
    ]
    (warning,) = raised(spark, world(*rules), features=[USER | {"orders_2d": 0.0}])
    assert (warning["user_id"], warning["signals"], warning["level"]) == ("anna", ["quiet"], "yellow")


def test_evidence_shows_numbers_shortly(spark):
    texts = [(3.0, "3"), (2.345, "2.35"), (-0.0, "0"), (0.004, "0.00"), (1e15, "1000000000000000"), (None, "unknown")]
    values = spark.createDataFrame([(value, "x") for value, _ in texts], "n double, s string")
    found = [row[0] for row in values.select(fill_template("{n} of {s}, 100 %", values.schema)).collect()]
    assert found == [f"{text} of x, 100 %" for _, text in texts]


@pytest.mark.usefixtures("spark_defaults")
@pytest.mark.parametrize("and_more", ["", " AND probability > 0.1"])
def test_all_rules_of_users_and_the_model_scan_the_features_once(spark, tmp_path, and_more):
    rules = [
        RULE | {"id": f"rule_{n}", "when": f"orders_2d < {n}{and_more}", "evidence": "{orders_2d} {cancels_2d}"}
        for n in range(60)
    ]
    frames = inputs(spark, features=[USER], scores=[SCORE])
    frames["features"].write.parquet(str(tmp_path / "features"))
    frames["features"] = spark.read.parquet(str(tmp_path / "features"))
    warnings = alerts.raise_alerts(frames, (DAY,), world(*rules))["risk_alerts"]
    plan = warnings._jdf.queryExecution().executedPlan().toString()
    assert plan.count("FileScan parquet") == 1
    told = {w["cause"]: (w["rule_id"], len(w["signals"]), w["evidence"][:3]) for w in warnings.collect()}
    assert told == {"price": ("rule_6", 54, "5 0"), "service": ("model", 1, "pro")}  # rules 6 .. 59


def test_a_second_run_gives_the_same_rows_whatever_the_day_holds_by_then(spark):
    given = {"features": [USER | {"orders_2d": 0.0}], "scores": [SCORE]}
    first = raised(spark, world(RULE), **given)
    assert len(first) == 2
    # its own rows, and what people did on the day
    acted = [{"day": DAY, "event_id": "e", "alert_id": first[0]["alert_id"], "action": "closed"}]
    assert raised(spark, world(RULE), **given, alerts=first, alert_events=acted) == first


def test_an_id_is_of_day_rule_and_user(spark):
    people = [USER | {"user_id": u, "orders_2d": 0.0} for u in ("anna", "ben")]
    rules = [RULE, RULE | {"id": "other", "cause": "service"}]
    ids = {w["alert_id"] for w in raised(spark, world(*rules), features=people)}
    assert len(ids) == 4
    assert ids.issuperset({w["alert_id"] for w in raised(spark, world(rules[0]), features=people[:1])})


def test_a_rule_is_in_force_on_its_days_alone(spark):
    spans = {
        "from today": {"valid_from": DAY},
        "until today": {"valid_to": DAY},
        "from tomorrow": {"valid_from": DAY + timedelta(days=1)},
        "until yesterday": {"valid_to": before(1)},
    }
    rules = [RULE | {"id": name.replace(" ", "_")} | span for name, span in spans.items()]
    (warning,) = raised(spark, world(*rules), features=[USER | {"orders_2d": 0.0}])
    assert warning["signals"] == ["from_today", "until_today"]


def test_an_owner_may_be_named_by_the_row(spark):
    rule = RULE | {"owner": "team {plan}"}
    people = [USER | {"user_id": user, "orders_2d": 0.0} for user in ("anna", "ben", "eve")]
    users = [{"user_id": user, "attributes": {"plan": plan}} for user, plan in [("anna", "gold"), ("ben", " ")]]
    found = raised(spark, world(rule), features=people, users=users)
    assert [w["owner"] for w in found] == ["team gold", "operations", "operations"]


def test_a_rule_that_only_spark_can_tell_is_no_condition_is_named(spark):
    people = spark.createDataFrame([], "orders_2d double")
    rules = world(
        RULE | {"id": "fine", "when": "isnull(orders_2d)"},
        RULE | {"id": "number", "when": "no_name_of_ours(orders_2d)"},
    ).rules.rules
    with pytest.raises(ConfigError, match=r"1 rule\(s\) of rules.yaml are no conditions:\n  number: .*no_name_of_ours"):
        check_conditions(people, rules)
    typed = [rules[0], rules[1].model_copy(update={"when": "nanvl(orders_2d, 0)"})]
    with pytest.raises(ConfigError, match=r"number: is of type double: 'nanvl"):
        check_conditions(people, typed)
    check_conditions(people, rules[:1])
