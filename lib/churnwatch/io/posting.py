"""Send one HTTP POST, to public addresses only and without redirects. Runs inside Spark's workers, with the standard library."""

import contextlib
import http.client
import ipaddress
import json
import socket
import ssl
import threading
from typing import Any
from urllib.parse import urlsplit

LONGEST_ANSWER = 64 * 1024  # bytes; the rest of an answer is not read
LATER = (408, 425, 429, 500, 502, 503, 504)  # answers after which another attempt may help
NAT64 = ipaddress.ip_network("64:ff9b::/96")
PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")  # all addresses in use; IPv4-compatible and site-local ones lie outside


class NotPosted(Exception):
    """Raised when a POST failed.

    ``may_retry``: a later attempt may succeed. ``receiver_down``: the host takes no message at the moment.
    ``wait_seconds``: pause that the host requested, 0 if none. The text leaves the URL out, because it may hold a secret.
    """

    def __init__(self, detail: str, may_retry: bool = False, receiver_down: bool = False, wait_seconds: float = 0.0) -> None:
        super().__init__(detail)
        self.detail, self.wait_seconds = detail, wait_seconds
        self.may_retry, self.receiver_down = may_retry, receiver_down


def post(url: str, body: dict[str, Any], headers: dict[str, str], timeout_seconds: float, loopback: bool) -> str:
    """Post ``body`` as JSON and return the text of a 2xx answer, cut after 64 KiB. Raises NotPosted.

    The whole exchange takes at most ``timeout_seconds``, including the look-up of the host's name and TLS, however slowly
    the server answers. Each address of the host is checked, and the connection goes to a checked address, so that a second
    look-up of the name cannot lead to another one.
    """
    exchange = _Exchange(url, timeout_seconds, loopback)
    content = json.dumps(body, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json; charset=utf-8", **headers}
    # in a thread, because nothing else ends a look-up that hangs
    thread = threading.Thread(target=exchange.run, args=(content, headers), daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    if thread.is_alive():
        exchange.abort()
        raise NotPosted(f"{exchange.host}: timed out", may_retry=True, receiver_down=True)
    if exchange.failed is not None:
        raise exchange.failed
    return exchange.text


class _Exchange:
    """One POST. Another thread may ``abort`` it at any point. Afterwards ``text`` is the answer, or ``failed`` the error."""

    def __init__(self, url: str, timeout_seconds: float, loopback: bool) -> None:
        self._parts = urlsplit(url)
        self.host = self._parts.hostname or ""
        self._timeout_seconds, self._loopback = timeout_seconds, loopback
        self._sock: socket.socket | None = None
        self._aborted = threading.Event()
        self.text = ""
        self.failed: Exception | None = None

    def run(self, content: bytes, headers: dict[str, str]) -> None:
        """Post. Keeps errors in ``failed``, because an error raised in a thread is lost."""
        try:
            self.text = self._post(content, headers)
        except ssl.SSLCertVerificationError as error:
            self.failed = NotPosted(f"{self.host}: {error.verify_message}", receiver_down=True)
        except ValueError:  # for example a secret with a line break; the error's text would show it
            what = "the address, a header or a secret holds a character that cannot be sent"
            self.failed = NotPosted(f"{self.host}: {what}", receiver_down=True)
        except (OSError, http.client.HTTPException) as error:
            what = "timed out" if isinstance(error, TimeoutError) else type(error).__name__
            self.failed = NotPosted(f"{self.host}: {what}", may_retry=True, receiver_down=True)
        except Exception as error:  # any other; the waiting thread raises it
            self.failed = error

    def abort(self) -> None:
        """End the exchange: its next read or write fails at once, and it starts nothing more."""
        self._aborted.set()
        if self._sock is not None:
            with contextlib.suppress(OSError):
                # not the method of the ssl socket, which removes state that a running read still needs
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _post(self, content: bytes, headers: dict[str, str]) -> str:
        secure = self._parts.scheme == "https"
        port = self._parts.port or (443 if secure else 80)
        addresses = checked_addresses(self.host, port, self._loopback)
        path = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        connection = http.client.HTTPConnection(self.host, port, timeout=self._timeout_seconds)
        try:
            self._connect(addresses, secure)
            connection.sock = self._sock
            connection.request("POST", path, content, headers)
            answer = connection.getresponse()
            text = answer.read(LONGEST_ANSWER).decode(errors="replace")
        finally:
            connection.close()
            if self._sock is not None:
                self._sock.close()
        return _accepted(self.host, answer, text)

    def _connect(self, addresses: list[tuple[Any, ...]], secure: bool) -> None:
        """Connect to the first address that accepts. Raises the error of the last one if none does."""
        for number, address in enumerate(addresses, 1):
            self._stop_if_aborted()
            try:
                self._sock = socket.create_connection(address[:2], self._timeout_seconds / len(addresses))
                break
            except OSError:
                if number == len(addresses):
                    raise
        if self._sock is None:
            raise OSError("no address")
        self._sock.settimeout(self._timeout_seconds)
        if secure:
            # the handshake runs after wrapping, so that abort can end it
            context = ssl.create_default_context()
            made = context.wrap_socket(self._sock, server_hostname=self.host, do_handshake_on_connect=False)
            self._sock = made
            self._stop_if_aborted()
            made.do_handshake()
        self._stop_if_aborted()

    def _stop_if_aborted(self) -> None:
        """Raise TimeoutError if the exchange was aborted."""
        if self._aborted.is_set():
            raise TimeoutError


def connection_fault(host: str, port: int, secure: bool, timeout_seconds: float, loopback: bool) -> str | None:
    """Why no connection to ``host`` can be made, as ``post`` makes it; None when one can. Nothing is sent."""
    try:
        addresses = checked_addresses(host, port, loopback)
        with socket.create_connection(addresses[0][:2], timeout_seconds) as plain:
            if secure:
                with ssl.create_default_context().wrap_socket(plain, server_hostname=host):
                    return None
    except NotPosted as error:
        return error.detail
    except OSError as error:  # errors of TLS too
        return f"{type(error).__name__}: {error}"
    return None


def _accepted(host: str, answer: http.client.HTTPResponse, text: str) -> str:
    if 200 <= answer.status < 300:
        return text
    if 300 <= answer.status < 400:
        raise NotPosted(f"{host}: answers {answer.status}; redirects are not followed")
    asked = answer.getheader("Retry-After", "")
    wait = float(asked) if asked.isdigit() else 0.0
    detail = f"{host}: {answer.status} {answer.reason}"
    raise NotPosted(detail, may_retry=answer.status in LATER, receiver_down=answer.status in (429, 503), wait_seconds=wait)


def checked_addresses(host: str, port: int, loopback: bool) -> list[tuple[Any, ...]]:
    """Return the socket addresses of ``host``. Raises NotPosted if any is not public; ``loopback`` allows this machine's."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotPosted(f"{host}: is no known host", may_retry=True, receiver_down=True) from error
    for *_, address in found:
        if not is_allowed(str(address[0]), loopback):
            raise NotPosted(f"{host}: has an address that is not public; nothing was sent", receiver_down=True)
    return [address for *_, address in found]


def is_allowed(address: str, loopback: bool) -> bool:
    """Return whether messages may go to the IP address: yes if it is public, or this machine's and ``loopback`` is true.

    An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) is checked as the IPv4 address.
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
