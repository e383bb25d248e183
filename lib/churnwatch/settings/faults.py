"""Checks of single names and expressions of the configuration."""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

import sqlglot
from sqlglot import expressions as exp
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify_columns import qualify_columns

from churnwatch.settings.functions import ALLOWED_FUNCTIONS, refused_functions

KeyPath = tuple[str | int, ...]
Found = Iterator[tuple[KeyPath, str]]


def known_name(path: KeyPath, what: str, name: str, known: Iterable[str]) -> Found:
    """Yield a fault when ``name`` is not one of ``known``; it suggests the nearest of them."""
    known = list(known)
    if name not in known:
        yield path, f"{what} {name!r} is not known{nearest(name, known)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a fault about ``name``: the nearest of ``known``; empty when there is none."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.0)
    return f"; did you mean {near[0]!r}?" if near else ""


def sql_faults(path: KeyPath, text: str, columns: Iterable[str] | None) -> Found:
    """Yield faults of ``text`` as a Spark SQL expression over ``columns``; None: any column.

    Functions whose result does not depend on their arguments alone are faults, such as the clock, chance, and calls out of
    Spark: the same input would give other rows on another day, or secrets and data would leave.
    """
    try:
        tree = sqlglot.parse_one(f"SELECT {text}", dialect="spark")
    except sqlglot.errors.SqlglotError as error:
        first = str(error).splitlines()[0]
        yield path, f"is not Spark SQL: {text!r} ({re.sub(chr(27) + r'[^m]*m', '', first)})"
        return
    if len(list(tree.find_all(exp.Select))) > 1 or tree.args.get("from") or tree.args.get("from_"):
        yield path, f"subqueries are refused: {text!r}"
        return
    # a source may have a column named user; elsewhere the columns are known, and Spark would take the name for who runs it
    for name in sorted(set(refused_functions(text)) - ({"user"} if columns is None else set())):
        near = nearest(name, ALLOWED_FUNCTIONS) if len(name) > 3 else ""
        yield (
            path,
            f"function {name} is refused: {text!r}{near}. Hint: use functions of their arguments alone; a column: `{name}`",
        )
    if columns is not None:
        known = list(columns)
        for name in sorted({c.parts[0].name for c in tree.find_all(exp.Column)}):
            yield from known_name(path, "column", name, known)


def condition_faults(path: KeyPath, text: str, columns: Mapping[str, str]) -> Found:
    """Yield faults of ``text`` as a condition over ``columns`` (name -> SQL type): unknown names, or not true or false.

    A function whose type is not known here passes; Spark checks it when the rule is evaluated.
    """
    faults = list(sql_faults(path, text, columns))
    yield from faults
    if faults:
        return
    parsed = sqlglot.parse_one(f"SELECT {text}", dialect="spark")
    if len(parsed.expressions) != 1:
        yield path, f"is more than one expression: {text!r}"
        return
    if parsed.find(exp.AggFunc, exp.Window, exp.UDTF):
        yield path, f"uses an aggregate, a window or a generator, but a condition sees one row alone: {text!r}"
        return
    found = _type_of(text, columns)
    if found is not None and found.this != exp.DataType.Type.BOOLEAN:
        yield path, f"is of type {found.sql('spark').lower()}, but a condition is true or false: {text!r}"


def fraction_faults(path: KeyPath, text: str, columns: Mapping[str, str], hint: str) -> Found:
    """Yield a fault when the expression ``text`` over ``columns`` may have fractions, because it is a fraction or a text.

    A function whose type is not known here passes.
    """
    found = _type_of(text, columns)
    if found is not None and (found.is_type(*exp.DataType.REAL_TYPES) or found.is_type(*exp.DataType.TEXT_TYPES)):
        yield path, f"{text!r} is of type {found.sql('spark').lower()}: its fractions would be rounded away. Hint: {hint}"


def _type_of(text: str, columns: Mapping[str, str]) -> exp.DataType | None:
    """Return the type of an expression over ``columns`` (name -> SQL type); None where it is not known."""
    tree = qualify_columns(sqlglot.parse_one(f"SELECT {text} AS found FROM here", dialect="spark"), {"here": dict(columns)})
    value = annotate_types(tree, {"here": dict(columns)}, dialect="spark").expressions[0].this
    if isinstance(value, exp.Bracket) and value.this.is_type("map"):
        return exp.DataType.build("string")  # sqlglot does not know the type of a map's value; ours hold texts
    return None if value.type is None or value.is_type(exp.DataType.Type.UNKNOWN) else value.type
