"""Models as Spark's workers apply them to Arrow batches: numpy and lightgbm alone; travels by value (``shipped``).

A model travels as a plain dictionary (``shipped.packed``). Whatever its kind, an opened one has ``columns(raw)``, what it
takes users to be, and of these ``margin`` and, where it was packed for reasons, ``explained`` and ``exact``: margin and
contributions of features, one row a feature, that add up to it with ``base`` and with ``expected``.
``raw``: one row a user, over all columns that the frame's array has; ``columns``: one row a feature of the model, filled.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

CHUNK_ROWS = 16_384  # what the splits of a tree decided for so many rows stays in the cache; Spark's batches have 10,000


def opened(packed: Mapping[str, Any]) -> Any:
    """The model of a dictionary that ``shipped.packed`` made; cheap next to a batch."""
    return Linear(packed) if packed["kind"] == "linear" else Trees(packed)


def fingerprint(columns: Floats) -> Whole:
    """A 64-bit hash of each user's values, -0 as 0: users that differ have another one, but for one pair in 10^19."""
    found = np.zeros(columns.shape[1], dtype=np.uint64)
    for place, column in enumerate(columns):
        # splitmix64 of value and place, then summed
        salt = np.uint64((place + 1) * 0x9E3779B97F4A7C15 % 2**64)
        z = ((column + 0.0).view(np.uint64) ^ salt) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
        found += z ^ (z >> np.uint64(32))
    return found.view(np.int64)


class Model:
    """What all kinds share: which of the columns they take, and what stands for missing values."""

    def __init__(self, packed: Mapping[str, Any]) -> None:
        self.packed = packed

    def columns(self, raw: Floats) -> Floats:
        """The model's features, a row each, NaN replaced by the fill: the same as ``schema.filled_values`` in Spark."""
        taken = np.empty((len(self.packed["columns"]), len(raw)))
        for column, place, fill in zip(taken, self.packed["columns"], self.packed["fills"], strict=True):
            column[:] = raw[:, place]
            np.copyto(column, fill, where=np.isnan(column))
        return taken


class Linear(Model):
    """A linear model: contributions are exact, for everybody."""

    def margin(self, columns: Floats) -> Floats:
        """Intercept + coefficients x values."""
        return np.asarray(self.packed["coefficients"]) @ columns + self.packed["intercept"]

    def explained(self, columns: Floats) -> tuple[Floats, Floats]:
        """Margin, and coefficient x (value - mean of the train span)."""
        coefficients, means = (np.asarray(self.packed[name])[:, None] for name in ("coefficients", "means"))
        return self.margin(columns), coefficients * (columns - means)

    def exact(self, columns: Floats) -> tuple[Floats, Floats]:
        """The same: the values are exact."""
        return self.explained(columns)


class Trees(Model):
    """Trees, applied by looking up in tables what their splits decided (``shap``): twice as fast as walking down.

    Forests too deep for tables are left to LightGBM.
    """

    def __init__(self, packed: Mapping[str, Any]) -> None:
        super().__init__(packed)
        self._deep: Any = None
        if packed["pieces"] is None:
            import lightgbm

            self._deep = lightgbm.Booster(model_str=packed["text"])

    def margin(self, columns: Floats) -> Floats:
        """Sum of one leaf of each tree."""
        if self._deep:
            return self._of_lightgbm(columns, raw_score=True)
        margin = np.zeros(columns.shape[1])
        for rows in _chunks(columns):
            for tree, codes in self._decided(columns[:, rows]):
                for piece, code in zip(tree["pieces"], codes, strict=True):
                    margin[rows] += piece["values"].take(code)
        return margin

    def explained(self, columns: Floats) -> tuple[Floats, Floats]:
        """Margin, and what the splits on the way to each leaf added: one look at the leaves gives both."""
        margin, added = np.zeros(columns.shape[1]), np.zeros(columns.shape)
        for rows in _chunks(columns):
            margin_here, added_here = margin[rows], added[:, rows]
            for (values, parts), leaf in zip(self.packed["paths"], self._leaves(columns[:, rows]), strict=True):
                margin_here += values.take(leaf)
                for feature, table in parts:
                    added_here[feature] += table.take(leaf)
        return margin, added

    def exact(self, columns: Floats) -> tuple[Floats, Floats]:
        """Margin, and TreeSHAP values: from tables both in one look at the splits; from LightGBM 50 times as long."""
        if self._deep:
            return self.margin(columns), self._of_lightgbm(columns, pred_contrib=True)[:, :-1].T
        margin, added = np.zeros(columns.shape[1]), np.zeros(columns.shape)
        for rows in _chunks(columns):
            margin_here, added_here = margin[rows], added[:, rows]
            for tree, codes in self._decided(columns[:, rows]):
                for piece, code in zip(tree["pieces"], codes, strict=True):
                    margin_here += piece["values"].take(code)
                    for feature, table in piece["effects"]:
                        added_here[feature] += table.take(code)
        return margin, added

    def _leaves(self, columns: Floats) -> Iterator[Whole]:
        """The leaf of each row, tree by tree."""
        if self._deep:
            yield from self._of_lightgbm(columns, pred_leaf=True).reshape(columns.shape[1], -1).T.astype(np.int64)
            return
        for tree, codes in self._decided(columns):
            leaf = np.zeros(columns.shape[1], dtype=np.int64)
            for piece, code in zip(tree["pieces"], codes, strict=True):
                leaf += piece["leaves"].take(code)
            yield leaf

    def _decided(self, columns: Floats) -> Iterator[tuple[Mapping[str, Any], Iterator[Whole]]]:
        """Of each tree and piece the row of its tables: bit n says whether a user goes left at the piece's n-th split."""
        for tree in self.packed["pieces"]:
            left = [np.less_equal(columns[feature], threshold).view(np.uint8) for feature, threshold in tree["splits"]]
            yield tree, (_code(left, piece["splits"]) for piece in tree["pieces"])

    def _of_lightgbm(self, columns: Floats, **what: bool) -> Any:
        return np.asarray(self._deep.predict(np.ascontiguousarray(columns.T), num_threads=1, **what))


def _chunks(columns: Floats) -> Iterator[slice]:
    return (slice(first, first + CHUNK_ROWS) for first in range(0, columns.shape[1], CHUNK_ROWS))


def _code(left: list[NDArray[np.uint8]], splits: list[int]) -> Whole:
    narrowest: Any = np.uint16 if len(splits) <= 16 else np.uint32
    code = left[splits[-1]].astype(narrowest)
    for split in splits[-2::-1]:
        code <<= 1
        code |= left[split]
    return code.astype(np.int64)
