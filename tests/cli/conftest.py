"""What tests of the command line share."""

import pytest

import world
from churnwatch.cli import main


@pytest.fixture
def typed(capsys):
    """Types a command; gives its exit code, what it printed, and its errors."""

    def ended(*words, config=world.CONFIG, sets=("storage.root=unused", "storage.files=unused")):
        with pytest.raises(SystemExit) as end:
            main([*words, "--config", str(config), *(word for pair in sets for word in ("--set", pair))])
        told = capsys.readouterr()
        return end.value.code, told.out, told.err

    return ended
