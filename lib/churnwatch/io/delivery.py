"""Sending one message after the other, as it runs inside Spark's workers: the standard library alone."""

import json
import os
import smtplib
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Protocol

from churnwatch.io.formats import chat_body, refusal, signature, signed, sms_body, whole_body
from churnwatch.io.posting import NotPosted, post

Message = dict[str, Any]
ID_DOMAIN = "churnwatch"  # right side of the header Message-ID
LONGEST_DETAIL = 500
LONGEST_PAUSE = 60.0  # seconds; what is down for longer is tried in the next run


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
    """A mail server as the workers need it."""

    host: str
    port: int
    starttls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    sender: str = "churnwatch@localhost"
    timeout_seconds: float = 10.0


@dataclass(frozen=True)
class RetryPolicy:
    """How often a message is tried in a run and in all, and the pauses between, which double from ``pause_seconds``."""

    tries_a_run: int = 3
    max_attempts: int = 9
    pause_seconds: float = 1.0

    def wait_seconds(self, message_id: str, number: int, requested_seconds: float = 0.0) -> float:
        """Seconds after the ``number``-th attempt of a run; a hash of the message spreads them over half to the whole.

        What the receiver asks for is waited for, as far as LONGEST_PAUSE; both ways the same for the same message.
        """
        spread = 0.5 + zlib.crc32(f"{message_id}/{number}".encode()) / 2**33
        return min(max(self.pause_seconds * 2 ** (number - 1) * spread, requested_seconds), LONGEST_PAUSE)


class Sender(Protocol):
    """Sends one message after the other."""

    def __call__(self, message: Message) -> str:
        """The receiver's answer; raises NotSent."""
        ...

    def receiver(self, message: Message) -> str:
        """What the message depends on: when it is down for one message, it is for all of the same place."""
        ...

    def close(self) -> None:
        """Ends what is held open."""
        ...


def send_messages(messages: Iterable[Message], sender: Sender, policy: RetryPolicy) -> Iterator[dict[str, Any]]:
    """One row an attempt: day and message_id of the message, attempt, at, outcome (sent or failed), detail.

    ``message["attempts"]`` attempts were made before; with this call's they are at most ``max_attempts``. What may
    pass is tried again after a pause that doubles; a refusal is not. When a place is down, the messages to it after the
    one that found out are given one failed row each and no time-out of their own; others are not hindered.
    """
    down: dict[str, NotSent] = {}
    for message in messages:
        receiver, before = sender.receiver(message), message["attempts"]
        last = min(before + policy.tries_a_run, policy.max_attempts)
        for number in range(before + 1, last + 1):
            row = {"day": message["day"], "message_id": message["message_id"], "attempt": number, "at": datetime.now(UTC)}
            if receiver in down:
                yield row | {"outcome": "failed", "detail": f"not tried: {down[receiver].detail}"[:LONGEST_DETAIL]}
                break
            try:
                yield row | {"outcome": "sent", "detail": sender(message)[:LONGEST_DETAIL]}
                break
            except NotSent as error:
                yield row | {"outcome": "failed", "detail": error.detail[:LONGEST_DETAIL]}
                if not error.may_retry or number == last:
                    if error.receiver_down:
                        down[receiver] = error
                    break
                time.sleep(policy.wait_seconds(message["message_id"], number - before, error.wait_seconds))


def make_mail(message: Message, sender: str, address: str) -> EmailMessage:
    """The message as a mail; its Message-ID is made from ``message_id``, so a receiver sees a repeat as one."""
    made = EmailMessage()
    made["Message-ID"] = f"<{message['message_id']}@{ID_DOMAIN}>"
    made["Date"] = format_datetime(datetime.now(UTC))
    made["From"] = sender
    made["To"] = address
    made["Subject"] = " ".join(message["subject"].split())  # a line break would begin another header
    made["X-Churnwatch-Destination"] = message["destination"]
    if message["earliest_send_at"]:
        made["Deferred-Delivery"] = format_datetime(message["earliest_send_at"])
    made.set_content(message["body"])
    return made


class FileSender:
    """Writes ``<folder>/<day>/<message_id>``: .json for an offer, else .eml; the same id is the same file."""

    def __init__(self, folder: str, sender: str = MailServer.sender) -> None:
        self._folder, self._sender = Path(folder), sender

    def __call__(self, message: Message) -> str:
        """Name of the file under the folder; raises NotSent where it cannot be written."""
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
        """The folder."""
        return str(self._folder)

    def close(self) -> None:
        """Nothing is held open."""


class MailSender:
    """Mails to ``address`` over one connection, opened at the first message."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._open: smtplib.SMTP | None = None

    def send(self, message: Message, address: str) -> str:
        """The server's answer; raises NotSent with it, or with what broke."""
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
            raise NotSent("the message or its address holds a character that no mail can have") from error
        except (OSError, smtplib.SMTPException) as error:
            if not _answered(error):
                self.close()  # the connection is in no known state
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
        """Says good-bye where the server still listens."""
        if self._open is not None:
            try:
                self._open.quit()
            except (OSError, smtplib.SMTPException):
                self._open.close()
            self._open = None


@dataclass(frozen=True)
class Target:
    """A destination of conf as the workers need it; see settings.sending.Destination."""

    kind: str
    address: str | None = None
    url: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    to: str | None = None
    body: dict[str, str] = field(default_factory=dict)


class Router:
    """Sends every message to its destination, by mail or HTTP, or all of them into files; offers without a gateway too.

    A message to an owner without a destination fails: a file that nobody looks into is not sent.
    """

    def __init__(self, config: "DeliveryConfig") -> None:
        self._config = config
        self._files = FileSender(config.folder, config.server.sender if config.server else MailServer.sender)
        self._mails = MailSender(config.server) if config.server else None

    def __call__(self, message: Message) -> str:
        """The receiver's answer; raises NotSent."""
        target = self._target(message)
        if target is None and self._config.only_files:
            return self._files(message)
        if target is None and message["kind"] == "offer":
            return f"{self._files(message)}: no gateway for {message['channel']}"
        if target is None:
            raise NotSent(f"no destination {message['destination']!r} under sending.destinations")
        if not target.address:
            return post_message(message, target, self._config.timeout_seconds, self._config.loopback)
        if self._mails is None:
            raise NotSent("no mail server under sending.smtp")
        return self._mails.send(message, target.address)

    def receiver(self, message: Message) -> str:
        """The mail server, the URL, or the folder; nothing is down where there is no destination."""
        target = self._target(message)
        if target is None:
            return "files" if self._config.only_files or message["kind"] == "offer" else "nowhere"
        return target.url or "mail"

    def _target(self, message: Message) -> Target | None:
        if self._config.only_files:
            return None
        name = message["destination"]
        if message["kind"] == "offer":
            # to a user, by the gateway of the channel; a user's hash is no name of a destination
            name = self._config.gateways.get(message["channel"])
        return self._config.targets.get(name) if name else None

    def close(self) -> None:
        """Ends the connection to the mail server."""
        if self._mails:
            self._mails.close()


def post_message(message: Message, target: Target, timeout_seconds: float, loopback: bool) -> str:
    """Posts the message to the URL of ``target``, its id in a header; raises NotSent."""
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
    """Makes the sender of a worker: plain values alone, so that it travels."""

    folder: str
    only_files: bool = True
    server: MailServer | None = None
    targets: dict[str, Target] = field(default_factory=dict)
    gateways: dict[str, str] = field(default_factory=dict)
    timeout_seconds: float = 10.0
    loopback: bool = False

    def make_sender(self) -> Router:
        """A sender of its own for each partition: a connection cannot be shared."""
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
    """A 4xx answer or a broken connection may pass; a 5xx answer, a feature the server lacks or a bad certificate not."""
    if replies := _replies(error):
        return all(code < 500 for code, _ in replies)
    return not isinstance(error, smtplib.SMTPNotSupportedError | ssl.SSLCertVerificationError)


def _answer(error: Exception) -> str:
    texts = [f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}" for code, text in _replies(error)]
    return "; ".join(texts) or f"{type(error).__name__}: {error}"
