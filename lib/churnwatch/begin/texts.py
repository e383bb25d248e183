"""Lines of a text file as columns: delimiter, quotes, header, missing marks; JSON lines."""

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from churnwatch.begin.columns import Column, Layout, from_records, quoted
from churnwatch.begin.numbers import PLAIN
from churnwatch.begin.times import CLOCK, time_forms
from churnwatch.core import DataQualityError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
ONE_COLUMN = "\u0001"  # occurs in no text: the line stays whole
MISSING = ("NULL", "null", "NA", "N/A", "n/a", "NaN", "nan", "None", "\\N", "-", "(null)")
CONSISTENT = 0.9


def text_layout(lines: Sequence[str], encoding: str | None = None) -> Layout:
    """The layout of the first ``lines`` of a file: JSON lines, or columns with a delimiter or blanks between.

    Raises DataQualityError where they are neither, or nothing.
    """
    lines = [line.rstrip("\r\n").removeprefix("\ufeff") for line in lines]
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise DataQualityError("the file is empty")
    if lines[0].lstrip().startswith(("{", "[")):
        return _json(lines)
    return _csv(lines, encoding)


def _json(lines: Sequence[str]) -> Layout:
    records = []
    for line in lines:
        try:
            record = json.loads(line, parse_float=str)  # a number's text as it stands: 19.90
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    if len(records) < CONSISTENT * len(lines):
        raise DataQualityError("the file is JSON, but not one object a line: write it as JSON lines (jq -c '.[]' file.json)")
    return from_records(records, "json")


def _csv(lines: Sequence[str], encoding: str | None) -> Layout:
    quote = "'" if sum(line.startswith("'") for line in lines) > len(lines) / 2 else '"'
    delimiter = _delimiter(lines, quote)
    if delimiter is None:
        return _by_blanks(lines, encoding)
    if quote in "".join(lines) and not any(re.search(rf"(^|{re.escape(delimiter)}){quote}", line) for line in lines):
        quote = ""  # inches and the like: no field begins with one
    rows = _rows(lines, delimiter, quote)
    header = _is_header(rows)
    body = rows[1:] if header else rows
    options = {"header": str(header).lower()} | ({"sep": delimiter} if delimiter != "," else {})
    notes = [
        f"columns are parted by {DELIMITERS[delimiter]}",
        "the first line names the columns" if header else "no line of names",
    ]
    if quote and not any('\\"' in line for line in lines):
        options["escape"] = quote  # doubled quotes inside quotes, as RFC 4180 and spreadsheets write them
    if quote != '"':
        options["quote"] = quote
    if encoding:
        options["encoding"] = encoding
    if len(rows) < len(lines):
        options["multiLine"] = "true"
        notes.append("quoted texts go over several lines")
    if mark := _missing_mark(body):
        options["nullValue"] = mark
        body = [["" if cell == mark else cell for cell in row] for row in body]
        notes.append(f"{mark} stands for nothing")
    names = _names(rows[0] if header else [], len(rows[0]))
    given = None if header and names == rows[0] else tuple(names)
    columns = tuple(
        Column(name, quoted(name), tuple(cell or "" for cell in cells))
        for name, cells in zip(names, zip_longest(*(row[: len(names)] for row in body)), strict=False)
    )
    return Layout("csv", columns, options, given, tuple(notes))


def _rows(lines: Sequence[str], delimiter: str, quote: str) -> list[list[str]]:
    whole = [f"{line}\n" for line in lines]
    if quote:
        read = csv.reader(whole, delimiter=delimiter, quotechar=quote)
    else:
        read = csv.reader(whole, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return [row for row in read if row]


def _delimiter(lines: Sequence[str], quote: str) -> str | None:
    """The delimiter that parts nearly all lines, the first among them, into the same number of columns: the most."""
    found = []
    for delimiter in DELIMITERS:
        rows = _rows(lines, delimiter, quote)
        count, times = Counter(map(len, rows)).most_common(1)[0]
        if count > 1 and times >= CONSISTENT * len(rows) and len(rows[0]) == count:
            found.append((count, delimiter))
    return max(found, key=lambda one: one[0])[1] if found else None


def _by_blanks(lines: Sequence[str], encoding: str | None) -> Layout:
    """Columns with blanks between: the line is read whole, and the map splits it."""
    rows = [line.split() for line in lines]
    count, times = Counter(map(len, rows)).most_common(1)[0]
    if count < 2 or times < CONSISTENT * len(rows):
        raise DataQualityError(
            "the lines are neither JSON nor columns with one delimiter (comma, semicolon, tab, bar, blanks); "
            f"the first is {lines[0][:80]!r}"
        )
    rows = [row for row in rows if len(row) == count]
    header = _is_header(rows)
    names = _names(rows[0] if header else [], count)
    blank = "[ \\\\t]+" if any("\t" in line for line in lines) else " +"
    columns = tuple(
        Column(name, f"get(split(trim(line), '{blank}'), {n})", tuple(row[n] for row in rows[int(header) :]))
        for n, name in enumerate(names)
    )
    options = {"header": str(header).lower(), "sep": ONE_COLUMN} | ({"encoding": encoding} if encoding else {})
    notes = ("columns are parted by blanks: a separator that never occurs gives the line, the map splits it",)
    return Layout("csv", columns, options, ("line",), notes)


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names columns: it holds no number and no time, and below it there are some."""
    return not any(map(_is_value, rows[0])) and (len(rows) == 1 or any(_is_value(cell) for row in rows[1:20] for cell in row))


def _is_value(cell: str) -> bool:
    cell = cell.strip()
    return bool(PLAIN.fullmatch(cell) or CLOCK.fullmatch(cell) or time_forms(Column("", "", (cell,))))


def _names(header: Sequence[str], count: int) -> list[str]:
    """The header's names; a column without one, or with one that stood before, gets its number."""
    names: list[str] = []
    for n in range(count):
        name = header[n] if n < len(header) else ""
        taken = {before.lower() for before in names}
        names.append(name if name.strip() and name.lower() not in taken else f"column_{n + 1}")
    return names


def _missing_mark(rows: Sequence[Sequence[str]]) -> str | None:
    """The text that stands for a missing value: a reader knows one of them; the most frequent."""
    seen = Counter(cell for row in rows for cell in row if cell in MISSING)
    return seen.most_common(1)[0][0] if seen else None


def day_pattern(files: Sequence[str]) -> tuple[str, str]:
    """The ``path`` of sources.yaml that finds ``files`` of one kind, and why: with ``{day}`` where each names its day.

    Raises DataQualityError where files lie at several depths: no pattern would find them and nothing else.
    """
    if len(files) == 1:
        return files[0], "one file"
    dates = [re.search(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)", file) for file in files]
    if all(dates):
        stems = {file[: m.start()] for file, m in zip(files, dates, strict=True) if m}
        ends = [file[m.end() :] for file, m in zip(files, dates, strict=True) if m]
        if len(stems) == 1:
            end = ends[0] if len(set(ends)) == 1 else _common_end(ends)
            return f"{stems.pop()}{{day}}{end}", f"{len(files)} files, each named by its day"
    folders = {file.rpartition("/")[0] for file in files}
    if len(folders) > 1:
        depth = min(folder.count("/") for folder in folders)
        shared = [parts[0] for parts in zip(*(f.split("/")[: depth + 1] for f in folders), strict=False) if len(set(parts)) == 1]
        levels = {file.count("/") for file in files}
        if len(levels) > 1:
            raise DataQualityError(f"files lie at several depths below {'/'.join(shared)}: name one folder, or the files")
        stars = "/*" * (levels.pop() + 1 - len(shared))
        return "/".join(shared) + stars, f"{len(files)} files in several folders, read whole"
    folder, ends = folders.pop(), [file.rpartition("/")[2] for file in files]
    hint = "; files named by day (2025-03-31) could be read day by day" if any(re.search(r"\d{6,8}", end) for end in ends) else ""
    if len({_ending(end) for end in ends}) == 1:
        start = _common_start(ends)
        return f"{folder}/{start}*{_ending(ends[0])}", f"{len(files)} files, read whole{hint}"
    return f"{folder}/{{{','.join(ends)}}}", f"{len(files)} files, read whole{hint}"


def _common_end(ends: Sequence[str]) -> str:
    """What follows the day where files of a day differ: a folder's files are all read; else any name with the ending."""
    if all(end.startswith("/") for end in ends):
        return ""
    if len({end.partition("/")[0] for end in ends}) == 1:
        return ends[0].partition("/")[0]
    return f"*{_ending(ends[0])}"


def _common_start(names: Sequence[str]) -> str:
    start = names[0]
    while not all(name.startswith(start) for name in names):
        start = start[:-1]
    return start.rstrip("0123456789")  # the files of another month are of the same kind


def _ending(name: str) -> str:
    found = re.search(r"(\.[A-Za-z]+){1,2}$", name)
    return found[0] if found else ""
