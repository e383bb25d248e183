"""What a model expects of a row of features: names, fills for missing values, the measure behind each feature."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.names import features_with_measure

SUFFIX = re.compile(r"_(\d+d|trend|days_since|days)$")


@dataclass(frozen=True)
class Schema:
    """``features`` in the order of the trees, the ``fills`` that stand for missing values, and their ``measures``.

    Spark's trees cannot take missing values. A feature ``<measure>_days_since`` is missing when the measure was not seen
    in all the days that features know: it is filled with their number + 1, farther back than any value. Every other
    feature is missing where there was nothing to measure: it is filled with 0, and the counts beside it tell the two apart.
    """

    features: tuple[str, ...]
    fills: tuple[float, ...]
    measures: tuple[str, ...]

    @property
    def hash(self) -> str:
        """The first 16 digits of the SHA-256 of names and fills: scores with another one are of another kind."""
        text = json.dumps([self.features, self.fills])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def with_fills(self, fills: Mapping[str, float]) -> "Schema":
        """The same with other ``fills`` for missing values of the features named."""
        return Schema(
            self.features, tuple(fills.get(n, f) for n, f in zip(self.features, self.fills, strict=True)), self.measures
        )

    def only(self, names: Sequence[str]) -> "Schema":
        """The same for the features ``names`` alone, in the old order."""
        kept = [i for i, name in enumerate(self.features) if name in set(names)]
        features, fills, measures = (tuple(part[i] for i in kept) for part in (self.features, self.fills, self.measures))
        return Schema(features, fills, measures)  # type: ignore[arg-type]

    def to_json(self, **more: Any) -> dict[str, Any]:
        """A JSON object from which ``from_json`` makes the same schema without our settings; ``more`` is added."""
        return {
            "features": list(self.features),
            "fills": list(self.fills),
            "measures": list(self.measures),
            "schema_hash": self.hash,
            **more,
        }

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> "Schema":
        """The schema that ``to_json`` wrote."""
        return Schema(tuple(tree["features"]), tuple(map(float, tree["fills"])), tuple(tree["measures"]))


def schema_of(features: Sequence[str], settings: Settings) -> Schema:
    """The schema of the columns ``features`` of user_features under ``settings``."""
    beyond = float(settings.measures.memory_days + 1)
    known = dict(features_with_measure(settings))
    fills = tuple(beyond if name.endswith("_days_since") else 0.0 for name in features)
    return Schema(tuple(features), fills, tuple(known.get(name) or measure_of(name) for name in features))


def measure_of(feature: str) -> str:
    """The measure of a feature column that the settings no longer name, by its ending: ``orders_30d``, ``orders_trend``
    -> ``orders``."""
    return SUFFIX.sub("", feature)


def raw_values(schema: Schema) -> Column:
    """The features as one array, missing values as null."""
    return F.array(*[F.col(name).cast("double") for name in schema.features])


def filled_values(schema: Schema, whole: Schema) -> Column:
    """The features of ``schema`` as one array, out of ``values``, the raw array of ``whole``; filled as workers do it."""
    place = {name: n for n, name in enumerate(whole.features)}
    nothing = F.lit(None).cast("double")
    values = [F.nanvl(F.get("values", F.lit(place[name])), nothing) for name in schema.features]
    return F.array(*[F.coalesce(value, F.lit(fill)) for value, fill in zip(values, schema.fills, strict=True)])
