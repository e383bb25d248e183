"""One tree of errors: what went wrong, where, how many, what to do; ``exit_code`` is the command's."""


class ChurnwatchError(Exception):
    """Base of every error that is meant to be read by a person; exit code 1."""

    exit_code = 1


class ConfigError(ChurnwatchError):
    """Raised before Spark starts, with every fault of every configuration file; exit code 2."""

    exit_code = 2


class DataQualityError(ChurnwatchError):
    """Raised when input is missing or too bad to go on; nothing was published; exit code 3."""

    exit_code = 3


class NoEventLog(DataQualityError):
    """Raised when no file of a stranger's log tells who and when; says of every column why; exit code 3."""


class WriteConflict(ChurnwatchError):
    """Raised when another run writes the same job and day; exit code 4."""

    exit_code = 4


class ContractError(ChurnwatchError):
    """Raised when rows break their table's contract; nothing was written."""


class JobFailed(ChurnwatchError):
    """Raised when a job cannot do its work for a reason outside the data (a server is down, a store is not writable)."""


class Skipped(Exception):
    """Raised by ``build`` when there is rightly nothing to do (no release as of the day); the run goes on."""


class Refused(Exception):
    """Raised by ``build`` when the work would not be sound (too little history to train); the run goes on."""
