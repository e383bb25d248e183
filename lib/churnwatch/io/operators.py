"""Messages to the operators about runs: failed, refused, missing or slow. They need neither Spark nor the warehouse."""

import hashlib
import logging
from collections.abc import Sequence
from datetime import date

from churnwatch.core import ChurnwatchError
from churnwatch.io.delivery import RetryPolicy, send_message
from churnwatch.io.senders import delivery_config
from churnwatch.settings import Settings
from churnwatch.settings.secrets import redacted
from churnwatch.settings.terms import SENT

LOG = logging.getLogger(__name__)
LONGEST_CAUSE = 300  # characters


def message_operators(settings: Settings, about: str, day: date, subject: str, lines: Sequence[str] = ()) -> str | None:
    """Send a message to ``sending.operators`` now; return the receiver's answer, or None when it was not sent.

    ``about``: what the message is about, such as ``"<run id> failed"``; the same text gives the same id, so that a receiver
    recognises a repeat. ``day``: the run day D. ``subject`` and ``lines`` must hold no user ids; passwords of URIs and
    configured secrets are hidden. Without operators nothing is sent. A message that cannot be sent is logged and raises
    nothing, because it must not hide what it is about.
    """
    operators = settings.sending.operators
    if operators is None:
        return None
    message = {
        "day": day,
        "message_id": hashlib.sha256(f"operators\x1f{settings.domain}\x1f{about}".encode()).hexdigest()[:32],
        "kind": "operators",
        "destination": operators,
        "channel": "operators",
        "subject": redacted(f"churnwatch {settings.domain}: {subject}"),
        "body": redacted("\n".join([*lines, ""])),
        "earliest_send_at": None,
        "expires_at": None,
        "attempts": 0,
    }
    sending = settings.sending
    policy = RetryPolicy(sending.tries_a_run, sending.max_attempts, sending.pause_seconds)
    try:
        sender = delivery_config(settings, day).make_sender()
        try:
            last = send_message(message, sender, policy, {})[-1]
        finally:
            sender.close()
    except Exception as error:  # whatever it is, the run's own end matters more
        last = {"outcome": "failed", "detail": type(error).__name__}
    if last["outcome"] == SENT:
        return str(last["detail"])
    LOG.error("no message to the operators %r about %s: %s", operators, about, redacted(last["detail"]))
    return None


def cause_for_operators(error: BaseException) -> str:
    """Return the error in one line without values of rows.

    That is the first line of an error of this package, and the class alone of any other: Spark's texts quote values.

    >>> cause_for_operators(ValueError("'anna' is no number"))
    'ValueError'
    """
    text = str(error).strip()
    first = text.splitlines()[0][:LONGEST_CAUSE] if text and isinstance(error, ChurnwatchError) else ""
    return f"{type(error).__name__}: {redacted(first)}" if first else type(error).__name__
