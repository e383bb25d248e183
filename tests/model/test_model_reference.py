"""The reference of a release: bins and usual values of its training data."""

from datetime import date, timedelta

import numpy as np
import pytest
from pyspark.sql import functions as F

from churnwatch.model import linear, reference
from churnwatch.model.schema import raw_values, schema_of
from churnwatch.model.worker_model import fingerprint
from churnwatch.tables import tables
from smallworld import rows, settings

NAMES = ["orders_4d", "cancels_2d"]
LEFT_OUT = ["events_2d", "events_4d", "events_1d", "spend_cents_4d", "slowest_ms_4d"]  # features that the model does not read
TEXT = linear.to_text([1.0, 2.0], 0.5, [0.0, 0.0])


@pytest.fixture(scope="module")
def made(spark):
    """Twelve users on two days: orders 0 .. 11, cancels missing for every third, plans in three sizes."""
    one = settings(privacy={"id_key": {"env": "UNUSED"}, "min_group_size": 5})
    given = [
        {
            "day": date(2025, 6, 2) + timedelta(days=7 * week),
            "user_id": f"u{n}",
            "segment_plan": "gold" if n < 4 else "rare" if n == 4 else None,
            "orders_4d": float(n),
            "cancels_2d": None if n % 3 == 0 else 1.0,
            "events_1d": 1.0,
            "events_2d": 2.0,
            "events_4d": 10.0,
            "spend_cents_4d": 600.0 if n == 1 else 0.0,
            "slowest_ms_4d": 7.0,
        }
        for n in range(12)
        for week in range(2)
    ]
    frame = rows(spark, tables(one).user_features, given)
    whole = schema_of([*LEFT_OUT, *NAMES], one)
    schema = whole.only(NAMES).with_fills({"cancels_2d": 0.75})  # as of a linear model: a mean
    values = frame.select("user_id", "day", raw_values(whole).alias("values"), F.array("segment_plan").alias("segments"))
    return reference.build_reference(values, whole, 24, TEXT, schema, one)


def test_bins_of_features_and_of_the_margin(made):
    assert made["rows"] == 24 and list(made["bins"]) == [*NAMES, "(margin)"]
    orders, cancels, margin = made["bins"].values()
    assert orders["edges"] == [1, 2, 3, 4, 5, 6, 8, 9, 10] and orders["missing"] == 0
    assert orders["shares"] == pytest.approx([2 / 12, *[1 / 12] * 5, 2 / 12, 1 / 12, 1 / 12, 1 / 12])
    assert (cancels["edges"], cancels["shares"]) == ([1.0], pytest.approx([8 / 12, 0.0]))
    assert cancels["missing"] == pytest.approx(4 / 12)
    # 0.5 + orders + 2 cancels, missing ones filled with 0.75: the least are 2.0 of user 0 and 3.5 of user 1
    assert margin["missing"] == 0 and margin["edges"][0] == 3.5 and sum(margin["shares"]) == pytest.approx(1)
    assert (orders["fill"], cancels["fill"]) == (0.0, 0.75) and "fill" not in margin


def test_usual_values_are_medians_by_segment_and_small_groups_have_none(made):
    assert (made["usual"]["by"], made["usual"]["values"]) == ("segment_plan", ["gold"])
    medians = made["usual"]["medians"]
    assert (medians["orders_4d"], medians["cancels_2d"], medians["spend_cents_4d"]) == ([1.5, 5.5], [1.0, 1.0], [0.0, 0.0])
    by, values, medians = reference.usual_matrix(made, ["cancels_2d", "new_1d"])
    assert (by, values) == ("segment_plan", ["gold"])
    assert medians[:, 0].tolist() == [1.0, 1.0] and np.isnan(medians[:, 1]).all()


def test_means_and_rates_show_what_is_rare_and_cover_features_that_the_model_does_not_read(made):
    usual = made["usual"]
    assert (usual["per"], usual["rows"]) == ("events", [8, 24])
    assert usual["means"]["spend_cents_4d"] == pytest.approx([150.0, 50.0])
    assert usual["sizes"]["spend_cents_4d"] == [600.0, 600.0] and usual["sizes"]["cancels_2d"] == [1.0, 1.0]
    assert usual["rates"]["spend_cents_4d"] == pytest.approx([15.0, 5.0])
    # a missing value has no share in a mean, and neither have the events beside it
    assert usual["means"]["cancels_2d"] == [1.0, 1.0] and usual["rates"]["cancels_2d"] == [0.5, 0.5]
    assert usual["rates"]["orders_4d"] == pytest.approx([0.15, 0.55])
    assert not {"events_4d", "slowest_ms_4d"} & {*usual["rates"]}  # the divisor, and a measure that is no sum
    _, _, rates = reference.usual_matrix(made, ["orders_4d", "slowest_ms_4d"], "rates")
    assert rates[:, 0].tolist() == [0.15, 0.55] and np.isnan(rates[:, 1]).all()


def test_a_reference_from_before_means_were_stored_has_medians_alone():
    old = {"usual": {"by": None, "values": [], "medians": {"orders_4d": [2.0]}}}
    assert reference.usual_matrix(old, ["orders_4d"])[2].tolist() == [[2.0]]
    assert np.isnan(reference.usual_matrix(old, ["orders_4d"], "means")[2]).all()


def test_a_feature_that_is_missing_everywhere_has_one_bin():
    assert reference.bin_shares(np.full(4, np.nan)) == {"rows": 4, "edges": [], "shares": [0.0], "missing": 1.0}


def test_fingerprints_depend_on_values_and_places():
    base = np.array([[0.0, 1.0, 2.0]]).T
    assert fingerprint(base) == fingerprint(np.array([[-0.0, 1.0, 2.0]]).T)
    others = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 2.0000001], [0.0, 2.0, 1.0], [np.nan, 1.0, 2.0]]).T
    assert len({*fingerprint(others).tolist(), *fingerprint(base).tolist()}) == 5
    many = fingerprint(np.random.default_rng(1).integers(0, 3, size=(30, 20_000)).astype(float))
    assert len(np.unique(many)) == 20_000
