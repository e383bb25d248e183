"""Rules of users: when they warn, what the warning says, in one pass."""

from datetime import timedelta

from alertworld import ALERT, DAY, RULE, SCORE, USER, before, inputs, raised, whom, world

from churnwatch import alerts
from churnwatch.alerts.evidence import filled


def test_a_rule_warns_on_one_side_of_its_edge_and_of_nothing_unknown(spark):
    people = [USER | {"user_id": u, "orders_2d": n} for u, n in [("under", 2.99), ("edge", 3.0), ("unknown", None)]]
    assert whom(raised(spark, world(RULE), features=people)) == [("under", "quiet")]


def test_a_warning_has_level_owner_and_due_day_of_its_rule(spark):
    rules = [RULE, RULE | {"id": "owned", "level": "red", "owner": "key_accounts"}]
    low = [USER | {"orders_2d": 0.0}]
    told = [
        (w["rule_id"], w["scope"], w["level"], w["cause"], w["owner"], w["due_on"] - DAY)
        for w in raised(spark, world(*rules), features=low)
    ]
    assert told == [
        ("owned", "user", "red", "price", "key_accounts", timedelta(days=1)),
        ("quiet", "user", "yellow", "price", "operations", timedelta(days=5)),
    ]


def test_rules_speak_of_features_scores_attributes_and_the_day(spark):
    rules = [
        RULE | {"id": "by_score", "when": "probability > 0.5"},
        RULE | {"id": "by_attribute", "when": "plan = 'basic'"},
        RULE | {"id": "by_day", "when": "day = DATE'2026-03-10'"},
    ]
    people = [USER, USER | {"user_id": "ben"}]
    users = [{"user_id": "anna", "attributes": {"plan": "basic"}}]
    given = {"features": people, "scores": [SCORE | {"tier": "low"}], "users": users}
    assert whom(raised(spark, world(*rules), **given)) == [
        ("anna", "by_attribute"),
        ("anna", "by_day"),
        ("anna", "by_score"),
        ("ben", "by_day"),
    ]


def test_without_a_release_rules_go_on(spark):
    rules = [RULE, RULE | {"id": "by_score", "when": "probability > 0.5 OR tier = 'critical'"}]
    assert whom(raised(spark, world(*rules), features=[USER | {"orders_2d": 0.0}])) == [("anna", "quiet")]


def test_evidence_shows_numbers_shortly(spark):
    texts = [(3.0, "3"), (2.345, "2.35"), (-0.0, "0"), (0.004, "0.00"), (1e15, "1000000000000000"), (None, "unknown")]
    values = spark.createDataFrame([(value, "x") for value, _ in texts], "n double, s string")
    found = [row[0] for row in values.select(filled("{n} of {s}, 100 %", values.schema)).collect()]
    assert found == [f"{text} of x, 100 %" for _, text in texts]


def test_evidence_of_a_rule_without_text_is_its_title(spark):
    assert raised(spark, world(RULE), features=[USER | {"orders_2d": 0.0}])[0]["evidence"] == "no order"


def test_all_rules_of_users_and_the_model_scan_the_features_once(spark, tmp_path):
    rules = [
        RULE | {"id": f"rule_{n}", "when": f"orders_2d < {n} AND probability > 0.1", "evidence": "{orders_2d}"} for n in range(60)
    ]
    frames = inputs(spark, features=[USER], scores=[SCORE])
    frames["features"].write.parquet(str(tmp_path / "features"))
    frames["features"] = spark.read.parquet(str(tmp_path / "features"))
    warnings = alerts.raised(frames, (DAY,), world(*rules))["risk_alerts"]
    plan = warnings._jdf.queryExecution().executedPlan().toString()
    assert plan.count("FileScan parquet") == 1
    assert warnings.count() == 55  # rules 6 .. 59, and the model


def test_a_second_run_gives_the_same_rows_whatever_the_day_holds_by_then(spark):
    given = {"features": [USER | {"orders_2d": 0.0}], "scores": [SCORE]}
    first = raised(spark, world(RULE), **given)
    assert len(first) == 2
    # its own rows, and what people did on the day
    acted = [{"day": DAY, "event_id": "e", "alert_id": first[0]["alert_id"], "action": "closed"}]
    assert raised(spark, world(RULE), **given, alerts=first, alert_events=acted) == first


def test_a_rule_keeps_quiet_about_a_user_for_its_own_cool_down(spark):
    rules = [RULE, RULE | {"id": "other"}, RULE | {"id": "restless", "cool_down_days": 0}]
    people = [USER | {"user_id": f"warned {n} days ago", "orders_2d": 0.0} for n in (1, 7, 8)] + [USER | {"orders_2d": 0.0}]
    warned = {row["user_id"]: before(int(row["user_id"].split()[1])) for row in people[:3]}
    earlier = [
        ALERT | {"alert_id": f"{rule} {user}", "rule_id": rule, "user_id": user, "day": day}
        for rule in ("quiet", "restless")
        for user, day in warned.items()
    ]
    found = whom(raised(spark, world(*rules), features=people, alerts=earlier))
    assert [user for user, rule in found if rule == "quiet"] == ["anna", "warned 8 days ago"]
    assert len([user for user, rule in found if rule == "other"]) == 4
    assert len([user for user, rule in found if rule == "restless"]) == 4


def test_closing_a_warning_begins_its_cool_down_again(spark):
    people = [USER | {"user_id": u, "orders_2d": 0.0} for u in ("acknowledged", "closed")]
    earlier = [ALERT | {"alert_id": p["user_id"], "user_id": p["user_id"], "day": before(10)} for p in people]
    done = [{"day": before(3), "event_id": p["user_id"], "alert_id": p["user_id"], "action": p["user_id"]} for p in people]
    assert whom(raised(spark, world(RULE), features=people, alerts=earlier, alert_events=done)) == [("acknowledged", "quiet")]


def test_an_id_is_of_day_rule_and_user(spark):
    people = [USER | {"user_id": u, "orders_2d": 0.0} for u in ("anna", "ben")]
    rules = [RULE, RULE | {"id": "other"}]
    ids = {w["alert_id"] for w in raised(spark, world(*rules), features=people)}
    assert len(ids) == 4
    assert ids.issuperset({w["alert_id"] for w in raised(spark, world(rules[0]), features=people[:1])})
