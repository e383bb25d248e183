"""A small base with a planted risk: weekly snapshots of features and labels, as the stored tables hold them."""

from datetime import date, timedelta
from functools import cache
from pathlib import Path
from shutil import copy
from tempfile import mkdtemp

import numpy as np
import pyarrow as pa

from churnwatch.settings import feature_names
from churnwatch.tables import tables
from smallworld import rows, settings

TODAY = date(2025, 6, 7)  # lag 5: the newest snapshot is Monday 2 June
FIRST = date(2025, 4, 7)
USERS = 160
MODEL = {
    "train_days": 28,
    "calibration_days": 14,
    "test_days": 14,
    "snapshot_every_days": 7,
    "max_evals": 2,
    "max_trees": 3,
    "max_depth": 3,
    "bootstraps": 60,
    "partitions": 1,
    "seed": 3,
    "origins": 1,
    "roll": False,
    "value": "100 * orders_4d",
    "gate": {"min_users": 50, "min_positives": 20, "max_rate_error": 0.5, "min_margin_over_column": -0.1},
}

# what was done about users: alias of an input -> table
DONE = {"actions": "retention_actions", "alerts": "risk_alerts", "alert_events": "alert_events"}


@cache
def _empty_database():
    """An MLflow database without runs: MLflow takes 2.5 s of CPU to create one."""
    import mlflow

    file = Path(mkdtemp()) / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


def conf(files, **changes):
    """The small world's settings with MLflow in a file under ``files``."""
    if Path(files).is_dir():
        copy(_empty_database(), Path(files) / "mlflow.db")
    given = {
        "model": MODEL,
        "storage": {"root": "unused", "files": str(files)},
        "mlflow": {"tracking_uri": f"sqlite:///{files}/mlflow.db", "experiment": "tests", "model": "tests"},
        "causes": {"causes": {"price": {"title": "Price", "measures": ["cancels", "cancel_rate"]}}},
    }
    return settings(**{**given, **changes})


def world(spark, one, shuffled=False, earlier=0, users=USERS, single=False, doubled_from=date.max):
    """Inputs of train_model: orders predict the risk, ``tenure_days`` is constant, some values are missing; 9 weeks, and
    ``earlier`` ones before them. ``shuffled``: labels by chance; ``single``: ``orders_4d`` alone predicts; ``doubled_from``: the
    first day with about twice the churn, at the same ranking."""
    rng = np.random.default_rng(17)
    days = [FIRST + timedelta(days=7 * n) for n in range(-earlier, 9)]
    names = feature_names(one)
    frames = {name: [] for name in names}
    churned, day_of, user_of = [], [], []
    risk = rng.normal(size=users)
    for day in days:
        now = risk + 0.5 * rng.normal(size=users)
        for name in names:
            frames[name].append(rng.normal(size=users))
        frames["orders_4d"][-1] = np.round(np.exp(1.5 - now) + rng.random(users))
        if not single:
            frames["cancels_2d"][-1] = np.where(rng.random(users) < 0.3, np.nan, np.round(np.exp(now)))
            frames["events_days_since"][-1] = (now + rng.normal(size=users) > 0).astype(float)
            frames["orders_days_since"][-1] = np.where(now < -0.5, np.nan, np.round(2 + now))
        frames["tenure_days"][-1] = np.full(users, 400.0)
        log_odds = 2.5 * now - 0.5
        if doubled_from < date.max:
            log_odds += -1.5 if day < doubled_from else 0.0
        churned.append(rng.random(users) < 1 / (1 + np.exp(-log_odds)))
        day_of += [day] * users
        user_of += [f"user{n}" for n in range(users)]
    labels = np.concatenate(churned)
    if shuffled:
        by_user = np.random.default_rng(4).permutation(users)
        labels = np.concatenate([one_day[by_user] for one_day in churned])
    keys = {"day": pa.array(day_of, pa.date32()), "user_id": pa.array(user_of)}
    values = {"bot": pa.array([False] * len(user_of))}
    # a quarter of the users have no plan
    values["segment_plan"] = pa.array([("gold", "basic", "basic", None)[int(user[4:]) % 4] for user in user_of])
    for name in names:
        column = np.concatenate(frames[name])
        values[name] = pa.array(column, mask=np.isnan(column))
    features = spark.createDataFrame(pa.table({**keys, **values}))
    known = pa.table({**keys, "definition": pa.array(["silent"] * len(labels)), "churned": pa.array(labels)})
    contracts = tables(one)
    return {
        "features": features,
        "labels": spark.createDataFrame(known),
        **{alias: rows(spark, contracts[name], []) for alias, name in DONE.items()},
        "model_runs": rows(spark, contracts.model_runs, []),
    }
