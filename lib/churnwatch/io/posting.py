"""One HTTP POST as it runs inside Spark's workers: the standard library alone, to public addresses alone, no redirects."""

import http.client
import ipaddress
import json
import socket
import ssl
import threading
from typing import Any
from urllib.parse import urlsplit

LONGEST_ANSWER = 64 * 1024  # bytes that are read of an answer
LATER = (408, 425, 429, 500, 502, 503, 504)  # answers after which another attempt may help
NAT64 = ipaddress.ip_network("64:ff9b::/96")
PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")  # all that is given out; IPv4-compatible and site-local forms lie outside


class NotPosted(Exception):
    """Raised when a POST was not taken: ``again`` a later attempt may help, ``down`` the host takes nothing now.

    ``wait_seconds``: what the receiver asked for. The text never holds the URL, which may hold a secret.
    """

    def __init__(self, detail: str, again: bool = False, down: bool = False, wait_seconds: float = 0.0) -> None:
        super().__init__(detail)
        self.detail, self.again, self.down, self.wait_seconds = detail, again, down, wait_seconds


def post(url: str, body: dict[str, Any], headers: dict[str, str], timeout_seconds: float, loopback: bool) -> str:
    """Posts ``body`` as JSON and returns the text of a 2xx answer, cut after 64 KiB; raises NotPosted.

    The whole exchange takes at most ``timeout_seconds``, however slowly the other side drips. Every address of the host
    is checked, and the connection goes to a checked one: a name that resolves anew cannot lead elsewhere.
    """
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    addresses = checked_addresses(host, port, loopback)
    content = json.dumps(body, ensure_ascii=False).encode()
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    dead = threading.Event()
    watch = threading.Timer(timeout_seconds, _cut, (connection, dead))
    watch.daemon = True
    watch.start()
    try:
        connection.sock = _connected(addresses, host, secure, timeout_seconds)
        connection.request("POST", path, content, {"Content-Type": "application/json; charset=utf-8", **headers})
        answer = connection.getresponse()
        text = answer.read(LONGEST_ANSWER).decode(errors="replace")
    except ssl.SSLCertVerificationError as error:
        raise NotPosted(f"{host}: {error.verify_message}", down=True) from error
    except ValueError:  # a secret with a line break, say; its text would show it
        raise NotPosted(f"{host}: the address, a header or a secret holds a character that cannot be sent", down=True) from None
    except (OSError, http.client.HTTPException) as error:
        what = "timed out" if dead.is_set() or isinstance(error, TimeoutError) else type(error).__name__
        raise NotPosted(f"{host}: {what}", again=True, down=True) from error
    finally:
        watch.cancel()
        connection.close()
    if dead.is_set():  # cut in the middle of the answer
        raise NotPosted(f"{host}: timed out", again=True, down=True)
    return _accepted(host, answer, text)


def _accepted(host: str, answer: http.client.HTTPResponse, text: str) -> str:
    if 200 <= answer.status < 300:
        return text
    if 300 <= answer.status < 400:
        raise NotPosted(f"{host}: answers {answer.status}; redirects are not followed")
    asked = answer.getheader("Retry-After", "")
    wait = float(asked) if asked.isdigit() else 0.0
    detail = f"{host}: {answer.status} {answer.reason}"
    raise NotPosted(detail, again=answer.status in LATER, down=answer.status in (429, 503), wait_seconds=wait)


def _connected(addresses: list[tuple[Any, ...]], host: str, secure: bool, timeout_seconds: float) -> socket.socket:
    """A connection to the first address that takes one; raises what the last one raised."""
    for number, address in enumerate(addresses, 1):
        try:
            plain = socket.create_connection(address[:2], timeout_seconds / len(addresses))
            break
        except OSError:
            if number == len(addresses):
                raise
    plain.settimeout(timeout_seconds)
    if not secure:
        return plain
    try:
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def _cut(connection: http.client.HTTPConnection, dead: threading.Event) -> None:
    """Ends an exchange that takes too long: its next read or write fails at once."""
    dead.set()
    if connection.sock is not None:
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def checked_addresses(host: str, port: int, loopback: bool) -> list[tuple[Any, ...]]:
    """Socket addresses of ``host``; raises NotPosted where one of them is not public (this machine: ``loopback``)."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotPosted(f"{host}: is no known host", again=True, down=True) from error
    for *_, address in found:
        if not is_allowed(str(address[0]), loopback):
            raise NotPosted(f"{host}: has an address that is not public; nothing was sent", down=True)
    return [address for *_, address in found]


def is_allowed(address: str, loopback: bool) -> bool:
    """Whether messages may go to the IP address: a public one, or this machine where ``loopback`` says so.

    An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) is judged as what it is.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 6 and not ip.is_loopback and ip not in PUBLIC_IPV6 and ip not in NAT64 and ip.ipv4_mapped is None:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_allowed(str(inner), loopback)
        if ip.teredo is not None:
            return False
    if ip.is_loopback:
        return loopback
    return ip.is_global and not ip.is_multicast
