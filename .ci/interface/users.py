"""Users for schemathesis to sign out: genuine tokens, and sessions that an edge has reported.

Usage: users.py PROGRAM DIRECTORY URL

Writes DIRECTORY/users.json, a list of {"token", "id"}: the token of one session of a user, and the id of
the user's other session. The credential is that of the environment, as for schemathesis.
"""

import json
import os
import subprocess
import sys
import urllib.request

ISSUER = "https://issuer.example"
# Each can be signed out once. A run takes one for every such request that is as described.
USERS = 400


def main(program, directory, url):
    users = [f"user-{number}" for number in range(USERS)]
    tokens = [mint(program, directory, user) for user in users]
    # As many as one request of an edge may have.
    reports = [report(user, f"{user}-{device}") for user in users for device in ("here", "there")]
    post(url, "/v1/activity", {"version": 1, "reports": reports})
    pairs = [{"token": token, "id": other_session(url, token)} for token in tokens]
    with open(f"{directory}/users.json", "w", encoding="utf-8") as file:
        json.dump(pairs, file)


def mint(program, directory, user):
    command = [program, "mint", "--key", f"{directory}/es256.jwk", "--issuer", ISSUER, "--audience", "api"]
    command += ["--subject", user, "--session", f"{user}-here", "--expires-in", "1h"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def report(user, session):
    seen = {"first_seen_ago": 0, "last_seen_ago": 0, "requests": 1}
    return {"issuer": ISSUER, "subject": user, "sid": session, **seen}


def other_session(url, token):
    listed = json.loads(post(url, "/v1/own-sessions", {"token": token}))["sessions"]
    (other,) = [session["id"] for session in listed if not session["current"]]
    return other


def post(url, path, body):
    headers = {
        "authorization": f"Bearer {os.environ['PORTCULLIS_CREDENTIAL']}",
        "content-type": "application/json",
    }
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
