"""Advice on the cuts of tiers by a fixed aim, and the cuts that follow it."""

from datetime import timedelta

import numpy as np
import pytest
from judgedday import ON, READS, bins, score

from churnwatch.reports.queries import collect_rows
from churnwatch.reports.score_quality import BINS, Bin
from churnwatch.reports.threshold_advice import Evidence, advise_cut
from churnwatch.reports.thresholds import CutHistory, threshold_inputs, threshold_rows
from churnwatch.settings import Tier
from churnwatch.tables import tables
from reportworld import frames

TIER = {"name": "high", "top_share": 0.15, "level": "orange", "aim": {"precision": 0.6}}
ADJUST = {"lowest": 0.05, "highest": 0.5, "step_share": 0.2}


def tier(**changes):
    return Tier(**TIER | changes)


def wide(rows):
    """``bins`` of a hundred users each, held-out users of weight 2 among them."""
    return [Bin("3", b.bin, 100, 10 * b.churned, 200.0, 20.0 * b.churned, b.lowest, 100 * b.lowest, 200 * b.lowest, 0, 0, 400.0)
            for b in bins(rows)]  # fmt: skip


SEEN = [(990, 9, 0.9), (900, 7, 0.5), (800, 4, 0.3), (700, 2, 0.2), (100, 0, 0.1)]


def test_a_cut_stays_where_its_aim_is_achieved():
    advice = advise_cut(tier(top_share=0.3), 0.3, wide(SEEN), 5000, 10)
    # of 400 users at or above it 55 % churned, against an aim of 60 %
    assert (advice.wanted, advice.old, advice.new) == (0.3, 0.2, 0.2)
    assert advice.reason.startswith("kept, because the aim (precision 60.0%) lies in the 99 % interval")
    assert "of 400 untreated users at or above the cut 0.3, 55.0% churned" in advice.reason


def test_a_cut_moves_to_where_the_aim_is_achieved_whatever_the_model_promised():
    # 83 % of the users from bin 900 on churned: the aim of 60 % holds down to 800
    promised_less = advise_cut(tier(top_share=0.1), 0.1, wide(SEEN), 5000, 10)
    assert promised_less.wanted == pytest.approx(0.2) and promised_less.new == 0.3
    assert promised_less.reason.startswith("more users towards the aim (precision 60.0%)")
    strict = advise_cut(tier(top_share=0.2, aim={"precision": 0.85}), 0.2, wide(SEEN), 5000, 10)
    assert strict.wanted == pytest.approx(0.01) and strict.reason.startswith("fewer users")
    # the same with a cut by probability
    by_probability = tier(top_share=None, min_probability=0.5)
    assert advise_cut(by_probability, 0.5, wide(SEEN), 5000, 10).wanted == 0.3


def test_a_cost_ratio_is_about_the_last_users_whom_the_cut_takes():
    one = tier(aim={"cost_ratio": 0.35})
    # around 0.2: bin 800 with 40 %; users churn as often as 35 % down to there
    assert advise_cut(one, 0.2, wide(SEEN), 5000, 10).wanted == pytest.approx(0.2)
    # around 0.3: bin 700 with 20 %
    advice = advise_cut(one, 0.3, wide(SEEN), 5000, 10)
    assert advice.wanted == pytest.approx(0.2) and "35.0% at the cut" in advice.reason


def test_a_capacity_needs_no_outcomes():
    one = tier(aim={"users": 500})
    nobody = [Bin("3", b.bin, 0, 0, 0, 0, b.lowest, 0, 0, 0, 0, 0.0) for b in bins(SEEN)]
    advice = advise_cut(one, 0.15, nobody, 2500, 10)
    assert advice.wanted == pytest.approx(0.2) and advice.reason.startswith("more users towards the aim of 500 users from 375")
    assert advise_cut(one, 0.2, nobody, 2600, 10).reason.startswith("kept, because 520 users are about the aim of 500")
    assert advise_cut(tier(top_share=None, min_probability=0.5, aim={"users": 500}), 0.5, nobody, 2500, 10).wanted == 0.3


def test_a_cut_is_kept_where_nothing_is_shown():
    few = advise_cut(tier(), 0.1, bins(SEEN), 5000, 21)
    assert few.wanted == 0.1 and "20.0 effective users are fewer than 21" in few.reason
    out_of_reach = advise_cut(tier(aim={"precision": 0.99}), 0.1, wide(SEEN), 5000, 10)
    assert out_of_reach.wanted == 0.1 and "no cut achieves the aim (precision 99.0%)" in out_of_reach.reason
    assert advise_cut(tier(aim=None), 0.1, wide(SEEN), 5000, 10).reason.startswith("kept, because tiers.yaml has no aim")
    acted = [Bin(**{**b.__dict__, "lacking": "nobody stands for them"}) for b in wide(SEEN)]
    assert advise_cut(tier(), 0.1, acted, 5000, 10).reason.startswith("kept, because nobody stands for them")
    nobody = advise_cut(tier(), 0.1, [], 0, 10)
    assert (nobody.old, nobody.wanted, nobody.evidence.rate) == (None, 0.1, None)


def test_held_out_users_count_with_their_weights():
    # one of 10 held-out users of weight 9 churned, and 8 of 10 others
    mixed = [Bin("3", 990, 10, 1, 90.0, 9.0, 0.5, 5, 45, 0, 0, 810.0), Bin("3", 980, 10, 8, 10.0, 8.0, 0.5, 5, 5, 0, 0, 10.0)]
    seen = Evidence.of(mixed)
    assert (seen.users, seen.rate) == (20, pytest.approx(0.17))
    assert seen.effective == pytest.approx(100**2 / 820) and seen.predicted == 0.5


def ago(days):
    return ON - timedelta(days=days)


def moved(app_settings, one, *cuts, seen=SEEN):
    """The row of ON as a dict; ``cuts``: (days before ON, cut)."""
    tiers = app_settings.tiers.model_copy(update={"tiers": [one, Tier(name="low")]})
    conf = app_settings.model_copy(update={"tiers": tiers})
    found = {
        "tiers": [{"tier": "high", "users": 50, "version": "3"}, {"tier": "low", "users": 4950, "version": "3"}],
        "history": [{"day": ago(n), "tier": "high", "cut": cut} for n, cut in cuts],
    }
    (row,) = threshold_rows(found, {"3": wide(seen)}, ON, conf)
    return dict(zip(tables(conf).thresholds.schema.names, row, strict=True))


def test_a_cut_follows_the_advice_by_a_step_within_its_bounds(app_settings):
    one = tier(adjust=ADJUST, top_share=0.1)
    lag = app_settings.label_lag_days(app_settings.churn.primary)
    row = moved(app_settings, one)
    assert (row["cut_before"], row["cut"]) == (0.1, pytest.approx(0.12)) and "; top_share 0.1 -> 0.12" in row["reason"]
    assert (row["old"], row["new"], row["aim"], row["users"], row["effective"]) == (0.5, 0.3, 0.6, 200, 200)
    assert (row["precision"], row["predicted"], row["recalibrate"]) == (0.8, 0.7, True)
    row = moved(app_settings, one, (lag, 0.19), (1, 0.19))
    assert (row["cut_before"], row["cut"]) == (0.19, pytest.approx(0.2))
    low = tier(adjust={**ADJUST, "highest": 0.11}, top_share=0.1)
    assert moved(app_settings, low)["cut"] == 0.11 and CutHistory({ago(1): 0.4}).cut(low, ON) == 0.11
    assert {moved(app_settings, tier(), (1, 0.2))[name] for name in ("tier", "cut", "cut_before")} == {None}


def test_a_cut_waits_until_days_scored_with_it_have_matured(app_settings):
    lag = app_settings.label_lag_days(app_settings.churn.primary)
    # scores of ON were made with 0.1, by now it is 0.18
    row = moved(app_settings, tier(adjust=ADJUST, top_share=0.1), (lag - 1, 0.18), (1, 0.18))
    assert (row["cut_before"], row["cut"]) == (0.18, 0.18) and "waits" in row["reason"]


def judged_day(users, factor, seed):
    """Bins of a day of ``users`` users whose churn is ``factor`` times what the model says; what it says, and the truth."""
    rng = np.random.default_rng(seed)
    said = np.sort(rng.beta(0.6, 4, users))
    truth = np.minimum(1.0, factor * said)
    first = np.arange(BINS) * users // BINS
    n = np.diff([*first, users])
    hits, p = (np.add.reduceat(values, first) for values in ((rng.random(users) < truth).astype(float), said))
    made = [
        Bin("3", one, int(n[one]), int(hits[one]), n[one], hits[one], said[first[one]], p[one], p[one], 0.0, 0.0, n[one])
        for one in range(BINS)
    ]
    return made, said, truth


@pytest.mark.parametrize("unit", ["top_share", "min_probability"])
@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_cuts_settle_at_the_aim_where_a_model_promises_too_much_or_too_little(unit, factor):
    """50,000 users a day; the model says 0.45 above a probability of 0.3."""
    start, users = {"top_share": 0.126, "min_probability": 0.3}[unit], 50_000
    bounds = {"lowest": 0.01, "highest": 0.9, "step_share": 0.25}
    one = Tier(name="high", level="orange", aim={"precision": 0.45}, adjust=bounds, **{unit: start})
    cut, cuts, asked, rates = start, [start], [], []
    for n in range(30):
        seen, said, truth = judged_day(users, factor, n)
        rates.append((truth[int(users * (1 - cut)) :] if unit == "top_share" else truth[said >= cut]).mean())
        advice = advise_cut(one, cut, seen, users, 10)
        cut = one.adjust.bounded(cut, advice.wanted)
        asked.append(advice.evidence.miscalibrated)
        cuts.append(cut)
    assert abs(rates[0] - 0.45) > 0.05, "the first cut misses the aim"
    assert sum(one != other for one, other in zip(cuts, cuts[1:], strict=False)) <= 10, "settled within ten moves"
    # the precision of the users at or above the cut stays at the aim, and a new calibration is asked for on every day
    assert rates[10:] == pytest.approx([0.45] * 20, abs=0.02)
    assert all(asked)


def test_a_calibrated_model_asks_for_no_calibration():
    one = Tier(name="high", level="orange", aim={"precision": 0.45}, top_share=0.126)
    asked = [advise_cut(one, 0.126, judged_day(5000, 1.0, n)[0], 5000, 10).evidence.miscalibrated for n in range(20)]
    assert not any(asked)


def test_thresholds_are_advised_by_level_at_the_cut_of_its_tier(judged):
    # critical: the riskiest twentieth of ten users, high: the riskiest 15 %; a is treated
    assert {r["level"]: (r["old"], r["users"]) for r in judged["thresholds"]} == {"orange": (0.9, 0), "red": (None, 0)}
    assert {r["level"]: r["aim"] for r in judged["thresholds"]} == {"orange": 0.3, "red": None}
    assert {r["precision"] for r in judged["thresholds"]} == {None}


def test_thresholds_are_advised_from_scored_users_and_earlier_cuts(spark, app_settings):
    scores = [score(str(n), 0.6 + n / 100, n, 4) | {"tier": "high" if n else None} for n in range(3)]
    earlier = {"day": ago(3), "level": "orange", "old": 0.6, "new": 0.7, "reason": "", "tier": "high", "cut": 0.2}
    given = {"scores": scores, "thresholds": [earlier, earlier | {"day": ago(2), "cut": None}, earlier | {"day": ON}]}
    found = collect_rows(threshold_inputs(frames(spark, app_settings, given, READS), ON, app_settings))
    assert {row["tier"]: (row["users"], row["version"]) for row in found["tiers"]} == {None: (1, "3"), "high": (2, "3")}
    assert found["history"] == [{"day": ago(3), "tier": "high", "cut": 0.2}]
