"""Three authorities on one PostgreSQL database, and an Envoy that does not notice when one of them is killed."""

import os
import subprocess
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

from burst import Burst, Watch
from cases import show_outcome, show_title
from postgres import Postgres
from replies import difference, shell_line
from servers import ADMIN, GATE, UPSTREAM, Servers, configuration_for, connects
from story import GIVE_UP_AFTER_SECONDS, REVOKED, request, revoke, seconds_until_refused, seen
from terminal import Failure, paint, say
from tokens import ADMIN as ADMIN_CREDENTIAL
from tokens import AUTHORITY, DATABASE_PASSWORD, ISSUER, PORTCULLIS, ROOT, SECRET_KEY, mint, serve, with_feed_key

CONFIGURATION = ROOT / "envoy" / "envoy-replicas.yaml"
AUTHORITIES = ["PORTCULLIS_AUTHORITY_PORT", "PORTCULLIS_AUTHORITY_2_PORT", "PORTCULLIS_AUTHORITY_3_PORT"]
DATABASE = "PORTCULLIS_DATABASE_PORT"
ENVOY_PORTS = {GATE: 10000, UPSTREAM: 10001, ADMIN: 9901, **dict(zip(AUTHORITIES, (10002, 10012, 10022)))}
PORTS = {**ENVOY_PORTS, DATABASE: 10032}
# How many sessions are revoked while one authority is killed, and how many were restored before.
BURST, RESTORED = 90, 20


class Replicas(Servers):
    """The servers of the demo, with three authorities and their database in place of one."""

    def __init__(self, ports, environment):
        super().__init__(ports, environment)
        self.postgres = Postgres(ports[DATABASE])

    def configuration(self):
        return configuration_for(self.ports, CONFIGURATION, ENVOY_PORTS)

    def start_authorities(self):
        self.postgres.make()
        self.start("postgres", *self.postgres.command())
        self.wait_until("PostgreSQL", self.postgres.is_ready)
        self.environment.update(with_feed_key(self.own_keys(), self.serve(0, 0)))
        for number in range(len(AUTHORITIES)):
            self.start_authority(number)
        ports = [self.ports[port] for port in AUTHORITIES]
        self.wait_until("three authorities", lambda: all(connects(port) for port in ports))

    def own_keys(self):
        return {name: value for name, value in self.environment.items() if name.startswith("PORTCULLIS_DEMO_")}

    def start_authority(self, number):
        self.start(f"authority-{number + 1}", *self.serve(number, self.ports[AUTHORITIES[number]]))

    def serve(self, number, port):
        """What it keeps beside the store it keeps for itself."""
        data = AUTHORITY.with_name(f"authority-{number + 1}")
        files = ["--store-password", DATABASE_PASSWORD, "--secret-key", SECRET_KEY]
        return [*serve(port, data), "--store", self.postgres.url(), *files]

    def stop(self):
        super().stop()
        self.postgres.clean()


def run_replicas(servers):
    """Shows every step; returns how many did not come out as promised."""
    gate, ports = servers.ports[GATE], [servers.ports[port] for port in AUTHORITIES]
    url = f"http://127.0.0.1:{gate}/orders"
    phone, laptop = mint("es256", session="phone-1"), mint("es256", session="laptop-1")
    return sum(
        [
            edges("Three authorities on one database; any of them knows of the edge", ports[2]),
            request("alice's phone", phone, url, "let through", seen("phone-1")),
            revoke("She loses it. The first authority is told", ports[0], gate, phone, "session", "phone-1"),
            request("The finder of the phone", phone, url, "refused: 401 token_revoked", REVOKED),
            request("alice, on her laptop", laptop, url, "let through all the same", seen("laptop-1")),
            kill_one(servers, ports, phone, laptop),
            revoke("The laptop is lost, too. The second is told", ports[1], gate, laptop, "session", "laptop-1"),
            request("Her laptop", laptop, url, "refused: 401 token_revoked", REVOKED),
            edges("The third one knows that the edge has it", ports[2]),
            come_back(servers, ports),
        ]
    )


def kill_one(servers, ports, revoked, innocent):
    """Revokes at all three, and kills one in the middle of it, while requests go on at the gate."""
    gate = servers.ports[GATE]
    print(f"\n{paint('1', f'{BURST} sessions are revoked at all three, and the first dies in the middle of it')}\n")
    names = [f"burst-{number}" for number in range(BURST)]
    tokens = tokens_of(names)
    restored = tokens_of([f"restored-{number}" for number in range(RESTORED)])
    burst = Burst(ports)
    # The filter takes these for revoked, so that each is asked about at an authority.
    burst.restore(restored)
    with Watch(gate, {innocent: 200, revoked: 401}, list(restored.values())) as watch:
        time.sleep(0.5)
        burst.begin(names)
        burst.wait_for(BURST // 3)
        number = servers.kill("authority-1")
        print(f"  $ kill -9 {number}    # after {burst.acknowledged()} were acknowledged")
        burst.end()
        _, last = seconds_until_refused(gate, tokens[names[-1]])
        time.sleep(1)
    print(f"  {burst.acknowledged()} acknowledged, {burst.moved()} of them by another authority than was asked first")
    print(f"  {watch.count()} requests meanwhile, {watch.asked_about()} of them with tokens to be asked about")
    passing = [name for name in names if seconds_until_refused(gate, tokens[name], 4)[1] > 1]
    faults = [
        *difference("acknowledged", BURST, burst.acknowledged()),
        *difference("in time", True, last < GIVE_UP_AFTER_SECONDS),
        *difference("acknowledged, and let through", [], passing),
        *watch.wrong()[:8],
    ]
    return show_outcome("no request wrongly refused or let through, and all that was acknowledged is in force", faults)


def tokens_of(names):
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(names, pool.map(lambda name: mint("es256", session=name), names)))


def come_back(servers, ports):
    servers.start_authority(0)
    servers.wait_until("the first authority", lambda: connects(ports[0]))
    arguments = ["check", "session", "--issuer", ISSUER, "laptop-1"]
    shown = ask("The first one is started again, and knows what it has missed", ports[0], *arguments)
    return show_outcome("revoked", difference("revoked", True, shown.startswith("revoked")))


def edges(title, port):
    """Shows the edges, once all of them have what was revoked: authorities tell each other once a second."""
    arguments = ["edges"]
    deadline = time.monotonic() + GIVE_UP_AFTER_SECONDS
    while not are_in_step(run(port, *arguments)) and time.monotonic() < deadline:
        time.sleep(0.2)
    shown = ask(title, port, *arguments)
    return show_outcome("one edge, and it lacks nothing", difference("edges in step", True, are_in_step(shown)))


def are_in_step(shown):
    """Whether there is one edge, which lacks no change: the sixth column."""
    lines = [line.split("  ") for line in shown.splitlines()]
    return len(lines) == 1 and len(lines[0]) > 5 and lines[0][5] == "0"


def ask(title, port, *arguments):
    """Shows a command and what it prints."""
    show_title(title, shell_line(*command(port, *arguments)))
    shown = run(port, *arguments)
    print(textwrap.indent(shown, "  "))
    return shown


def run(port, *arguments):
    done = subprocess.run(command(port, *arguments), capture_output=True, text=True, cwd=ROOT)
    # A check says that something is revoked and ends with 1.
    if done.returncode != 0 and not (done.returncode == 1 and done.stdout):
        raise Failure(f"portcullis {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.rstrip()


def command(port, *arguments):
    return [
        os.path.relpath(PORTCULLIS, ROOT), *arguments, "--authority", f"http://127.0.0.1:{port}",
        "--credential-file", os.path.relpath(ADMIN_CREDENTIAL, ROOT),
    ]  # fmt: skip
