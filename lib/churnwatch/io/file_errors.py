"""Name the file that Spark could not read: its own error hides the path under pages of Java."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from churnwatch.core import DataQualityError

FAILED = re.compile(r"\[FAILED_READ_FILE\.(\w+)\] Encountered error while reading file (\S+?)\.(?: |\n|$)")
VANISHED = "FILE_NOT_EXIST"
CAUSE = re.compile(r"^Caused by: (?:[\w$]+\.)*([\w$]+(?:: [^\n]{0,200})?)", re.MULTILINE)


@contextmanager
def files_named(what: str) -> Iterator[None]:
    """Turn Spark's error about a file that is truncated, damaged or gone into a DataQualityError that names it.

    ``what``: the step that reads. Other errors pass.
    """
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        if text := unreadable_file(str(error)):
            raise DataQualityError(f"{what}: {text}") from error
        raise


def unreadable_file(error: str) -> str | None:
    """Say which file an error of Spark is about, and why it cannot be read; None when it is about something else.

    >>> print(unreadable_file("[FAILED_READ_FILE.FILE_NOT_EXIST] Encountered error while reading file file:///raw/a.csv. x"))
    the file /raw/a.csv vanished while it was read; nothing was published. Hint: deliver it again, then run again
    """
    if (found := FAILED.search(error)) is None:
        return None
    file = re.sub(r"^file:/+", "/", found[2])
    if found[1] == VANISHED:
        return f"the file {file} vanished while it was read; nothing was published. Hint: deliver it again, then run again"
    causes = CAUSE.findall(error)
    cause = f" ({causes[-1]})" if causes else ""
    return (
        f"the file {file} is truncated or damaged{cause}; nothing was published. "
        "Hint: deliver it again, or move it out of the source's folder, then run again"
    )
