"""What is known and what is guessed of a log's columns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from churnwatch.begin.columns import Column, key, slug, words
from churnwatch.begin.known import COUNTED, NAMES, NEVER_ADDED
from churnwatch.begin.numbers import number_form
from churnwatch.begin.times import TimeForm


@dataclass(frozen=True)
class Filled:
    """What is known of a column: rows in which it is filled, distinct values (near enough), whether that is exact."""

    rows: int
    distinct: int
    exact: bool = False


@dataclass(frozen=True)
class Facts:
    """Counts over all rows: rows, columns by name, and rows that each way of reading a time could read, by its SQL."""

    rows: int
    columns: Mapping[str, Filled]
    read_as_time: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Guess:
    """What a field of an event is taken from: Spark SQL, the reason, the column."""

    sql: str
    reason: str
    column: Column | None = None


@dataclass(frozen=True)
class Zone:
    """A time zone's name in the IANA database, and why it is taken."""

    name: str = "UTC"
    reason: str = "the log does not tell it: write yours here, and in clock.time_zone"


@dataclass(frozen=True)
class Guesses:
    """Fields -> guess; ``time``: how the time is read; ``number``: forms of the numeric ones; ``spare``: other columns
    worth keeping as properties; ``left_out``: column -> why it is none; ``quantity``: pieces, where there are any;
    ``zone``: of local times, and of the log's days."""

    fields: Mapping[str, Guess]
    time: TimeForm
    spare: Sequence[Column]
    left_out: Mapping[str, str]
    quantity: Column | None = None
    unit_price: bool = False
    zone: Zone = Zone()


@dataclass(frozen=True)
class NoLog:
    """Why this is no log of events: for each column why it is no user and no time."""

    lacks: tuple[str, ...]
    users: Mapping[str, str]
    times: Mapping[str, str]
    hint: str = ""

    def lines(self) -> list[str]:
        """The reasons, a line a column."""
        names = {**self.users, **self.times}
        lines = [f"no column can be {' and none '.join(self.lacks)}; these were looked at:"]
        for name in names:
            why = [f"no user: {self.users[name]}"] if name in self.users and "the user" in self.lacks else []
            why += [f"no time: {self.times[name]}"] if name in self.times and "the time" in self.lacks else []
            lines.append(f"  {name}: {'; '.join(why)}")
        return [*lines, *([self.hint] if self.hint else [])]


def distinct_words(column: Column, facts: Facts) -> str:
    """How many values the column has, and in how many rows it is empty, in words."""
    filled = facts.columns[column.name]
    missing = facts.rows - filled.rows
    empty = f", empty in {missing:,}" if missing else ""
    return f"{'' if filled.exact else 'about '}{filled.distinct:,} values in {facts.rows:,} rows{empty}"


def id_sql(column: Column) -> str:
    """The column; an id that was once a number with decimals loses them: 17850.0 is 17850."""
    if column.kind in ("float", "double"):
        return f"CAST(CAST({column.sql} AS DECIMAL(38,0)) AS STRING)"
    if column.kind == "string" and column.filled and all(re.fullmatch(r"\d+\.0", v) for v in column.filled):
        return f"regexp_replace({column.sql}, '[.]0$', '')"
    return column.sql


def is_counted(column: Column) -> bool:
    """Whether the column holds numbers that mean something when they are added up."""
    form, named = number_form(column), set(words(column.name))
    return form is not None and form.sql == column.sql and bool(COUNTED & named) and not NEVER_ADDED & named


def property_keys(spare: Sequence[Column]) -> dict[str, str]:
    """The key of each spare column in the map of properties; no key stands twice."""
    keys: dict[str, str] = {}
    for column in spare:
        keys[column.name] = slug(column.name, "p", keys.values())
    return keys


ENDED = ("user_id", "event_time", "amount", "quantity", "duration_s")  # fields whose names may have more before them


def rank(field_: str, name: str) -> int | None:
    """Place of the column's name among those that ``field_`` may have; None where it is none of them.

    From 100 on it is like one of them: two of its words are one, or it ends with one.
    """
    names, own, parts = NAMES[field_], key(name), words(name)
    for exact in (own, key(name.rpartition(".")[2])):
        if exact in names:
            return names.index(exact)
    if near := [names.index(pair) for a, b in zip(parts, parts[1:], strict=False) if (pair := f"{a}{b}") in names]:
        return 100 + min(near)
    ends = [place for place, known in enumerate(names) if len(known) >= 4 and own.endswith(known)]
    return 200 + min(ends) if ends and field_ in ENDED else None
