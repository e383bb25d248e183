"""Messages over HTTP: what receivers get, whom nothing is sent to, and that nothing is lost when they fail."""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from datetime import UTC, date, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from churnwatch.io import posting
from churnwatch.io.delivery import DeliveryConfig, RetryPolicy, Target
from churnwatch.io.formats import LONGEST, chat_body, cut, refusal, signed, text_of
from smallworld import settings
from webhooks import Hooks, deliver

MESSAGE = {
    "day": date(2026, 3, 10),
    "message_id": "0123456789abcdef0123456789abcdef",
    "kind": "digest",
    "destination": "ops",
    "channel": "owner",
    "subject": "3 warnings",
    "body": "Grüße <b> & 50 %\n",
    "earliest_send_at": None,
    "expires_at": datetime(2026, 3, 17, tzinfo=UTC),
    "attempts": 0,
}
POLICY = RetryPolicy(tries_a_run=3, max_attempts=5, pause_seconds=0.001)


@pytest.fixture
def hooks():
    made = Hooks()
    yield made
    made.stop()


def office(url, kind="json", timeout=0.3, loopback=True, **target):
    return DeliveryConfig("unused", False, None, {"ops": Target(kind, url=url, **target)}, {}, timeout, loopback)


def sent(made, *messages, policy=POLICY):
    rows = deliver(messages or [MESSAGE], made.make_sender(), policy)
    return [(row["attempt"], row["outcome"], row["detail"]) for row in rows]


def test_a_system_of_one_s_own_gets_the_whole_message_with_id_token_and_signature(hooks):
    url = f"http://127.0.0.1:{hooks.start()}/hook?team=1"
    assert sent(office(url, token="t0ken", secret="s3cret")) == [(1, "sent", "posted")]
    ((path, headers, body),) = hooks.taken
    assert path == "/hook?team=1" and headers["Idempotency-Key"] == MESSAGE["message_id"]
    assert headers["Authorization"] == "Bearer t0ken"
    assert body["body"] == MESSAGE["body"] and body["expires_at"] == "2026-03-17T00:00:00+00:00" and "attempts" not in body
    raw = json.dumps(body, ensure_ascii=False).encode()
    assert headers["X-Churnwatch-Signature"] == "sha256=" + hmac.new(b"s3cret", raw, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("mood", ["die", "stall", "drip", 500, 429])
def test_what_fails_in_the_middle_is_sent_again_with_the_same_id(hooks, mood):
    made = office(f"http://127.0.0.1:{hooks.start()}/")
    hooks.moods = [mood]
    (first, second) = sent(made)
    assert first[:2] == (1, "failed") and second == (2, "sent", "posted")
    assert [headers["Idempotency-Key"] for _, headers, _ in hooks.taken] == [MESSAGE["message_id"]]


def test_a_look_up_that_hangs_ends_with_the_time_out_and_nothing_is_sent_after_it(hooks, monkeypatch):
    port, answered, ended = hooks.start(), threading.Event(), threading.Event()

    def resolved(host, port, **kind):
        answered.wait(5)
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    def connected(*asked):
        ended.set()
        raise OSError

    monkeypatch.setattr(posting.socket, "getaddrinfo", resolved)
    monkeypatch.setattr(posting.socket, "create_connection", connected)
    began = time.monotonic()
    ((_, outcome, detail),) = sent(office(f"http://hook.example.org:{port}/"), policy=RetryPolicy(1, 1))
    assert (outcome, detail) == ("failed", "hook.example.org: timed out") and time.monotonic() - began < 2
    answered.set()
    assert not ended.wait(0.1) and hooks.asked == 0


def test_a_slow_connection_and_a_handshake_that_drips_have_one_time_out_together(monkeypatch):
    cut, connect = threading.Event(), socket.create_connection

    def drip(listener):
        taken, _ = listener.accept()
        with taken:
            try:
                taken.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KiB begins
                for _ in range(100):
                    time.sleep(0.05)
                    taken.sendall(b"\x00")
            except OSError:
                cut.set()

    def slowly(*asked):
        time.sleep(0.7)
        return connect(*asked)

    monkeypatch.setattr(posting.socket, "create_connection", slowly)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        began = time.monotonic()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        ((_, outcome, detail),) = sent(office(url, timeout=1), policy=RetryPolicy(1, 1))
        assert (outcome, detail) == ("failed", "127.0.0.1: timed out") and time.monotonic() - began < 1.4
        assert cut.wait(0.4)  # at once, not when the handshake's own time is over


def test_a_receiver_that_is_gone_and_comes_back_loses_nothing(hooks):
    port = hooks.start()
    hooks.stop()
    messages = [MESSAGE | {"message_id": f"{n:032d}"} for n in range(4)]
    made = office(f"http://127.0.0.1:{port}/")
    first = deliver(messages, made.make_sender(), POLICY)
    # one message found out, the others cost no time-out of their own
    assert [row["attempt"] for row in first] == [1, 2, 3, 1, 1, 1] and {row["outcome"] for row in first} == {"failed"}
    assert first[-1]["detail"] == "not tried: 127.0.0.1: ConnectionRefusedError"
    made_before = {row["message_id"]: row["attempt"] for row in first}
    hooks.start(port)
    hooks.moods = [200, "die", 503]
    again = [message | {"attempts": made_before[message["message_id"]]} for message in messages]
    deliver(again, made.make_sender(), POLICY)
    assert sorted(headers["Idempotency-Key"] for _, headers, _ in hooks.taken) == [m["message_id"] for m in messages]


def test_one_receiver_that_is_down_does_not_hinder_another(hooks):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        down, up = f"http://127.0.0.1:{silent.getsockname()[1]}/", f"http://127.0.0.1:{hooks.start()}/"
        made = DeliveryConfig("unused", False, None, {"a": Target("json", url=down), "b": Target("json", url=up)}, {}, 0.2, True)
        messages = [MESSAGE | {"message_id": f"m{n}", "destination": name} for n, name in enumerate("aba")]
        rows = deliver(messages, made.make_sender(), RetryPolicy(1, 5, 0.001))
    assert [row["outcome"] for row in rows] == ["failed", "sent", "failed"]
    assert "timed out" in rows[0]["detail"] and rows[2]["detail"].startswith("not tried")


@pytest.mark.parametrize("mood", [302, 400, 404])
def test_a_redirect_or_a_refusal_is_final_for_the_run_and_nothing_follows_it(hooks, mood):
    hooks.moods = [mood]
    ((number, outcome, detail),) = sent(office(f"http://127.0.0.1:{hooks.start()}/"))
    assert (number, outcome) == (1, "failed") and str(mood) in detail
    assert hooks.taken == [] and hooks.asked == 1


def test_attempts_end_at_the_limit_of_all_runs(hooks):
    hooks.moods = [500] * 9
    made = office(f"http://127.0.0.1:{hooks.start()}/")
    assert [row[0] for row in sent(made, MESSAGE | {"attempts": 3})] == [4, 5]
    assert sent(made, MESSAGE | {"attempts": 5}) == []


def test_no_message_tells_where_a_secret_url_leads(hooks):
    url = f"http://127.0.0.1:{hooks.start()}/services/T0PSECRET?key=HIDDEN"
    hooks.moods = ["die", 500, 302]
    told = str(sent(office(url)))
    assert "SECRET" not in told and "HIDDEN" not in told
    assert "SECRET" not in repr(office(url)) and "s3cret" not in repr(office(url, secret="s3cret"))


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.0.0.8", False),
        ("192.168.1.1", False),
        ("172.16.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("::7f00:1", False),
        ("64:ff9b:1::a00:1", False),
        ("::ffff:10.0.0.8", False),
        ("64:ff9b::a00:8", False),
        ("2002:a00:8::1", False),
        ("127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
    ],
)
def test_messages_go_to_public_addresses_alone(address, allowed):
    assert posting.is_allowed(address, loopback=False) is allowed
    if address.endswith("127.0.0.1"):
        assert posting.is_allowed(address, loopback=True)


def test_a_name_with_one_private_address_among_others_is_refused_before_anything_is_sent(hooks, monkeypatch):
    port = hooks.start()

    def resolved(host, port, **kind):
        return [(2, 1, 6, "", (ip, port)) for ip in ("93.184.216.34", "127.0.0.1")]

    monkeypatch.setattr(posting.socket, "getaddrinfo", resolved)
    ((_, outcome, detail),) = sent(office(f"http://hook.example.org:{port}/", loopback=False))
    assert outcome == "failed" and "not public" in detail and hooks.asked == 0


def test_the_connection_goes_to_the_address_that_was_checked(hooks, monkeypatch):
    port, looked_up = hooks.start(), []

    def resolved(host, port, **kind):
        looked_up.append(host)
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(posting.socket, "getaddrinfo", resolved)
    monkeypatch.setattr(posting.socket, "create_connection", lambda at, timeout: _plain(at))
    assert sent(office(f"http://hook.example.org:{port}/")) == [(1, "sent", "posted")]
    assert looked_up == ["hook.example.org"] and hooks.taken[0][1]["Host"] == f"hook.example.org:{port}"


def _plain(at):
    made = socket.socket()
    assert at[0] == "127.0.0.1"
    made.connect(at)
    return made


def test_a_certificate_that_nobody_vouches_for_is_refused_and_not_tried_again(hooks, certificate, monkeypatch):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*map(str, certificate))
    made = office(f"https://localhost:{hooks.start(tls=tls)}/", timeout=5)
    ((number, outcome, detail),) = sent(made)
    assert (number, outcome) == (1, "failed") and "self-signed certificate" in detail
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert sent(made) == [(1, "sent", "posted")]


def test_every_chat_gets_its_own_words():
    bodies = {kind: chat_body(kind, MESSAGE) for kind in ("slack", "teams", "wecom", "dingtalk", "feishu")}
    text = "3 warnings\n\nGrüße <b> & 50 %\n\n[0123456789ab]"
    assert bodies["slack"] == {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    assert bodies["wecom"] == bodies["dingtalk"] == {"msgtype": "text", "text": {"content": text}}
    assert bodies["feishu"] == {"msg_type": "text", "content": {"text": text}}
    (card,) = bodies["teams"]["attachments"]
    assert card["content"]["body"][0]["text"] == text.replace("\n", "\n\n")


def test_a_text_is_cut_to_what_the_receiver_takes_and_says_so():
    long = MESSAGE | {"body": "ü" * 5000}
    text = text_of("wecom", long)
    assert len(text.encode()) <= LONGEST["wecom"] and "(cut:" in text and text.endswith("[0123456789ab]")
    assert cut("üü", 3) == "…" and cut("üü", 4) == "üü"
    assert text_of("sms", long) == "3 warnings"


def test_an_sms_gateway_gets_its_own_fields(hooks):
    body = {"number": "{to}", "message": "{text}", "ref": "{id}", "from": "churnwatch"}
    assert sent(office(f"http://127.0.0.1:{hooks.start()}/", kind="sms", to="+491234", body=body)) == [(1, "sent", "posted")]
    assert hooks.taken[0][2] == {
        "number": "+491234",
        "message": "3 warnings",
        "ref": MESSAGE["message_id"],
        "from": "churnwatch",
    }


def test_robots_that_sign_get_signatures():
    url, body = signed("dingtalk", "s", "https://x.example/robot?access_token=1", {"a": 1}, 1_700_000_000)
    asked = parse_qs(urlsplit(url).query)
    wanted = hmac.new(b"s", b"1700000000000\ns", hashlib.sha256).digest()
    assert asked["timestamp"] == ["1700000000000"] and base64.b64decode(asked["sign"][0]) == wanted and body == {"a": 1}
    url, body = signed("feishu", "s", "https://x.example/hook", {"a": 1}, 1_700_000_000)
    wanted = base64.b64encode(hmac.new(b"1700000000\ns", b"", hashlib.sha256).digest()).decode()
    assert (url, body) == ("https://x.example/hook", {"timestamp": "1700000000", "sign": wanted, "a": 1})


def test_a_robot_that_answers_200_with_an_error_did_not_take_it(hooks):
    assert refusal("slack", "anything") is None and refusal("feishu", '{"StatusCode": 0}') is None
    made = office(f"http://127.0.0.1:{hooks.start()}/", kind="wecom")
    hooks.answer = b'{"errcode": 93000, "errmsg": "invalid webhook url"}'
    assert sent(made) == [(1, "failed", "wecom: error 93000: invalid webhook url")]
    hooks.answer = b'{"errcode": 45009, "errmsg": "api freq out of limit"}'
    assert [row[1] for row in sent(made)] == ["failed"] * 3
    hooks.answer = b'{"errcode": 0}'
    assert sent(made) == [(1, "sent", "posted")]


def test_offers_go_to_the_gateway_of_their_channel_and_never_into_a_file(hooks, tmp_path):
    url = f"http://127.0.0.1:{hooks.start()}/"
    made = DeliveryConfig(str(tmp_path), False, None, {"crm": Target("json", url=url)}, {"push": "crm"}, 1, True)
    offer = MESSAGE | {"kind": "offer", "destination": "crm"}  # a user's hash never leads to a destination by its name
    rows = sent(made, offer | {"channel": "push"}, offer | {"channel": "letter"})
    assert rows[0] == (1, "sent", "posted") and rows[1][1] == "failed" and len(hooks.taken) == 1


def test_pauses_double_and_are_spread_by_a_hash():
    policy = RetryPolicy(pause_seconds=1.0)
    pauses = [policy.wait_seconds("m1", n) for n in (1, 2, 3)]
    assert pauses == [policy.wait_seconds("m1", n) for n in (1, 2, 3)]
    assert all(2 ** (n - 1) / 2 <= p <= 2 ** (n - 1) for n, p in enumerate(pauses, 1))
    assert len({policy.wait_seconds(f"m{n}", 1) for n in range(50)}) > 40
    assert policy.wait_seconds("m1", 1, requested_seconds=7) == 7 and policy.wait_seconds("m1", 1, requested_seconds=900) == 60


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        ({"kind": "slack", "url": "http://hooks.example.org/x"}, "https"),
        ({"kind": "slack", "url": "https://10.0.0.1/x"}, "private"),
        ({"kind": "slack", "url": "https://169.254.169.254/latest"}, "private"),
        ({"kind": "json", "url": "https://user@hooks.example.org/x"}, "no user"),
        ({"kind": "json", "url": "http://127.0.0.1/x"}, "allow_loopback"),
        ({"kind": "slack"}, "url"),
        ({"kind": "slack", "url": "https://hooks.example.org:99999/x"}, "1 to 65535"),
        ({"kind": "slack", "url": "https://hooks.example.org:0/x"}, "1 to 65535"),
        ({"kind": "slack", "url": "https://hooks.example.org/x\n"}, "line break"),
        ({"kind": "json", "url": "https://hooks.example.org/x", "token": "t0ken\r\nX-Evil: 1"}, "token holds"),
        ({"kind": "json", "url": "https://hooks.example.org/x", "token": "t€ken"}, "token holds"),
        ({"kind": "json", "url": "https://hooks.example.org/ä"}, "ASCII"),
        ({"kind": "json", "url": "https://hooks.example.org/x", "secret": "s3cret\n"}, "secret holds"),
        ({"kind": "email"}, "address"),
        ({"kind": "email", "address": "two words@example.org"}, "address"),
        ({"kind": "sms", "url": "https://sms.example.org"}, "number"),
        ({"kind": "teams", "url": "https://x.example.org", "secret": "s"}, "has no secret"),
        ("team@example.org", "smtp"),
    ],
)
def test_a_destination_that_nothing_may_go_to_is_refused_at_load(destination, said):
    with pytest.raises(ValueError, match=said):
        settings(sending={"kind": "network", "destinations": {"ops": destination}})


def test_a_gateway_is_a_destination_that_takes_whole_messages():
    chat = {"kind": "slack", "url": "https://hooks.example.org/x"}
    with pytest.raises(ValueError, match="gateway of channel 'push' is 'ops'"):
        settings(sending={"kind": "network", "destinations": {"ops": chat}, "gateways": {"push": "ops"}})
