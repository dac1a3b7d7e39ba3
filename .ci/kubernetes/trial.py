"""Runs what the overlay `plain-envoy` describes, on loopback: the authority with its arguments and its file, an Envoy
with its bootstrap, and what an operator pastes from README.md in between.

Nothing but places is changed: where files are mounted, and where names lead.
"""

import functools
import http.client
import http.server
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import yaml

from manifests import MANIFESTS, StrictLoader, bootstraps, plugins, values_of

ISSUER = "issuer.example"
AUTHORITIES = "portcullis-authorities.portcullis.svc.cluster.local"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def blocks(beginning):
    """The shell blocks of the page that have this in them."""
    found = re.findall(r"```sh\n(.*?)```", (MANIFESTS / "README.md").read_text(), re.DOTALL)
    chosen = [block for block in found if beginning in block]
    if len(chosen) != 1:
        raise LookupError(f"expected one block with {beginning!r} in the page, found {len(chosen)}")
    return chosen[0]


class Trial:
    def __init__(self, build, directory):
        self.build = build
        self.directory = directory
        self.processes = []
        self.ports = {}
        programs = Path(os.environ["PORTCULLIS_BIN"]).resolve().parent
        self.environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}

    def shell(self, script, accepted=(0,)):
        command = ["sh", "-euc", script]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=self.environment, cwd=self.directory
        )
        if done.returncode not in accepted:
            raise RuntimeError(f"{script.strip()}: ended with {done.returncode}: {done.stdout}{done.stderr.strip()}")
        return done.stdout

    def start(self, name, command, **more):
        log = (self.directory / f"{name}.log").open("w")
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment, cwd=self.directory, **more
        )
        self.processes.append(process)
        return process

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(timeout=30)

    def issuer(self):
        """An identity provider's keys, on a server with a certificate of the same certificate authority."""
        keys = self.directory / "issuer" / ".well-known" / "jwks.json"
        keys.parent.mkdir(parents=True)
        keys.write_text(self.shell("portcullis keygen --out issuer.jwk"))
        self.shell(
            "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -subj /CN=issuer "
            f"-addext subjectAltName=DNS:{ISSUER},DNS:localhost -keyout issuer.key -out issuer.csr 2>&1; "
            "openssl x509 -req -in issuer.csr -CA ca.crt -CAkey ca.key -copy_extensions copy -out issuer.crt 2>&1"
        )

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        handler = functools.partial(Handler, directory=self.directory / "issuer")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "issuer.crt", self.directory / "issuer.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.ports[ISSUER] = server.server_address[1]

    def moved(self, text):
        return re.sub(r"/(etc/portcullis|etc/envoy|var/lib/portcullis)\b", rf"{self.directory}/\1", text)

    def mount(self, path, files):
        target = Path(self.moved(path))
        target.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (target / name).write_text(self.moved(text))

    def read(self, *names):
        return {name: (self.directory / name).read_text() for name in names}

    def authority(self):
        """The StatefulSet's container. Its file is the ConfigMap's, with the issuer's keys where they are here."""
        (workload,) = self.build.of("StatefulSet")
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        (held,) = (each["data"] for each in self.build.of("ConfigMap") if "authority.yaml" in each["data"])
        configuration = yaml.load(held["authority.yaml"], StrictLoader)
        for keys in values_of(configuration, "keys"):
            keys["jwks_uri"] = keys["jwks_uri"].replace(ISSUER, f"localhost:{self.ports[ISSUER]}")
            keys["certificate_authority"] = str(self.directory / "ca.crt")
        self.mount("/etc/portcullis/configuration", {"authority.yaml": yaml.safe_dump(configuration)})
        self.mount("/etc/portcullis/credentials", self.read("credentials"))
        self.mount("/etc/portcullis/tls", self.read("tls.crt", "tls.key", "ca.crt"))
        # As the volume is, when `fsGroup` has been applied to it.
        Path(self.moved("/var/lib/portcullis")).mkdir(parents=True, mode=0o770)
        arguments = [self.moved(argument) for argument in container["args"]]
        arguments = [argument.replace("0.0.0.0:10002", "127.0.0.1:0") for argument in arguments]
        process = self.start("authority", [*container["command"], *arguments])
        url = json.loads(process.stdout.readline())["url"].replace("127.0.0.1", "localhost")
        self.ports[AUTHORITIES] = int(url.rpartition(":")[2])
        self.environment |= {"PORTCULLIS_AUTHORITY": url, "PORTCULLIS_AUTHORITY_CA": "ca.crt"}
        self.environment["PORTCULLIS_CREDENTIAL_FILE"] = "operators.secret"

    def edge(self, module):
        """The Deployment's container, with its bootstrap, and its environment as the page fills it."""
        script = blocks("FEED_KEY=$(") + 'echo "$FEED_KEY"'
        self.environment["PORTCULLIS_FEED_KEY"] = self.shell(script).strip()
        self.environment["PORTCULLIS_EDGE_CREDENTIAL"] = self.read("gateway.secret")["gateway.secret"].strip()
        ((held, bootstrap),) = bootstraps(self.build)
        upstream = self.ports["api.default.svc.cluster.local"] = free_port()
        self.start("upstream", ["portcullis", "upstream", "--listen", f"127.0.0.1:{upstream}"])
        for address in values_of(bootstrap, "socket_address"):
            name, port = address["address"], address["port_value"]
            address["port_value"] = self.ports.setdefault(name if name in self.ports else port, free_port())
            address["address"] = "127.0.0.1"
        text = yaml.safe_dump(bootstrap).replace("/etc/ssl/certs/ca-certificates.crt", str(self.directory / "ca.crt"))
        self.mount("/etc/envoy/bootstrap", held["data"] | {"envoy.yaml": text})
        self.mount("/etc/envoy/tls", self.read("tls.crt", "tls.key"))
        self.mount("/etc/portcullis/authority", self.read("ca.crt"))
        self.mount("/etc/portcullis/module", {})
        Path(self.moved("/etc/portcullis/module/plugin.wasm")).write_bytes(module.read_bytes())
        (workload,) = self.build.of("Deployment")
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        arguments = [self.moved(argument) for argument in container["args"]]
        self.start("envoy", [os.environ["ENVOY_BIN"], *arguments, "--log-level", "warn", "--use-dynamic-base-id"])

    def ask(self, path, token=None, method="GET"):
        """The status of an answer of the gate, and its text."""
        context = ssl.create_default_context(cafile=self.directory / "ca.crt")
        connection = http.client.HTTPSConnection("localhost", self.ports[10000], context=context, timeout=10)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def ask_beside(self, port, path, method="GET"):
        """The same of one of Envoy's listeners that are for the cluster alone."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=10)
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def wait_for(self, path, token, status):
        """The answer once it has this status, and after half a minute whatever there is."""
        end = time.monotonic() + 30
        answer = None
        while time.monotonic() < end and (answer is None or answer[0] != status):
            time.sleep(0.1)
            try:
                answer = self.ask(path, token)
            except OSError as error:
                answer = (0, str(error))
        return answer

    def token(self, session):
        ((_, configuration, _),) = plugins(self.build)
        (provider,) = configuration["providers"].values()
        return self.shell(
            f"portcullis mint --key issuer.jwk --issuer {provider['issuer']} --audience {provider['audiences'][0]} "
            f"--subject alice --session {session} --claim jti={session}"
        ).strip()

    def faults(self):
        """What a user and an operator see, against what they ought to."""
        first, second = self.token("one"), self.token("two")

        def expect(what, answer, status, text):
            if answer[0] != status or text not in answer[1]:
                yield f"{what}: expected {status} with `{text}`, found {answer}"

        yield from expect("a token", self.wait_for("/orders", first, 200), 200, "x-session-subject")
        yield from expect("another token", self.ask("/orders", second), 200, "x-session-subject")
        yield from expect("no token", self.ask("/orders"), 401, "token_missing")
        yield from expect("an open path", self.ask("/public/x"), 200, "")
        (self.directory / "token.jwt").write_text(first)
        # 11: an authority that has just been started does not say of itself that it knows all edges.
        said = self.shell(blocks("portcullis revoke token"), accepted=(0, 11))
        if "1 of 1 edges have it" not in said:
            yield f"expected the edge to have the revocation, found {said!r}"
        yield from expect("a token that was revoked", self.ask("/orders", first), 401, "token_revoked")
        yield from expect("the other one", self.ask("/orders", second), 200, "x-session-subject")
        # Answered when it is on the authority's disk, a moment before every worker knows.
        yield from expect("signing out", self.ask("/session/sign-out", second, "POST"), 204, "")
        yield from expect("after signing out", self.wait_for("/orders", second, 401), 401, "token_revoked")
        yield from expect("the readiness probe", self.ask_beside(10080, "/ready"), 200, "")
        metrics = self.ask_beside(9902, "/stats/prometheus")
        ((_, configuration, _),) = plugins(self.build)
        (provider,) = configuration["providers"]
        labels = f'{{verdict="refused",reason="token_missing",provider="{provider}"}} 1'
        yield from expect("the metrics", metrics, 200, f"portcullis_requests{labels}")
        yield from expect("the version in the metrics", metrics, 200, 'portcullis_build_info{version="')
        yield from expect("the rest of the admin interface", self.ask_beside(9902, "/config_dump"), 404, "")
        yield from expect("a POST to the metrics", self.ask_beside(9902, "/stats/prometheus", "POST"), 404, "")
        if "gateway" not in self.shell("portcullis edges"):
            yield "portcullis edges: expected the edge with its credential `gateway`"


def faults(build, directory, module):
    directory.mkdir(parents=True)
    trial = Trial(build, directory)
    try:
        trial.shell(blocks("openssl req"))
        trial.shell(blocks("portcullis credential"))
        trial.issuer()
        trial.authority()
        trial.edge(module)
        for fault in trial.faults():
            yield f"{build.name}, as it runs: {fault}"
    except (RuntimeError, LookupError, OSError, ValueError) as error:
        yield f"{build.name}, as it runs: {error}"
    finally:
        trial.stop()
