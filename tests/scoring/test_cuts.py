"""Tiers from ranks: who enters, who stays, within groups, by profit; and adjusted cuts."""

from datetime import date

import numpy as np
import pytest

from churnwatch.scoring.cuts import EVERYBODY, Ranks, exact_bounds, rank_cells, rank_within_groups, tier_of
from churnwatch.scoring.in_force import tiers_in_force
from churnwatch.scoring.worker import ExactBounds
from churnwatch.settings import Tier
from churnwatch.settings.tiers import Tiers
from churnwatch.tables import tables
from smallworld import rows, settings

LEVELS = [{"name": "red", "owner": "o", "within_days": 1}]
# ten users, a cell each: the riskiest is at percentile 0.9
TEN = rank_within_groups([EVERYBODY] * 10, np.arange(10), np.ones(10, dtype=np.int64))


def tiers_of(spark, tiers, users, groups=TEN):
    """Tier by name of ``users``: name -> (percentile, probability, value in cents, previous tier, group)."""
    schema = "name string, percentile double, probability double, value_cents long, previous_tier string, user_group string"
    frame = spark.createDataFrame([(name, *values) for name, values in users.items()], schema)
    return {row[0]: row[1] for row in frame.select("name", tier_of(tiers, tiers.tiers, groups).alias("tier")).collect()}


def made(*cuts, **more):
    """Tiers with ``cuts``, the last for all others."""
    return Tiers(tiers=[*cuts, {"name": "low"}], levels=LEVELS, **more)


def test_a_user_leaves_a_tier_only_when_the_risk_is_below_its_cut_by_the_margin(spark):
    # critical: 2 of 10, kept up to 3 of 10; high: from 0.5 on, kept down to 0.25
    tiers = made({"name": "critical", "top_share": 0.2}, {"name": "high", "min_probability": 0.5}, stay_share=0.5)
    users = {
        "enters": (0.8, 0.9, 0, None, None),
        "third, new": (0.7, 0.4, 0, None, None),
        "third, was high": (0.7, 0.4, 0, "high", None),
        "third, stays": (0.7, 0.4, 0, "critical", None),
        "fourth, falls to high": (0.6, 0.25, 0, "critical", None),
        "falls to low": (0.5, 0.24, 0, "critical", None),
        "of a tier that is gone": (0.7, 0.4, 0, "severe", None),
    }
    assert tiers_of(spark, tiers, users) == {
        "enters": "critical",
        "third, new": "low",
        "third, was high": "high",
        "third, stays": "critical",
        "fourth, falls to high": "high",
        "falls to low": "low",
        "of a tier that is gone": "low",
    }


def test_a_capacity_is_never_exceeded_whoever_stays(spark):
    tiers = made({"name": "critical", "top_users": 4}, stay_share=0.25)
    users = {f"{n} {before}": (n / 10, 0.5, 0, before, None) for n in range(10) for before in ("critical", "low")}
    found = tiers_of(spark, tiers, users)
    assert [n for n in range(10) if found[f"{n} low"] == "critical"] == [7, 8, 9]  # the way in is narrower
    assert [n for n in range(10) if found[f"{n} critical"] == "critical"] == [6, 7, 8, 9]


def test_a_profit_tier_takes_users_whose_saved_value_exceeds_the_cost(spark):
    profit = {"save_share": 0.1, "cost_cents": 300, "least_cents": 100}
    tiers = made({"name": "contact", "profit": profit}, stay_share=0.25)
    users = {  # 0.5 x 0.1 x value - 300 > 100, kept above 100 - 0.25 x 400
        "pays": (0.1, 0.5, 8001, None, None),
        "just": (0.1, 0.5, 8000, None, None),
        "stays": (0.1, 0.5, 6001, "contact", None),
        "leaves": (0.1, 0.5, 6000, "contact", None),
        "unlikely": (0.9, 0.04, 8001, None, None),
    }
    found = tiers_of(spark, tiers, users)
    assert {name for name, tier in found.items() if tier == "contact"} == {"pays", "stays"}


def test_exact_bounds_are_a_rank_or_a_probability_else_all_users():
    ranks = rank_cells(np.arange(100, 110), np.ones(10, dtype=np.int64))
    red = {"name": "critical", "level": "red"}
    by_share = made(red | {"top_share": 0.2}, {"name": "high", "top_share": 0.5}, stay_share=0.5)
    assert exact_bounds(by_share, by_share.tiers, ranks) == ExactBounds(107, None)  # three of ten may stay
    by_probability = made(red | {"min_probability": 0.5}, stay_share=0.2)
    assert exact_bounds(by_probability, by_probability.tiers, ranks) == ExactBounds(None, 0.4)
    assert exact_bounds(made({"name": "critical", "top_share": 0.2}), [], ranks) == ExactBounds(None, None)
    hundred = rank_cells(np.arange(100), np.ones(100, dtype=np.int64))
    nearly = made(red | {"top_share": 0.29}, stay_share=0.0)  # 0.29 x 100 is 28.999999999999996
    assert exact_bounds(nearly, nearly.tiers, hundred).cell == 71
    profit = made(red | {"profit": {"save_share": 0.1, "cost_cents": 300, "least_cents": 100}})
    for one in (profit, made(red | {"top_share": 0.2}, by="plan")):
        assert exact_bounds(one, one.tiers, ranks) == ExactBounds(0, None)


def test_shares_and_numbers_count_within_each_group(spark):
    # north holds the five riskiest, south the rest; nobody knows of the west
    groups = rank_within_groups(["south"] * 5 + ["north"] * 5, np.arange(10), np.ones(10, dtype=np.int64))
    assert groups["south"].users == 5 and groups["south"].position.tolist() == [5, 4, 3, 2, 1]
    assert groups["south"].percentile.tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])  # of all
    users = {f"{n} {g}": (n / 10, 0.5, 0, None, g) for g, span in (("south", range(5)), ("north", range(5, 10))) for n in span}
    users["9 west"] = (0.9, 0.5, 0, None, "west")
    found = tiers_of(spark, made({"name": "critical", "top_share": 0.4}), users, groups)
    assert sorted(name for name, tier in found.items() if tier == "critical") == ["3 south", "4 south", "8 north", "9 north"]


def test_users_of_one_cell_are_counted_over_groups_and_batches():
    ranks = rank_within_groups(["a", "b", "a"], np.array([7, 7, 3]), np.array([2, 1, 1]))
    assert isinstance(ranks["a"], Ranks) and ranks["a"].cells.tolist() == [3, 7] and ranks["a"].position.tolist() == [3, 2]
    assert ranks["b"].percentile.tolist() == [0.25]


def test_cuts_in_force_are_the_newest_ones_within_the_configured_bounds(spark):
    adjust = {"aim": {"precision": 0.5}, "adjust": {"lowest": 0.1, "highest": 0.2}}
    tiers = [
        {"name": "critical", "top_share": 0.1, "level": "red", **adjust},
        {"name": "high", "min_probability": 0.15, "level": "orange", **adjust},
        {"name": "medium", "top_users": 50},
        {"name": "low"},
    ]
    levels = [{"name": name, "owner": "o", "within_days": 1} for name in ("orange", "red")]
    one = settings(tiers={"tiers": tiers, "levels": levels})
    row = {"day": date(2026, 1, 1), "level": "red", "reason": "", "tier": "critical", "cut": 0.12}
    given = [row, row | {"day": date(2026, 1, 3), "cut": 0.14}, row | {"day": date(2026, 1, 4), "cut": None}]
    given.append(row | {"level": "orange", "tier": "high", "cut": 0.3})
    found = tiers_in_force(rows(spark, tables(one).thresholds, given), one)
    assert [(t.top_share, t.min_probability, t.top_users) for t in found[:3]] == [
        (0.14, None, None),
        (None, 0.2, None),
        (None, None, 50),
    ]
    assert tiers_in_force(None, one) == [Tier(**t) for t in tiers]
