"""What schemathesis does not know by itself: bodies with one JSON object on each line."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """A list as its lines; anything else, which is a mistake on purpose, as the one line there is."""
    if isinstance(value, bytes):
        return value
    elements = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(element) for element in elements).encode()
