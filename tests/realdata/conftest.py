"""A runner over one real data set, in a warehouse of its own."""

from collections import defaultdict
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from churnwatch.io.models import Models
from churnwatch.model import train
from churnwatch.runner import Order, Runner
from churnwatch.settings import load
from shuffled_labels import shuffle_labels

HERE = Path(__file__).parent


class DataSet:
    """A data set under its domain folder, and what the tests look at."""

    def __init__(self, spark, config, data, warehouse, *more):
        sets = [f"storage.root={warehouse}", f"storage.files={warehouse}/_files", f"storage.input={data}", *more]
        self.runner = Runner(load(HERE / config, sets), spark)

    def run(self, *jobs, first, last, every=None):
        """Runs jobs over a range of days in one pass each; the outcomes by job."""
        outcomes = self.runner.run(Order(jobs=jobs, first=first, last=last, every=every))
        self.runner.store.refresh()
        assert {outcome.status for outcome in outcomes} == {"done"}
        return {outcome.step.job.name: outcome for outcome in outcomes}

    def rows(self, table):
        """The stored table."""
        return self.runner.store.read(self.runner.tables[table])

    def triangle(self):
        """Monthly cohorts: 'YYYY-MM' -> users active in each period."""
        months = self.rows("cohort_churn").where("cohort_by = 'month' AND segment = 'all'").orderBy("cohort", "period")
        found = defaultdict(list)
        for row in months.collect():
            assert row["period"] == len(found[f"{row['cohort']:%Y-%m}"])
            found[f"{row['cohort']:%Y-%m}"].append(row["active"])
        return dict(found)

    def trained(self, tested, ahead, learn, every):
        """The row of model_runs of a training whose last test day is ``tested``: labels look ``ahead`` days; features and
        labels of every ``every`` th of the ``learn`` days that end where calibration's labels begin."""
        ahead = timedelta(days=ahead)
        last = tested - 2 * ahead
        for first, end, step in (
            (last - timedelta(days=learn), last, every),
            (tested - ahead, tested - ahead, None),
            (tested, tested, None),
        ):
            self.run("build_features", first=first, last=end, every=step)
            self.run("label_churn", first=first + ahead, last=end + ahead, every=step)
        self.run("train_model", first=tested + ahead, last=tested + ahead)
        # of the model, which may not be what is released
        return self.rows("model_runs").where("metrics['auc_minus_column'] IS NOT NULL").orderBy("at").collect()[-1]

    def trained_on_shuffled(self, tested, ahead, **model):
        """The row of a training on what ``trained`` built, with the labels of other users; nothing is stored."""
        settings = self.runner.settings
        few = settings.model_copy(update={"model": settings.model.model_copy(update=model)})
        inputs = {name: self.rows(f"user_{name}") for name in ("features", "labels")}
        inputs["labels"] = shuffle_labels(inputs["labels"])
        inputs |= {"actions": self.rows("retention_actions"), "model_runs": self.rows("model_runs").limit(0)}
        inputs |= {"alerts": self.rows("risk_alerts"), "alert_events": self.rows("alert_events")}
        models = Models(self.runner.spark, few, "shuffled")
        (row,) = train(inputs, (tested + timedelta(days=ahead),), models, settings=few)["model_runs"].collect()
        return row

    def labels(self, cut_off_days):
        """(users eligible, users churned) by the label's day."""
        counts = self.rows("user_labels").groupBy("day").agg(F.count("*"), F.count_if("churned"))
        found = {row[0]: (row[1], row[2]) for row in counts.collect()}
        return [found.get(day) for day in cut_off_days]


@pytest.fixture(scope="module", autouse=True)
def rows_enough(spark):
    """Half a million rows are worth compiling for, and a second task."""
    ours = {"spark.sql.codegen.wholeStage": "true", "spark.sql.shuffle.partitions": "2"}
    before = {key: spark.conf.get(key) for key in ours}
    for key, value in ours.items():
        spark.conf.set(key, value)
    yield
    for key, value in before.items():
        spark.conf.set(key, value)


@pytest.fixture(scope="module")
def data_set(spark, shared_data, tmp_path_factory):
    """``data_set(config, folder, *sets)``: a DataSet over ``folder`` of the shared data."""

    def made(config, folder, *more):
        data = shared_data / folder
        if not data.is_dir():
            pytest.skip(f"REAL DATA ABSENT: {data} is not there")
        return DataSet(spark, config, data, tmp_path_factory.mktemp(folder), *more)

    return made
