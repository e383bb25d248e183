"""Compare stored tables with their contracts."""

from collections.abc import Mapping

from pyspark.sql.types import BooleanType, StructType

from churnwatch.core import Table

RULE = "delta.constraints."  # Delta stores a rule as a table property with this prefix
STATISTICS = "delta.dataSkippingStatsColumns"  # property: columns by whose smallest and largest values files are left out


def contract_differences(table: Table, stored: StructType, properties: Mapping[str, str]) -> list[str]:
    """Columns, rules and properties in which the stored table and its contract differ, a line each.

    A stored column that the contract lacks is no difference when it may be null: it is left alone, and new rows are null there.
    """
    has = {f.name: f.dataType.simpleString() for f in stored.fields}
    declared = {f.name: f.dataType.simpleString() for f in table.schema.fields}
    lines = [f"column {n} ({declared[n]}) is not stored" for n in declared if n not in has]
    lines += [f"column {n} ({has[n]}) is not in the contract and never null" for n in fixed_columns(table, stored)]
    lines += [f"column {n} is stored as {has[n]}, not {declared[n]}" for n in declared if has.get(n, declared[n]) != declared[n]]
    lines += [f"rule {name} is another one as stored" for name in changed_rules(table, properties)]
    return lines + changed_properties(table, properties)


def fixed_columns(table: Table, stored: StructType) -> list[str]:
    """Stored columns that the contract lacks and that may not be null, so that no row without them can be written."""
    return [f.name for f in stored.fields if f.name not in table.schema.names and not f.nullable]


def changed_properties(table: Table, properties: Mapping[str, str]) -> list[str]:
    """Properties of the contract that are stored with another value, a line each."""
    return [
        f"{name} is {properties[name]} as stored and {value} in conf; rebuild the table from its first day"
        for name, value in table.properties.items()
        if properties.get(name, value) != value
    ]


def statistics_columns(table: Table) -> str:
    """The value of STATISTICS: day and keys, of a log also ``at``.

    Statistics of 32 columns took 15 % of the time of writing features. Delta has none of booleans, and refuses a table that
    asks for them; partitions need none.
    """
    names = dict.fromkeys(("day", *table.keys, *(("at",) if table.kind == "log" else ())))
    fields = (table.schema[name] for name in names if name in table.schema.names and name not in table.partitions)
    return ", ".join(field.name for field in fields if field.dataType != BooleanType())


def changed_rules(table: Table, properties: Mapping[str, str]) -> list[str]:
    """Names of rules that are stored with another text than the contract's. Blanks are ignored, because Delta changes them."""
    stored = {key.removeprefix(RULE): "".join(text.split()) for key, text in properties.items() if key.startswith(RULE)}
    wanted = {name.lower(): "".join(rule.split()) for name, rule in table.rules.items()}
    return sorted(name for name in stored.keys() | wanted.keys() if stored.get(name) != wanted.get(name))
