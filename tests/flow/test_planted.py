"""What a world's truth holds, the chain finds."""

from datetime import timedelta

import pytest
from pyspark.sql import functions as F
from sklearn.metrics import roc_auc_score

import world
from churnwatch.io.models import Models
from churnwatch.model import train
from shuffled_labels import finds_nothing, shuffle_labels

DAY = world.WORLD.day


@pytest.fixture(scope="module")
def warehouse(spark, loaded_world):
    return world.runner(spark, loaded_world)


def test_a_planted_wave_is_seen_in_the_rates(warehouse):
    (wave,) = world.WORLD.waves
    trend = warehouse.store.read(warehouse.tables.activity_trend, f"segment = 'region' AND value = '{wave.region}'")
    rows = {row["day"]: row for row in trend.collect()}
    # a share of a day compares its week with the week before
    before, after = (rows[DAY(wave.day) + timedelta(days=n)] for n in (-1, 9))
    assert after["high"] < before["low"]
    others = warehouse.store.read(warehouse.tables.activity_trend, f"value = 'north' AND day = DATE'{after['day']}'").first()
    assert others["low"] > after["high"]


def test_a_planted_wave_is_seen_in_the_churn_rates(warehouse):
    (wave,) = world.WORLD.waves
    # Mondays: users active in the week up to it, silent in the week after it
    before, after = DAY(36), DAY(43)
    assert before < DAY(wave.day) and DAY(wave.day) + timedelta(days=2) < after
    stored = warehouse.store.read(warehouse.tables.churn_rates, "definition = 'silent_7d' AND segment = 'region'")
    rates = {(row["day"], row["value"]): row for row in stored.collect()}
    hit, others = rates[after, wave.region], [row for (day, value), row in rates.items() if day == after and value != wave.region]
    assert hit["low"] > rates[before, wave.region]["high"]
    assert len(others) == 4 and hit["low"] > max(row["rate"] for row in others)
    assert hit["low"] > rates[after, "north"]["high"]


def test_planted_churners_rank_above_others(spark, warehouse, loaded_world):
    """Users whose decline has begun against those who neither decline nor leave in the world's days; 17 of 256 here."""
    day = DAY(62)
    truth = spark.read.parquet(f"{loaded_world}/truth/users").where(~F.col("bot"))
    churner = F.coalesce(F.col("decline_from") <= F.lit(day), F.lit(False)) & ~F.col("sudden")
    stays = F.col("decline_from").isNull() & F.col("leaves_on").isNull()
    scores = warehouse.store.read(warehouse.tables.user_scores, f"day = DATE'{day}'")
    rows = scores.join(truth.where(churner | stays).select("user_id", churner.alias("churner")), "user_id").collect()
    assert sum(row["churner"] for row in rows) >= 15
    assert roc_auc_score([row["churner"] for row in rows], [row["margin"] for row in rows]) > 0.7


def test_of_other_users_labels_nothing_is_learnt(spark, history_world, tmp_path):
    gate = ("rule", "column", "release")
    of = world.runner(
        spark,
        world.copied(history_world, tmp_path),
        *(f"model.gate.min_margin_over_{rival}=0" for rival in gate),
        "model.gate.min_auc=0.52",
        "model.max_evals=1",
    )
    names = ("user_features", "user_labels", "retention_actions", "risk_alerts", "alert_events", "model_runs")
    read = {name: of.store.read(of.tables[name]) for name in names}
    inputs = {"features": read["user_features"], "labels": shuffle_labels(read["user_labels"])}
    inputs |= {"actions": read["retention_actions"], "model_runs": read["model_runs"].limit(0)}
    inputs |= {"alerts": read["risk_alerts"], "alert_events": read["alert_events"]}
    models = Models(spark, of.settings, "shuffled")
    (row,) = train(inputs, (DAY(61),), models, settings=of.settings)["model_runs"].collect()
    assert finds_nothing(row)
