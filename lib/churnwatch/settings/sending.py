"""Where messages go: the key ``sending`` of conf/<where>.yaml."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, model_validator

from churnwatch.settings.base import Count, Name, SettingsPart
from churnwatch.settings.terms import LevelName

LOOPBACK = ("localhost", "127.0.0.1", "::1")
CHATS = ("slack", "teams", "wecom", "dingtalk", "feishu", "sms")
SIGNED = ("json", "dingtalk", "feishu")
ROBOTS = ("slack", "teams", "wecom", "dingtalk", "feishu")  # who knows the url may post
VARIABLE = re.compile(r"\$\{[A-Z][A-Z0-9_]*\}")
KEY_OF_A_QUERY = re.compile(r"key|token|secret|sign|pass", re.IGNORECASE)


class Smtp(SettingsPart):
    """A mail server."""

    host: str
    """Name of the server."""
    port: int = 25
    """Port of the server."""
    starttls: bool = Field(default=False, examples=[True])
    """Whether the connection is encrypted (STARTTLS)."""
    user: str | None = Field(default=None, examples=["${SMTP_USER}"])
    """User of the server. Null: no login."""
    password: str | None = Field(default=None, examples=["${SMTP_PASSWORD}"])
    """Password of the user, as an environment variable; it needs starttls, except to this machine."""
    sender: str = "churnwatch@localhost"
    """Address of the sender."""
    timeout_seconds: float = Field(default=10.0, gt=0, examples=[10])
    """Longest wait for an answer of the server."""

    @model_validator(mode="after")
    def _not_in_the_clear(self) -> "Smtp":
        for name, value in (("user", self.user), ("password", self.password)):
            if _has_controls(value):
                raise ValueError(f"{name} holds a line break or another control character")
        if self.password and not self.starttls and self.host not in LOOPBACK:
            raise ValueError("a password goes only over starttls, except to this machine. Hint: set starttls: true")
        return self


class Destination(SettingsPart):
    """A receiver of messages. A text in place of keys is a mail address."""

    kind: Literal["email", "json", "slack", "teams", "wecom", "dingtalk", "feishu", "sms"] = Field(examples=["slack"])
    """email: a mail address. json: a system of your own, which gets the whole message. slack, teams, wecom, dingtalk,
    feishu: a chat. sms: a gateway that takes JSON."""
    address: str | None = Field(default=None, examples=["retention@example.org"])
    """Kind email: the address."""
    url: str | None = Field(default=None, examples=["${RETENTION_CHAT_URL}"])
    """Other kinds: the URL to post to; an environment variable where the URL is a secret."""
    token: str | None = Field(default=None, examples=["${CRM_TOKEN}"])
    """Bearer token, as an environment variable."""
    secret: str | None = Field(default=None, examples=["${CRM_SECRET}"])
    """Secret of the signature that the receiver checks (json, dingtalk, feishu), as an environment variable."""
    to: str | None = Field(default=None, examples=["+15550100"])
    """Kind sms: the number."""
    body: dict[str, str] = Field(
        default={"to": "{to}", "text": "{text}", "id": "{id}"}, examples=[{"number": "{to}", "message": "{text}"}]
    )
    """Kind sms: field of the gateway's JSON -> text with {to}, {text} and {id}."""
    user_ids: bool = Field(default=False, examples=[True])
    """Whether a chat may show the keyed hashes of user ids."""
    keeps_offers: bool = Field(default=False, examples=[True])
    """Kind json: whether the system takes offers at any time and keeps each until its earliest_send_at. False: an offer that
    falls into quiet hours waits in the outbox for a run outside of them."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        return {"kind": "email", "address": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _whole(self) -> "Destination":
        if self.kind == "email":
            if not self.address or "@" not in self.address or any(c.isspace() for c in self.address):
                raise ValueError("a destination of kind email needs an address. Hint: address: name@example.org")
        elif not self.url:
            raise ValueError(
                f"a destination of kind {self.kind} needs a url. Hint: url: ${{NAME}}, with the environment variable NAME set"
            )
        if self.url and (fault := _url_fault(self.url)):
            raise ValueError(fault)
        if self.kind == "sms" and not self.to:
            raise ValueError("a destination of kind sms needs the key to: the number")
        for name, value in (("token", self.token), ("secret", self.secret)):
            if _has_controls(value):
                raise ValueError(f"{name} holds a line break or another control character")
        if self.token and not self.token.isascii():
            raise ValueError("token holds a character that no header can have")
        if self.keeps_offers and self.kind != "json":
            raise ValueError(f"kind {self.kind} cannot keep offers; json can")
        if self.secret and self.kind not in SIGNED:
            raise ValueError(f"kind {self.kind} has no secret; {', '.join(SIGNED)} have")
        return self

    @property
    def is_chat(self) -> bool:
        """True for chats and SMS, where user ids are hidden by default."""
        return self.kind in CHATS


def written_secrets(sending: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find secrets that are written out in ``sending`` and not given as ``${NAME}``; yield (path below ``sending``, value).

    Secrets are passwords, tokens and secrets, URLs of chat robots, and URLs with a key in the query. ``sending`` is the
    mapping as the files have it, before variables are filled in.
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
    """Whether the URL itself lets anybody who reads it post."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    if parts.hostname in LOOPBACK:
        return False
    return kind in ROBOTS or any(KEY_OF_A_QUERY.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True))


def _has_controls(text: str | None) -> bool:
    """Whether ``text`` holds a control character, such as the line break at the end of a secret that was read from a file."""
    return any(c < " " or c == "\x7f" for c in text or "")


def _url_fault(url: str) -> str | None:
    """Why ``url`` is refused; None when it is fine. The text never quotes the URL, because it may hold a secret."""
    if " " in url or _has_controls(url):
        return "the url holds a blank or a line break"
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        return "the port of the url is not one of 1 to 65535"
    if not f"{parts.path}{parts.query}".isascii():
        return "path or query of the url hold a character beyond ASCII. Hint: write it with %"
    if not parts.hostname or parts.username is not None or parts.fragment:
        return "a url needs a host, and has no user and no fragment"
    loopback = parts.hostname in LOOPBACK
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        return "the url is not https; http goes to this machine alone"
    try:
        literal = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return None
    return None if loopback or literal.is_global else "the url goes to a private address, which is refused"


def _with_addresses(schema: dict[str, Any]) -> None:
    """Let the JSON schema of destinations allow a text, which is a mail address."""
    schema["additionalProperties"] = {"anyOf": [schema["additionalProperties"], {"type": "string"}]}


class Sending(SettingsPart):
    """Where messages go. A message that failed is tried again on later days for a week; ``doctor`` shows dead letters."""

    kind: Literal["file", "network"] = "file"
    """file: all messages are written into a folder. network: they are sent to the destinations."""
    folder: str | None = Field(default=None, examples=["{storage.files}/outbox"])
    """Kind file: folder of the messages. Null: the folder outbox in storage.files."""
    smtp: Smtp | None = None
    """Mail server; needed for destinations of kind email."""
    destinations: dict[str, Destination] = Field(default={}, json_schema_extra=_with_addresses)
    """Receivers by name: one for each owner that owners.yaml, tiers.yaml and rules.yaml name. A message to another name
    fails."""
    gateways: dict[Name, str] = Field(default={}, examples=[{"email": "crm"}])
    """Channel of offers -> destination of kind json that sends them to users. With kind network, each channel of offers.yaml
    needs one."""
    operators: str | None = Field(default=None, examples=["on_call"])
    """Destination of messages about runs that failed, were refused, are missing or were slow. Null: nobody gets them."""
    urgent_levels: list[LevelName] = ["red"]
    """Levels whose warnings are sent as messages of their own, before the digest."""
    tries_a_run: Count = 3
    """Attempts per message and run."""
    max_attempts: Count = 9
    """Attempts after which a message is a dead letter."""
    slice_messages: Count = 1000
    """About how many messages are sent before their attempts are stored. A run that is killed sends at most this many again."""
    history_after_days: int | None = Field(default=3, ge=0)
    """Kind network: days after which a message that was never tried is history: it is recorded and not sent, unless
    ``--send-history`` is given. Null: no limit."""
    pause_seconds: float = Field(default=1.0, ge=0, le=60)
    """Pause before the second attempt of a run; it doubles with each further one."""
    timeout_seconds: float = Field(default=10.0, gt=0, le=120)
    """Longest wait for an answer."""
    allow_loopback: bool = False
    """Whether destinations may be http URLs of this machine, for tests and laptops."""

    @model_validator(mode="after")
    def _can_send(self) -> "Sending":
        mails = [name for name, one in self.destinations.items() if one.kind == "email"]
        if self.kind == "network" and mails and self.smtp is None:
            raise ValueError(f"sending.destinations {mails} are mail addresses. Hint: add the mail server, sending.smtp")
        for name, one in self.destinations.items():
            if one.url and urlsplit(one.url).hostname in LOOPBACK and not self.allow_loopback:
                raise ValueError(f"destination {name!r} is this machine. Hint: allow it with allow_loopback: true")
        for channel, name in self.gateways.items():
            if name not in self.destinations or self.destinations[name].kind != "json":
                raise ValueError(f"the gateway of channel {channel!r} is {name!r}, which is not a destination of kind json")
        return self
