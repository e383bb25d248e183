"""Record what people do to the warehouse by commands: who, when, what, and to what."""

import getpass
import os
import uuid
from datetime import UTC, datetime

from churnwatch.core import Table
from churnwatch.io.session import few_rows_settings
from churnwatch.io.store import Store


def this_person() -> str:
    """The user of the operating system that runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


def record_action(store: Store, table: Table, action: str, about: str, note: str | None = None, who: str | None = None) -> None:
    """Add a row to ``table`` (operator_actions): ``who``, or this process's user, did ``action`` to ``about`` now."""
    now = datetime.now(UTC)
    row = {
        "day": now.date(),
        "action_id": uuid.uuid4().hex,
        "at": now,
        "who": who or this_person(),
        "action": action,
        "about": about,
        "note": note,
    }
    store.create([table])
    with few_rows_settings(store.spark, enabled=True):
        store.append_rows(table, [row], {"action": action})
