"""``churnwatch run`` as a scheduler sees it: exit code, summary, errors and the file of results."""

import json

import pytest

import world
from churnwatch.cli import main

DAY = world.WORLD.day


@pytest.fixture(scope="module")
def folder(raw_world, tmp_path_factory):
    return world.copied(raw_world, tmp_path_factory.mktemp("run_command"))


@pytest.fixture
def typed(folder, capsys):
    def ended(*words):
        with pytest.raises(SystemExit) as end:
            main([*words, "--config", str(world.CONFIG), *(word for pair in world.sets(folder) for word in ("--set", pair))])
        told = capsys.readouterr()
        return end.value.code, told.out, told.err

    return ended


def test_a_run_that_stops_for_data_says_job_days_table_and_the_next_command_on_the_console_and_in_the_file(typed, tmp_path):
    words = ("run", "ingest_events", "build_activity", "build_months", "--from", str(DAY(1)), "--to", str(DAY(1)))
    code, out, err = typed(*words, "--json", str(tmp_path / "run.json"))
    assert code == 0 and err == "" and "3 done" in out
    told = json.loads((tmp_path / "run.json").read_text())
    assert [step["job"] for step in told["steps"]] == ["ingest_events", "build_activity", "build_months"]
    assert told["steps"][1]["tables"][0]["table"] == "daily_activity" and told["steps"][1]["tables"][0]["rows"] > 0
    code, out, err = typed("run", "build_activity", "build_months", "--day", str(DAY(9)), "--json", str(tmp_path / "run.json"))
    assert code == 3
    assert f"build_activity {DAY(9)} failed" in err and "events (" in err and "run ingest_events for them" in err
    assert f"next: churnwatch run build_activity build_months --day {DAY(9)} --resume" in out
    told = json.loads((tmp_path / "run.json").read_text())
    assert (told["exit_code"], told["status"]) == (3, "failed") and told["next_command"].endswith("--resume")
