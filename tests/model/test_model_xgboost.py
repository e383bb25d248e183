"""xgboost's trees as text: exact to float32, and a clear error where xgboost is not installed."""

import json
import sys
from datetime import date

import lightgbm
import numpy as np
import pytest
import xgboost

from churnwatch.core import Refused
from churnwatch.model import train, xgb
from smallworld import settings

CONF = settings(model={"algorithms": ["gbt", "xgboost"]})


def test_without_xgboost_the_message_says_what_to_install(monkeypatch):
    for name in ("xgboost", "xgboost.spark"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Refused, match=r"names xgboost, which is not installed: pip install 'churnwatch\[xgboost\]'"):
        train({}, (date(2025, 6, 7),), None, settings=CONF)  # before anything is looked at


def test_less_than_in_float32_equals_at_most_the_bound_in_doubles():
    rng = np.random.default_rng(1)
    thresholds = np.concatenate([rng.normal(size=300), rng.integers(-50, 50, 300), 10.0 ** rng.integers(-20, 20, 100)])
    for threshold in thresholds.astype(np.float32):
        bound = xgb.float32_bound(float(threshold))
        near = [bound, np.nextafter(bound, np.inf), np.nextafter(bound, -np.inf), float(threshold), *(bound + rng.normal(size=3))]
        for x in near:
            assert (np.float32(x) < threshold) == (x <= bound)


class Dumped:
    """A booster as far as the text looks at it: a base score and one dumped tree."""

    def save_config(self):
        return json.dumps({"learner": {"learner_model_param": {"base_score": "[2.5E-1]"}}})

    def get_dump(self, dump_format, with_stats):
        leaves = [{"nodeid": 1, "leaf": -0.5, "cover": 30.0}, {"nodeid": 2, "leaf": 1.5, "cover": 10.0}]
        # a missing value would go to `missing`: values are filled before, so nobody takes that way
        split = {"nodeid": 0, "split": "f1", "split_condition": 2.0, "yes": 1, "no": 2, "missing": 2, "gain": 4.0, "cover": 40.0}
        return [json.dumps({**split, "children": leaves})]


def test_a_dumped_tree_by_hand():
    text = xgb.text(Dumped(), ["a", "b"])
    model = lightgbm.Booster(model_str=text)
    margins = model.predict([[9.0, 1.9], [9.0, 2.0]], raw_score=True)
    assert margins == pytest.approx([np.log(1 / 3) - 0.5, np.log(1 / 3) + 1.5], abs=1e-12)
    # the root predicts its children's mean by cover: what contributions start from
    assert "internal_value=0.0" in text


def test_the_text_of_a_trained_booster_gives_its_margins():
    rng = np.random.default_rng(2)
    x = np.column_stack([rng.normal(size=3000), rng.integers(0, 9, 3000), rng.normal(size=3000) * 1e6])
    y = (x[:, 0] + 0.3 * x[:, 1] + x[:, 2] / 1e6 + rng.normal(size=3000) > 1).astype(int)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 5}, xgboost.DMatrix(x, label=y), 20)
    text = lightgbm.Booster(model_str=xgb.text(booster, ["a", "b", "c"]))
    ours = text.predict(x, raw_score=True)
    theirs = booster.predict(xgboost.DMatrix(x), output_margin=True)
    assert np.abs(ours - theirs).max() < 1e-5
    # covers are sums of hessians, no counts of rows: parents must still be their children's sum
    assert text.predict(x, pred_contrib=True).sum(axis=1) == pytest.approx(ours, abs=1e-9)
