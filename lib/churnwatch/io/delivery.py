"""Sending one message after the other, as it runs inside Spark's workers: the standard library alone."""

import json
import os
import smtplib
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

Message = dict[str, Any]
ID_DOMAIN = "churnwatch"  # right side of the header Message-ID
LONGEST_DETAIL = 500


class NotSent(Exception):
    """Raised when a message was not taken: ``again`` a later attempt may help, ``down`` nothing can be sent now."""

    def __init__(self, detail: str, again: bool = False, down: bool = False) -> None:
        super().__init__(detail)
        self.detail, self.again, self.down = detail, again, down


@dataclass(frozen=True)
class Server:
    """A mail server as the workers need it."""

    host: str
    port: int
    starttls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    sender: str = "churnwatch@localhost"
    timeout_seconds: float = 10.0


def attempts(
    messages: Iterable[Message], send: Callable[[Message], str], max_attempts: int, pause_seconds: float = 1.0
) -> Iterator[dict[str, Any]]:
    """One row an attempt: message_id, attempt, at, outcome (sent or failed), detail.

    ``message["attempts"]`` attempts were made before; with this call's they are at most ``max_attempts``. What may
    pass is tried again after a pause that doubles; a refusal is not. When the server is down, the messages after the
    one that found out are given one failed row each and no time-out of their own.
    """
    down: NotSent | None = None
    for message in messages:
        for number in range(message["attempts"] + 1, max_attempts + 1):
            at = datetime.now(UTC)
            row = {"message_id": message["message_id"], "attempt": number, "at": at}
            if down:
                yield row | {"outcome": "failed", "detail": f"not tried: {down.detail}"[:LONGEST_DETAIL]}
                break
            try:
                yield row | {"outcome": "sent", "detail": send(message)[:LONGEST_DETAIL]}
                break
            except NotSent as error:
                yield row | {"outcome": "failed", "detail": error.detail[:LONGEST_DETAIL]}
                if not error.again or number == max_attempts:
                    down = error if error.down else None
                    break
                time.sleep(pause_seconds * 2 ** (number - message["attempts"] - 1))


def mail(message: Message, sender: str, address: str) -> EmailMessage:
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
    """Writes ``<folder>/<day>/<message_id>``: .eml for a digest, .json for an offer; the same id is the same file."""

    def __init__(self, folder: str, sender: str = Server.sender) -> None:
        self._folder, self._sender = Path(folder), sender

    def __call__(self, message: Message) -> str:
        """Name of the file under the folder; raises NotSent where it cannot be written."""
        digest = message["kind"] == "digest"
        name = Path(str(message["day"])) / f"{message['message_id']}.{'eml' if digest else 'json'}"
        if digest:
            content = mail(message, self._sender, f"{message['destination']}@{ID_DOMAIN}").as_bytes()
        else:
            content = json.dumps({k: _plain(v) for k, v in message.items() if k != "attempts"}, sort_keys=True).encode()
        path = self._folder / name
        half = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            half.write_bytes(content)
            half.replace(path)
        except OSError as error:
            raise NotSent(f"{path}: {error.strerror or error}", again=True, down=True) from error
        return f"file {name}"

    def close(self) -> None:
        """Nothing is held open."""


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int) else value.isoformat()


class MailSender:
    """Mails to the addresses of ``destinations`` over one connection, opened at the first message.

    A message whose destination has no address goes to ``otherwise``.
    """

    def __init__(self, server: Server, destinations: dict[str, str], otherwise: FileSender) -> None:
        self._server, self._destinations, self._otherwise = server, destinations, otherwise
        self._open: smtplib.SMTP | None = None

    def __call__(self, message: Message) -> str:
        """The server's answer; raises NotSent with it, or with what broke."""
        address = self._destinations.get(message["destination"])
        if not address:
            return f"{self._otherwise(message)}: no address for {message['destination']}"
        try:
            connection = self._open or self._connected()
        except (OSError, smtplib.SMTPException) as error:
            raise NotSent(
                f"{self._server.host}:{self._server.port}: {_answer(error)}", again=_may_pass(error), down=True
            ) from error
        self._open = connection
        try:
            refused = connection.send_message(mail(message, self._server.sender, address), self._server.sender, [address])
        except (OSError, smtplib.SMTPException) as error:
            if not _answered(error):
                self.close()  # the connection is in no known state
            raise NotSent(_answer(error), again=_may_pass(error)) from error
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
class Office:
    """Makes the sender of a worker: plain values alone, so that it travels."""

    kind: str
    folder: str
    server: Server | None
    destinations: dict[str, str]

    def sender(self) -> FileSender | MailSender:
        """A sender of its own for each partition: a connection cannot be shared."""
        files = FileSender(self.folder, self.server.sender if self.server else Server.sender)
        if self.kind == "file" or self.server is None:
            return files
        return MailSender(self.server, self.destinations, files)


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
