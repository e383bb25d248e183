"""Training measured in a process of its own: ``train.py '<order as JSON>'`` prints what it measured as the last line.

Orders: ``fits`` (the final fit by xgboost and by Spark's GBT on the same rows), ``search`` (seconds of a search and of its
trials, and of the same trials one and two at once), ``realdata`` and ``simulated`` (the model and plain LightGBM on the last
cut-off of a real data set, of a simulated app).
"""

import json
import os
import statistics
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tests" / "realdata"), str(ROOT / "tests")]
FEATURES = 85
REAL = {
    # first day of the log, last day that is judged, days of snapshots to learn from, one snapshot in how many days
    "cdnow": (date(1997, 1, 1), date(1998, 3, 31), 100, 7),
    "online_retail": (date(2010, 12, 1), date(2011, 8, 31), 34, 1),
}
AHEAD = 90


def _session():
    from churnwatch.io.session import session
    from sparkconf import TEST_SPARK

    real = {"spark.sql.codegen.wholeStage": "true", "spark.sql.shuffle.partitions": "2", "spark.sql.adaptive.enabled": "true"}
    return session(SimpleNamespace(spark={**TEST_SPARK, **real}), "bench training")


def _settings():
    from smallworld import settings

    return settings(model={"max_trees": 20, "max_depth": 5, "seed": 7})


def _rows(spark, users):
    """Users with 85 features, a sixth of them of use, and a label that no model knows for sure; chance is a hash."""
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql import functions as F

    def chance(n):
        return F.pmod(F.xxhash64("id", F.lit(n)), F.lit(1_000_003)) / 1_000_003.0

    features = [F.round(-F.log(chance(n) + 1e-6) * 10, 1) for n in range(FEATURES)]
    risk = sum((F.when(features[n] > 8 + n, 1.0).otherwise(-0.4) * (1.5 - n / 14) for n in range(14)), F.lit(0.0))
    rows = spark.range(users).select(
        (chance(900) < 1 / (1 + F.exp(-(risk - 1)))).cast("double").alias("label"),
        F.lit(1.0).alias("weight"),
        array_to_vector(F.array(*features)).alias("vector"),
        (chance(901) < 0.25).alias("fold"),
    )
    rows = rows.repartition(2).cache()
    rows.count()
    return rows


def fits(users, runs=3):
    """Median seconds of the final fit and AUC on held-out rows, by algorithm, at equal trees and depth."""
    from pyspark.ml.evaluation import BinaryClassificationEvaluator

    from churnwatch.model.algorithms import algorithm

    points = {
        "gbt": {"maxDepth": 5, "stepSize": 0.2, "subsamplingRate": 0.8, "minInstancesPerNode": 20, "maxIter": 20},
        "xgboost": {"max_depth": 5, "learning_rate": 0.3, "subsample": 0.8, "min_child_weight": 5, "n_estimators": 20},
    }
    rows, conf = _rows(_session(), users), _settings()
    learn, held = rows.where("NOT fold").cache(), rows.where("fold").cache()
    learn.count()
    found = {}
    for name, point in points.items():
        seconds = []
        for _ in range(1 + runs):
            began = time.monotonic()
            model = algorithm(name).estimator(point, conf, False).fit(learn)
            seconds.append(time.monotonic() - began)
        auc = BinaryClassificationEvaluator(labelCol="label", numBins=0).evaluate(model.transform(held))
        found[name] = {"seconds": statistics.median(seconds[1:]), "cold_seconds": seconds[0], "auc": auc}
    return found


class _Nowhere:
    """Keeps no trial."""

    def stored_trial(self, name):
        return None

    def store_trial(self, name, trial):
        pass


class _Given:
    """In the tuner's place: asks for these points, whatever came of the earlier ones."""

    def __init__(self, points):
        self._left = list(points)

    def propose(self, points):
        given, self._left = self._left[:points], self._left[points:]
        return given

    def learn(self, losses):
        pass


def search(users, evals=8):
    """Seconds of a search and the sum of its trials' seconds; see ``searches``."""
    return searches(_rows(_session(), users), _settings(), evals)


def searches(rows, conf, evals):
    """``tuned``: as the tuner searches, one trial after the other; ``1``, ``2``: the points that it asked for there, by trials
    at once. Left to itself the tuner would ask for other points, and trees of other sizes, with two."""
    from churnwatch.model import tuning
    from churnwatch.model.algorithms import algorithm

    real, took = tuning._trial, []

    def timed(*given):
        began = time.monotonic()
        try:
            return real(*given)
        finally:
            took.append(time.monotonic() - began)

    def once(threads):
        took.clear()
        budget = tuning.Budget(evals, 60.0, None, threads)
        began = time.monotonic()
        found = tuning.search(rows, algorithm("gbt"), budget, tuning.TrialStore(_Nowhere(), "gbt"), conf)
        seconds = time.monotonic() - began
        return found.trials, {"seconds": seconds, "in_trials": sum(took), "trials": len(found.trials)}

    with patch.object(tuning, "_trial", timed):
        once(1)  # cold
        trials, tuned = once(1)
        points = [trial["parameters"] for trial in trials]
        with patch.object(tuning, "_Tuner", lambda *_: _Given(points)):
            return {"tuned": tuned, **{str(threads): once(threads)[1] for threads in (1, 2)}}


def realdata(name):
    """AUC of our model, of the best column and of plain LightGBM on the same features, on the last cut-off."""
    from conftest import DataSet

    first, tested, learn, every = REAL[name]
    with tempfile.TemporaryDirectory() as folder:
        shop = DataSet(_session(), f"{name}.yaml", ROOT.parent / "shared" / "data" / name, folder)
        shop.run("ingest_events", "build_activity", "build_first_seen", first=first, last=tested + timedelta(days=AHEAD))
        return _told(shop.rows, shop.trained(tested, AHEAD, learn, every), AHEAD, shop.runner.settings, shop.runner.spark)


def simulated(users, days):
    """The same on the app that ``make demo`` plays, of ``users`` users, trained at the end of its ``days`` days."""
    from churnwatch.io.raw import simulate
    from churnwatch.runner import Order, Runner
    from churnwatch.settings import load
    from churnwatch.simulate import World

    world = World(users=users, days=days)
    facts = ("ingest_events", "build_activity", "build_first_seen", "build_features", "label_churn")
    with tempfile.TemporaryDirectory() as folder:
        settings = load(ROOT / "conf" / "local.yaml", [f"storage.root={folder}/tables", f"storage.files={folder}/files"])
        os.chdir(folder)  # its sources lie under ./raw, and the JVM starts where we are
        spark = _session()
        simulate(spark, world, Path(folder) / "raw", Path(folder) / "truth")
        runner = Runner(settings, spark)
        for jobs, first, every in ((facts, 1, settings.model.snapshot_every_days), (("train_model",), days, None)):
            ended = runner.run(Order(jobs, world.day(first), world.day(days), every))
            failed = [outcome for outcome in ended if outcome.status in ("failed", "refused")]
            if failed:
                raise SystemExit("\n".join(line for outcome in failed for line in outcome.lines()))
        runner.store.refresh()

        def rows(table):
            return runner.store.read(runner.tables[table])

        # of the model, which may not be what is released
        (row,) = rows("model_runs").where("metrics['auc_minus_column'] IS NOT NULL").collect()
        return _told(rows, row, settings.primary.ahead_days, settings, spark)


def _told(rows, run, ahead, settings, spark):
    """What the table tells of a row of model_runs; ``rows``: reads a stored table."""
    if "auc" not in run["metrics"]:
        raise SystemExit(f"nothing was fitted: {'; '.join(run['conditions'])}")
    names = ("auc", "column_auc", "rule_auc", "auc_minus_column", "auc_minus_column_low", "auc_minus_column_high")
    given = ("column", "trees", "maxDepth", "stepSize", "search_ended")
    more = {name: run["parameters"].get(name) for name in given}
    more |= {"outcome": run["outcome"], "conditions": run["conditions"], "features": len(run["features"])}
    last = date.fromisoformat(run["spans"]["test"].split("..")[1])
    found = (
        {name: run["metrics"][name] for name in names if name in run["metrics"]} | more | {"cut_off": str(last + timedelta(1))}
    )
    return found | _against_lightgbm(rows, run, settings, spark)


BOOTSTRAPS = 400


def _against_lightgbm(rows, run, settings, spark):
    """AUC of LightGBM on all features, and of our model minus it with the 95 % interval by user, on the test span.

    31 leaves, a step of 0.05 and up to 1,000 trees; it stops early on the fold on which our trees are counted, and learns from
    the same days and users.
    """
    import lightgbm
    import numpy as np
    from pyspark.sql import functions as F
    from sklearn.metrics import roc_auc_score

    from churnwatch.core.chance import share_of
    from churnwatch.io.models import Models
    from churnwatch.model import frame as fr
    from churnwatch.model.schema import raw_values, schema_of
    from churnwatch.model.shipping import worker_model_of
    from churnwatch.settings import feature_names

    names = feature_names(settings)
    spans = {name: [date.fromisoformat(day) for day in run["spans"][name].split("..")] for name in ("train", "test")}
    read = {"features": "user_features", "labels": "user_labels", "actions": "retention_actions"}
    read |= {"alerts": "risk_alerts", "alert_events": "alert_events"}
    inputs = {alias: rows(table) for alias, table in read.items()}
    days = [day for day in fr.snapshot_days(inputs, settings) if any(a <= day <= b for a, b in spans.values())]
    fold = (share_of(F.col("user_id"), f"fold:{settings.model.seed}") < fr.FOLD_SHARE).alias("fold")
    schema = schema_of(run["features"], settings)
    columns = [*(F.col(name).cast("double").alias(name) for name in names), raw_values(schema).alias("values")]
    frame = fr.labelled_rows(inputs, days, settings).select("day", "user_id", "label", fold, *columns).toPandas()
    learn, test = (frame[frame["day"].between(*spans[name])] for name in ("train", "test"))
    late = fr._from_last(sorted(set(learn["day"])), fr.FOLD_DAYS_SHARE)
    fitted, judge = learn[~learn["fold"]], learn[learn["fold"] & (learn["day"] >= late)]
    model = lightgbm.LGBMClassifier(n_estimators=1000, num_leaves=31, learning_rate=0.05, random_state=7, verbose=-1)
    stop = lightgbm.early_stopping(50, verbose=False)
    model.fit(fitted[names], fitted["label"], eval_set=[(judge[names], judge["label"])], callbacks=[stop])
    theirs = model.predict_proba(test[names])[:, 1]
    text = Models(spark, settings, "bench")._artifact(run["mlflow_run_id"], "tested/model.txt")
    own = worker_model_of(text, schema, list(schema.features))
    ours = own.margin(own.features(np.array(test["values"].tolist(), dtype=float)))
    label = test["label"].to_numpy()
    _, user = np.unique(test["user_id"], return_inverse=True)
    chance, differences = np.random.default_rng(1), []
    for _ in range(BOOTSTRAPS):
        weight = chance.poisson(1.0, user.max() + 1)[user]
        areas = (roc_auc_score(label, score, sample_weight=weight) for score in (ours, theirs))
        differences.append(next(areas) - next(areas))
    low, high = np.quantile(differences, [0.025, 0.975])
    areas = {"ours": float(roc_auc_score(label, ours)), "lightgbm": float(roc_auc_score(label, theirs))}
    counts = {
        "rows": len(learn),
        "test_rows": len(test),
        "lightgbm_trees": int(model.best_iteration_),
        "all_features": len(names),
    }
    return areas | counts | {"minus_low": float(low), "minus_high": float(high)}


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    print(json.dumps({"fits": fits, "search": search, "realdata": realdata, "simulated": simulated}[order.pop("what")](**order)))
