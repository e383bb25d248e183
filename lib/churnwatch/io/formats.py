"""A message in the words of its receiver: bodies, signatures and answers of webhooks and SMS gateways.

Ten lines a receiver stand here in place of a library for a hundred of them: such a library follows redirects, resolves
names by itself and gives no place to a message's id, and it would have to be on every worker.
"""

import base64
import hashlib
import hmac
import json
import urllib.parse
from typing import Any

Message = dict[str, Any]
CUT = "\n(cut: the whole list by churnwatch alerts list)"
# longest text that a receiver takes, in bytes: under the documented limits, which count the whole body
LONGEST = {"slack": 35_000, "teams": 20_000, "wecom": 2_000, "dingtalk": 15_000, "feishu": 15_000, "sms": 300}
# errors of robots that pass: too many messages, or busy
BUSY = {"wecom": (-1, 45009), "dingtalk": (-1, 130101, 660026), "feishu": (9499, 11232)}


def text_of(kind: str, message: Message) -> str:
    """Subject, body and id of the message as one text that the receiver takes whole; an SMS has the subject alone."""
    foot = f"\n[{message['message_id'][:12]}]"
    if kind == "sms":
        return cut(message["subject"], LONGEST[kind])
    return cut(f"{message['subject']}\n\n{message['body']}", LONGEST[kind] - len(foot)) + foot


def cut(text: str, longest: int) -> str:
    """``text`` in at most ``longest`` bytes of UTF-8; what is cut says so, and no letter is halved."""
    raw = text.encode()
    if len(raw) <= longest:
        return text
    mark = CUT if longest > 10 * len(CUT) else "…"
    return raw[: longest - len(mark.encode())].decode(errors="ignore") + mark


def chat_body(kind: str, message: Message) -> dict[str, Any]:
    """The body of a chat's webhook."""
    text = text_of(kind, message)
    if kind == "slack":
        return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    if kind == "teams":
        block = {"type": "TextBlock", "text": text.replace("\n", "\n\n"), "wrap": True}
        card = {"type": "AdaptiveCard", "version": "1.4", "body": [block]}
        return {
            "type": "message",
            "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
        }
    if kind == "feishu":
        return {"msg_type": "text", "content": {"text": text}}
    return {"msgtype": "text", "text": {"content": text}}  # wecom, dingtalk


def whole_body(message: Message) -> dict[str, Any]:
    """The message as it is stored, for systems of one's own."""
    return {k: v if v is None or isinstance(v, str | int) else v.isoformat() for k, v in message.items() if k != "attempts"}


def sms_body(body: dict[str, str], to: str, message: Message) -> dict[str, str]:
    """The gateway's fields, filled."""
    filled = {"{to}": to, "{text}": text_of("sms", message), "{id}": message["message_id"]}
    made = {}
    for name, value in body.items():
        for place, text in filled.items():
            value = value.replace(place, text)
        made[name] = value
    return made


def signed(kind: str, secret: str | None, url: str, body: dict[str, Any], at_seconds: int) -> tuple[str, dict[str, Any]]:
    """URL and body with the robot's signature where it has a secret, as its documentation says (HMAC-SHA-256 of the time)."""
    if not secret or kind not in ("dingtalk", "feishu"):
        return url, body
    if kind == "feishu":
        key = f"{at_seconds}\n{secret}".encode()
        return url, {"timestamp": str(at_seconds), "sign": _base64(hmac.new(key, b"", hashlib.sha256)), **body}
    stamp = str(at_seconds * 1000)
    sign = _base64(hmac.new(secret.encode(), f"{stamp}\n{secret}".encode(), hashlib.sha256))
    mark = "&" if "?" in url else "?"
    return f"{url}{mark}timestamp={stamp}&sign={urllib.parse.quote_plus(sign)}", body


def signature(secret: str, body: dict[str, Any]) -> str:
    """Header of a whole message: HMAC-SHA-256 of the bytes that are posted."""
    return "sha256=" + hmac.new(secret.encode(), json.dumps(body, ensure_ascii=False).encode(), hashlib.sha256).hexdigest()


def refusal(kind: str, answer: str) -> tuple[str, bool] | None:
    """Why a robot did not take what it answered 200 to, and whether it may take it later; None: it took it."""
    if kind not in BUSY:
        return None
    try:
        told = json.loads(answer)
        code = told.get("errcode", told.get("code", told.get("StatusCode")))
    except (ValueError, AttributeError):
        return f"answers 200 with no known JSON: {answer[:100]!r}", True
    if code in (0, "0"):
        return None
    return f"error {code}: {told.get('errmsg') or told.get('msg') or told.get('StatusMessage') or ''}", code in BUSY[kind]


def _base64(digest: "hmac.HMAC") -> str:
    return base64.b64encode(digest.digest()).decode()
