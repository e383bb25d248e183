"""Guess the fields of an event besides user and time, and the columns that are kept as properties."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from churnwatch.begin.columns import Column, key, words
from churnwatch.begin.guesses import Facts, Guess, distinct_words, id_sql, is_counted, rank
from churnwatch.begin.known import PERSONAL
from churnwatch.begin.numbers import NumberForm, number_form
from churnwatch.begin.times import is_clock, time_forms

FEW_TYPES = 200  # a column with more distinct values is no event type
FEW_VALUES = 100  # a column with more distinct values is no property
MOST_PROPERTIES = 10
Fits = Callable[[Column], bool]


class OtherFields:
    """Guess fields besides user and time. Each column serves one field; ``taken``: columns in use already."""

    def __init__(self, columns: Sequence[Column], facts: Facts, taken: set[str]) -> None:
        self._facts, self._taken = facts, set(taken)
        self._columns = columns
        self.quantity: Column | None = None
        self.unit_price = False

    def fields(self) -> Iterator[tuple[str, Guess]]:
        """Yield (field, guess); earlier fields choose their columns first."""
        if column := self._named("event_type", self._is_type):
            kinds = self._facts.columns[column.name].distinct
            yield "event_type", self._guess(column, column.sql, f"its name is one of an event's kind; {kinds:,} kinds")
        else:
            yield from self._unnamed_type()
        if column := self._named("event_id", self._is_unique):
            yield "event_id", Guess(column.sql, "every row has another value", column)
        yield from self._amount()
        if column := self._named("duration_s", self._is_number):
            form = number_form(column)
            sql, unit = _seconds(column, form.sql if form else column.sql)
            yield "duration_s", self._guess(column, sql, f"its name is one of a duration, taken as {unit}")
        for field_, fits in (("item_id", self._repeats), ("session_id", self._any), ("channel", self._few)):
            if column := self._named(field_, fits):
                reason = f"its name is one of {_article(field_)}; {distinct_words(column, self._facts)}"
                yield field_, self._guess(column, id_sql(column), reason)

    def _guess(self, column: Column, sql: str, reason: str) -> Guess:
        self._taken.add(column.name)
        return Guess(sql, reason, column)

    def _named(self, field_: str, fits: Fits) -> Column | None:
        ranked = [(place, c) for c in self._columns if (place := rank(field_, c.name)) is not None and c.name not in self._taken]
        return next((column for _, column in sorted(ranked, key=lambda one: one[0]) if fits(column)), None)

    def _amount(self) -> Iterator[tuple[str, Guess]]:
        self.quantity = self._named("quantity", self._is_number)
        price = self._named("price", self._is_number)
        column = self._named("amount", self._is_number)
        if column is None:
            yield from self._unnamed_amount()
            return
        form = number_form(column) or NumberForm(column.sql, "", False)
        if price is not None and column.name == price.name and self.quantity is not None:
            pieces = number_form(self.quantity) or NumberForm(self.quantity.sql, "", False)
            sql = f"try_cast({pieces.sql} AS DECIMAL(18,3)) * try_cast({form.sql} AS DECIMAL(18,4))"
            self.unit_price = True
            yield "amount", self._guess(column, sql, f"pieces ({self.quantity.name}) times the price of one; {form.words}")
            return
        sql, unit = form.sql, form.words
        if "cents" in words(column.name) or key(column.name).endswith("cents"):
            sql, unit = f"try_cast({sql} AS DECIMAL(18,2)) / 100", f"{unit}, in cents"
        yield "amount", self._guess(column, sql, f"its name is one of money; {unit}")

    def _unnamed_type(self) -> Iterator[tuple[str, Guess]]:
        """In a log without column names, take the only column with few distinct words as the event type."""
        texts = [c for c in self._columns if c.filled and all(re.fullmatch(r"[A-Za-z][\w .-]{0,40}", v) for v in c.filled)]
        few = [c for c in texts if re.fullmatch(r"column_\d+", c.name) and c.name not in self._taken and self._few(c)]
        if len(few) == 1:
            yield "event_type", self._guess(few[0], few[0].sql, "the only column with few words, so it may be an event's kind")

    def _unnamed_amount(self) -> Iterator[tuple[str, Guess]]:
        """In a log without column names, take the only column with two decimals in every row as the amount."""
        money = [c for c in self._columns if c.filled and all(re.fullmatch(r"-?\d+[.]\d\d", v.strip()) for v in c.filled)]
        if len(money) == 1 and re.fullmatch(r"column_\d+", money[0].name) and money[0].name not in self._taken:
            yield (
                "amount",
                self._guess(money[0], money[0].sql, "the only column with two decimals in every row, so it may be money"),
            )

    def spare(self, found: Mapping[str, Guess]) -> tuple[list[Column], dict[str, str]]:
        """Return the columns that become properties, and for each other unused column why it does not."""
        used = self._taken | {g.column.name for g in found.values() if g.column}
        kept: list[Column] = []
        left_out = {}
        for column in self._columns:
            if column.name in used:
                continue
            if why := self._no_property(column):
                left_out[column.name] = why
            elif len(kept) == MOST_PROPERTIES:
                left_out[column.name] = f"there are {MOST_PROPERTIES} properties already"
            else:
                kept.append(column)
        return kept, left_out

    def _no_property(self, column: Column) -> str:
        filled = self._facts.columns[column.name]
        if filled.distinct <= 1:
            return "it has the same value in every row"
        if PERSONAL & ({key(column.name)} | set(words(column.name))):
            return "it identifies a person"
        if column.kind.startswith(("array", "map", "struct", "binary")) or (column.filled and column.filled[0].startswith("[")):
            return "it is a list"
        if is_counted(column):
            return ""
        if any(not form.number for form in time_forms(column)) or (
            time_forms(column) and rank("event_time", column.name) is not None
        ):
            return "it is another time"
        if filled.distinct > FEW_VALUES:
            return f"about {filled.distinct:,} values"
        return ""

    def _any(self, column: Column) -> bool:
        return self._facts.columns[column.name].distinct > 1

    def _repeats(self, column: Column) -> bool:
        filled = self._facts.columns[column.name]
        return 1 < filled.distinct < max(filled.rows, 2)

    def _few(self, column: Column) -> bool:
        return 1 < self._facts.columns[column.name].distinct <= 50

    def _is_type(self, column: Column) -> bool:
        return 1 <= self._facts.columns[column.name].distinct <= FEW_TYPES and not (
            number_form(column) is not None and any("." in value for value in column.filled)
        )

    def _is_unique(self, column: Column) -> bool:
        filled = self._facts.columns[column.name]
        return filled.exact and filled.rows == filled.distinct == self._facts.rows

    def _is_number(self, column: Column) -> bool:
        return number_form(column) is not None and not is_clock(column)


def _seconds(column: Column, sql: str) -> tuple[str, str]:
    named = set(words(column.name)) | {key(column.name)}
    if named & {"ms", "millis", "milliseconds", "msec"} or key(column.name).endswith(("ms", "millis")):
        return f"try_cast({sql} AS DECIMAL(20,3)) / 1000", "milliseconds"
    if named & {"minutes", "min", "mins"} or key(column.name).endswith("minutes"):
        return f"try_cast({sql} AS DECIMAL(20,3)) * 60", "minutes"
    return sql, "seconds"


def _article(field_: str) -> str:
    return {"item_id": "an item", "session_id": "a session or order", "channel": "a channel"}[field_]
