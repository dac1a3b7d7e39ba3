"""Revocations as an application sends them to several authorities, and requests that go on meanwhile."""

import http.client
import itertools
import json
import threading
import time

from terminal import Failure
from tokens import ADMIN, ISSUER

WRITERS, WATCHERS = 4, 4
# How long one revocation is tried for, at one authority after another.
GIVE_UP_AFTER_SECONDS = 30
PAUSE_SECONDS = 0.05
# So that the burst takes long enough for a kill to fall into it.
BETWEEN_REVOCATIONS_SECONDS = 0.03


class Burst:
    """Each revocation goes to the next authority, and to the one after it where that does not answer.

    That is safe, whatever has become of the first: revoking twice is revoking once.
    """

    def __init__(self, ports):
        self.ports = ports
        self.secret = ADMIN.read_text().strip()
        self.writers = []
        self.lock = threading.Lock()
        self.done, self.lost = {}, []

    def restore(self, names):
        for name in names:
            for path in ("/v1/revocations", "/v1/restorations"):
                self.send_until_acknowledged(self.ports, path, name)

    def begin(self, names):
        """Writers take names one by one, and begin with an authority of their turn."""
        turns = itertools.cycle(range(len(self.ports)))
        waiting = [(name, next(turns)) for name in reversed(names)]

        def write():
            while True:
                with self.lock:
                    if not waiting:
                        return
                    name, turn = waiting.pop()
                ports = self.ports[turn:] + self.ports[:turn]
                port = self.send_until_acknowledged(ports, "/v1/revocations", name)
                with self.lock:
                    if port is None:
                        self.lost.append(name)
                    else:
                        self.done[name] = port != ports[0]
                time.sleep(BETWEEN_REVOCATIONS_SECONDS)

        self.writers = [threading.Thread(target=write, daemon=True) for _ in range(WRITERS)]
        for writer in self.writers:
            writer.start()

    def send_until_acknowledged(self, ports, path, name):
        """The port of the authority that has acknowledged it."""
        deadline = time.monotonic() + GIVE_UP_AFTER_SECONDS
        for port in itertools.cycle(ports):
            if self.is_acknowledged(port, path, name):
                return port
            if time.monotonic() > deadline:
                return None
            time.sleep(PAUSE_SECONDS)

    def is_acknowledged(self, port, path, name):
        body = json.dumps({"kind": "session", "issuer": ISSUER, "value": name})
        headers = {"Authorization": f"Bearer {self.secret}", "Content-Type": "application/json"}
        authority = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            authority.request("POST", path, body, headers)
            status = authority.getresponse().status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            authority.close()
        if 400 <= status < 500:
            raise Failure(f"an authority answered a revocation with {status}")
        return status == 200

    def wait_for(self, count):
        deadline = time.monotonic() + GIVE_UP_AFTER_SECONDS
        while self.acknowledged() < count:
            if time.monotonic() > deadline:
                raise Failure(f"{count} revocations were not acknowledged within {GIVE_UP_AFTER_SECONDS} seconds")
            time.sleep(0.002)

    def end(self):
        for writer in self.writers:
            writer.join()

    def acknowledged(self):
        with self.lock:
            return len(self.done)

    def moved(self):
        """How many another authority has acknowledged than was asked first."""
        with self.lock:
            return sum(self.done.values())


class Watch:
    """Requests without a pause, each of which has to get the status of its token.

    `fixed` is the status for each token that is sent over and over. Those to be asked about are new to
    Envoy's workers, and have to be let through.
    """

    def __init__(self, gate_port, fixed, to_be_asked_about):
        self.gate_port, self.fixed = gate_port, fixed
        self.fresh = list(to_be_asked_about)
        self.is_over = threading.Event()
        self.counts, self.faults, self.asked = [0] * WATCHERS, [], 0
        self.threads = [threading.Thread(target=self.run, args=(number,), daemon=True) for number in range(WATCHERS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def run(self, number):
        gate = http.client.HTTPConnection("127.0.0.1", self.gate_port, timeout=5)
        # In the course of some seconds, whatever becomes of the authorities meanwhile.
        fresh = self.fresh[number::WATCHERS]
        next_fresh = time.monotonic() + 0.6
        while not self.is_over.is_set():
            for token, status in self.fixed.items():
                self.send(gate, number, token, status)
            if fresh and time.monotonic() >= next_fresh:
                self.send(gate, number, fresh.pop(), 200)
                self.asked += 1
                next_fresh += 0.1
            time.sleep(0.002)

    def send(self, gate, number, token, expected):
        try:
            gate.request("GET", "/orders", headers={"Authorization": f"Bearer {token}"})
            reply = gate.getresponse()
            body = reply.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            self.faults.append(f"a request failed: {error!r}")
            gate.close()
            return
        self.counts[number] += 1
        if reply.status != expected:
            self.faults.append(f"a request got {reply.status} in place of {expected}: {body[:200]}")

    def count(self):
        return sum(self.counts)

    def asked_about(self):
        return self.asked

    def wrong(self):
        return self.faults
