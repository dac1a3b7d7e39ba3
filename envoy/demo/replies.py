"""One request through the gate: how it is sent, how the reply is shown, how it is held against a promise."""

import json
import subprocess

from terminal import Failure

SHOWN_HEADERS = ("content-type", "www-authenticate", "cache-control", "location", "server", "x-session-expires-at")


class Reply:
    """What `curl -i` printed. When the upstream answered, `json` tells what it received."""

    def __init__(self, text):
        head, _, self.body = text.replace("\r\n", "\n").partition("\n\n")
        self.status_line, *lines = head.split("\n")
        self.status = int(self.status_line.split()[1])
        self.headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        try:
            self.json = json.loads(self.body)
        except ValueError:
            self.json = {}

    def header(self, name):
        return ", ".join(value for other, value in self.headers if other == name)

    def seen_by_upstream(self, name):
        """The values of a request header, also of one whose name many servers take for the same."""
        pairs = self.json.get("headers", [])
        return [value for other, value in pairs if other.lower().replace("_", "-").replace(".", "-") == name]

    def show(self):
        print(f"  {self.status_line}")
        for name, value in self.headers:
            if name in SHOWN_HEADERS:
                print(f"  {name}: {value}")
        print()
        print("\n".join(f"  {line}" for line in self.body_lines()))

    def body_lines(self):
        if not self.json:
            return self.body.split("\n")
        if not isinstance(self.json.get("headers"), list):
            return json.dumps(self.json, indent=2, ensure_ascii=False).split("\n")
        # One header a line: that is what the reader came to see.
        pairs = [f"    {json.dumps(pair, ensure_ascii=False)}," for pair in self.json["headers"]]
        rest = json.dumps({name: value for name, value in self.json.items() if name != "headers"})
        return [f'{rest[:-1]}, "headers": [', *pairs[:-1], pairs[-1][:-1], "]}"]


def shell_line(*words):
    def quoted(word):
        plain = all(letter.isalnum() or letter in "-_./:=@,+" for letter in word)
        return word if plain else "'" + word.replace("'", "'\\''") + "'"

    return " ".join(map(quoted, words))


def send(arguments):
    # What the line that is shown does not have changes nothing in the reply: no ~/.curlrc, no proxy from
    # the environment, and a limit so that nothing hangs.
    command = ["curl", "-q", "-sS", "--noproxy", "*", "--max-time", "20", "-i", *arguments]
    done = subprocess.run(command, capture_output=True)
    if done.returncode != 0:
        raise Failure(f"curl failed: {done.stderr.decode(errors='replace').strip()}")
    return Reply(done.stdout.decode(errors="replace"))


def difference(what, expected, found):
    return [] if expected == found else [f"{what}: expected `{expected}`, found `{found}`"]


def refused(code, challenge):
    """A 401 with this code, and a challenge that begins so and names an error only if this one does."""

    def faults(reply):
        found = reply.header("www-authenticate")
        wrong_challenge = not found.startswith(challenge) or ("error=" in found) != ("error=" in challenge)
        return [
            *difference("status", 401, reply.status),
            *difference("code", code, reply.json.get("code")),
            *difference("content-type", "application/problem+json", reply.header("content-type")),
            *difference("cache-control", "no-store", reply.header("cache-control")),
            *([f"www-authenticate: expected `{challenge}`, found `{found}`"] if wrong_challenge else []),
        ]

    return faults


def let_through(headers, tells_expiry=None):
    """A 200 from the upstream, which saw each of these headers with just these values.

    `tells_expiry` is whether the client is told when its token ends, where that is promised.
    """

    def faults(reply):
        found = [difference(f"{name} at the upstream", headers[name], reply.seen_by_upstream(name)) for name in headers]
        tells = reply.header("x-session-expires-at").isdigit()
        wrong = [] if tells_expiry is None else difference("x-session-expires-at in the reply", tells_expiry, tells)
        return [*difference("status", 200, reply.status), *sum(found, []), *wrong]

    return faults
