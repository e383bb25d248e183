"""The model card and the pictures of the curves."""

import json
from datetime import date

import numpy as np
import pytest

from churnwatch.model import card, pictures
from churnwatch.model import metrics as m
from churnwatch.model.origins import Origin, summary
from churnwatch.model.spans import Spans
from smallworld import settings

CONF = settings()
DAY = date(2025, 6, 2)
RUN = {
    "day": DAY,
    "definition": "silent",
    "algorithm": "gbt",
    "outcome": "released",
    "spans": {"train": "a..b", "calibration": "c..d", "test": "e..f", "released_train": "g..h"},
    "metrics": {"auc": 0.81, "auc_low": 0.79, "auc_high": 0.83, "train_users": 1234.0, "brier": float("nan")},
    "curves": json.dumps(
        {
            "segments": [
                {
                    "segment": "plan",
                    "value": "a|b",
                    "rows": 250.0,
                    "base_rate": 0.1,
                    "predicted": 0.12,
                    "brier": 0.08,
                    "log_loss": 0.3,
                    "calibration_error": 0.02,
                }
            ]
        }
    ),
    "conditions": ["auc over the rule: ok"],
    "features": ["orders_4d"],
    "left_out": {"tenure_days": "constant"},
    "origins": None,
}


def test_the_card_in_markdown():
    text = card.markdown(card.parts(RUN, CONF))
    assert "| train | a..b | 1,234 |" in text and "| released train | g..h |" in text
    assert "fitted again on the newest settled days" in text
    assert "| auc | 0.8100 | 0.7900 .. 0.8300 |" in text and "brier" not in text.split("## Quality by segment")[0]
    assert "| plan = a\\|b | 250 | 10.0% | 12.0% |  | 0.0800 | 0.3000 | 0.0200 |" in text
    assert "| tenure_days | constant |" in text
    assert "Fewer than three rolling origins" in text and "## Rolling origins" not in text


def test_three_origins_have_mean_spread_and_the_interval_of_their_mean_over_users():
    spans, rng = Spans((DAY,), (DAY,), (DAY,)), np.random.default_rng(5)
    # users with large weights make all origins better at once: the interval of the mean is not narrower than each one's
    luck = 0.02 * rng.normal(size=400)
    areas = [np.array([auc, *(auc + luck)]) for auc in (0.70, 0.74, 0.78)]
    judged = [Origin(spans, "gbt", {"auc": auc[0], "auc_low": auc[0] - 0.01}, {"auc": auc}) for auc in areas]
    found = summary(judged)
    low, high = 0.74 + np.quantile(luck, [0.025, 0.975])
    assert found["origins"] == 3.0
    assert found["origins_auc"] == pytest.approx(0.74) and found["origins_auc_sd"] == pytest.approx(0.04)
    assert (found["origins_auc_low"], found["origins_auc_high"]) == pytest.approx((low, high), abs=1e-6)
    run = RUN | {"metrics": found, "origins": json.dumps([one.to_json() for one in judged])}
    text = card.markdown(card.parts(run, CONF))
    assert f"| auc | 0.7000, 0.7400, 0.7800 | 0.7400 | 0.0400 | {low:.4f} .. {high:.4f} |" in text
    assert "all have equal means" in text
    assert "Fewer than three" not in text


def test_one_origin_has_no_spread():
    found = summary([Origin(Spans((DAY,), (DAY,), (DAY,)), "gbt", {"auc": 0.7}, {"auc": np.array([0.7, 0.68, 0.72])})])
    assert found == {"origins": 1.0, "origins_auc": 0.7, "origins_auc_low": 0.681, "origins_auc_high": 0.719}


def test_the_card_of_a_single_feature_and_of_a_release_with_new_probabilities():
    rule = RUN | {"algorithm": "rule", "parameters": {"feature": "orders_4d", "riskier": "low values"}}
    text = card.markdown(card.parts(rule, CONF))
    assert "rank users better than the single feature `orders_4d` (low values are riskier)" in text
    again = RUN | {"algorithm": "recalibrated", "parameters": {"ranked_by": "gbt", "release": "3"}}
    text = card.markdown(card.parts(again, CONF))
    assert "Users are ranked as by release 3 (gbt); only its probabilities were fitted again" in text
    assert "recipe that was tested" not in text


def test_curves_become_pictures():
    churned, others = np.array([1.0, 4.0, 9.0]), np.array([20.0, 9.0, 3.0])
    tenth = {"rows": 30.0, "predicted": 0.2, "observed": 0.25, "observed_low": 0.2, "observed_high": 0.3}
    drawn = pictures.draw_curves({**m.curves(churned, others), "calibration": [tenth, {**tenth, "predicted": 0.5}]})
    assert sorted(drawn) == ["calibration.png", "lift.png", "precision_recall.png", "roc.png"]
    assert all(picture.startswith(b"\x89PNG") and len(picture) > 5_000 for picture in drawn.values())
    # riskiest bin: 9 of 12 churned, base rate 14 of 46
    assert m.curves(churned, others)["lift"][0] == pytest.approx([12 / 46, (9 / 12) / (14 / 46)], abs=1e-6)
