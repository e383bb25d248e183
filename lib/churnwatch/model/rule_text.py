"""A model of a single feature as text: the word ``rule``, then one JSON object."""

import json
from collections.abc import Sequence
from typing import Any

KIND = "rule"


def to_text(knots: Sequence[float], margins: Sequence[float], expected: float) -> str:
    """Text of the margin that is ``margins[n]`` where the feature is ``knots[n]``, and linear between knots, which rise.

    ``expected``: the mean margin of the training rows. Raises ValueError when the numbers of knots and margins differ.
    """
    if len(knots) != len(margins):
        raise ValueError(f"{len(knots)} knots, but {len(margins)} margins: give one margin for each knot")
    return f"{KIND}\n{json.dumps({'knots': list(knots), 'margins': list(margins), 'expected': expected})}\n"


def is_rule(text: str) -> bool:
    """Whether the text holds a model of a single feature."""
    return text.split("\n", 1)[0] == KIND


def parse(text: str) -> dict[str, Any]:
    """The numbers of a text that ``to_text`` wrote, by name."""
    return json.loads(text.split("\n")[1])
