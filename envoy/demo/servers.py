"""The upstream, the authority and Envoy: their ports, their start and their end."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from terminal import Failure, Usage, say
from tokens import DEMO, PORTCULLIS, ROOT, serve, signals_file

CONFIGURATION = ROOT / "envoy" / "envoy.yaml"
ENVOY_LOG = DEMO / "envoy.log"
# Each variable sets one port.
GATE, UPSTREAM, ADMIN = "PORTCULLIS_PORT", "PORTCULLIS_UPSTREAM_PORT", "PORTCULLIS_ADMIN_PORT"
AUTHORITY, SIGNALS = "PORTCULLIS_AUTHORITY_PORT", "PORTCULLIS_SIGNALS_PORT"
# Those of Envoy's file, and one that only the authority's files have.
ENVOY_PORTS = {GATE: 10000, UPSTREAM: 10001, AUTHORITY: 10002, ADMIN: 9901}
DEFAULT_PORTS = {**ENVOY_PORTS, SIGNALS: 10003}
# V8 compiles the module before Envoy is ready: under a second, on a busy machine more.
READY_WITHIN_SECONDS = 60
STOPPED_WITHIN_SECONDS = 10


def choose_ports(defaults=DEFAULT_PORTS):
    """For each: the operator's choice, else the default, else, where that is taken, a free one."""
    held = {}
    try:
        for variable, default in defaults.items():
            # All are held until the last one is chosen, so that none is chosen twice.
            held[variable] = hold_port(variable, os.environ.get(variable), default)
        return {variable: listener.getsockname()[1] for variable, listener in held.items()}
    finally:
        for listener in held.values():
            listener.close()


def hold_port(variable, wanted, default):
    if wanted and not (wanted.isdecimal() and 0 < int(wanted) < 65536):
        raise Usage(f"{variable}: expected a port from 1 to 65535, found `{wanted}`")
    listener = socket.socket()
    # As the servers do: a port that is only waiting out an old connection is free.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", int(wanted or default)))
    except OSError as error:
        if wanted:
            listener.close()
            raise Usage(f"{variable}: port {wanted} cannot be used: {error.strerror}") from error
        listener.bind(("127.0.0.1", 0))
        say(f"port {default} is taken: using {listener.getsockname()[1]} instead ({variable} chooses it)")
    return listener


def configuration_for(ports, file=CONFIGURATION, defaults=ENVOY_PORTS):
    """The file itself, or a copy of it where the ports are others than it has."""
    ports = {variable: ports[variable] for variable in defaults}
    if ports == defaults:
        return file
    text = file.read_text()
    for variable, default in defaults.items():
        if text.count(f"port_value: {default}}}") != 1:
            raise Failure(f"expected port {default} exactly once in envoy/{file.name}")
        # By way of the name: one port's new number may be another one's default.
        text = text.replace(f"port_value: {default}}}", f"port_value: {variable}}}")
    for variable, port in ports.items():
        text = text.replace(f"port_value: {variable}}}", f"port_value: {port}}}")
    rendered = DEMO / file.name
    rendered.write_text(text)
    return rendered


class Servers:
    """All three servers, ready when the `with` block is entered and gone when it is left."""

    def __init__(self, ports, environment):
        self.ports = ports
        self.environment = {**os.environ, **environment}
        self.running = {}

    def __enter__(self):
        try:
            self.start("upstream", PORTCULLIS, "upstream", "--listen", f"127.0.0.1:{self.ports[UPSTREAM]}")
            self.start_authorities()
            # Hot restart shares memory between Envoys of the same number, strangers' included.
            self.start(
                "envoy", os.environ["ENVOY_BIN"], "-c", self.configuration(), "--concurrency", "2",
                "--disable-hot-restart", "--component-log-level", "wasm:debug", "--service-node", "demo-edge",
            )  # fmt: skip
            self.wait_until("the upstream", lambda: connects(self.ports[UPSTREAM]))
            self.wait_until("Envoy", lambda: live(self.ports[ADMIN]) and connects(self.ports[GATE]))
            # Until the first feed is loaded, every token is refused.
            self.wait_until("the revocation feed", lambda: feed_is_loaded(self.ports[ADMIN]))
            # One virtual machine has loaded it; the others find it on their next tick.
            time.sleep(0.3)
        except BaseException:
            self.stop()
            raise
        return self

    def configuration(self):
        return configuration_for(self.ports)

    def start_authorities(self):
        signals = signals_file(self.ports[SIGNALS])
        self.start("authority", *serve(self.ports[AUTHORITY]), "--signals", signals)
        self.wait_until("the authority", lambda: all(connects(self.ports[port]) for port in (AUTHORITY, SIGNALS)))

    def __exit__(self, *_):
        self.stop()

    def start(self, name, *command):
        with (DEMO / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C at the terminal reaches this program only, which then ends all in order.
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def wait_until(self, what, ready):
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise Failure(f"{what} was not ready within {READY_WITHIN_SECONDS} seconds")
            time.sleep(0.02)

    def kill(self, name):
        """Ends one as a power cut would, and returns the number of its process."""
        process = self.running.pop(name)
        process.kill()
        process.wait()
        return process.pid

    def check(self):
        for name, process in self.running.items():
            if process.poll() is not None:
                raise Failure(f"{name} ended with code {process.returncode}, after these lines:\n{log_tail(name, 8)}")

    def stop(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(STOPPED_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1


def end_with_parent():
    """In the child, before it becomes a server: on Linux it ends even when this program is killed outright."""
    if LIBC:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def log_tail(name, count):
    """The last lines that tell of a fault: no start-up chatter, but all that the filter itself logged."""
    lines = (DEMO / f"{name}.log").read_text(errors="replace").splitlines()
    telling = [line for line in lines if "wasm log" in line or not ("[info]" in line or "[debug]" in line)]
    return "\n".join(f"  {line}" for line in telling[-count:])


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def live(admin_port):
    try:
        return fetch(admin_port, "/ready").strip() == "LIVE"
    except OSError:
        return False


def feed_is_loaded(admin_port):
    return "portcullis.feed.generations: 1" in fetch(admin_port, "/stats?filter=portcullis.feed.generations")


def fetch(port, path):
    # A proxy that is set in the environment must not be asked for 127.0.0.1.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
        return reply.read().decode()
