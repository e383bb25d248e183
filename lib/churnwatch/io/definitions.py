"""Change stored tables: their columns, comments, rules and properties, and the schema of a catalog. By name, never by path."""

from collections.abc import Iterable, Mapping

from pyspark.sql.types import DataType

from churnwatch.core import ContractError, Table
from churnwatch.io.conform import quoted
from churnwatch.io.delta_errors import ERRORS
from churnwatch.io.store import Store


def add_columns(store: Store, table: Table, new: Mapping[str, DataType]) -> None:
    """Add columns of the contract that are not stored, and fields of structs by path. All are nullable."""
    columns = {f.name: f" COMMENT {quoted(f.metadata['comment'])}" for f in table.schema.fields}
    fields = ", ".join(
        f"{'.'.join(f'`{part}`' for part in path.split('.'))} {kind.simpleString()}{columns.get(path, '')}"
        for path, kind in new.items()
    )
    store.alter(table, f"ALTER TABLE {store.sql_name(table)} ADD COLUMNS ({fields})")


def outdated_comments(store: Store, table: Table) -> list[str]:
    """Stored columns of the contract whose comment is another one than the contract's."""
    stored = {f.name: f.metadata.get("comment") for f in store.stored_schema(table).fields}
    return [f.name for f in table.schema.fields if f.name in stored and stored[f.name] != f.metadata["comment"]]


def set_comments(store: Store, table: Table, names: Iterable[str]) -> None:
    """Give the stored columns ``names``, and the table, the comments of the contract, in one commit each."""
    comments = ", ".join(f"`{name}` COMMENT {quoted(table.schema[name].metadata['comment'])}" for name in names)
    store.alter(table, f"ALTER TABLE {store.sql_name(table)} ALTER COLUMN {comments}")
    store.alter(table, f"COMMENT ON TABLE {store.sql_name(table)} IS {quoted(table.comment)}")


def relax_columns(store: Store, table: Table, names: Iterable[str]) -> None:
    """Let the stored columns ``names`` be null."""
    for name in names:
        store.alter(table, f"ALTER TABLE {store.sql_name(table)} ALTER COLUMN `{name}` DROP NOT NULL")


def set_rules(store: Store, table: Table, names: Iterable[str]) -> None:
    """Replace the stored rules ``names`` by those of the contract; a rule that the contract lacks is dropped.

    A new rule is first added under a second name, so that the table is never without one. Raises ContractError when stored rows
    break it: the old rule then stays, and the rules before it in ``names`` are set.
    """
    alter, wanted = f"ALTER TABLE {store.sql_name(table)}", {name.lower(): rule for name, rule in table.rules.items()}
    for name in names:
        if rule := wanted.get(name):
            try:
                store.alter(table, f"{alter} ADD CONSTRAINT `{name}__new` CHECK ({rule})")
            except ERRORS as error:
                raise ContractError(f"{table.name}: stored rows break the new rule {name} ({rule})") from error
        store.alter(table, f"{alter} DROP CONSTRAINT IF EXISTS `{name}`")
        if rule:
            store.alter(table, f"{alter} ADD CONSTRAINT `{name}` CHECK ({rule})")
            store.alter(table, f"{alter} DROP CONSTRAINT `{name}__new`")


def set_properties(store: Store, table: Table, properties: Mapping[str, str]) -> None:
    """Set table properties."""
    pairs = ", ".join(f"{quoted(name)} = {quoted(value)}" for name, value in properties.items())
    store.alter(table, f"ALTER TABLE {store.sql_name(table)} SET TBLPROPERTIES ({pairs})")


def restore(store: Store, table: Table, version: int) -> None:
    """Make the table what it was at ``version``: rows, columns, rules and properties."""
    store.alter(table, f"RESTORE TABLE {store.sql_name(table)} TO VERSION AS OF {version}")


def create_schema(store: Store) -> None:
    """Create the schema of a warehouse whose tables are in a catalog."""
    if store.storage.schema_name:
        store.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {store.storage.schema_name}")


def drop_schema(store: Store) -> None:
    """Drop the schema of a warehouse in a catalog, with all of its tables."""
    if store.storage.schema_name:
        store.spark.sql(f"DROP SCHEMA IF EXISTS {store.storage.schema_name} CASCADE")
