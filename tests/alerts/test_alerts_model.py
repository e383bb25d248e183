"""The model's warnings: tiers with a level, causes and evidence from the reasons."""

from alertworld import ALERT, RULE, SCORE, USER, before, raised, reason, world
from pyspark.sql import functions as F

from churnwatch.alerts.evidence import category_text


def test_a_tier_with_a_level_is_warned_of_with_the_cause_of_the_score_and_the_strongest_reasons(spark):
    down = reason("cancels", 0.0, -0.9, "service")
    nameless = reason("tenure", 3.0, 0.5, None)
    changes = {
        "both push up": {},
        "calm": {"tier": "low"},
        "down": {"reasons": [down, nameless, reason("spend_cents", 7.0, 0.2, "price")], "cause": "price"},
        "unknown": {"reasons": [down, nameless], "cause": None},
    }
    people = [USER | {"user_id": user} for user in changes]
    scores = [SCORE | {"user_id": user} | change for user, change in changes.items()]
    told = {w["user_id"]: w for w in raised(spark, world(), features=people, scores=scores)}
    assert set(told) == {"both push up", "down", "unknown"}
    first = told["both push up"]
    assert (first["rule_id"], first["level"], first["owner"], first["cause"]) == ("model", "red", "retention", "service")
    # from before features were stored with reasons: the measure's own name and number
    assert first["evidence"] == "probability 0.83, tier critical; cancels: 2.50; spend_cents: 1200"
    assert told["down"]["cause"] == "price" and told["down"]["evidence"].endswith("; tenure: 3; spend_cents: 7")
    assert told["unknown"]["cause"] is None


def test_evidence_is_in_words_that_people_can_check(spark):
    quiet = RULE | {"when": "orders_2d > 100"}
    rent = {"measure": "spend_cents", "value": 1250.0, "contribution": 0.4, "usual": 3000.0, "feature": "spend_cents_2d"}
    since = {"measure": "orders", "value": 3.0, "contribution": 0.3, "usual": None, "feature": "orders_days_since"}
    symptoms = [
        {"measure": "cancels", "days": 4, "value": 4.0, "usual": 0.6},
        {"measure": "spend_cents", "days": 1, "value": 250_000.0, "usual": 1034.0},
    ]
    best = {"measure": "cancels", "feature": "cancels_2d", "value": 4.0, "usual": 0.0, "probability": 0.612}
    changes = {
        "symptoms": {"evidence": symptoms, "reasons": [since, rent], "improvement": best},
        # an improvement that rounding takes away is not shown
        "rule": {"cause": "price", "cause_rule": "quiet", "reasons": [], "improvement": best | {"probability": 0.829}},
        "nothing": {"reasons": []},
    }
    people = [USER | {"user_id": user} for user in changes]
    scores = [SCORE | {"user_id": user} | change for user, change in changes.items()]
    told = {w["user_id"]: w["evidence"] for w in raised(spark, world(quiet), features=people, scores=scores)}
    assert told == {
        "symptoms": (
            "probability 0.83, tier critical; 4 cancels in 4 days, 0.6 usual for so much use; 2500 of spend in 1 day, 10.34 "
            "usual for so much use; spend, 2 days: 12.50, usual 30; days without orders: 3; with usual cancels it would be 0.61"
        ),
        "rule": "probability 0.83, tier critical; no order",
        "nothing": "probability 0.83, tier critical",
    }


def test_the_model_repeats_nothing_that_is_open_but_a_level_that_rose(spark):
    cases = {  # user: days since the warning before, its level, whether the model (red) warns
        "same": (3, "red", False),
        "rose": (3, "orange", True),
        "last day open": (28, "red", False),
        "quiet since it ended": (35, "red", False),
        "longer": (36, "red", True),
        "never warned": (None, None, True),
    }
    people = [USER | {"user_id": user} for user in cases]
    scores = [SCORE | {"user_id": user} for user in cases]
    earlier = [
        ALERT | {"alert_id": user, "user_id": user, "rule_id": "model", "cause": "service", "level": level, "day": before(n)}
        for user, (n, level, _) in cases.items()
        if n
    ]
    found = {w["user_id"]: w for w in raised(spark, world(), features=people, scores=scores, alerts=earlier)}
    assert set(found) == {user for user, (_, _, warns) in cases.items() if warns}
    assert [user for user, w in found.items() if w["escalates"]] == ["rose"]


def test_a_category_among_the_reasons_is_named(spark):
    features = ["attribute_home_plan_is_family%20%26%20friends", "attribute_home_plan_is_gold", "orders_7d"]
    frame = spark.createDataFrame(list(zip(features, (1.0, 0.0, 3.0), strict=True)), "feature string, value double")
    found = [row[0] for row in frame.select(category_text(F.col("feature"), F.col("value"))).collect()]
    assert found == ["home plan: family & friends", "home plan: not gold", None]
