"""Guess the columns of an unknown log, above all user and time, each with a reason; pure, over first rows and counts."""

import re

from churnwatch.begin.columns import Column, Layout, words
from churnwatch.begin.guesses import Facts, Filled, Guess, Guesses, NoLog, distinct_words, is_counted, rank
from churnwatch.begin.known import OTHER_TIMES
from churnwatch.begin.numbers import number_form
from churnwatch.begin.other_fields import OtherFields
from churnwatch.begin.times import TimeForm, is_clock, time_forms, with_clock
from churnwatch.begin.zones import zone_of

LIKE = 100  # ranks from here on: the name resembles a known one, but is not one
# a column with a name of one of these fields is not taken for a user
NO_USERS = ("event_time", "event_type", "amount", "duration_s", "item_id", "session_id", "channel", "quantity", "price")
CLOCK_WORDS = {"time", "clock", "hour", "uhrzeit", "zeit", "heure", "hora"}


def sample_facts(layout: Layout) -> Facts:
    """Count the first rows of a layout."""
    columns = {c.name: Filled(len(c.filled), len(set(c.filled))) for c in layout.columns}
    return Facts(max((len(c.values) for c in layout.columns), default=0), columns)


def guess_fields(layout: Layout, facts: Facts) -> Guesses | NoLog:
    """Guess the fields of the log, or say why it is no event log."""
    time, times = _time(layout, facts)
    user, users = _user(layout, facts, {time[0].name} if time else set())
    if time is None or user is None:
        lacks = [what for what, found in (("the user", user), ("the time", time)) if found is None]
        return NoLog(tuple(lacks), users, times, _hint(layout, facts))
    found = {"user_id": user, "event_time": Guess(time[1].sql, time[2], time[0])}
    taken = {c.name for c in (user.column, time[0], time[3]) if c}
    rest = OtherFields(layout.columns, facts, taken)
    found |= dict(rest.fields())
    order = ["event_id", "user_id", "event_time", "event_type", "amount", "duration_s", "item_id", "session_id", "channel"]
    spare, left_out = rest.spare(found)
    fields = {name: found[name] for name in order if name in found}
    zone = zone_of(layout.columns, time[0], time[1], facts)
    return Guesses(fields, time[1], spare, left_out, rest.quantity, rest.unit_price, zone)


# --- the user ---------------------------------------------------------------------------------------------------------


def _user(layout: Layout, facts: Facts, taken: set[str]) -> tuple[Guess | None, dict[str, str]]:
    """Guess the user: a column with a user's name, else the first whose values look like ids that occur more than once.

    Also return, for each other column, why it was not taken.
    """
    refused, named, unnamed = {}, [], []
    for column in layout.columns:
        place = rank("user_id", column.name)
        if why := _no_user(column, facts, column.name in taken, place is not None):
            refused[column.name] = why
        elif place is not None:
            named.append((place, column))
        elif _looks_like_ids(column, facts):
            unnamed.append(column)
        else:
            refused[column.name] = "its name is none of a user, its values do not look like ids that occur more than once"
    if named:
        column = min(named, key=lambda one: one[0])[1]
        return Guess(column.sql, f"its name is one of a user; {distinct_words(column, facts)}", column), refused
    if unnamed:
        column = unnamed[0]
        found = f"the first whose values look like ids that occur more than once, {distinct_words(column, facts)}"
        reason = f"no column has a user's name; {found}"
        return Guess(column.sql, reason, column), refused
    return None, refused


def _no_user(column: Column, facts: Facts, is_time: bool, named: bool) -> str:
    filled = facts.columns[column.name]
    if is_time:
        return "it is the time"
    if not filled.rows:
        return "it is empty"
    if filled.distinct <= 2:
        return f"it has {filled.distinct} value(s) in all"
    # an approximate count is off by some per cent; columns with a user's name are counted exactly
    unique = filled.distinct == filled.rows if filled.exact else not named and filled.distinct >= 0.9 * filled.rows
    if unique:
        return f"every row has another value ({filled.distinct:,} in {filled.rows:,} rows), so no user would have two events"
    form = number_form(column)
    if form and not form.whole:
        return f"it holds amounts such as {column.filled[0][:40]}"
    return ""


def _looks_like_ids(column: Column, facts: Facts) -> bool:
    filled = facts.columns[column.name]
    plain = [v for v in column.filled if re.fullmatch(r"\S{1,64}", v.strip())]
    form = number_form(column)
    places = [place for field in NO_USERS if (place := rank(field, column.name)) is not None]
    other = is_counted(column) or any(place < LIKE for place in places)
    small = other or (form is not None and all(len(v) < 3 for v in column.filled))
    times = time_forms(column)
    return not small and not times and not is_clock(column) and len(plain) >= 0.95 * len(column.filled) and filled.distinct >= 10


# --- the time ---------------------------------------------------------------------------------------------------------

Time = tuple[Column, TimeForm, str, Column | None]


def time_candidates(layout: Layout) -> list[tuple[Column, TimeForm]]:
    """List each way in which a column can be read as a time."""
    return [(column, form) for column in layout.columns for form in time_forms(column)]


def _time(layout: Layout, facts: Facts) -> tuple[Time | None, dict[str, str]]:
    refused: dict[str, str] = {}
    found = []
    for position, column in enumerate(layout.columns):
        forms = time_forms(column)
        place = rank("event_time", column.name)
        if not forms:
            refused[column.name] = f"{column.filled[0][:40]!r} is no time" if column.filled else "it is empty"
            continue
        if rank("user_id", column.name) is not None or (place is None and forms[0].number and _is_id(column)):
            refused[column.name] = "its name is one of an id"
            continue
        form = max(forms, key=lambda f: facts.read_as_time.get(f.sql, 0))  # the first of equals
        other = bool(OTHER_TIMES & set(words(column.name))) and (place is None or place >= LIKE)
        score = (other, place is None and form.number, form.dates_alone, 999 if place is None else place, position)
        found.append((score, column, form, forms))
    if not found:
        return None, refused
    _, column, form, forms = min(found, key=lambda one: one[0])
    reason = f"{form.words}; {_read(column, form, facts)}"
    if len(forms) > 1:
        by = {f.words: facts.read_as_time.get(f.sql, 0) for f in forms}
        reason += "; day and month could be the other way round" if len(set(by.values())) == 1 else ""
    for _, other_column, _, _ in found:
        if other_column is not column:
            refused[other_column.name] = f"{column.name} is likelier the event's time"
    clock = (
        None
        if not form.dates_alone
        else next((c for c in layout.columns if is_clock(c) and CLOCK_WORDS & set(words(c.name))), None)
    )
    if clock:
        form = with_clock(form, column, clock)
        reason = f"{form.words}; {_read(column, form, facts)}"
    return (column, form, reason, clock), refused


def _read(column: Column, form: TimeForm, facts: Facts) -> str:
    if form.sql not in facts.read_as_time:
        return f"named {column.name}"
    bad = facts.rows - facts.read_as_time[form.sql]
    return f"{bad:,} of {facts.rows:,} rows cannot be read so" if bad else "every row can be read so"


def _is_id(column: Column) -> bool:
    return bool({"id", "no", "number", "code", "nr"} & set(words(column.name))) or column.name.lower().endswith("id")


def id_candidates(layout: Layout, facts: Facts) -> list[str]:
    """Name columns whose distinct values must be counted exactly: users by name, and ids that may differ in every row."""
    near = [c.name for c in layout.columns if facts.columns[c.name].distinct >= 0.9 * facts.rows > 0]
    users = [name for name in near if rank("user_id", name) is not None]
    ids = sorted((n for n in near if rank("event_id", n) is not None), key=lambda n: rank("event_id", n) or 0)
    return list(dict.fromkeys([*users, *ids[:2]]))


def _hint(layout: Layout, facts: Facts) -> str:
    unique = any(f.rows > 2 and f.rows == f.distinct and f.exact for f in facts.columns.values())
    arms = [n for n, f in facts.columns.items() if 2 <= f.distinct <= 5 and not _yes_or_no(layout, n)]
    if unique and arms:
        return (
            f"one row a user with groups ({arms[0]}) looks like an experiment's table: "
            "name it in experiments.yaml and run `churnwatch experiment import`"
        )
    return "an event log has one row an event: who, when, and mostly what; a table of users goes into users: of sources.yaml"


def _yes_or_no(layout: Layout, name: str) -> bool:
    values = {v.lower() for c in layout.columns if c.name == name for v in c.filled}
    return values <= {"true", "false", "0", "1", "yes", "no", "y", "n", "t", "f"}
