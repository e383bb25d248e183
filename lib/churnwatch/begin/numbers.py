"""Columns that may be numbers: plain, with thousands, with a decimal comma, with a currency's sign."""

import re
from dataclasses import dataclass

from churnwatch.begin.columns import Column

ENOUGH = 0.95
PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
MONEY = re.compile(r"\(?[+-]?\s*(?:[A-Z]{3}|[$€£¥₹₽])?\s*[+-]?\d[\d.,'  ]*\s*(?:[A-Z]{3}|[$€£¥₹₽])?\)?")
SIGN = re.compile(r"[A-Z]{3}|[$€£¥₹₽]")
NUMERIC_KINDS = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")


@dataclass(frozen=True)
class NumberForm:
    """A way to read a column as a number: ``sql``; in words; whether all are whole."""

    sql: str
    words: str
    whole: bool


def number_form(column: Column) -> NumberForm | None:
    """How the values are read as numbers; None where they are none."""
    values = [value.strip() for value in column.filled]
    if column.kind.startswith(NUMERIC_KINDS):
        return NumberForm(column.sql, "numbers", column.kind.endswith("int"))
    if not values or column.kind != "string":
        return None
    if _share(values, PLAIN) >= ENOUGH:
        return NumberForm(column.sql, f"numbers such as {values[0]}", all(re.fullmatch(r"[+-]?\d+(\.0+)?", v) for v in values))
    if _share(values, MONEY) < ENOUGH:
        return None
    comma = _decimal_comma(values)
    kept = "[^0-9,-]" if comma else "[^0-9.-]"
    sql = f"regexp_replace({column.sql}, '{kept}', '')"
    if comma:
        sql = f"replace({sql}, ',', '.')"
    if any(v.startswith("(") for v in values):
        sql = f"concat(CASE WHEN {column.sql} LIKE '(%' THEN '-' ELSE '' END, {sql})"
    signs = sorted({m[0] for v in values if (m := SIGN.search(v))})
    told = " and ".join([*(["a decimal comma"] if comma else []), *([f"the sign {', '.join(signs[:3])}"] if signs else [])])
    return NumberForm(sql, f"numbers with {told or 'thousands marks'} such as {values[0]}", False)


def _decimal_comma(values: list[str]) -> bool:
    """Whether the comma is the decimal mark: it stands last, and not always before three digits."""
    last = [m[0] for v in values if (m := re.search(r"[.,](?=\d*\D*$)", v))]
    if not last:
        return False
    commas = [v for v in values if re.search(r",\d*\D*$", v)]
    if last.count(",") <= last.count("."):
        return False
    return not all(re.search(r",\d{3}\D*$", v) for v in commas)


def _share(values: list[str], pattern: re.Pattern[str]) -> float:
    return sum(pattern.fullmatch(v) is not None for v in values) / len(values)
