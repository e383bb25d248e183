"""Mask secrets and values of rows in texts that people and tables keep: messages, logs, errors."""

import re
from collections.abc import Mapping

USERINFO = re.compile(r"(\b[a-zA-Z][\w+.-]*://)[^/\s@'\"]+@")
ROW_VALUES = re.compile(r"(violated by row with values:)(?:\s*\n? - [^\n]*)+")
CAST_VALUE = re.compile(r"(The value )'(?:[^']|'')*'")
SHORTEST = 4  # characters; shorter values would be masked everywhere

_known: dict[str, str] = {}


def remember_secrets(secrets: Mapping[str, str]) -> None:
    """Mask the values from now on; ``secrets``: value -> what is shown in its place."""
    _known.update({value: shown for value, shown in secrets.items() if len(value) >= SHORTEST})


def redacted(text: str) -> str:
    """Return ``text`` without passwords in URIs, values of the environment that the configuration names, and values of rows.

    >>> redacted("no answer from postgresql://ann:geheim@db.example.org/mlflow")
    'no answer from postgresql://***@db.example.org/mlflow'
    >>> redacted("[CAST_INVALID_INPUT] The value 'u17' of the type STRING cannot be cast")
    "[CAST_INVALID_INPUT] The value '***' of the type STRING cannot be cast"
    """
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, _known[value])
    text = CAST_VALUE.sub(r"\1'***'", ROW_VALUES.sub(r"\1 ***", text))
    return USERINFO.sub(r"\1***@", text)
