"""Format messages for each receiver: bodies, signatures and answers of webhooks and SMS gateways.

No library is used, because those for a hundred receivers follow redirects, resolve names themselves, cannot carry a
message's id and would have to be installed on every worker.
"""

import base64
import hashlib
import hmac
import json
import urllib.parse
from typing import Any

Message = dict[str, Any]
CUT = "\n(cut: the whole list by churnwatch alerts list)"
# longest text in bytes, below the documented limits, because those count the whole body
LONGEST = {"slack": 35_000, "teams": 20_000, "wecom": 2_000, "dingtalk": 15_000, "feishu": 15_000, "sms": 300}
# error codes of chat robots that pass: too many messages, or busy
BUSY = {"wecom": (-1, 45009), "dingtalk": (-1, 130101, 660026), "feishu": (9499, 11232)}


def text_of(kind: str, message: Message) -> str:
    """Join subject, body and id to one text that fits the receiver; an SMS has the subject alone."""
    foot = f"\n[{message['message_id'][:12]}]"
    if kind == "sms":
        return cut(message["subject"], LONGEST[kind])
    return cut(f"{message['subject']}\n\n{message['body']}", LONGEST[kind] - len(foot)) + foot


def cut(text: str, longest: int) -> str:
    """Cut ``text`` to at most ``longest`` bytes of UTF-8, between characters, and mark the cut."""
    raw = text.encode()
    if len(raw) <= longest:
        return text
    mark = CUT if longest > 10 * len(CUT) else "…"
    return raw[: longest - len(mark.encode())].decode(errors="ignore") + mark


def chat_body(kind: str, message: Message) -> dict[str, Any]:
    """Build the body of a chat's webhook."""
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
    """Return the message as it is stored, for webhooks of one's own systems."""
    return {k: v if v is None or isinstance(v, str | int) else v.isoformat() for k, v in message.items() if k != "attempts"}


def sms_body(body: dict[str, str], to: str, message: Message) -> dict[str, str]:
    """Fill in the gateway's fields."""
    filled = {"{to}": to, "{text}": text_of("sms", message), "{id}": message["message_id"]}
    made = {}
    for name, value in body.items():
        for place, text in filled.items():
            value = value.replace(place, text)
        made[name] = value
    return made


def signed(kind: str, secret: str | None, url: str, body: dict[str, Any], at_seconds: int) -> tuple[str, dict[str, Any]]:
    """Add the robot's signature (HMAC-SHA-256 of the time, as documented) to URL and body when it has a secret."""
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
    """Return the signature header of a whole message: HMAC-SHA-256 of the posted bytes."""
    return "sha256=" + hmac.new(secret.encode(), json.dumps(body, ensure_ascii=False).encode(), hashlib.sha256).hexdigest()


def refusal(kind: str, answer: str) -> tuple[str, bool] | None:
    """Return why a robot refused a message that it answered with 200, and whether a retry may help; None when it accepted."""
    if kind not in BUSY:
        return None
    try:
        fields = json.loads(answer)
        code = fields.get("errcode", fields.get("code", fields.get("StatusCode")))
    except (ValueError, AttributeError):
        return f"answers 200 with no known JSON: {answer[:100]!r}", True
    if code in (0, "0"):
        return None
    return f"error {code}: {fields.get('errmsg') or fields.get('msg') or fields.get('StatusMessage') or ''}", code in BUSY[kind]


def _base64(digest: "hmac.HMAC") -> str:
    return base64.b64encode(digest.digest()).decode()
