"""Models as Spark's workers apply them to Arrow batches, with numpy and LightGBM alone.

These objects and their classes travel by value (``shipping``), so an executor needs nothing of ours installed. Matrices:
``raw`` has one row a user and all columns of the frame's array, NaN where a value is missing; ``features`` has one row a
feature of the model, missing values imputed, and one column a user.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

CHUNK_ROWS = 16_384  # the split outcomes of a tree for this many rows stay in the cache; Spark's batches have 10,000 rows


def imputed(raw: Floats, places: Sequence[int], fills: Sequence[float]) -> Floats:
    """The columns ``places`` of ``raw``, one row each, NaN replaced by ``fills``: as ``schema.filled_values`` does in Spark."""
    taken = np.empty((len(places), len(raw)))
    for column, place, fill in zip(taken, places, fills, strict=True):
        column[:] = raw[:, place]
        np.copyto(column, fill, where=np.isnan(column))
    return taken


def fingerprint(features: Floats) -> Whole:
    """A 64-bit hash of each user's values; -0 counts as 0. Two users with different values share one with chance 10^-19."""
    found = np.zeros(features.shape[1], dtype=np.uint64)
    for place, column in enumerate(features):
        # splitmix64 of value and place, then summed
        salt = np.uint64((place + 1) * 0x9E3779B97F4A7C15 % 2**64)
        z = ((column + 0.0).view(np.uint64) ^ salt) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
        found += z ^ (z >> np.uint64(32))
    return found.view(np.int64)


@dataclass(frozen=True, eq=False)
class WorkerModel(ABC):
    """Base class: selects the model's columns, imputes missing values, and bins margins.

    ``places``: the columns of ``raw`` that are the model's features, in order; ``fills``: what is imputed for each.
    ``edges``: where the bins of the margin begin, rising (``margin_bins``). ``expected``: where exact contributions start from,
    the mean margin of the training rows. ``measures``: the number of the measure of each feature, by which contributions are
    added up.
    """

    places: Sequence[int]
    fills: Sequence[float]
    edges: Floats
    expected: float
    measures: Sequence[int]

    def features(self, raw: Floats) -> Floats:
        """The model's features, missing values imputed."""
        return imputed(raw, self.places, self.fills)

    def margin_bins(self, margin: Floats) -> Whole:
        """The bin of each margin, 0 .. number of edges; a margin that equals an edge lies above it."""
        return np.searchsorted(self.edges, margin, side="right").astype(np.int64)

    @abstractmethod
    def margin(self, features: Floats) -> Floats:
        """The uncalibrated score of each user."""

    @abstractmethod
    def shapley(self, features: Floats) -> tuple[Floats, Floats]:
        """Margin, and Shapley values with measures as players (one row a measure): with ``expected`` they add up to the margin.

        A player is a measure: all its features become known together (Jullum et al., groupShapley, 2021). So windows that say
        the same do not share one effect among themselves.
        """

    @abstractmethod
    def used_features(self) -> set[int]:
        """Numbers of the features that the margin depends on."""

    def per_measure(self, added: Floats) -> Floats:
        """The sums of the rows of ``added`` (one a feature) by measure."""
        sums = np.zeros((max(self.measures, default=-1) + 1, added.shape[1]))
        for part, measure in zip(added, self.measures, strict=True):
            sums[measure] += part
        return sums


@dataclass(frozen=True, eq=False)
class LinearModel(WorkerModel):
    """A linear model; ``means``: of the imputed features over the train span."""

    coefficients: Floats
    means: Floats
    intercept: float

    def margin(self, features: Floats) -> Floats:
        """Intercept + coefficients x values."""
        return self.coefficients @ features + self.intercept

    def shapley(self, features: Floats) -> tuple[Floats, Floats]:
        """Margin, and the sums of coefficient x (value - mean): exact Shapley values where features are taken as independent."""
        return self.margin(features), self.per_measure(self.coefficients[:, None] * (features - self.means[:, None]))

    def used_features(self) -> set[int]:
        """Features with a coefficient."""
        return set(np.flatnonzero(self.coefficients).tolist())


@dataclass(frozen=True, eq=False)
class SingleFeatureModel(WorkerModel):
    """A model of one feature: the margin is linear between ``knots``, and constant below the first and above the last one."""

    knots: Floats
    margins: Floats

    def margin(self, features: Floats) -> Floats:
        """The margin at the user's value."""
        return np.interp(features[0], self.knots, self.margins)

    def shapley(self, features: Floats) -> tuple[Floats, Floats]:
        """Margin, and margin - ``expected``: all that moves the margin is the one feature."""
        margin = self.margin(features)
        return margin, (margin - self.expected)[None, :]

    def used_features(self) -> set[int]:
        """The one feature."""
        return {0}


@dataclass(frozen=True, eq=False)
class Piece:
    """Lookup tables for a part of a tree. The row of a table is a bit mask: bit n is 1 where the user goes left at the split
    ``splits[n]`` of the tree.

    ``values``: the margin that the tree adds, 0 where the user's leaf lies in another piece; ``effects``: (measure, Shapley
    value), empty where no reasons are wanted.
    """

    splits: Sequence[int]
    values: Floats
    effects: Sequence[tuple[int, Floats]]


@dataclass(frozen=True, eq=False)
class TreeTables:
    """A tree as lookup tables: its ``splits`` (feature, threshold; a value <= the threshold goes left) and its pieces."""

    splits: Sequence[tuple[int, float]]
    pieces: Sequence[Piece]


@dataclass(frozen=True, eq=False)
class TreeModel(WorkerModel):
    """Trees as lookup tables (``shap``): twice as fast as walking down each tree."""

    trees: Sequence[TreeTables]

    def margin(self, features: Floats) -> Floats:
        """Sum of one leaf of each tree."""
        margin = np.zeros(features.shape[1])
        for rows in _chunks(features):
            for piece, mask in self._masks(features[:, rows]):
                margin[rows] += piece.values.take(mask)
        return margin

    def shapley(self, features: Floats) -> tuple[Floats, Floats]:
        """Margin and TreeSHAP values by measure, both from one evaluation of the splits."""
        margin = np.zeros(features.shape[1])
        added = np.zeros((max(self.measures, default=-1) + 1, len(margin)))
        for rows in _chunks(features):
            margin_here, added_here = margin[rows], added[:, rows]
            for piece, mask in self._masks(features[:, rows]):
                margin_here += piece.values.take(mask)
                for measure, table in piece.effects:
                    added_here[measure] += table.take(mask)
        return margin, added

    def used_features(self) -> set[int]:
        """Features with a split."""
        return {feature for tree in self.trees for feature, _ in tree.splits}

    def _masks(self, features: Floats) -> Iterator[tuple[Piece, Whole]]:
        """Each piece of each tree with the row of its tables for each user."""
        for tree in self.trees:
            left = [np.less_equal(features[feature], threshold).view(np.uint8) for feature, threshold in tree.splits]
            for piece in tree.pieces:
                yield piece, _mask(left, piece.splits)


@dataclass(frozen=True, eq=False)
class Path:
    """What a tree's leaves hold, by leaf: ``values``, and (feature, what the splits on that feature added on the way)."""

    values: Floats
    added: Sequence[tuple[int, Floats]]


@dataclass(frozen=True, eq=False)
class DeepTreeModel(WorkerModel):
    """Trees too deep for tables: LightGBM evaluates their ``text``. Exact values take it 50 times as long as the tables.

    ``base``: the sum of the roots' values, where the contributions along ``paths`` start from; no paths where no reasons are
    wanted.
    """

    text: str
    base: float
    paths: Sequence[Path]

    @property
    def _booster(self) -> Any:
        # functools.cached_property holds a lock, with which a class cannot be pickled by value
        if "booster" not in self.__dict__:
            import lightgbm

            self.__dict__["booster"] = lightgbm.Booster(model_str=self.text)
        return self.__dict__["booster"]

    def margin(self, features: Floats) -> Floats:
        """Sum of one leaf of each tree."""
        return self._predict(features, raw_score=True)

    def along_paths(self, features: Floats) -> tuple[Floats, Floats]:
        """Margin, and what the splits on the way to each leaf added (Saabas), by measure; with ``base`` the sum is the margin."""
        margin, added = np.zeros(features.shape[1]), np.zeros(features.shape)
        leaves = self._predict(features, pred_leaf=True).reshape(features.shape[1], -1).T.astype(np.int64)
        for path, leaf in zip(self.paths, leaves, strict=True):
            margin += path.values.take(leaf)
            for feature, table in path.added:
                added[feature] += table.take(leaf)
        return margin, self.per_measure(added)

    def shapley(self, features: Floats) -> tuple[Floats, Floats]:
        """Margin, and the sums by measure of TreeSHAP values whose players are features: LightGBM knows no groups of features."""
        return self.margin(features), self.per_measure(self._predict(features, pred_contrib=True)[:, :-1].T)

    def used_features(self) -> set[int]:
        """Features with a split."""
        return {feature for path in self.paths for feature, _ in path.added}

    def _predict(self, features: Floats, **what: bool) -> Any:
        return np.asarray(self._booster.predict(np.ascontiguousarray(features.T), num_threads=1, **what))


def _chunks(features: Floats) -> Iterator[slice]:
    return (slice(first, first + CHUNK_ROWS) for first in range(0, features.shape[1], CHUNK_ROWS))


def _mask(left: list[NDArray[np.uint8]], splits: Sequence[int]) -> Whole:
    narrowest: Any = np.uint16 if len(splits) <= 16 else np.uint32
    mask = left[splits[-1]].astype(narrowest)
    for split in splits[-2::-1]:
        mask <<= 1
        mask |= left[split]
    return mask.astype(np.int64)
