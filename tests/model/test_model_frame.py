"""Treated users are left out of the training frame, and held-out users represent them."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from modelworld import MODEL, conf
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F

from churnwatch.model import frame, recipe
from churnwatch.model.schema import schema_of
from churnwatch.model.spans import Spans
from churnwatch.settings import feature_names
from churnwatch.tables import tables
from smallworld import rows

DAY = date(2025, 5, 12)
USERS = 4000
GLOBAL, OWN = 0.1, 0.2  # shares held out: of everybody, and of the campaign's others
OFFERS = {"global_holdout_share": GLOBAL}


def action(user, arm, campaign="c", days=1):
    return {"day": DAY + timedelta(days=days), "user_id": user, "campaign": campaign, "arm": arm}


def inputs_of(spark, one, users, churned, actions, alerts=(), alert_events=(), **columns):
    """Features and labels of one snapshot, and what was done about users; features that are not given are null."""
    keys = {"day": pa.array([DAY] * len(users), pa.date32()), "user_id": pa.array(users)}
    known = {"definition": pa.array(["silent"] * len(users)), "churned": pa.array(churned)}
    nothing = {name: pa.array([None] * len(users), pa.float64()) for name in feature_names(one)}
    values = {**nothing, "bot": pa.array([False] * len(users)), **{name: pa.array(v) for name, v in columns.items()}}
    return {
        "features": spark.createDataFrame(pa.table({**keys, **values})),
        "labels": spark.createDataFrame(pa.table({**keys, **known})),
        "actions": rows(
            spark, tables(one).retention_actions, [{"cost_cents": 0, "expected_value_cents": 0, **a} for a in actions]
        ),
        "alerts": rows(spark, tables(one).risk_alerts, alerts),
        "alert_events": rows(spark, tables(one).alert_events, alert_events),
    }


def test_held_out_users_replace_the_users_who_were_saved(spark, tmp_path):
    one = conf(tmp_path, offers=OFFERS)
    rng = np.random.default_rng(11)
    at_risk = rng.random(USERS) < 0.5
    churned = rng.random(USERS) < np.where(at_risk, 0.6, 0.1)
    # everybody at risk is assigned; an offer saves them all
    chance = rng.random((2, USERS))
    arm = np.where(chance[0] < GLOBAL, "global_control", np.where(chance[1] < OWN, "control", "offer"))
    saved = at_risk & (arm == "offer")
    users = [f"u{n}" for n in range(USERS)]
    actions = [action(users[n], str(arm[n])) for n in np.flatnonzero(at_risk)]
    given = inputs_of(spark, one, users, churned & ~saved, actions, orders_4d=at_risk.astype(float))
    kept = frame.labelled_rows(given, [DAY], one).select("label", "weight", "orders_4d")

    found = {
        r["orders_4d"]: r
        for r in kept.groupBy("orders_4d")
        .agg(
            F.count("*").alias("rows"),
            F.sum("weight").alias("whole"),
            (F.sum(F.col("weight") * F.col("label")) / F.sum("weight")).alias("rate"),
        )
        .collect()
    }
    assert found[1.0]["rows"] < 0.35 * at_risk.sum()  # the held-out alone
    # 99.9 % of 560 held-out users' shares lie within these
    assert found[1.0]["whole"] == pytest.approx(at_risk.sum(), rel=0.13)
    assert found[1.0]["rate"] == pytest.approx(0.6, abs=0.07)
    assert found[0.0]["whole"] == found[0.0]["rows"] == (~at_risk).sum()
    # from the labels as they are, one would learn that users at risk are safe
    assert (churned & ~saved)[at_risk].mean() < 0.25


def test_a_user_whose_offer_still_works_after_the_snapshot_is_left_out(spark, tmp_path):
    tour = {"name": "tour", "channel": "email", "cost_cents": 1}
    one = conf(tmp_path, offers={"campaigns": [{"name": "c", "tiers": ["low"], "offers": [tour], "expires_days": 5}]})
    actions = [action("works", "offer", days=-5), action("over", "offer", days=-6), action("held", "control", days=-5)]
    users = ["held", "nobody", "over", "works"]
    kept = frame.labelled_rows(inputs_of(spark, one, users, [False] * 4, actions), [DAY], one)
    # it stands for all whom the plan would have assigned like it: of ten users one is held out
    share = one.offers.global_holdout_share
    weights = {r["user_id"]: r["weight"] for r in kept.select("user_id", "weight").collect()}
    assert weights == pytest.approx({"held": 1 / (share + (1 - share) / 10), "nobody": 1.0, "over": 1.0})


def test_the_weight_of_a_held_out_user_is_the_inverse_of_the_chance_to_be_held_out_in_all_campaigns(spark, tmp_path):
    # d is planned with a third held out; offers.yaml has c no more: it held out 2 of 5 of its own users, each counted once
    campaign = {"name": "d", "tiers": ["low"], "offers": [], "holdout_share": 1 / 3, "expires_days": 1}
    one = conf(tmp_path, offers=OFFERS | {"campaigns": [campaign]})
    arms = {"c": ["control", "offer", "offer", "offer"], "d": ["control", "offer"]}
    actions = [action(f"{c}{n}", arm, c) for c, given in arms.items() for n, arm in enumerate(given)]
    actions += [action("c0", "control", days=2)]  # the same campaign again: one draw
    actions += [action("both", "global_control", c) for c in arms]
    actions += [action("late", "control", days=9), {**action("held", None), "suppressed_because": "consent"}]
    users = sorted({a["user_id"] for a in actions} | {"nobody"})
    kept = frame.labelled_rows(inputs_of(spark, one, users, [False] * len(users), actions), [DAY], one)
    weights = {r["user_id"]: r["weight"] for r in kept.select("user_id", "weight").collect()}
    (sizes,) = frame.span_sizes(kept, [Spans((), (), (DAY,))])
    size = sizes["test"]
    assert (size.rows, size.weight) == (len(weights), pytest.approx(sum(weights.values())))
    # c0 counts once; the late one is a control of c too
    c, d = 2 / 5, 1 / 3
    assert weights == pytest.approx(
        {
            "c0": 1 / (GLOBAL + (1 - GLOBAL) * c),
            "d0": 1 / (GLOBAL + (1 - GLOBAL) * d),
            "both": 1 / (GLOBAL + (1 - GLOBAL) * c * d),
            "late": 1.0,
            "held": 1.0,
            "nobody": 1.0,
        }
    )


def test_the_search_sample_holds_enough_churners_whatever_their_share_is(tmp_path):
    one = conf("unused", model=MODEL | {"search_churners": 500, "search_users": 40_000})

    def share(users, churners):
        return frame.search_share(frame.Size(users, 9 * users, 2 * churners, 1.0, churners), one)

    assert share(4_000, 400) == 1.0  # all of a small base
    assert share(10_000, 2_000) == 0.25
    assert share(10_000, 100) == 1.0  # few churn: the sample is larger
    assert share(1_000_000, 2_000) == 0.04  # 250,000 users would be needed: more than search_users
    assert share(0, 0) == 1.0


def test_the_validation_fold_is_the_later_days_of_users_whom_no_trial_is_fitted_on(spark, tmp_path, monkeypatch):
    one = conf(tmp_path)
    days, users = [DAY + timedelta(days=7 * n) for n in range(6)], 200
    schema = schema_of(feature_names(one), one)
    no, n = np.repeat(np.arange(users), 6), np.tile(np.arange(6), users)
    columns = {name: np.zeros(6 * users) for name in schema.features} | {"orders_4d": no * 1.0, "cancels_2d": n * 1.0}
    keys = {"day": pa.array([days[k] for k in n], pa.date32()), "user_id": [f"u{k}" for k in no]}
    values = pa.array(np.column_stack([columns[name] for name in schema.features]).tolist())
    table = pa.table({**keys, "label": np.zeros(6 * users), "weight": np.ones(6 * users), "values": values})
    spans = Spans(tuple(days[:5]), tuple(days[5:]), ())
    fit = frame.fit_rows(frame.with_span(spark.createDataFrame(table), spans), spans, one)
    searched = []

    def search(sample, *_):
        rows_ = sample.select("fold", vector_to_array("vector").alias("v")).collect()
        searched.append({(int(r.v[places[0]]), int(r.v[places[1]]), r.fold) for r in rows_})

    places = [schema.features.index(name) for name in ("orders_4d", "cancels_2d")]
    monkeypatch.setattr(recipe, "search", search)
    span = recipe.CachedSpan(fit, fit, schema, 1.0)
    recipe.tune(span, schema.features, None, None, recipe.Trials(None, "s"), one)
    (sample,) = searched
    judge, learn = ({user for user, _, fold in sample if fold is held} for held in (True, False))
    assert judge.isdisjoint(learn) and judge | learn == set(range(users))
    assert 0.15 < len(judge) / users < 0.35
    assert {day for _, day, fold in sample if fold} == {3, 4}  # the last two of five snapshots
    assert {day for _, day, fold in sample if not fold} == {0, 1, 2, 3, 4}
