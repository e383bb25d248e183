"""What a stranger's log looks like from its first rows: columns, their values, how the files are to be read."""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Options = Mapping[str, str]


@dataclass(frozen=True)
class Column:
    """A column: ``sql`` gives it in the map of sources.yaml, ``values`` are its first ones as text ('' is none)."""

    name: str
    sql: str
    values: tuple[str, ...]
    kind: str = "string"

    @property
    def filled(self) -> list[str]:
        """The values that are there."""
        return [value for value in self.values if value]


@dataclass(frozen=True)
class Layout:
    """How files are read: format, reader options, names of their own for the columns (``given``), the columns."""

    format: str
    columns: tuple[Column, ...]
    options: Options = field(default_factory=dict)
    given: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def key(name: str) -> str:
    """A column's name without case, accents and separators: ``Customer ID`` and ``customerId`` are ``customerid``."""
    return "".join(words(name))


def words(name: str) -> list[str]:
    """The words of a column's name in lower case: ``orderDate`` has ``order`` and ``date``."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", plain(name))
    return [word.lower() for word in re.split(r"[^A-Za-z0-9]+", split) if word]


def plain(text: str) -> str:
    """The text in ASCII as far as its letters have a base: ``Größe`` is ``Grosse``."""
    return unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode()


def slug(text: str, prefix: str, taken: Iterable[str] = ()) -> str:
    """A name for settings made of ``text``: lower case, digits, underscores; not one of ``taken``."""
    base = re.sub(r"[^a-z0-9]+", "_", plain(text).lower()).strip("_")[:40].strip("_")
    if not base or not base[0].isalpha():
        base = f"{prefix}_{base}".strip("_")
    used, name, n = set(taken), base, 2
    while name in used:
        name, n = f"{base}_{n}", n + 1
    return name


def quoted(name: str) -> str:
    """A column in Spark SQL; odd names stand in backticks."""
    # a plain word may still be a keyword, which Spark reads as something else: date, timestamp, user
    safe = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in KEYWORDS
    return name if safe else "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A text in Spark SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def from_records(
    records: Iterable[Mapping[str, object]], format_: str, kinds: Mapping[str, str] | None = None, options: Options | None = None
) -> Layout:
    """The layout of rows with names (JSON, Parquet, Delta); objects inside objects give ``outer.inner``, two levels deep."""
    rows = [dict(_flat(record)) for record in records]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = tuple(
        Column(
            ".".join(name),
            ".".join(map(quoted, name)),
            tuple(_text(row.get(name)) for row in rows),
            (kinds or {}).get(".".join(name), "string"),
        )
        for name in names
    )
    return Layout(format_, columns, options or {})


def _flat(record: Mapping[str, object], above: tuple[str, ...] = ()) -> Iterable[tuple[tuple[str, ...], object]]:
    for name, value in record.items():
        if isinstance(value, dict) and len(above) < 2:
            yield from _flat(value, (*above, name))
        else:
            yield (*above, name), value


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)


KEYWORDS = frozenset(
    " ".join(
        (
            "count sum min max avg return call cancel open close exists for in is update delete insert merge alter drop",
            "all and any array as between both by case cast column date day double else end event false for from",
            "full group having hour in int interval is join left like limit map minute month natural not null on",
            "or order outer over position right row second select session session_user set start string table",
            "then time timestamp to trailing true type union unique user using values when where window with year",
            "current_date current_user offset percent range rows",
        )
    ).split()
)
