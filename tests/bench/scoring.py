"""The scoring steps that are measured, on stored features that a hash made: their values mean nothing, their cost is real."""

import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace

from pyspark.ml import PipelineModel
from pyspark.ml.classification import GBTClassificationModel, GBTClassifier
from pyspark.ml.feature import SQLTransformer, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from churnwatch.io.models import Models
from churnwatch.io.store import Store
from churnwatch.model.reference import build_reference
from churnwatch.model.schema import Schema, raw_values, schema_of
from churnwatch.model.trees import to_text
from churnwatch.scoring.score import apply_release, with_tier
from churnwatch.settings import Settings, feature_names
from churnwatch.settings.tiers import Tiers
from steps import Step, computed
from worlds import Base

FEATURES, TREES, DEPTH, FIT_ROWS = 85, 50, 5, 20_000
TIERS = Tiers.model_validate(
    {
        "tiers": [
            {"name": "critical", "top_share": 0.05, "level": "red"},
            {"name": "high", "top_share": 0.15, "level": "orange"},
            {"name": "medium", "top_share": 0.4},
            {"name": "low"},
        ],
        "levels": [{"name": name, "owner": "o", "within_days": 1} for name in ("orange", "red")],
    }
)
CALIBRATION = {"kind": "isotonic", "margins": [-4.0, 0.0, 4.0], "probabilities": [0.02, 0.4, 0.98]}
CLOSE = 1e-12


class ScoringBench:
    """Stored features of a base of users, and a model that Spark fitted on some of them."""

    def __init__(self, spark: SparkSession, settings: Settings, base: Base, folder: Path) -> None:
        self.spark, self.base = spark, base
        self.settings = settings.model_copy(update={"tiers": TIERS})
        self.answers = self.source = folder / "worlds" / base.name
        self.model_folder = str(folder / "worlds" / "model")
        self.schema = schema_of(feature_names(settings)[:FEATURES], settings)

    def features_made(self) -> Step:
        """Nothing to measure: features are stored, and a model, afterwards."""
        if not self.source.exists():
            users = self.spark.range(self.base.users, numPartitions=8)
            columns = [_value(n).alias(name) for n, name in enumerate(self.schema.features)]
            user = F.concat(F.lit("user"), F.col("id").cast("string"))
            users.select(user.alias("user_id"), F.lit(date(2025, 6, 2)).alias("day"), *columns).write.parquet(str(self.source))
        if not Path(self.model_folder).exists():
            rows = self._stored().limit(FIT_ROWS)
            names = self.schema.features
            # a label that many features speak of, so that trees grow to their depth
            told = sum(F.coalesce(F.col(name), F.lit(0.0)) * ((n % 7) - 3) for n, name in enumerate(names[:40]))
            label = (told + 40 * (_part(99) - 0.5) > 0).cast("double")
            vectors = (
                self._assembled().transform(rows.withColumn("label", label)).select("label", "vector").repartition(2).cache()
            )
            gbt = GBTClassifier(featuresCol="vector", labelCol="label", maxIter=TREES, maxDepth=DEPTH, stepSize=0.1, seed=7)
            gbt.fit(vectors).write().save(self.model_folder)
        return Step({})

    def scoring(self) -> Step:
        """Spark's own model without reasons, and ours with them; refuses margins that are not Spark's."""
        pipeline = PipelineModel([*self._assembled().stages, GBTClassificationModel.load(self.model_folder)])
        plain = pipeline.transform(self._stored()).select("user_id", "rawPrediction", "probability")
        ours = self._scored()
        self._refuse_other_margins(plain, ours())
        return Step({"transform": computed(plain), "score": lambda: computed(ours())()})

    def score_alone(self) -> Step:
        """Ours alone."""
        ours = self._scored()
        return Step({"score_alone": lambda: computed(ours())()})

    def _stored(self) -> DataFrame:
        columns = ", ".join(f"{name} double" for name in self.schema.features)
        return self.spark.read.schema(f"user_id string, day date, {columns}").parquet(str(self.source))

    def _assembled(self) -> PipelineModel:
        filled = zip(self.schema.features, self.schema.fills, strict=True)
        columns = ", ".join(f"coalesce({name}, {fill}D) AS {name}" for name, fill in filled)
        names = list(self.schema.features)
        statement = f"SELECT * EXCEPT ({', '.join(names)}), {columns} FROM __THIS__"
        return PipelineModel([SQLTransformer(statement=statement), VectorAssembler(inputCols=names, outputCol="vector")])

    def _scored(self):
        """Both steps, as the runner makes them: what was scored is staged, then ranked."""
        model = GBTClassificationModel.load(self.model_folder)
        text = to_text(Models(self.spark, self.settings, "bench").trees(model), self.schema.features, range(FEATURES))
        used = Schema.from_json(json.loads(json.dumps(self.schema.to_json())))
        plain = self.settings.model_copy(update={"measures": self.settings.measures.model_copy(update={"segments": []})})
        values = self._stored().withColumn("values", raw_values(self.schema))
        known = build_reference(values, self.schema, self.base.users, text, used, plain)
        release = SimpleNamespace(version="1", text=text, calibration=CALIBRATION, schema=self.schema.to_json(), reference=known)
        store = Store(self.spark, self.settings)

        def ranked() -> DataFrame:
            tiers = self.settings.tiers.tiers
            made = store.stage("bench", "scored", apply_release(release, self._stored(), tiers, date(2025, 6, 2), self.settings))
            return with_tier(made.withColumn("previous_tier", F.lit(None).cast("string")), tiers, self.settings)

        return ranked

    def _refuse_other_margins(self, plain: DataFrame, ours: DataFrame) -> None:
        theirs = plain.select("user_id", (2 * vector_to_array("rawPrediction")[1]).alias("theirs"))
        gap = F.max(F.abs(F.col("margin") - F.col("theirs")))
        row = ours.select("user_id", "margin").join(theirs, "user_id").agg(gap.alias("gap"), F.count("*").alias("users")).first()
        if row is None or row["users"] != self.base.users or row["gap"] > CLOSE:
            raise SystemExit(f"margins are not Spark's: {row}")


def _part(n: int) -> Column:
    """A number in [0, 1) of each user, by hash."""
    return F.pmod(F.xxhash64("user_id" if n == 99 else "id", F.lit(n)), F.lit(10_000)) / 10_000


def _value(n: int) -> Column:
    """Skewed whole numbers, shares, and a tenth missing: as features are."""
    part = _part(n)
    value = F.floor(-F.log1p(-part) * 5) if n % 2 else part * 2 - 1
    return F.when(_part(n + 100) >= 0.1, value.cast("double"))
