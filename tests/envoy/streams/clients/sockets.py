"""WebSockets of Python's `websockets`: sockets.py URL NAME=TOKEN…

Prints a line for all that happens to the socket of each name.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


def tell(name, what):
    print(f"{name} socket {what}", flush=True)


def open_socket(url, token):
    return connect(url, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None)


async def follow(url, name, token):
    beats = 0
    async with open_socket(url, token) as socket:
        try:
            while True:
                await socket.recv()
                beats += 1
                if beats == 1:
                    tell(name, "open")
                if beats % 10 == 0:
                    tell(name, f"beats {beats}")
        except ConnectionClosed:
            tell(name, f"closed {socket.close_code}")
    try:
        async with open_socket(url, token):
            tell(name, "again 101")
    except InvalidStatus as refusal:
        code = json.loads(refusal.response.body)["code"]
        tell(name, f"again {refusal.response.status_code} {code}")


async def main(url, *sessions):
    await asyncio.gather(*(follow(url, *session.split("=", 1)) for session in sessions))


asyncio.run(main(*sys.argv[1:]))
