"""A web server on loopback with moods: it takes, refuses, stalls, dies, redirects, and comes back."""

import contextlib
import json
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from churnwatch.io.delivery import send_message
from churnwatch.io.send_times import SendTimes

NOON = SendTimes(now=datetime(2026, 3, 11, 12, tzinfo=UTC))  # what counts as now


def deliver(messages, sender, policy):
    """Attempts to send the messages, as rows with the message's id: what a worker does with a partition."""
    down = {}
    return [
        {"message_id": message["message_id"]} | row
        for message in messages
        for row in send_message(message, sender, policy, down, NOON)
    ]


class Hooks:
    """Answers POSTs by ``moods``, one a request and then 200; ``taken``: what was answered 2xx, in order."""

    def __init__(self):
        self.moods, self.taken, self.asked = [], [], 0
        self.answer = b"ok"
        self.server = None

    def start(self, port=0, tls=None):
        """Listens; returns the port."""
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                hooks.asked += 1
                content = self.rfile.read(int(self.headers["Content-Length"]))
                mood = hooks.moods.pop(0) if hooks.moods else 200
                if mood == "die":
                    self.connection.close()
                    return
                if mood == "stall":
                    time.sleep(1)
                    return
                if mood == "drip":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    for _ in range(50):
                        time.sleep(0.05)
                        self.wfile.write(b"X-Slow: 1\r\n")
                    return
                if 200 <= mood < 300:
                    hooks.taken.append((self.path, dict(self.headers), json.loads(content)))
                self.send_response(mood)
                if mood == 302:
                    self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
                self.send_header("Content-Length", str(len(hooks.answer)))
                self.end_headers()
                self.wfile.write(hooks.answer)

            def do_GET(self):
                hooks.taken.append(("followed", {}, None))
                self.send_error(500)

            def handle(self):
                # the other side hangs up in the middle, as it should
                with contextlib.suppress(OSError):
                    super().handle()

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self.server.server_port

    def stop(self):
        """Hears no more; the port is free."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
