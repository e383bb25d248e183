"""Propose which kinds of events are acts of the user, and which happen to users without their doing, by their names."""

from collections.abc import Sequence
from dataclasses import dataclass

from churnwatch.begin.columns import words
from churnwatch.begin.known import BY_USERS, MESSAGES, NO_ACTS, ON_THEIR_OWN, SENT


@dataclass(frozen=True)
class Acts:
    """``kinds``: the proposed acts, None when every event is one; ``reason``: why, in one line."""

    kinds: tuple[str, ...] | None
    reason: str


def happens_to_users(kind: str) -> bool:
    """Test whether events of the kind happen without the user's doing, by the words of its name: a bill, a refund, a message
    that was sent.

    >>> [happens_to_users(kind) for kind in ("invoice", "Email Delivered", "email_opened", "bill_paid", "message_sent")]
    [True, True, False, False, False]
    """
    found = set(words(kind))
    if found & BY_USERS:
        return False
    alone = bool(found) and found <= ON_THEIR_OWN
    return alone or bool(found & NO_ACTS or (found & MESSAGES and found & SENT))


def guess_acts(kinds: Sequence[str]) -> Acts:
    """Propose the acts among the event types ``kinds``. A log that has no act keeps all of them, with the reason."""
    others = [kind for kind in kinds if happens_to_users(kind)]
    acts = tuple(kind for kind in kinds if kind not in others)
    if not others:
        return Acts(None, "every event is an act: no event type is a bill, a message that was sent, a refund or the like")
    named = ", ".join(others)
    if not acts:
        return Acts(None, f"every event is an act, although {named} may happen without the user: the log has no other event type")
    return Acts(acts, f"not {named}: such events happen to users without their doing, so they make nobody active")
