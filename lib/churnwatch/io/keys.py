"""The key of hashed user ids. Ids leave the tables as keyed hashes, because plain hashes can be reversed by trying out ids."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame

from churnwatch.core import ConfigError
from churnwatch.settings import Settings
from churnwatch.settings.environment import IdKey

SHORTEST_KEY = 16  # bytes; a shorter key could be guessed
IDS = {"user_id", "unit"}  # columns that hold the id of a user
FIRST = ".1"  # end of the name of the first key that was replaced
SHOWN_DIGITS = 16  # of a hash, in messages


def id_key(settings: Settings) -> bytes:
    """Read the key of ``privacy.id_key``. A missing file is created, readable only by its owner.

    Raises ConfigError when neither place is configured, or the key is shorter than 16 bytes.
    """
    return _key(settings.privacy.id_key, "privacy.id_key")


def display_keys(settings: Settings) -> list[bytes]:
    """Return the key of ``privacy.id_key`` and those that ``rotate_id_key`` has kept, by which old messages were made."""
    place = settings.privacy.id_key
    kept = sorted(Path(place.file).parent.glob(f"{Path(place.file).name}.*")) if place.file else []
    return [id_key(settings), *(old.read_bytes().strip() for old in kept if old.suffix[1:].isdigit())]


def table_key(settings: Settings) -> bytes:
    """Return the key that never changes: of pseudonymised users, of erased users, and of ids of messages.

    It is that of ``privacy.table_key``. Without one it is derived from the first key of ``privacy.id_key``, which
    ``rotate_id_key`` keeps.
    """
    place = settings.privacy.table_key
    if place.env or place.file:
        return _key(place, "privacy.table_key")
    kept = Path(f"{settings.privacy.id_key.file}{FIRST}") if settings.privacy.id_key.file else None
    first = kept.read_bytes().strip() if kept and kept.exists() else id_key(settings)
    return keyed_id("table key", first).encode()


def lasting_table_key(settings: Settings) -> bytes:
    """As ``table_key``, for hashes that tables keep. Raises ConfigError where nothing says that the key lasts: it would be
    derived from an environment variable, which may be given another value."""
    if settings.privacy.id_key.env and not (settings.privacy.table_key.env or settings.privacy.table_key.file):
        raise ConfigError(
            "privacy.table_key is missing: hashes that tables keep need a key that never changes, and privacy.id_key is an "
            "environment variable. Hint: add privacy.table_key: {env: NAME} with a secret of its own"
        )
    return table_key(settings)


def rotate_id_key(settings: Settings) -> Path:
    """Replace the key of ``privacy.id_key`` by a new one; return the file in which the old one is kept.

    Raises ConfigError when the key is an environment variable, or when there is no key yet.
    """
    place = settings.privacy.id_key
    if not place.file:
        raise ConfigError(
            f"privacy.id_key is the environment variable {place.env}, which this command cannot change. "
            "Hint: put a new key into the secret store"
        )
    path = Path(place.file)
    if not path.exists():
        raise ConfigError(f"{path} does not exist: there is no key to replace. Hint: it is made by the first run")
    number = 1 + max((int(old.suffix[1:]) for old in path.parent.glob(f"{path.name}.*") if old.suffix[1:].isdigit()), default=0)
    kept = path.with_name(f"{path.name}.{number}")
    os.link(path, kept)
    fresh = _draft(path)
    fresh.replace(path)
    return kept


def check_table_ids(settings: Settings, has_rows: bool) -> None:
    """Raise ConfigError when the warehouse holds ids of another kind than this configuration would write.

    Ids of the sources and hashes, or hashes of two keys, would make two users of one. ``has_rows``: tables hold rows already.
    """
    file = Path(settings.storage.files) / "kind_of_ids"
    plain = "as the sources give them"
    wanted = plain
    if settings.privacy.pseudonymise:
        wanted = f"hashed with the key {keyed_id('name of the key', lasting_table_key(settings))[:SHOWN_DIGITS]}"
    stored = file.read_text(encoding="utf-8").strip() if file.exists() else (plain if has_rows else None)
    if stored is None and settings.privacy.pseudonymise:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(wanted + "\n", encoding="utf-8")
    elif stored not in (None, wanted):
        raise ConfigError(
            f"the tables hold user ids {stored}, this configuration writes them {wanted}; nothing was written. "
            "Hint: restore privacy.pseudonymise and privacy.table_key, or load another warehouse"
        )


def _key(place: IdKey, name: str) -> bytes:
    if place.env:
        key, where = os.environ.get(place.env, "").encode(), f"environment variable {place.env}"
    elif place.file:
        key, where = _from_file(Path(place.file)), place.file
    else:
        raise ConfigError(f"{name} names neither a file nor an environment variable (env)")
    if len(key) < SHORTEST_KEY:
        raise ConfigError(f"{name}: {where} holds {len(key)} bytes, at least {SHORTEST_KEY} are needed")
    return key


def key_finding(settings: Settings) -> tuple[bool, str]:
    """Whether the key of hashed user ids is there, and what is known about it; a missing file is not made."""
    return _finding("id key", settings.privacy.id_key, partial(id_key, settings))


def table_key_finding(settings: Settings) -> tuple[bool, str]:
    """Whether the key of hashes that tables keep is there, and what is known about it; a missing file is not made."""
    place = settings.privacy.table_key
    if settings.privacy.id_key.file and not (place.env or place.file):
        return True, f"table key: derived from the first key in {settings.privacy.id_key.file}"
    return _finding("table key", place, partial(lasting_table_key, settings))


def _finding(name: str, place: IdKey, read: Callable[[], bytes]) -> tuple[bool, str]:
    if place.file and not place.env and not Path(place.file).exists():
        return True, f"{name}: {place.file} is made when it is first needed"
    try:
        read()
    except (ConfigError, OSError) as error:
        return False, f"{name}: {error}"
    return True, f"{name}: {f'environment variable {place.env}' if place.env else place.file}"


def _from_file(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    made = _draft(path)
    try:
        os.link(made, path)  # never replaces a key of another process, and never leaves half a key
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
    return path.read_bytes().strip()


def _draft(path: Path) -> Path:
    """Write a new key beside ``path``, readable only by its owner."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    made.touch(mode=0o600)
    made.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
    return made


def keyed_id(user_id: str, key: bytes) -> str:
    """HMAC-SHA-256 (RFC 2104) of a user id, as 64 hexadecimal digits."""
    return hmac.new(key, user_id.encode(), hashlib.sha256).hexdigest()


def without_ids(key: str, settings: Settings) -> str:
    """Replace users in the key of a row, given as JSON, by the first digits of their hashes: messages are kept and shown."""
    row = json.loads(key)
    for name in IDS & row.keys():
        row[name] = keyed_id(row[name], id_key(settings))[:SHOWN_DIGITS]
    return json.dumps(row, ensure_ascii=False)


def keyed(frame: DataFrame, column: str, key: bytes) -> DataFrame:
    """Replace the text ``column`` by its keyed hash; null stays null.

    The key is part of the Python function, because a literal would appear in plans and in Spark's event log.
    """

    def _hash_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        fresh = hmac.new(key, digestmod="sha256")

        def _hash(value: str) -> str:
            one = fresh.copy()  # takes a third of the time of a new one
            one.update(value.encode())
            return one.hexdigest()

        for batch in batches:
            index = batch.schema.get_field_index(column)
            field = batch.schema.field(index)
            values = [None if value is None else _hash(value) for value in batch.column(index).to_pylist()]
            yield batch.set_column(index, field, pa.array(values, field.type))

    return frame.mapInArrow(_hash_batches, frame.schema)
