"""The schema of a model's features: names, imputed values, the measure and the meaning of each."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.attributes import OTHER, PREFIX, category_feature, category_of, source_column
from churnwatch.settings.meanings import feature_meanings
from churnwatch.settings.names import features_with_measure
from churnwatch.settings.terms import UNKNOWN

BELOW_ALL = -1e9  # stands for a number or date of an attribute that is not known
SUFFIX = re.compile(r"_(\d+d|trend|days_since|days)$")


@dataclass(frozen=True)
class Schema:
    """``features`` in the order of the model, their ``fills`` (values imputed where missing), ``measures`` and ``meanings``
    (``feature_meanings``). Releases from before meanings were stored have no meanings.

    A feature of a category (``category_feature``) is 1 where the user has that value, else 0; the meaning of ``other`` lists the
    values that have features of their own.

    Spark's trees cannot take missing values. A feature ``<measure>_days_since`` is missing when the measure did not occur in
    the days that features cover (``memory_days``): it is imputed with their number + 1, longer ago than any value. A number or
    date of an attribute that is not known is imputed with a value below all others, because 0 is a value like any. Every other
    feature is missing where there was nothing to measure: it is imputed with 0; the count features distinguish this from 0.
    """

    features: tuple[str, ...]
    fills: tuple[float, ...]
    measures: tuple[str, ...]
    meanings: tuple[str, ...] = ()

    @property
    def measure_numbers(self) -> list[int]:
        """The number of each feature's measure, counted in the order in which measures first appear."""
        number = {name: n for n, name in enumerate(dict.fromkeys(self.measures))}
        return [number[measure] for measure in self.measures]

    @property
    def hash(self) -> str:
        """The first 16 digits of the SHA-256 of names, fills and meanings."""
        parts = [self.features, self.fills, *([self.meanings] if self.meanings else [])]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def matches(self, stored_hash: str | None) -> bool:
        """Whether ``stored_hash`` is the hash of this schema, or of its names and fills (from before meanings were stored)."""
        return stored_hash in (self.hash, replace(self, meanings=()).hash)

    def redefined(self, today: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """Features with another meaning ``today`` (``feature_meanings``): (meaning then, meaning today) by name. Empty where the
        meanings were not stored."""
        if not self.meanings:
            return {}
        pairs = zip(self.features, self.meanings, strict=True)
        return {name: (then, today[name]) for name, then in pairs if name in today and today[name] != then}

    def with_fills(self, fills: Mapping[str, float]) -> "Schema":
        """The schema with other ``fills`` for the features named."""
        return replace(self, fills=tuple(fills.get(n, f) for n, f in zip(self.features, self.fills, strict=True)))

    def only(self, names: Sequence[str]) -> "Schema":
        """The schema of the features ``names`` alone, in this schema's order."""
        kept = [i for i, name in enumerate(self.features) if name in set(names)]
        return Schema(
            tuple(self.features[i] for i in kept),
            tuple(self.fills[i] for i in kept),
            tuple(self.measures[i] for i in kept),
            tuple(self.meanings[i] for i in kept if self.meanings),
        )

    def to_json(self, **more: Any) -> dict[str, Any]:
        """A JSON object that ``from_json`` reads without settings; the keys ``more`` are added."""
        return {
            "features": list(self.features),
            "fills": list(self.fills),
            "measures": list(self.measures),
            "meanings": list(self.meanings),
            "schema_hash": self.hash,
            **more,
        }

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> "Schema":
        """The schema that ``to_json`` wrote."""
        parts = (tree["features"], map(float, tree["fills"]), tree["measures"], tree.get("meanings", ()))
        return Schema(*map(tuple, parts))


def schema_of(features: Sequence[str], settings: Settings, others: Mapping[str, str] | None = None) -> Schema:
    """The schema of ``features`` of user_features under ``settings``; ``others``: the meaning of each feature ``other`` of a
    category, by its name (``category_features``)."""
    longest_ago = float(settings.measures.memory_days + 1)
    known, meanings = dict(features_with_measure(settings)), {**feature_meanings(settings), **(others or {})}
    of_attributes = {name for name, measure in known.items() if measure.startswith(PREFIX)}
    fills = tuple(
        longest_ago if name.endswith("_days_since") else BELOW_ALL if name in of_attributes else 0.0 for name in features
    )
    measures = tuple(known.get(name) or (source_column(name) if category_of(name) else measure_of(name)) for name in features)
    return Schema(tuple(features), fills, measures, tuple(meanings.get(name, "") for name in features))


def category_features(values: Mapping[str, Sequence[str]]) -> tuple[list[str], dict[str, str]]:
    """The features of categories, and the meanings of their ``other``, from the listed values of each text column.

    >>> category_features({"attribute_plan": ["gold"]})[0]
    ['attribute_plan_is_gold', 'attribute_plan_is_other', 'attribute_plan_is_unknown']
    """
    names = [category_feature(column, value) for column, found in values.items() for value in (*found, OTHER, UNKNOWN)]
    # sorted, because the order of frequency changes from day to day and means nothing
    others = {category_feature(column, OTHER): json.dumps(sorted(found)) for column, found in values.items()}
    return names, others


def feature_columns(schema: Schema) -> dict[str, Column]:
    """Each feature as a column over user_features, by name; missing values are null."""
    meanings = dict(zip(schema.features, schema.meanings, strict=True)) if schema.meanings else {}

    def column(name: str) -> Column:
        category = category_of(name)
        if category is None:
            return F.col(name)
        value = F.coalesce(F.col(category[0]), F.lit(UNKNOWN))
        return ~value.isin([*json.loads(meanings[name]), UNKNOWN]) if category[1] == OTHER else value == F.lit(category[1])

    return {name: column(name).cast("double") for name in schema.features}


def measure_of(feature: str) -> str:
    """The measure of a feature column that the settings no longer have: the name without its ending.

    >>> measure_of("orders_30d"), measure_of("orders_trend")
    ('orders', 'orders')
    """
    return SUFFIX.sub("", feature)


def raw_values(schema: Schema) -> Column:
    """The features as one array; missing values are null."""
    return F.array(*feature_columns(schema).values())


def filled_values(schema: Schema, whole: Schema) -> Column:
    """The features of ``schema`` as one array, missing values imputed, taken from ``values``, the raw array of ``whole``.

    The same as ``worker_model.imputed``.
    """
    place = {name: n for n, name in enumerate(whole.features)}
    nothing = F.lit(None).cast("double")
    values = [F.nanvl(F.get("values", F.lit(place[name])), nothing) for name in schema.features]
    return F.array(*[F.coalesce(value, F.lit(fill)) for value, fill in zip(values, schema.fills, strict=True)])
