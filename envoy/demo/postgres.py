"""A PostgreSQL server of the demo's own, on loopback, with all of its files in target/demo/postgres."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from terminal import Failure, Usage
from tokens import DATABASE_PASSWORD, DEMO

ROLE, DATABASE = "portcullis", "postgres"


def program(name):
    """One of PostgreSQL's programs: of the newest version that Debian has installed, else on the PATH."""
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    found = max(versions, key=lambda path: int(path.parts[4]), default=None) or shutil.which(name)
    if not found:
        raise Usage(f"PostgreSQL is missing ({name}); run: sudo apt-get install -y postgresql")
    return str(found)


class Postgres:
    """Where its files are, and the commands that make and run it."""

    def __init__(self, port):
        self.port = port
        self.owner = other_user() if os.geteuid() == 0 else None
        self.directory = DEMO / "postgres"
        self.directory.mkdir(mode=0o700)
        # A user who is not root may not get at target/: below a home directory, for one.
        self.is_elsewhere = self.owner is not None and not self.can_enter(DEMO)
        if self.is_elsewhere:
            self.directory = Path(tempfile.mkdtemp(prefix="portcullis-demo-postgres-"))
        password = self.directory / "password"
        shutil.copy(DATABASE_PASSWORD, password)
        if self.owner:
            shutil.chown(self.directory, self.owner.pw_uid, self.owner.pw_gid)
            shutil.chown(password, self.owner.pw_uid, self.owner.pw_gid)

    def make(self):
        done = subprocess.run(
            self.unprivileged(
                program("initdb"), "-D", self.directory / "data", "--username", ROLE, "--pwfile",
                self.directory / "password", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync",
            ),
            capture_output=True, text=True, cwd="/",
        )  # fmt: skip
        if done.returncode != 0:
            raise Failure(f"initdb failed: {done.stderr.strip()}")

    def command(self):
        return self.unprivileged(
            program("postgres"), "-D", self.directory / "data", "-p", str(self.port),
            "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
        )  # fmt: skip

    def is_ready(self):
        """It takes connections before it answers over them."""
        command = [program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", ROLE]
        return subprocess.run(command, cwd="/").returncode == 0

    def url(self):
        return f"postgres://{ROLE}@127.0.0.1:{self.port}/{DATABASE}"

    def clean(self):
        if self.is_elsewhere:
            shutil.rmtree(self.directory, ignore_errors=True)

    def unprivileged(self, *command):
        """PostgreSQL refuses to run as root."""
        command = [str(word) for word in command]
        if self.owner is None:
            return command
        ids = ["--reuid", str(self.owner.pw_uid), "--regid", str(self.owner.pw_gid), "--clear-groups"]
        return ["setpriv", *ids, *command]

    def can_enter(self, directory):
        return subprocess.run(self.unprivileged("test", "-x", directory)).returncode == 0


def other_user():
    """The user of Debian's package, else the one without rights that every system has."""
    if not shutil.which("setpriv"):
        raise Usage("PostgreSQL does not run as root, and setpriv is missing; run the demo as another user")
    users = {user.pw_name: user for user in pwd.getpwall()}
    other = users.get("postgres") or next((user for user in users.values() if user.pw_uid == 65534), None)
    if not other:
        raise Usage("PostgreSQL does not run as root; run the demo as another user")
    return other
