"""What schemathesis does not know by itself: bodies with one JSON object on each line, and numbers that
no edge can have."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """A list as its lines; anything else, which is a mistake on purpose, as the one line there is."""
    if isinstance(value, bytes):
        return value
    elements = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(element) for element in elements).encode()


@schemathesis.hook
def map_body(context, body):
    """An edge follows the epoch of its authority, and knows no change that it has not made, or the
    answer is 503, as described; the tests of the authority look at that."""
    for name in ("epoch", "at_least"):
        known = isinstance(body, dict) and body.get(name)
        if isinstance(known, (int, float)) and not isinstance(known, bool):
            # What is not allowed stays as it is: it has to be refused.
            if 0 <= known < 2**63 and known == int(known):
                body[name] = None
    return body
