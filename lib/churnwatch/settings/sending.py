"""Where messages go: the key ``sending`` of conf/<where>.yaml."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, model_validator

from churnwatch.settings.base import Days, Name, SettingsPart
from churnwatch.settings.terms import LevelName

LOOPBACK = ("localhost", "127.0.0.1", "::1")
CHATS = ("slack", "teams", "wecom", "dingtalk", "feishu", "sms")
SIGNED = ("json", "dingtalk", "feishu")
ROBOTS = ("slack", "teams", "wecom", "dingtalk", "feishu")  # who knows the url may post
VARIABLE = re.compile(r"\$\{[A-Z][A-Z0-9_]*\}")
KEY_OF_A_QUERY = re.compile(r"key|token|secret|sign|pass", re.IGNORECASE)


class Smtp(SettingsPart):
    """A mail server; the password only ever comes from an environment variable (see ``written_secrets``)."""

    host: str
    port: int = 25
    starttls: bool = False
    user: str | None = None
    password: str | None = None
    sender: str = "churnwatch@localhost"
    timeout_seconds: float = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _not_in_the_clear(self) -> "Smtp":
        for name, value in (("user", self.user), ("password", self.password)):
            if _has_controls(value):
                raise ValueError(f"{name} holds a line break or another control character")
        if self.password and not self.starttls and self.host not in LOOPBACK:
            raise ValueError("a password goes only over starttls, except to this machine")
        return self


class Destination(SettingsPart):
    """An allowed receiver; text alone is a mail address.

    ``url`` (an environment variable where it holds a secret) is posted to; ``token``: a bearer token; ``secret``: what
    the receiver checks signatures with (json, dingtalk, feishu). ``json``: the whole message, for systems of one's own.
    ``sms``: a gateway that takes JSON; ``body``: its field -> text with {to}, {text} and {id}. ``user_ids``: whether
    a chat may be shown the keyed hashes of users.
    """

    kind: Literal["email", "json", "slack", "teams", "wecom", "dingtalk", "feishu", "sms"]
    address: str | None = None
    url: str | None = None
    token: str | None = None
    secret: str | None = None
    to: str | None = None
    body: dict[str, str] = {"to": "{to}", "text": "{text}", "id": "{id}"}
    user_ids: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        return {"kind": "email", "address": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _whole(self) -> "Destination":
        if self.kind == "email":
            if not self.address or "@" not in self.address or any(c.isspace() for c in self.address):
                raise ValueError("a destination of kind email has an address")
        elif not self.url:
            raise ValueError(f"a destination of kind {self.kind} has a url")
        if self.url and (fault := _url_fault(self.url)):
            raise ValueError(fault)
        if self.kind == "sms" and not self.to:
            raise ValueError("a destination of kind sms has to: the number")
        for name, value in (("token", self.token), ("secret", self.secret)):
            if _has_controls(value):
                raise ValueError(f"{name} holds a line break or another control character")
        if self.token and not self.token.isascii():
            raise ValueError("token holds a character that no header can have")
        if self.secret and self.kind not in SIGNED:
            raise ValueError(f"{self.kind} knows no secret; {', '.join(SIGNED)} do")
        return self

    @property
    def is_chat(self) -> bool:
        """Whether people read it where others may look on."""
        return self.kind in CHATS


def written_secrets(sending: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Secrets that stand in ``sending`` as they are, not as ``${NAME}``: (path below it, value).

    Passwords, tokens and secrets; urls of robots, of which all is a secret, and those with a key in the query. ``sending`` as
    files have it: before it is typed, and before variables are filled in.
    """
    parts = sending if isinstance(sending, dict) else {}
    named: list[tuple[tuple[str, ...], Any]] = [(("smtp",), parts.get("smtp"))]
    destinations = parts.get("destinations")
    named += [(("destinations", str(n)), d) for n, d in destinations.items()] if isinstance(destinations, dict) else []
    for path, part in named:
        for key, value in part.items() if isinstance(part, dict) else ():
            secret = key in ("password", "token", "secret") or (key == "url" and _is_a_key(str(value), part.get("kind")))
            if secret and value is not None and not VARIABLE.search(str(value)):
                yield (*path, key), str(value)


def _is_a_key(url: str, kind: Any) -> bool:
    """Whether who reads ``url`` may post to it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    if parts.hostname in LOOPBACK:
        return False
    return kind in ROBOTS or any(KEY_OF_A_QUERY.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True))


def _has_controls(text: str | None) -> bool:
    """Whether ``text`` holds a control character: a line break at the end of a secret that came from a file, say."""
    return any(c < " " or c == "\x7f" for c in text or "")


def _url_fault(url: str) -> str | None:
    """Why nothing is posted to ``url``; None where it may be. Never quotes it: it may hold a secret."""
    if " " in url or _has_controls(url):
        return "a url holds no blank and no line break"
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        return "a url has no port, or one of 1 to 65535"
    if not f"{parts.path}{parts.query}".isascii():
        return "path and query of a url are ASCII; other characters are written with %"
    if not parts.hostname or parts.username is not None or parts.fragment:
        return "a url has a host, no user and no fragment"
    loopback = parts.hostname in LOOPBACK
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        return "a url is https; http goes to this machine alone"
    try:
        literal = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return None
    return None if loopback or literal.is_global else "a url goes to no private address"


class Sending(SettingsPart):
    """Where messages go: ``file`` writes all of them into a folder, ``network`` to the destinations by name.

    A message to a name that is no destination fails, and ``doctor`` shows it. ``gateways``: channel of offers ->
    destination (kind json) that hands them to users; without, they are files. ``urgent_levels``: warnings that are no
    part of the digest but a message before it. A message has ``tries_a_run`` attempts in a run, with pauses between that
    double from ``pause_seconds``, is tried again on later days for a week, and is a dead letter after ``max_attempts``.
    ``allow_loopback``: http to this machine, for tests and laptops.
    """

    kind: Literal["file", "network"] = "file"
    folder: str = "{storage.files}/outbox"
    smtp: Smtp | None = None
    destinations: dict[str, Destination] = {}
    gateways: dict[Name, str] = {}
    urgent_levels: list[LevelName] = ["red"]
    tries_a_run: Days = 3
    max_attempts: Days = 9
    pause_seconds: float = Field(default=1.0, ge=0, le=60)
    timeout_seconds: float = Field(default=10.0, gt=0, le=120)
    allow_loopback: bool = False

    @model_validator(mode="after")
    def _can_send(self) -> "Sending":
        mails = [name for name, one in self.destinations.items() if one.kind == "email"]
        if self.kind == "network" and mails and self.smtp is None:
            raise ValueError(f"sending.destinations {mails} are mail addresses: sending.smtp is needed")
        for name, one in self.destinations.items():
            if one.url and urlsplit(one.url).hostname in LOOPBACK and not self.allow_loopback:
                raise ValueError(f"destination {name!r} is this machine: only with allow_loopback")
        for channel, name in self.gateways.items():
            if name not in self.destinations or self.destinations[name].kind != "json":
                raise ValueError(f"gateway of {channel!r} is {name!r}, which is no destination of kind json")
        return self
