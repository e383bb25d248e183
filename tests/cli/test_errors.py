"""What people see of an error: causes of Java, as many lines as it needs, and -v on every command."""

import json
import logging

import pytest
import typer

from churnwatch.cli import app
from churnwatch.cli.log_lines import write_logs
from churnwatch.core import ConfigError, DataQualityError
from churnwatch.io.causes import described
from churnwatch.settings.environment import Logs

PY4J = """An error occurred while calling o847.save.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 3.0 failed 1 times
\tat org.apache.spark.scheduler.DAGScheduler.failJobAndIndependentStages(DAGScheduler.scala:2898)
Caused by: org.apache.spark.SparkException: [FAILED_READ_FILE.NO_HINT] Encountered error while reading file file:/raw/a.json.gz.
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.cannotReadFilesError(QueryExecutionErrors.scala:860)
Caused by: java.io.EOFException: Unexpected end of input stream
\tat org.apache.hadoop.io.compress.DecompressorStream.decompress(DecompressorStream.java:165)
"""


def test_of_a_java_error_people_see_what_went_wrong_and_not_which_method_was_called():
    assert described(Exception(PY4J)).splitlines() == [
        "SparkException: [FAILED_READ_FILE.NO_HINT] Encountered error while reading file file:/raw/a.json.gz.",
        "EOFException: Unexpected end of input stream",
    ]
    assert described(Exception("An error occurred while calling o1.save")) == "An error occurred while calling o1.save"
    assert described(ValueError()) == "ValueError"


def test_an_error_of_ours_is_shown_as_a_whole():
    text = "\n".join(f"line {n}" for n in range(20))
    assert described(DataQualityError(text)) == text


def test_log_lines_are_text_or_json_on_stderr_or_in_a_file(tmp_path, capsys):
    write_logs(Logs(level="info", format="json", file=str(tmp_path / "log")), verbose=False)
    logging.getLogger("churnwatch.runner").info("step %s ended", "sum")
    logging.getLogger("churnwatch.runner").debug("not written")
    (line,) = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert line.pop("at").endswith("+00:00") and line.pop("source").startswith("test_errors.py:")
    assert line == {"level": "info", "logger": "churnwatch.runner", "message": "step sum ended"}
    write_logs(Logs(), verbose=True)
    logging.getLogger("churnwatch.runner").info("on stderr")
    assert "INFO churnwatch.runner: on stderr" in capsys.readouterr().err
    assert "on stderr" not in (tmp_path / "log").read_text()
    with pytest.raises(ConfigError, match="logs.file .* cannot be written"):
        write_logs(Logs(file=str(tmp_path / "none" / "log")), verbose=False)
    write_logs(Logs(), verbose=False)


def commands(of, name="churnwatch"):
    if hasattr(of, "commands"):
        for word, command in of.commands.items():
            yield from commands(command, f"{name} {word}")
    else:
        yield name, of


@pytest.mark.parametrize(("name", "command"), commands(typer.main.get_command(app)))
def test_every_command_takes_v(name, command):
    assert any("-v" in option.opts for option in command.params), name
