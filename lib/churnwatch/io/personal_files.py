"""Find and erase what files under ``storage.files`` hold about users: inbox, outbox, pages, trials, artifacts of MLflow."""

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path

from churnwatch.core import JobFailed
from churnwatch.settings import Settings

COPIES = ("staging", "drill")  # copies of tables, of runs and drills that ended; a whole folder is removed
LEASES = "leases"  # heartbeats of processes: they name no user, and come and go at any moment
LINES = (".jsonl", ".ndjson")  # a line that names a user is removed, the others stay
TEXTS = (".html", ".md", ".txt", ".log")  # the name of a user is replaced
MESSAGES = ("inbox", "outbox")  # a file that names a user is removed, if it is no file of lines
KEYS = ("id_key", "table_key", "kind_of_ids")
ERASED = b"erased"
LONG = 8  # characters of an id that cannot be mistaken for a number or a word; shorter ones count between quotes alone
TOKENS_AT_ONCE = 500


@dataclass(frozen=True)
class Tokens:
    """What stands for users in files: ids as the tables hold them, and the first digits of their keyed hashes."""

    ids: tuple[str, ...]
    hashes: tuple[str, ...]

    def patterns(self, exact: bool = False) -> list[re.Pattern[bytes]]:
        """Return expressions that find a token; of an id the token is not part of a longer word.

        ``exact``: short ids are left out, because files of models and of MLflow are full of numbers and short words.
        """
        parts = [re.escape(one.encode()) for one in self.hashes]
        for one in self.ids:
            text = re.escape(one.encode())
            if len(one) >= LONG:
                parts.append(rb"(?<![\w-])" + text + rb"(?![\w-])")
            elif not exact:
                parts.append(rb'(?<=")' + text + rb'(?=")')
        starts = range(0, len(parts), TOKENS_AT_ONCE)
        return [re.compile(b"|".join(parts[start : start + TOKENS_AT_ONCE])) for start in starts]


class PersonalFiles:
    """The files of a warehouse outside of its tables."""

    def __init__(self, settings: Settings) -> None:
        if "://" in settings.storage.files:
            raise JobFailed(
                f"storage.files {settings.storage.files} is no folder of this machine. Hint: mount it, then run again"
            )
        self._settings = settings
        self._folder = Path(settings.storage.files).resolve()
        self._outbox = Path(settings.sending.folder or self._folder / "outbox").resolve()

    def copies(self) -> list[Path]:
        """Folders with copies of tables: staged rows and drills."""
        return sorted(one for name in COPIES for one in (self._folder / name).glob("*") if one.is_dir())

    def find(self, tokens: Tokens) -> list[Path]:
        """Files that name a user of ``tokens``, in their content."""
        loose, exact = tokens.patterns(), tokens.patterns(exact=True)
        found = []
        for file in self._files():
            patterns, content = loose if self._is_message(file) else exact, _content(file)
            if any(pattern.search(content) for pattern in patterns):
                found.append(file)
        return found

    def erase(self, tokens: Tokens) -> int:
        """Remove the copies, and what messages and pages say of the users; return how many files and folders changed.

        Other files that name a user are left: ``find`` still names them.
        """
        changed = 0
        for folder in self.copies():
            shutil.rmtree(folder, ignore_errors=True)
            changed += 1
        for file in self.find(tokens):
            if file.suffix in TEXTS or self._is_message(file):
                _rewrite(file, tokens.patterns(exact=not self._is_message(file)))
                changed += 1
        return changed

    def _sources(self) -> list[str | None]:
        sources = self._settings.sources
        return [s.path for s in (*sources.events, sources.users, sources.consents, sources.context) if s is not None]

    def _is_message(self, file: Path) -> bool:
        return file.is_relative_to(self._outbox) or file.relative_to(self._folder).parts[0] in MESSAGES

    def _files(self) -> Iterator[Path]:
        root = self._settings.storage.root
        tables = Path(root).resolve() if root and "://" not in root else None
        if not self._outbox.is_relative_to(self._folder):
            yield from sorted(file for file in self._outbox.rglob("*") if file.is_file())
        raw = [Path(place) for source in self._sources() if (place := _fixed_part(source))]
        for file in sorted(self._folder.rglob("*")):
            if any(file.is_relative_to(place) for place in raw):
                continue  # the input is its owner's
            inside = file.relative_to(self._folder).parts
            of_table = "_delta_log" in inside or file.suffix == ".parquet"
            if tables is not None and tables != self._folder and self._folder in tables.parents:
                of_table |= tables in file.parents
            if file.is_file() and not of_table and inside[0] not in (*COPIES, LEASES) and not file.name.startswith(KEYS):
                yield file


def _fixed_part(path: str | None) -> str | None:
    """Return the folder of a path before its first placeholder; None for a URL."""
    if path is None or "://" in path:
        return None
    fixed = re.split(r"[{*?\[]", path)[0]
    return str((Path(fixed) if fixed == path else Path(fixed).parent if not fixed.endswith("/") else Path(fixed)).resolve())


def _content(file: Path) -> bytes:
    """Return the content; of a mail the decoded text, because its lines may be folded or encoded."""
    if file.suffix != ".eml":
        return file.read_bytes()
    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
    body = mail.get_body(("plain",))
    return f"{mail['subject']}\n{body.get_content() if body else ''}".encode()


def _rewrite(file: Path, patterns: Iterable[re.Pattern[bytes]]) -> None:
    content = _content(file)
    for pattern in patterns:
        if file.suffix in LINES:
            content = b"".join(line for line in content.splitlines(keepends=True) if not pattern.search(line))
        elif file.suffix in TEXTS:
            content = pattern.sub(ERASED, content)
        elif pattern.search(content):
            file.unlink()
            return
    new = file.with_name(f".{file.name}.new")
    new.write_bytes(content)
    new.replace(file)
