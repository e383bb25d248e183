"""The key of hashed user ids. Ids leave the tables as keyed hashes, because plain hashes can be reversed by trying out ids."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame

from churnwatch.core import ConfigError
from churnwatch.settings import Settings

SHORTEST_KEY = 16  # bytes; a shorter key could be guessed


def id_key(settings: Settings) -> bytes:
    """Read the key of ``privacy.id_key``. A missing file is created, readable only by its owner.

    Raises ConfigError when neither place is configured, or the key is shorter than 16 bytes.
    """
    place = settings.privacy.id_key
    if place.env:
        key, where = os.environ.get(place.env, "").encode(), f"environment variable {place.env}"
    elif place.file:
        key, where = _from_file(Path(place.file)), place.file
    else:
        raise ConfigError("privacy.id_key names neither a file nor an environment variable (env)")
    if len(key) < SHORTEST_KEY:
        raise ConfigError(f"privacy.id_key: {where} holds {len(key)} bytes, at least {SHORTEST_KEY} are needed")
    return key


def key_finding(settings: Settings) -> tuple[bool, str]:
    """Whether the key of hashed user ids is there, and what is known about it; a missing file is not made."""
    place = settings.privacy.id_key
    if place.file and not place.env and not Path(place.file).exists():
        return True, f"id key: {place.file} is made when it is first needed"
    try:
        id_key(settings)
    except (ConfigError, OSError) as error:
        return False, f"id key: {error}"
    return True, f"id key: {f'environment variable {place.env}' if place.env else place.file}"


def _from_file(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    made.touch(mode=0o600)
    made.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
    try:
        os.link(made, path)  # never replaces a key of another process, and never leaves half a key
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
    return path.read_bytes().strip()


def keyed_id(user_id: str, key: bytes) -> str:
    """HMAC-SHA-256 (RFC 2104) of a user id, as 64 hexadecimal digits."""
    return hmac.new(key, user_id.encode(), hashlib.sha256).hexdigest()


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
