"""The model's warnings: tiers with a level, causes and evidence from the reasons."""

from alertworld import ALERT, SCORE, USER, before, raised, reason, world


def test_a_tier_with_a_level_is_warned_of_with_the_strongest_cause_and_reasons(spark):
    down = reason("cancels", 0.0, -0.9, "service")
    nameless = reason("tenure", 3.0, 0.5, "unknown")
    changes = {
        "both push up": {},
        "calm": {"tier": "low"},
        "down": {"reasons": [down, nameless, reason("spend_cents", 7.0, 0.2, "price")]},
        "nameless": {"reasons": [down, nameless]},
    }
    people = [USER | {"user_id": user} for user in changes]
    scores = [SCORE | {"user_id": user} | change for user, change in changes.items()]
    told = {w["user_id"]: w for w in raised(spark, world(), features=people, scores=scores)}
    assert set(told) == {"both push up", "down", "nameless"}
    first = told["both push up"]
    assert (first["rule_id"], first["level"], first["owner"], first["cause"]) == ("model", "red", "retention", "service")
    assert first["evidence"] == "probability 0.83, tier critical; cancels 2.50, spend_cents 1200"
    assert (told["down"]["cause"], told["down"]["evidence"][-23:]) == ("price", "tenure 3, spend_cents 7")
    assert told["nameless"]["cause"] is None


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
