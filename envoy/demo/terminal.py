"""How the demo speaks, and how it gives up."""

import os
import sys


class Failure(Exception):
    """The demo cannot go on; the text says why."""


class Usage(Failure):
    """What the operator asked for makes no sense."""


class Stopped(Exception):
    """A signal asked the demo to end."""


def say(text):
    """Standard output is for requests and replies; everything else goes here."""
    print(f"==> {text}", file=sys.stderr, flush=True)


def paint(code, text):
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return f"\033[{code}m{text}\033[0m" if coloured else text
