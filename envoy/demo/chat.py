"""A WebSocket of the demo, by hand: the standard library has none."""

import base64
import os
import socket
import threading
import time

from terminal import Failure


class Socket:
    """Open once it is made; a thread reads until it is closed."""

    def __init__(self, gate_port, token, name):
        self.name = name
        self.connection = socket.create_connection(("127.0.0.1", gate_port), timeout=5)
        self.opened_at, self.closed_at = time.monotonic(), None
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /chat HTTP/1.1",
            "Host: 127.0.0.1",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Authorization: Bearer {token}",
        ]
        self.connection.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        status = self.connection.makefile("rb").readline().decode().strip()
        if " 101 " not in f"{status} ":
            raise Failure(f"the WebSocket was not opened: {status}")
        self.connection.settimeout(None)
        self.closed = threading.Event()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            while self.connection.recv(4096):
                pass
        except OSError:
            pass
        self.closed_at = time.monotonic()
        self.closed.set()

    def is_open(self):
        return not self.closed.is_set()

    def wait_until_closed(self, seconds):
        self.closed.wait(seconds)

    def describe(self):
        if self.is_open():
            return f"{self.name}: open for {time.monotonic() - self.opened_at:.1f} s"
        return f"{self.name}: closed {time.monotonic() - self.closed_at:.1f} s ago, after {self.closed_at - self.opened_at:.1f} s"
