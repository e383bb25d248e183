"""Senders against files and a real mail server on loopback: what is accepted, refused, slow, down or gone."""

import json
import socket
import ssl
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from churnwatch.core import JobFailed, WriteConflict
from churnwatch.io.delivery import DeliveryConfig, FileSender, MailServer, NotSent, RetryPolicy, Target, send_message
from churnwatch.io.keys import id_key, keyed, keyed_id
from churnwatch.io.operators import cause_for_operators, message_operators
from churnwatch.io.send_times import SendTimes
from churnwatch.io.senders import Senders
from churnwatch.settings import secrets
from churnwatch.settings.sending import Sending, Smtp
from smallworld import settings
from webhooks import deliver

DAY = date(2026, 3, 10)
MESSAGE = {
    "day": DAY,
    "message_id": "m1",
    "kind": "digest",
    "destination": "retention",
    "channel": "email",
    "subject": "3 warnings",
    "body": "Grüße, 50 %\n",
    "earliest_send_at": None,
    "expires_at": None,
    "attempts": 0,
}
OUTBOX = (
    "day date, message_id string, kind string, destination string, channel string, subject string, body string, "
    "earliest_send_at timestamp, expires_at timestamp, attempts int, time_zone string, withheld string"
)
ADDRESSES = {"retention": "team@example.org", "refused": "nobody@example.org", "later": "busy@example.org"}


class Mailbox:
    """A mail server's memory and moods."""

    def __init__(self):
        self.got, self.recipients, self.drop_next = [], [], 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.recipients.append(address)
        if address.startswith("nobody"):
            return "550 5.1.1 no such user"
        if address.startswith("busy") and self.recipients.count(address) < 3:
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.drop_next:
            self.drop_next -= 1
            server.transport.abort()
            return "421 gone"
        self.got.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


class AnyPort(Controller):
    """A controller that lets the system choose the port."""

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def mailbox():
    return Mailbox()


@pytest.fixture
def port(mailbox):
    """Port of a mail server that runs in a thread of its own."""
    controller = AnyPort(mailbox, hostname="127.0.0.1", port=0)
    controller.start()
    yield controller.port
    controller.stop()


def sent(messages, sender, most=3):
    rows = deliver(messages, sender, RetryPolicy(most, most, pause_seconds=0.001))
    sender.close()
    return rows


def told(rows):
    return [(row["message_id"], row["attempt"], row["outcome"], row["detail"]) for row in rows]


def by_mail(server, folder):
    """A router that mails by ``server``, and writes offers into ``folder``."""
    targets = {name: Target("email", address) for name, address in ADDRESSES.items()}
    return DeliveryConfig(str(folder), only_files=False, server=server, targets=targets).make_sender()


def mailer(port, tmp_path, **server):
    return by_mail(MailServer("127.0.0.1", port, timeout_seconds=5, **server), tmp_path)


def to(destination, **more):
    return MESSAGE | {"message_id": f"m-{destination}", "destination": destination} | more


def test_a_mail_arrives_with_an_id_made_from_the_message(port, mailbox, tmp_path):
    deferred = MESSAGE | {"subject": "line\r\nBcc: all@example.org", "earliest_send_at": datetime(2026, 3, 11, 8, tzinfo=UTC)}
    assert told(sent([deferred], mailer(port, tmp_path))) == [("m1", 1, "sent", "250 accepted")]
    (mail,) = mailbox.got
    assert (mail["Message-ID"], mail["To"], mail["Subject"]) == (
        "<m1@churnwatch>",
        "team@example.org",
        "line Bcc: all@example.org",
    )
    assert mail["Deferred-Delivery"] == "Wed, 11 Mar 2026 08:00:00 +0000"
    assert mail.get_content().splitlines() == ["Grüße, 50 %"] and mail["Bcc"] is None
    assert mailbox.recipients == ["team@example.org"]


def test_a_refusal_is_kept_with_the_servers_answer_and_harms_no_other(port, mailbox, tmp_path):
    assert told(sent([to("refused"), to("retention")], mailer(port, tmp_path))) == [
        ("m-refused", 1, "failed", "550 5.1.1 no such user"),
        ("m-retention", 1, "sent", "250 accepted"),
    ]


def test_what_may_pass_is_tried_again_and_a_limit_is_kept(port, mailbox, tmp_path):
    busy = "451 4.3.0 try again later"
    assert told(sent([to("later")], mailer(port, tmp_path))) == [
        ("m-later", 1, "failed", busy),
        ("m-later", 2, "failed", busy),
        ("m-later", 3, "sent", "250 accepted"),
    ]
    mailbox.recipients.clear()
    # two attempts were made before: one is left of three
    assert told(sent([to("later", attempts=2)], mailer(port, tmp_path))) == [("m-later", 3, "failed", busy)]


def test_a_connection_that_breaks_is_opened_again(port, mailbox, tmp_path):
    mailbox.drop_next = 1
    rows = sent([to("retention"), MESSAGE], mailer(port, tmp_path))
    assert [(r["message_id"], r["attempt"], r["outcome"]) for r in rows] == [
        ("m-retention", 1, "failed"),
        ("m-retention", 2, "sent"),
        ("m1", 1, "sent"),
    ]
    assert [m["Message-ID"] for m in mailbox.got] == ["<m-retention@churnwatch>", "<m1@churnwatch>"]


def test_a_server_that_is_down_costs_one_message_its_attempts_and_the_others_none(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        rows = sent([MESSAGE, to("retention"), to("refused")], mailer(taken.getsockname()[1], tmp_path), most=2)
    assert [(r["message_id"], r["attempt"], r["outcome"]) for r in rows] == [
        ("m1", 1, "failed"),
        ("m1", 2, "failed"),
        ("m-retention", 1, "failed"),
        ("m-refused", 1, "failed"),
    ]
    assert "ConnectionRefusedError" in rows[0]["detail"] and rows[2]["detail"].startswith("not tried: ")


def test_a_server_that_comes_back_gets_everything_that_is_left(mailbox, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    messages = [to("retention", message_id=f"m{n}") for n in range(3)]
    first = sent(messages, mailer(port, tmp_path), most=1)
    assert {row["outcome"] for row in first} == {"failed"}
    controller = AnyPort(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        mailbox.drop_next = 1
        again = sent([message | {"attempts": 1} for message in messages], mailer(port, tmp_path))
    finally:
        controller.stop()
    assert [row["outcome"] for row in again] == ["failed", "sent", "sent", "sent"]
    assert sorted(mail["Message-ID"] for mail in mailbox.got) == [f"<m{n}@churnwatch>" for n in range(3)]


def test_a_server_that_never_answers_is_given_up_after_the_time_out(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        server = MailServer("127.0.0.1", silent.getsockname()[1], timeout_seconds=0.2)
        (row,) = sent([MESSAGE], by_mail(server, tmp_path), most=1)
    assert (row["outcome"], "timed out" in row["detail"]) == ("failed", True)


def test_a_message_to_nobody_is_not_sent_and_is_no_file_unless_all_are(port, mailbox, tmp_path):
    unknown = "no destination 'stranger' under sending.destinations"
    rows = sent([to("stranger"), to("stranger", message_id="m2"), to("retention")], mailer(port, tmp_path))
    # found out for each of them, once: nothing is down
    assert [row[1:] for row in told(rows)] == [(1, "failed", unknown)] * 2 + [(1, "sent", "250 accepted")]
    offer = to("stranger", kind="offer")
    no_gateway = "no gateway for channel 'email' under sending.gateways"
    assert told(sent([offer], mailer(port, tmp_path))) == [("m-stranger", 1, "failed", no_gateway)]
    assert list(tmp_path.iterdir()) == []
    assert told(sent([to("stranger")], DeliveryConfig(str(tmp_path)).make_sender()))[0][2:] == (
        "sent",
        f"file {DAY}/m-stranger.eml",
    )
    nowhere = told(sent([to("retention")], by_mail(None, tmp_path)))
    assert nowhere == [("m-retention", 1, "failed", "no mail server under sending.smtp")]


def test_the_same_message_is_the_same_file(tmp_path):
    sender = FileSender(str(tmp_path))
    offer = MESSAGE | {"kind": "offer", "message_id": "m2", "expires_at": datetime(2026, 3, 17, tzinfo=UTC)}
    assert [r["outcome"] for r in sent([MESSAGE, offer, MESSAGE, offer], sender)] == ["sent"] * 4
    folder = tmp_path / str(DAY)
    assert sorted(p.name for p in folder.iterdir()) == ["m1.eml", "m2.json"]
    told_ = json.loads((folder / "m2.json").read_text())
    assert (told_["body"], told_["expires_at"], "attempts" in told_) == (MESSAGE["body"], "2026-03-17T00:00:00+00:00", False)
    mail = message_from_bytes((folder / "m1.eml").read_bytes(), policy=policy.default)
    assert (mail["Message-ID"], mail.get_content()) == ("<m1@churnwatch>", MESSAGE["body"])


def test_tls_and_log_in_are_used_and_a_stranger_s_certificate_is_refused(certificate, mailbox, tmp_path, monkeypatch):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*map(str, certificate))

    def known(server, session, envelope, mechanism, login):
        return AuthResult(success=(login.login, login.password) == (b"bot", b"right"), handled=False)

    controller = AnyPort(
        mailbox, hostname="127.0.0.1", port=0, tls_context=context, require_starttls=True, authenticator=known, auth_required=True
    )
    controller.start()
    try:

        def outcome(password, **server):
            secure = MailServer("localhost", controller.port, user="bot", password=password, timeout_seconds=5, **server)
            return told(sent([MESSAGE, MESSAGE], by_mail(secure, tmp_path), most=2))

        strange = outcome("right", starttls=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        accepted, wrong = outcome("right", starttls=True), outcome("wrong", starttls=True)
        open_ = outcome("right")
    finally:
        controller.stop()
    # neither a certificate that nobody vouches for nor a wrong password becomes better by trying again
    assert [row[1:3] for row in strange] == [(1, "failed")] * 2 and "CERTIFICATE_VERIFY_FAILED" in strange[0][3]
    assert [row[1:3] for row in accepted] == [(1, "sent")] * 2
    assert [row[1:3] for row in wrong] == [(1, "failed")] * 2 and "535" in wrong[0][3]
    assert wrong[1][3].startswith("not tried: ")
    assert {row[2] for row in open_} == {"failed"}
    assert len(mailbox.got) == 2


def test_the_port_sends_from_workers_and_returns_the_attempts(spark, port, mailbox, tmp_path):
    smtp = {"host": "127.0.0.1", "port": port}
    outbox = str(tmp_path / "outbox")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        hook = {"kind": "json", "url": f"http://127.0.0.1:{free.getsockname()[1]}/"}  # nobody listens there
    places = {"destinations": ADDRESSES | {"hook": hook}, "allow_loopback": True, "history_after_days": None}
    sending = {"kind": "network", "smtp": smtp, "folder": outbox, "pause_seconds": 0.01, "tries_a_run": 1, **places}
    place = {"root": "x", "files": str(tmp_path)}
    made = settings(storage=place, sending=sending | {"slice_messages": 2}, offers={"quiet_hours": (8, 8)})
    rows = [to("retention"), to("refused"), to("stranger", kind="offer", earliest_send_at=None), to("hook"), to("hook")]
    rows[-1] |= {"message_id": "m-hook-2"}
    withheld = to("retention", message_id="withheld")
    given = [(*row.values(), None, None) for row in rows] + [(*withheld.values(), None, "no consent to contact")]
    before = datetime.now()
    frames = Senders(spark, made, "run").send(spark.createDataFrame(given, OUTBOX).repartition(2), DAY)
    slices = [[row.asDict() for row in frame.collect()] for frame in frames]
    assert [(row["message_id"], row["outcome"]) for row in slices[0]] == [("withheld", "suppressed")]
    found = sorted((row for rows_ in slices[1:] for row in rows_), key=lambda row: row["message_id"])
    assert told(found) == [
        ("m-hook", 1, "failed", found[0]["detail"]),
        ("m-hook-2", 1, "failed", found[1]["detail"]),
        ("m-refused", 1, "failed", "550 5.1.1 no such user"),
        ("m-retention", 1, "sent", "250 accepted"),
        ("m-stranger", 1, "failed", "no gateway for channel 'email' under sending.gateways"),
    ]
    # what the first slice finds down is not tried by the next one
    assert {row["detail"] for row in found[:2]} == {
        "127.0.0.1: ConnectionRefusedError",
        "not tried: 127.0.0.1: ConnectionRefusedError",
    }
    assert all(before - timedelta(seconds=1) <= row["at"] <= datetime.now() for row in found)
    assert [m["X-Churnwatch-Destination"] for m in mailbox.got] == ["retention"]


def test_of_two_runs_that_send_at_once_the_second_sends_nothing(spark, tmp_path):
    made = settings(storage={"root": "x", "files": str(tmp_path)}, sending={"slice_messages": 1})
    given = [(*to("retention", message_id=f"m{n}").values(), None, None) for n in range(4)]
    messages = spark.createDataFrame(given, OUTBOX)
    first = Senders(spark, made, "one").send(messages, DAY)
    assert next(first).count() < 4
    with pytest.raises(WriteConflict, match="another run is sending messages"):
        next(Senders(spark, made, "other").send(messages, DAY))
    first.close()
    assert sum(frame.count() for frame in Senders(spark, made, "third").send(messages, DAY)) == 4


def test_a_run_that_lost_its_lease_sends_no_further_slice(spark, port, mailbox, tmp_path):
    checks = []

    def check():
        checks.append(len(mailbox.got))
        if len(checks) > 2:
            raise RuntimeError("taken over")

    sending = {"kind": "network", "smtp": {"host": "127.0.0.1", "port": port}, "history_after_days": None}
    sending |= {"destinations": ADDRESSES, "slice_messages": 4}
    made = settings(storage={"root": "x", "files": str(tmp_path)}, sending=sending)
    given = [(*to("retention", message_id=f"m{n}").values(), None, None) for n in range(16)]
    frames = Senders(spark, made, "run", check).send(spark.createDataFrame(given, OUTBOX), DAY)
    stored = []
    with pytest.raises(RuntimeError, match="taken over"):
        for frame in frames:
            stored += [row["message_id"] for row in frame.collect()]
    assert [f"<{name}@churnwatch>" for name in stored] == [mail["Message-ID"] for mail in mailbox.got]
    assert 0 < len(stored) < 16


def test_offers_wait_for_the_users_own_morning_unless_their_receiver_keeps_them():
    quiet = (21, 8)
    night = datetime(2026, 3, 11, 3, tzinfo=UTC)
    times = SendTimes(quiet, "Europe/Berlin", night)
    offer = MESSAGE | {"kind": "offer", "channel": "email"}
    hour = timedelta(hours=1)
    cases = {  # zone and earliest_send_at: the instant at which the user may get it; None: now
        ("Europe/Berlin", None): night + 4 * hour,  # 4:00 there
        (None, None): night + 4 * hour,
        ("no/such_zone", None): night + 4 * hour,
        ("America/Los_Angeles", None): None,  # 20:00 there
        ("America/New_York", None): night + 9 * hour,  # 23:00 there
        ("Asia/Shanghai", None): None,  # 11:00 there
        ("Asia/Shanghai", night + 6 * hour): night + 6 * hour,
        ("Asia/Shanghai", night + 11 * hour): night + 21 * hour,  # 22:00 there
    }
    found = {case: times.starts_at(offer | {"earliest_send_at": case[1]}, case[0]) for case in cases}
    assert found == cases
    assert times.starts_at(MESSAGE, None) is None, "owners get messages at any time"
    assert SendTimes((8, 8), "UTC", night).starts_at(offer, None) is None, "no quiet hours"
    assert SendTimes((1, 5), "UTC", night).starts_at(offer, None) == night + 2 * hour
    posted = []

    class Gateway:
        def __init__(self, keeps):
            self.keeps = keeps

        def __call__(self, message):
            posted.append(message["earliest_send_at"])
            return "posted"

        def receiver(self, message):
            return "gateway"

        def keeps_offers(self, message):
            return self.keeps

    policy = RetryPolicy(1, 1)
    assert send_message(offer, Gateway(False), policy, {}, times) == [] and posted == []
    assert [row["outcome"] for row in send_message(offer, Gateway(True), policy, {}, times)] == ["sent"]
    assert posted == [night + 4 * hour]
    late = offer | {"expires_at": night}
    assert [row["outcome"] for row in send_message(late, Gateway(True), policy, {}, times)] == ["expired"]
    for keeps in (True, False):
        (over,) = send_message(offer | {"expires_at": night + 4 * hour}, Gateway(keeps), policy, {}, times)
        assert over["outcome"] == "expired"
        why = "not sent: expires at 2026-03-11 07:00 UTC, and may not reach the user before 2026-03-11 07:00 UTC"
        assert over["detail"] == why
    assert send_message(offer | {"expires_at": night + 5 * hour}, Gateway(False), policy, {}, times) == [], "it waits"
    assert len(posted) == 1


def test_operators_get_a_message_without_ids_and_passwords_and_nothing_is_raised(port, mailbox, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(secrets, "_known", {"pa55word": "${SMTP_PASSWORD}"})
    smtp = {"host": "127.0.0.1", "port": port, "user": None, "password": "pa55word"}
    sending = {"kind": "network", "smtp": smtp, "destinations": {"on_call": "call@example.org"}, "pause_seconds": 0.0}
    place = {"root": "x", "files": str(tmp_path)}
    made = settings(storage=place, sending=sending | {"operators": "on_call"})
    failed = JobFailed("cannot reach postgresql://bot:s3cret@db/mlflow with pa55word\n user anna")
    lines = [cause_for_operators(failed), cause_for_operators(ValueError("anna is no number"))]
    for _ in range(2):
        assert message_operators(made, "run1 failed", DAY, "train_model failed", lines) == "250 accepted"
    first, second = mailbox.got
    assert first["Message-ID"] == second["Message-ID"] and first["To"] == "call@example.org"
    assert first["Subject"] == "churnwatch small: train_model failed"
    assert first.get_content().splitlines() == [
        "JobFailed: cannot reach postgresql://***@db/mlflow with ${SMTP_PASSWORD}",
        "ValueError",
    ]
    assert message_operators(settings(storage=place, sending=sending), "run1 failed", DAY, "x") is None
    down = made.model_copy(update={"sending": made.sending.model_copy(update={"smtp": Smtp(host="127.0.0.1", port=1)})})
    assert message_operators(down, "run2 failed", DAY, "x") is None
    assert "no message to the operators 'on_call' about run2 failed" in caplog.text
    assert len(mailbox.got) == 2
    files = made.model_copy(update={"sending": Sending(operators="on_call")})
    name = message_operators(files, "run3 failed", DAY, "x")
    assert (tmp_path / "outbox" / name.removeprefix("file ")).exists()


def test_no_answer_is_stored_with_the_password_of_a_uri(tmp_path):
    class Echo(FileSender):
        def __call__(self, message):
            raise NotSent("refused by https://bot:s3cret@example.org/x")

    ((_, _, _, detail),) = told(sent([MESSAGE], Echo(str(tmp_path)), most=1))
    assert detail == "refused by https://***@example.org/x"


@pytest.mark.usefixtures("spark_defaults")
def test_ids_are_hashed_with_the_key_and_the_key_is_in_no_plan(spark):
    # RFC 4231, test case 2
    assert keyed_id("what do ya want for nothing?", b"Jefe") == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    key = b"a key that nobody may see"
    frame = spark.createDataFrame([("anna", 1), (None, 2), ("Zoë 🐈", 3)], "user_id string, n int")
    hashed = keyed(frame, "user_id", key)
    assert sorted(hashed.collect(), key=lambda r: r["n"]) == [(keyed_id("anna", key), 1), (None, 2), (keyed_id("Zoë 🐈", key), 3)]
    plan = hashed._jdf.queryExecution().toString()
    assert "mapinarrow" in plan.lower() and key.decode() not in plan and key.hex() not in plan.lower()


def test_the_key_is_made_once_and_a_short_one_is_refused(tmp_path, monkeypatch):
    from churnwatch.core import ConfigError

    file = tmp_path / "files" / "id_key"
    made = settings(privacy={"id_key": {"file": str(file)}})
    key = id_key(made)
    assert (len(key), id_key(made), file.stat().st_mode & 0o777) == (64, key, 0o600)
    assert [p.name for p in file.parent.iterdir()] == ["id_key"]
    in_environment = settings(privacy={"id_key": {"env": "ID_KEY_OF_TEST"}})
    with pytest.raises(ConfigError, match="ID_KEY_OF_TEST holds 0 bytes"):
        id_key(in_environment)
    monkeypatch.setenv("ID_KEY_OF_TEST", "0123456789abcdef")
    assert id_key(in_environment) == b"0123456789abcdef"
    file.write_text("short")
    with pytest.raises(ConfigError, match="5 bytes"):
        id_key(made)


def test_a_password_goes_only_over_tls_except_to_this_machine():
    smtp = {"host": "mail.example.org", "user": "bot", "password": "secret"}
    with pytest.raises(ValueError, match="only over starttls"):
        settings(sending={"kind": "network", "smtp": smtp})
    settings(sending={"kind": "network", "smtp": smtp | {"starttls": True}})
    settings(sending={"kind": "network", "smtp": smtp | {"host": "localhost"}})
    with pytest.raises(ValueError, match="password holds a line break"):
        settings(sending={"kind": "network", "smtp": smtp | {"starttls": True, "password": "secret\n"}})
