"""Streaming calls of gRPC's own client: calls.py ADDRESS NAME=TOKEN…

Prints a line for all that happens to the calls of each name: one whose server streams, one whose
client does, and one where both do.
"""

import sys
import threading
import time

import grpc

STREAM, UPLOAD = "/api/stream", "/api/upload"
MESSAGE = b"x"


class Call:
    """One call, and the same once more when it has ended."""

    def __init__(self, channel, kind, name, token):
        self.kind, self.name = kind, name
        self.metadata = [("authorization", f"Bearer {token}")]
        self.beats = 0
        begin = {
            "server": lambda: channel.unary_stream(STREAM)(MESSAGE, metadata=self.metadata),
            "client": lambda: channel.stream_unary(UPLOAD)(self.messages(), metadata=self.metadata),
            "both": lambda: channel.stream_stream(STREAM)(self.messages(), metadata=self.metadata),
        }
        self.begin = begin[kind]

    def tell(self, what):
        # In one piece, since every call has a thread.
        print(f"{self.name} {self.kind} {what}\n", end="", flush=True)

    def beat(self):
        self.beats += 1
        if self.beats == 2:
            self.tell("open")
        if self.beats % 10 == 0:
            self.tell(f"beats {self.beats}")

    def messages(self):
        """What the client sends: each is asked for when the one before has left."""
        while True:
            yield MESSAGE
            if self.kind == "client":
                self.beat()
            time.sleep(0.02)

    def receive(self):
        """Takes what comes until the call has failed, and returns how."""
        try:
            answers = self.begin()
            if self.kind != "client":
                for _ in answers:
                    self.beat()
        except grpc.RpcError as error:
            return error
        raise AssertionError("the call has ended as if that were all")

    def run(self):
        self.tell(f"closed {self.receive().code().name}")
        # The messages are not counted as those of a call that goes on.
        self.beats = -1_000_000
        refusal = self.receive()
        self.tell(f"again {refusal.code().name} {refusal.details().split(':')[0]}")


def main(address, *sessions):
    channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
    for session in sessions:
        for kind in ["server", "client", "both"]:
            threading.Thread(target=Call(channel, kind, *session.split("=", 1)).run).start()


main(*sys.argv[1:])
