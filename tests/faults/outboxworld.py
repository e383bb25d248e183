"""A warehouse that holds nothing but written messages, and a mail server that may kill the process that sends them."""

import os
import subprocess
import sys
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

from aiosmtpd.controller import Controller

import world
from churnwatch.settings.terms import DONE
from sparkconf import SHORT_LIVED, TEST_SPARK

ROOT = Path(__file__).resolve().parents[2]
DAY = world.WORLD.day(62)
SLICE = 20
PATIENCE_SECONDS = 300
MESSAGE = {"kind": "digest", "destination": "operations", "channel": "owner", "subject": "s", "body": "b", "owner": "operations"}


class Mailbox:
    """Keeps the ids of mails in the order in which they came; ``victim`` is killed (-9) when ``kill_at`` have come."""

    def __init__(self):
        self.got, self.victim, self.kill_at = [], None, None

    async def handle_DATA(self, server, session, envelope):
        self.got.append(message_from_bytes(envelope.content, policy=policy.default)["Message-ID"].strip("<>").partition("@")[0])
        if self.victim and len(self.got) == self.kill_at:
            self.victim.kill()
        return "250 OK"


class AnyPort(Controller):
    """A controller that lets the system choose the port."""

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


def written(spark, folder, rows, ingested=()):
    """A runner over a new warehouse whose log holds the messages ``rows``, and whose ``ingested`` days are done."""
    of = world.runner(spark, folder)
    t = of.tables
    of.store.create([t.job_runs, t.notifications, t.deliveries])
    of.store.append_rows(t.notifications, [MESSAGE | row for row in rows], {})
    for day in ingested:
        of.ledger.write(f"ingest-{day}", "ingest_events", "", day, DONE, [day])
    of.ledger.flush()
    return of


def network(port):
    """Settings under which everything goes to the mail server, and offers would go to a gateway."""
    crm = "crm: {kind: json, url: 'http://127.0.0.1:9/'}"
    return [
        "sending.kind=network",
        f"sending.smtp={{host: 127.0.0.1, port: {port}}}",
        f"sending.destinations={{operations: o@example.org, retention: r@example.org, {crm}}}",
        "sending.gateways={email: crm}",
        "sending.allow_loopback=true",
        "sending.pause_seconds=0.01",
        f"sending.slice_messages={SLICE}",
    ]


def sending(folder, port, *options, master=TEST_SPARK["spark.master"]):
    """A process that runs send_messages for DAY, on the Spark cluster ``master``."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "lib"), "SPARK_LOCAL_IP": "127.0.0.1"}
    given = [sys.executable, "-m", "churnwatch.cli", "run", "send_messages", "--day", str(DAY), *options]
    given += ["--config", str(world.CONFIG)]
    spark = [f"spark.{k}={v}" for k, v in (TEST_SPARK | SHORT_LIVED | {"spark.master": master}).items()]
    for pair in [*world.sets(folder), *network(port), *spark]:
        given += ["--set", pair]
    return subprocess.Popen(given, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process):
    """Wait for the process; return its exit code and what it printed."""
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, output


def before(days):
    """The day ``days`` before DAY."""
    return DAY - timedelta(days=days)
