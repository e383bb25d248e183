"""An executor that is killed (-9) in the middle of a stage: the run goes on, and its result is the same."""

import os
from collections import Counter

import psutil
import pytest
from outboxworld import DAY, SLICE, AnyPort, Mailbox, ended, sending, written
from pyspark.sql import functions as F

from churnwatch.io.senders import slice_numbers
from processworld import SPARK_HOME

EXECUTOR = "org.apache.spark.executor.CoarseGrainedExecutorBackend"
TWO_EXECUTORS = "local-cluster[2,1,1024]"


class KillsAnExecutor(Mailbox):
    """Kills the executor that delivers the mail with the number ``kill_executor_at``; the driver goes on."""

    def __init__(self, kill_executor_at):
        super().__init__()
        self.kill_executor_at, self.killed = kill_executor_at, []

    async def handle_DATA(self, server, session, envelope):
        answer = await super().handle_DATA(server, session, envelope)
        if len(self.got) == self.kill_executor_at:
            executor = executor_of(session.peer[1])
            self.killed.append(executor.pid)
            executor.kill()
        return answer


def executor_of(port):
    """The executor whose Python worker has a connection from ``port``."""
    (worker,) = [c.pid for c in psutil.net_connections("tcp") if c.laddr.port == port and c.pid not in (None, os.getpid())]
    return next(process for process in psutil.Process(worker).parents() if EXECUTOR in process.cmdline())


@pytest.mark.processes
@pytest.mark.case(4)
def test_a_killed_executor_changes_no_result_and_its_slice_is_sent_at_most_once_more(spark, tmp_path, monkeypatch):
    names = [f"m{n:02}" for n in range(3 * SLICE)]
    of = written(spark, tmp_path, [{"day": DAY, "message_id": name} for name in names], [DAY])
    mailbox = KillsAnExecutor(SLICE // 2)
    controller = AnyPort(mailbox, hostname="127.0.0.1", port=0)
    controller.start()
    monkeypatch.setenv("SPARK_HOME", str(SPARK_HOME))
    try:
        code, output = ended(sending(tmp_path, controller.port, "--send-history", master=TWO_EXECUTORS))
    finally:
        controller.stop()
    assert code == 0, output
    assert len(mailbox.killed) == 1, "one executor was at work and was killed"
    of.store.refresh()
    stored = of.store.read(of.tables.deliveries)
    times = Counter(mailbox.got)
    assert set(times) == set(names)
    assert max(times.values()) == 2, "the executor was killed between two mails, and its slice was sent again"
    number = slice_numbers({"digest": len(names)}, SLICE).alias("slice")
    slices = {
        row["message_id"]: row["slice"]
        for row in stored.withColumn("kind", F.lit("digest")).select("message_id", number).collect()
    }
    assert len({slices[name] for name, n in times.items() if n > 1}) == 1, "more than the slice in flight was sent again"
    outcomes = [(row["message_id"], row["attempt"], row["outcome"]) for row in stored.collect()]
    assert sorted(outcomes) == [(name, 1, "sent") for name in names]
