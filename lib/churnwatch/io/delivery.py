"""Send messages one by one. Runs inside Spark's workers: of this package, only modules that travel by value are called."""

import json
import os
import smtplib
import ssl
import time
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Protocol

from churnwatch.io.formats import chat_body, refusal, signature, signed, sms_body, whole_body
from churnwatch.io.posting import NotPosted, post
from churnwatch.io.send_times import SendTimes
from churnwatch.settings.secrets import USERINFO

Message = dict[str, Any]
ID_DOMAIN = "churnwatch"  # right side of the header Message-ID
LONGEST_DETAIL = 500
ANY_TIME = SendTimes()
LONGEST_PAUSE = 60.0  # seconds; the next run tries what is down for longer


class NotSent(Exception):
    """Raised when a receiver did not take a message.

    ``may_retry``: a later attempt may succeed. ``receiver_down``: the receiver takes no message at the moment.
    ``wait_seconds``: pause that the receiver requested, 0 if none.
    """

    def __init__(self, detail: str, may_retry: bool = False, receiver_down: bool = False, wait_seconds: float = 0.0) -> None:
        super().__init__(detail)
        self.detail, self.wait_seconds = detail, wait_seconds
        self.may_retry, self.receiver_down = may_retry, receiver_down


@dataclass(frozen=True)
class MailServer:
    """A mail server of the configuration."""

    host: str
    port: int
    starttls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    sender: str = "churnwatch@localhost"
    timeout_seconds: float = 10.0


@dataclass(frozen=True)
class RetryPolicy:
    """How often a message is tried per run and in all; pauses double from ``pause_seconds``."""

    tries_a_run: int = 3
    max_attempts: int = 9
    pause_seconds: float = 1.0

    def wait_seconds(self, message_id: str, number: int, requested_seconds: float = 0.0) -> float:
        """Return the pause after attempt ``number`` of a run, in seconds: at least what the receiver requested, at most
        LONGEST_PAUSE.

        A hash of the message spreads the pauses over half to the whole of their length; a message's pauses are always the same.
        """
        spread = 0.5 + zlib.crc32(f"{message_id}/{number}".encode()) / 2**33
        return min(max(self.pause_seconds * 2 ** (number - 1) * spread, requested_seconds), LONGEST_PAUSE)


class Sender(Protocol):
    """Sends messages one by one."""

    def __call__(self, message: Message) -> str:
        """Send the message and return the receiver's answer. Raises NotSent."""
        ...

    def receiver(self, message: Message) -> str:
        """Return the name of what takes the message; if it is down, it is down for all its messages."""
        ...

    def keeps_offers(self, message: Message) -> bool:
        """Return whether the receiver takes an offer at any time and keeps it until ``earliest_send_at``."""
        ...

    def close(self) -> None:
        """Close open connections."""
        ...


def send_message(
    message: Message,
    sender: Sender,
    policy: RetryPolicy,
    down: dict[str, str],
    times: SendTimes = ANY_TIME,
    time_zone: str | None = None,
) -> list[dict[str, Any]]:
    """Send one message and return its attempts: attempt, at, outcome (sent, failed or expired) and detail.

    ``message["attempts"]`` attempts were made before; with these they are at most ``max_attempts``. After a failure that may
    pass the message is tried again, after a pause; a refusal is final. ``down``: receiver -> why it takes nothing now. It is
    filled here, and a message to such a receiver gets one failed attempt without a connection, so that one receiver that is
    down does not cost a time-out per message. An offer whose time has not come makes no attempt, unless its receiver keeps it
    until then; one that expires before its time comes is expired at once. ``time_zone`` is the user's.
    """
    receiver, before = sender.receiver(message), message["attempts"]
    if times.is_expired(message):
        return [_attempt(before + 1, "expired", "expired before it was sent")]
    if start := times.starts_at(message, time_zone):
        if message["expires_at"] is not None and message["expires_at"] <= start:
            ends = f"{message['expires_at']:%Y-%m-%d %H:%M} UTC, and may not reach the user before {start:%Y-%m-%d %H:%M} UTC"
            return [_attempt(before + 1, "expired", f"not sent: expires at {ends}")]
        if not sender.keeps_offers(message):
            return []
        message = message | {"earliest_send_at": start}
    last = min(before + policy.tries_a_run, policy.max_attempts)
    made: list[dict[str, Any]] = []
    for number in range(before + 1, last + 1):
        if receiver in down:
            return [*made, _attempt(number, "failed", f"not tried: {down[receiver]}")]
        try:
            return [*made, _attempt(number, "sent", sender(message))]
        except NotSent as error:
            made.append(_attempt(number, "failed", error.detail))
            if not error.may_retry or number == last:
                if error.receiver_down:
                    down[receiver] = made[-1]["detail"]
                return made
            time.sleep(policy.wait_seconds(message["message_id"], number - before, error.wait_seconds))
    return made


def without_passwords(text: str) -> str:
    """Hide the users and passwords of URIs in ``text``.

    >>> without_passwords("cannot reach https://bot:s3cret@example.org/hook")
    'cannot reach https://***@example.org/hook'
    """
    return USERINFO.sub(r"\1***@", text)


def _attempt(number: int, outcome: str, detail: str) -> dict[str, Any]:
    detail = without_passwords(detail)[:LONGEST_DETAIL]
    return {"attempt": number, "at": datetime.now(UTC), "outcome": outcome, "detail": detail}


def make_mail(message: Message, sender: str, address: str) -> EmailMessage:
    """Return the message as a mail. Its Message-ID is made from ``message_id``, so that a receiver recognises a repeat."""
    made = EmailMessage()
    made["Message-ID"] = f"<{message['message_id']}@{ID_DOMAIN}>"
    made["Date"] = format_datetime(datetime.now(UTC))
    made["From"] = sender
    made["To"] = address
    made["Subject"] = " ".join(message["subject"].split())  # a line break would start another header
    made["X-Churnwatch-Destination"] = message["destination"]
    if message["earliest_send_at"]:
        made["Deferred-Delivery"] = format_datetime(message["earliest_send_at"])
    made.set_content(message["body"])
    return made


class FileSender:
    """Writes ``<folder>/<day>/<message_id>.json`` for an offer, else ``.eml``; a repeat overwrites the same file."""

    def __init__(self, folder: str, sender: str = MailServer.sender) -> None:
        self._folder, self._sender = Path(folder), sender

    def __call__(self, message: Message) -> str:
        """Write the file and return its name under the folder. Raises NotSent if it cannot be written."""
        to_owner = message["kind"] != "offer"
        name = Path(str(message["day"])) / f"{message['message_id']}.{'eml' if to_owner else 'json'}"
        if to_owner:
            content = make_mail(message, self._sender, f"{message['destination']}@{ID_DOMAIN}").as_bytes()
        else:
            content = json.dumps(whole_body(message), sort_keys=True).encode()
        path = self._folder / name
        half = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            half.write_bytes(content)
            half.replace(path)
        except OSError as error:
            raise NotSent(f"{path}: {error.strerror or error}", may_retry=True, receiver_down=True) from error
        return f"file {name}"

    def receiver(self, message: Message) -> str:
        """Return "files"."""
        return "files"

    def keeps_offers(self, message: Message) -> bool:
        """Return True: the file says when the offer may be sent."""
        return True

    def close(self) -> None:
        """Do nothing: no connection is open."""


class MailSender:
    """Sends mails over one connection, which the first message opens."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._open: smtplib.SMTP | None = None

    def send(self, message: Message, address: str) -> str:
        """Send the message to ``address`` and return the server's answer. Raises NotSent with the answer or the error."""
        try:
            connection = self._open or self._connected()
        except (OSError, smtplib.SMTPException) as error:
            raise NotSent(
                f"{self._server.host}:{self._server.port}: {_answer(error)}", may_retry=_may_pass(error), receiver_down=True
            ) from error
        self._open = connection
        try:
            refused = connection.send_message(make_mail(message, self._server.sender, address), self._server.sender, [address])
        except ValueError as error:
            raise NotSent("the message or its address holds a character that a mail cannot have") from error
        except (OSError, smtplib.SMTPException) as error:
            if not _answered(error):
                self.close()  # the state of the connection is unknown
            raise NotSent(_answer(error), may_retry=_may_pass(error)) from error
        return "250 accepted" if not refused else str(refused)

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        connection = smtplib.SMTP(server.host, server.port, timeout=server.timeout_seconds)
        try:
            if server.starttls:
                connection.starttls(context=ssl.create_default_context())
            if server.user is not None:
                connection.login(server.user, server.password or "")
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the connection, politely if the server still answers."""
        if self._open is not None:
            try:
                self._open.quit()
            except (OSError, smtplib.SMTPException):
                self._open.close()
            self._open = None


@dataclass(frozen=True)
class Target:
    """A destination of the configuration, see settings.sending.Destination."""

    kind: str
    address: str | None = None
    url: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    to: str | None = None
    body: dict[str, str] = field(default_factory=dict)
    keeps_offers: bool = False


class Router:
    """Sends each message to its destination by mail or HTTP; with ``only_files`` all messages become files.

    A message to an owner without a destination fails, and so does an offer whose channel has no gateway, because nobody would
    read a file.
    """

    def __init__(self, config: "DeliveryConfig") -> None:
        self._config = config
        self._files = FileSender(config.folder, config.server.sender if config.server else MailServer.sender)
        self._mails = MailSender(config.server) if config.server else None

    def __call__(self, message: Message) -> str:
        """Send the message and return the receiver's answer. Raises NotSent."""
        target = self._target(message)
        if target is None and self._config.only_files:
            return self._files(message)
        if target is None and message["kind"] == "offer":
            raise NotSent(f"no gateway for channel {message['channel']!r} under sending.gateways")
        if target is None:
            raise NotSent(f"no destination {message['destination']!r} under sending.destinations")
        if not target.address:
            return post_message(message, target, self._config.timeout_seconds, self._config.loopback)
        if self._mails is None:
            raise NotSent("no mail server under sending.smtp")
        return self._mails.send(message, target.address)

    def receiver(self, message: Message) -> str:
        """Return the name of the destination, "mail" for all mail addresses, "files", or "nowhere" without a destination."""
        target = self._target(message)
        if target is None:
            return "files" if self._config.only_files else "nowhere"
        return "mail" if target.address else self._name(message)

    def keeps_offers(self, message: Message) -> bool:
        """Return whether the offer's gateway keeps it until ``earliest_send_at``; files are read by a system that does."""
        target = self._target(message)
        return self._config.only_files or (target is not None and target.keeps_offers)

    def _target(self, message: Message) -> Target | None:
        return None if self._config.only_files else self._config.targets.get(self._name(message))

    def _name(self, message: Message) -> str:
        """Return the name of the destination: for an offer, whose destination is a user's hash, that of its gateway."""
        name: str = message["destination"]
        return self._config.gateways.get(message["channel"], "") if message["kind"] == "offer" else name

    def close(self) -> None:
        """Close the connection to the mail server."""
        if self._mails:
            self._mails.close()


def post_message(message: Message, target: Target, timeout_seconds: float, loopback: bool) -> str:
    """Post the message to the URL of ``target``, with its id in a header. Raises NotSent."""
    if target.kind == "json":
        body: dict[str, Any] = whole_body(message)
    elif target.kind == "sms":
        body = sms_body(target.body, target.to or "", message)
    else:
        body = chat_body(target.kind, message)
    headers = {"Idempotency-Key": message["message_id"], "User-Agent": "churnwatch"}
    if target.token:
        headers["Authorization"] = f"Bearer {target.token}"
    if target.secret and target.kind == "json":
        headers["X-Churnwatch-Signature"] = signature(target.secret, body)
    url, body = signed(target.kind, target.secret, target.url or "", body, int(time.time()))
    try:
        answer = post(url, body, headers, timeout_seconds, loopback)
    except NotPosted as error:
        raise NotSent(error.detail, error.may_retry, error.receiver_down, error.wait_seconds) from error
    if refused := refusal(target.kind, answer):
        raise NotSent(f"{target.kind}: {refused[0]}", may_retry=refused[1])
    return "posted"


@dataclass(frozen=True)
class DeliveryConfig:
    """Plain values from which each worker makes its sender; Spark pickles them."""

    folder: str
    only_files: bool = True
    server: MailServer | None = None
    targets: dict[str, Target] = field(default_factory=dict)
    gateways: dict[str, str] = field(default_factory=dict)
    timeout_seconds: float = 10.0
    loopback: bool = False
    times: SendTimes = ANY_TIME

    def make_sender(self) -> Router:
        """Return a new sender; each partition needs its own, because connections cannot be shared."""
        return Router(self)


def _replies(error: Exception) -> list[tuple[int, bytes | str]]:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return list(error.recipients.values())
    if isinstance(error, smtplib.SMTPResponseException):
        return [(error.smtp_code, error.smtp_error)]
    return []


def _answered(error: Exception) -> bool:
    return bool(_replies(error))


def _may_pass(error: Exception) -> bool:
    """Return whether a later attempt may succeed: yes after a 4xx answer or a broken connection, no after a 5xx answer, a
    missing feature of the server or a bad certificate."""
    if replies := _replies(error):
        return all(code < 500 for code, _ in replies)
    return not isinstance(error, smtplib.SMTPNotSupportedError | ssl.SSLCertVerificationError)


def _answer(error: Exception) -> str:
    texts = [f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}" for code, text in _replies(error)]
    return "; ".join(texts) or f"{type(error).__name__}: {error}"
