"""Read the causes of an error that Java raised, so that people see what went wrong and not which method was called."""

import re

from churnwatch.core import ChurnwatchError

CAUSE = re.compile(r"^(?:Caused by: |: )([\w.$]+(?:Exception|Error|Failure|Throwable)[\w$]*)(?:: (.*))?$", re.MULTILINE)
# texts that say only that something inside of them failed
SHELLS = ("An error occurred while calling", "Job aborted", "Task failed while writing rows", "Lost task")
MOST_CAUSES = 3
MOST_CHARACTERS = 400


def described(error: BaseException) -> str:
    """The message of an error for people: ours as a whole; of a foreign one its causes, the outermost first, one a line.

    Of a foreign error without causes the first lines.
    """
    if isinstance(error, ChurnwatchError):
        return str(error)
    text = str(error).strip()
    causes = [_one_line(f"{name.rpartition('.')[2]}: {message}".removesuffix(": ")) for name, message in CAUSE.findall(text)]
    if not causes:
        return "\n".join(_one_line(line) for line in text.splitlines()[:MOST_CAUSES]) or type(error).__name__
    first = _one_line(text)
    found = [cause for cause in dict.fromkeys((first, *causes)) if cause and not any(shell in cause for shell in SHELLS)]
    if len(found) > MOST_CAUSES:
        found = [found[0], *found[1 - MOST_CAUSES :]]  # the outermost names the file or table, the innermost the reason
    return "\n".join(found) or first


def _one_line(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]} ..."
