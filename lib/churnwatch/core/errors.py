"""All errors that people read. A message says what went wrong, where, and what to do; ``exit_code`` ends the command."""


class ChurnwatchError(Exception):
    """Base of every error that is written for people; exit code 1."""

    exit_code = 1


class ConfigError(ChurnwatchError):
    """Raised before Spark starts, for faults of the configuration or the command line; lists all of them; exit code 2."""

    exit_code = 2


class DataQualityError(ChurnwatchError):
    """Raised when input is missing, or so bad that the job stops; nothing was published; exit code 3."""

    exit_code = 3


class MissingDays(DataQualityError):
    """Raised when days that a step needs were never ingested or built, or were left half written; exit code 3."""


class NoEventLog(DataQualityError):
    """Raised when ``init`` finds no file with a user and a time; says for every column why not; exit code 3."""


class WriteConflict(ChurnwatchError):
    """Raised when another run writes the same job and day at the same time; exit code 4."""

    exit_code = 4


class LeaseLost(WriteConflict):
    """Raised before a commit or a send when another run has taken over the work of this run; exit code 4."""


class ContractError(ChurnwatchError):
    """Raised when rows break the contract of their table; these rows were not written; exit code 1."""


class JobFailed(ChurnwatchError):
    """Raised when a job fails for a reason outside the data, such as a server that is down; exit code 1."""


class Interrupted(BaseException):
    """Raised in the main thread on Ctrl-C while Spark works; exit code 130.

    It is no KeyboardInterrupt: on one of these Py4J closes the connections of all threads, and the end could not be recorded.
    """

    exit_code = 130


class Terminated(Interrupted):
    """Raised in the main thread when the process gets the signal SIGTERM; exit code 143."""

    exit_code = 143


class Skipped(Exception):
    """Raised by ``build`` when there is nothing to do, as before the first release; the run goes on."""


class Refused(Exception):
    """Raised by ``build`` when the result would not be sound, as with too little history to train; the run goes on."""
