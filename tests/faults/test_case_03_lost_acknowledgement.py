"""A driver that is killed (-9) right after a commit that nobody has recorded: a second run adds nothing to it."""

import pytest
from outboxworld import DAY, written

import world
from churnwatch.settings.terms import DONE
from processworld import ended, held

SEND = "send_messages/deliveries"


def sent_files(folder):
    """The messages in the outbox of a warehouse."""
    outbox = folder / "files" / "outbox"
    return sorted(file.relative_to(outbox) for file in outbox.rglob("*") if file.is_file())


def attempts(of):
    """The attempts to send a message."""
    return sorted((row["message_id"], row["attempt"], row["outcome"]) for row in world.stored(of, "deliveries"))


@pytest.mark.case(3)
@pytest.mark.processes
def test_a_commit_whose_run_never_heard_of_it_is_not_made_a_second_time(spark, tmp_path):
    """The driver dies between the commit of a log and the next statement: the rows are there, and no run has recorded them."""
    names = ["m1", "m2", "m3"]
    of = written(spark, tmp_path, [{"day": DAY, "message_id": name} for name in names], [DAY])
    end = ended(held(tmp_path, "die-after", SEND, "send_messages", "--day", str(DAY)))
    assert end.code == -9, end.output
    committed = of.store.newest(of.tables.deliveries)
    assert [(name, outcome) for name, _, outcome in attempts(of)] == [(name, "sent") for name in names]
    files = sent_files(tmp_path)
    assert [run for run in world.stored(of, "job_runs") if run["job"] == "send_messages" and run["status"] == DONE] == []
    world.run(of, "send_messages", first=DAY)
    assert [(name, outcome) for name, _, outcome in attempts(of)] == [(name, "sent") for name in names]
    assert of.store.newest(of.tables.deliveries) == committed
    assert sent_files(tmp_path) == files
    (done,) = [run for run in world.stored(of, "job_runs") if run["job"] == "send_messages" and run["status"] == DONE]
