"""The pages port: write HTML pages into ``storage.files``, and replace the user ids that they show by keyed hashes."""

import hashlib
import os
import secrets
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from urllib.parse import urlparse

from pyspark.sql import SparkSession

from churnwatch.core import JobFailed
from churnwatch.io.keys import id_key, keyed_id
from churnwatch.settings import Settings


class Pages:
    """Pages of a day under ``<files>/pages/<day>/<name>.html``, the newest day's also as ``<files>/pages/<name>.html``."""

    def __init__(self, spark: SparkSession, settings: Settings, run_id: str) -> None:
        self._settings = settings

    def write(self, name: str, day: date, html: str) -> tuple[str, str, int]:
        """Write a page whole or not at all; return its path, SHA-256 and size in bytes. Writing it again gives the same.

        A page of an earlier day never replaces the newest one. Raises JobFailed where the folder cannot be written.
        """
        page = html.encode("utf-8")
        folder = self._folder()
        path = folder / str(day) / f"{name}.html"
        try:
            _replace(path, page)
            if not any(other.parent.name > str(day) for other in folder.glob(f"????-??-??/{name}.html")):
                _replace(folder / path.name, page)
        except OSError as error:
            raise JobFailed(
                f"{path}: cannot be written: {error.strerror}. Hint: check storage.files and the permissions of its folder"
            ) from error
        return str(path), hashlib.sha256(page).hexdigest(), len(page)

    def keyed(self, ids: Iterable[str]) -> dict[str, str]:
        """Keyed hash (64 hexadecimal digits) by user id; for the few users on a page, never for a frame."""
        key = id_key(self._settings)
        return {user_id: keyed_id(user_id, key) for user_id in ids}

    def _folder(self) -> Path:
        place = urlparse(self._settings.storage.files)
        if place.scheme not in ("", "file"):
            raise JobFailed(
                f"storage.files {self._settings.storage.files}: pages need a mounted folder. Hint: on Databricks, "
                "/Volumes/... is one"
            )
        return Path(place.path).resolve() / "pages"


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        new.write_bytes(content)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
