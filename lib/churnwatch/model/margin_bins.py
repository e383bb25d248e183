"""The bins of a model's margins: users are ranked by bin, and by a hash of their id within one.

Bins hold about equally many users of the calibration span. Bins of equal width would not do: one user with a margin far from
all others would make them so wide that a bin holds a large part of all users, and the hash alone would order them.
"""

import json

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST = 10_000  # bins; a cell of scoring is a bin x 100 parts of a hash
TAIL = 500  # bins below the least margin that was seen, and above the greatest one
INNER = MOST - 2 * TAIL
GROWTH = 1.03  # each bin of a tail is wider by this factor: the last one begins a million widths of the first one away
FIRST_SHARE = 1e-3  # width of a tail's first bin, as a share of the distance between the 5 % and the 95 % point
DIGITS = 9  # margins that differ less are one value: the order of a sum changes the last digits
LINE = "margin_edges:"


def margin_edges(margins: Floats, rows: Floats) -> Floats:
    """The rising edges of the bins for ``margins`` with ``rows`` rows each: at most 9,999. A bin begins at its edge.

    An edge lies in the middle between two margins that occur, so that equal margins share a bin whatever their last digits are.
    Margins that differ have bins of their own as long as there are at most 9,000 of them.
    """
    values, place = np.unique(np.round(margins, DIGITS), return_inverse=True)
    if not len(values):
        return np.zeros(0)
    counts = np.bincount(place, rows, len(values))
    below = np.cumsum(counts) / counts.sum()  # share of the rows up to each value
    middles, group = (values[1:] + values[:-1]) / 2, np.floor(below[:-1] * INNER)
    if len(middles) >= INNER:
        middles = middles[np.diff(group, prepend=-1.0) > 0]
    low, high = values[np.searchsorted(below, [0.05, 0.95])]
    first = max(high - low, abs(high) * FIRST_SHARE, 10.0**-DIGITS) * FIRST_SHARE
    away = first * (GROWTH ** np.arange(1, TAIL) - 1) / (GROWTH - 1)
    return np.unique(np.concatenate([values[0] - away, middles, values[-1] + away]))


def equal_widths(low: float, high: float) -> Floats:
    """Edges of 10,000 bins of equal width: of releases made before a text held edges."""
    return np.linspace(low, max(high, low + 1e-9), MOST + 1)[1:-1]


def with_edges(text: str, edges: Floats) -> str:
    """The model text with the edges as its last line."""
    return f"{split_edges(text)[0]}{LINE}{json.dumps([float(edge) for edge in edges])}\n"


def split_edges(text: str) -> tuple[str, Floats | None]:
    """The text without its edges, and the edges; None where it has none."""
    plain, found, line = text.rpartition(LINE)
    return (plain, np.array(json.loads(line), dtype=np.float64)) if found else (text, None)
