"""Advice on thresholds, and the cuts that follow it."""

from datetime import timedelta

import pytest
from judgedday import ON, READS, bins, score

from churnwatch.reports.queries import collect_rows
from churnwatch.reports.threshold_advice import advise_threshold, objection_to_move
from churnwatch.reports.thresholds import LevelHistory, share_at_or_above, threshold_inputs, threshold_rows
from churnwatch.settings import Tier
from reportworld import frames


def test_a_threshold_stays_where_users_churned_as_predicted():
    new, reason = advise_threshold(0.5, bins([(990, 8, 0.8), (900, 6, 0.6), (100, 1, 0.1)]), 10, {})
    assert new == 0.5 and reason.startswith("kept: of 20 untreated users")


def test_a_threshold_moves_up_to_where_the_promised_rate_holds():
    # from 0.5 on the model promised 70 %, seen 30 %: only the top bin holds it
    seen = bins([(990, 8, 0.9), *((900 - n, 1, 0.6) for n in range(4)), (100, 0, 0.1)])
    new, reason = advise_threshold(0.5, seen, 10, {"up": 2})
    assert new == 0.9
    assert (
        reason.startswith("up: of 50 untreated users")
        and "advised up 2 times" in reason
        and "for 10 users instead of 50" in reason
    )


def test_a_threshold_moves_down_where_more_churned_than_promised():
    seen = bins([(990, 9, 0.4), *((900 - n, 9, 0.3) for n in range(4)), *((500 - n, 3, 0.1) for n in range(4))])
    new, reason = advise_threshold(0.3, seen, 10, {})
    assert new == 0.1 and reason.startswith("down")


def test_few_users_give_no_ground_to_move():
    assert advise_threshold(0.5, bins([(990, 0, 0.9)]), 11, {})[0] == 0.5


def test_thresholds_advise_by_level_from_the_lowest_warned_probability(judged):
    assert {r["level"]: round(r["old"], 2) for r in judged["thresholds"]} == {"orange": 0.66, "red": 0.9}
    assert all(r["new"] == r["old"] and "fewer than 10" in r["reason"] for r in judged["thresholds"])


TIER = {"name": "high", "top_share": 0.15, "level": "orange", "adjust": {"lowest": 0.1, "highest": 0.2, "step_share": 0.2}}


def test_matured_warnings_of_the_level_may_object_to_a_move():
    # a cut of which more churned than promised is to warn of more
    assert objection_to_move(0.4, 60, 36, falls=False, smallest_group=10) is None
    held = objection_to_move(0.4, 60, 27, falls=False, smallest_group=10)
    assert held is not None and held.startswith(
        "of 60 matured warnings of the level, 45.0% churned (95 % interval 33.1% to 57.5%)"
    )
    assert held.endswith("which is not shown to be more than the promised 40.0%")
    assert "not shown to be less than the promised 40.0%" in objection_to_move(0.4, 60, 36, falls=True, smallest_group=10)
    assert objection_to_move(0.4, 60, 9, falls=True, smallest_group=10) is None
    assert objection_to_move(0.4, 9, 0, falls=False, smallest_group=10) is None, "too few to say anything"


def test_a_cut_outside_of_the_bounds_of_today_is_brought_within_them():
    past = LevelHistory({}, {ON - timedelta(days=1): 0.4})
    assert past.cut(Tier(**TIER), ON) == 0.2
    assert share_at_or_above(0.5, bins([(990, 1, 0.6), (900, 1, 0.5), (800, 1, 0.4)])) == pytest.approx(0.1)


def ago(days):
    return ON - timedelta(days=days)


def moved(app_settings, churned, *cuts, tier=TIER, matured=()):
    """(cut_before, cut, reason) of ON, when of ten users a bin ``churned`` had left; ``cuts``: (days before ON, cut);
    ``matured``: rows of warnings of the model with a known outcome."""
    tiers = app_settings.tiers.model_copy(update={"tiers": [Tier(**tier), Tier(name="low")]})
    one = app_settings.model_copy(update={"tiers": tiers})
    found = {
        "tiers": [{"tier": "high", "old": 0.6, "version": "3"}, {"tier": "low", "old": 0.3, "version": "3"}],
        "history": [{"day": ago(n), "level": "orange", "direction": None, "cut": cut} for n, cut in cuts],
        "matured": matured,
    }
    seen = {"3": bins([(990, churned, 0.6), (900, churned, 0.6), (800, 4, 0.3), (700, 2, 0.2)])}
    ((_, level, old, _, reason, name, before, cut),) = threshold_rows(found, seen, ON, one)
    assert (level, old, name) == ("orange", 0.6, "high")
    return before, cut, reason


def test_a_cut_follows_the_advice_by_a_step_within_its_bounds(app_settings):
    lag = app_settings.label_lag_days(app_settings.churn.primary)
    # more churned than promised: the share may grow to 0.3 (bin 700), a step is a fifth
    before, cut, reason = moved(app_settings, 9)
    assert (before, cut) == (0.15, pytest.approx(0.18)) and "; top_share 0.15 -> 0.18" in reason
    before, cut, _ = moved(app_settings, 9, (lag, 0.19), (1, 0.19))
    assert (before, cut) == (0.19, 0.2)
    by_probability = {**TIER, "top_share": None, "min_probability": 0.6, "adjust": {"lowest": 0.1, "highest": 0.9}}
    before, cut, _ = moved(app_settings, 9, tier=by_probability)
    assert (before, cut) == (0.6, pytest.approx(0.45))


def test_a_cut_stays_where_the_promise_was_kept(app_settings):
    lag = app_settings.label_lag_days(app_settings.churn.primary)
    assert moved(app_settings, 6, (1, 0.18), (lag, 0.18))[:2] == (0.18, 0.18)


def test_a_cut_waits_until_days_scored_with_it_have_matured(app_settings):
    lag = app_settings.label_lag_days(app_settings.churn.primary)
    # scores of ON were made with 0.15, by now it is 0.18
    before, cut, reason = moved(app_settings, 9, (lag - 1, 0.18), (1, 0.18))
    assert (before, cut) == (0.18, 0.18) and "waits" in reason


def test_a_cut_stays_where_its_own_warnings_kept_the_promise(app_settings):
    lag = app_settings.label_lag_days(app_settings.churn.primary)
    cuts = ((lag + 3, 0.15), (1, 0.15))
    kept = {"day": ago(1), "level": "orange", "matured": 50, "churned": 30}
    # more churned on ON than the promised 60 %; of the warnings of the day before as many as promised
    before, cut, reason = moved(app_settings, 9, *cuts, matured=[kept])
    assert (before, cut) == (0.15, 0.15) and "; the cut 0.15 stays: of 50 matured warnings of the level, 60.0% churned" in reason
    assert moved(app_settings, 9, *cuts, matured=[kept | {"churned": 45}])[1] == pytest.approx(0.18)
    # warnings of another level, and of days with another cut, say nothing about this one
    assert moved(app_settings, 9, *cuts, matured=[kept | {"level": "red"}])[1] == pytest.approx(0.18)
    assert moved(app_settings, 9, (lag + 1, 0.12), (lag, 0.15), (1, 0.15), matured=[kept])[1] == pytest.approx(0.18)


def test_thresholds_are_advised_from_earlier_rows_and_the_models_own_matured_warnings(spark, app_settings):
    scores = [score(str(n), 0.6 + n / 100, n, 4) | {"tier": "high" if n else None} for n in range(3)]
    earlier = {"day": ago(3), "level": "orange", "old": 0.6, "new": 0.7, "reason": "", "tier": "high", "cut": 0.2}
    of_model = {"day": ago(1), "rule_id": "model", "level": "orange", "by": "rule", "value": "all", "fired": 5}
    of_model |= {"base_eligible": 9, "base_churned": 1, "matured": 4, "churned": 2}
    given = {
        "scores": scores,
        "thresholds": [earlier, earlier | {"day": ago(2), "new": 0.5}, earlier | {"day": ON}],
        "quality": [
            of_model,
            of_model | {"day": ago(2), "by": None},  # written before the column existed: of a rule
            of_model | {"rule_id": "silent", "matured": 50},
            of_model | {"by": "region", "value": "north"},
            of_model | {"day": ON},
        ],
    }
    read = frames(spark, app_settings, given, READS | {"quality": "alert_quality"})
    found = collect_rows(threshold_inputs(read, ON, app_settings))
    assert {row["tier"]: (row["old"], row["version"]) for row in found["tiers"]} == {None: (0.6, "3"), "high": (0.61, "3")}
    assert {(row["day"], row["direction"], row["cut"]) for row in found["history"]} == {
        (ago(3), "up", 0.2),
        (ago(2), "down", 0.2),
    }
    matured = {"level": "orange", "matured": 4, "churned": 2}
    assert found["matured"] == [{"day": ago(2), **matured}, {"day": ago(1), **matured}]
