"""Draws panels of the dashboard, as SVG, from the answers of a Prometheus that has something to show:

    python3 .github/panels.py http://127.0.0.1:9090 60 > envoy/observability/panels.svg

The second argument is how many seconds it looks back. Grafana is not needed: the queries are those of
envoy/observability/dashboard.json.
"""

import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from xml.sax.saxutils import escape

SHOWN = [
    "Requests by verdict", "Refused, by reason", "Verifying a signature",
    "Age of the feed", "Calls to the authority that fail", "The slowest edge",
]
COLUMNS, WIDTH, HEIGHT, MARGIN = 3, 330, 210, 12
COLOURS = ["#2a6fbb", "#c2571a", "#2f8f4e", "#8a4fbf", "#b3273d", "#6b6b6b"]
STEPS = 60
# What Grafana would put in for a Prometheus that scrapes every quarter of a minute, shortened alike.
LEAST_SCRAPES = 8


def ask(server, path, **parameters):
    with urllib.request.urlopen(f"{server}{path}?{urllib.parse.urlencode(parameters)}") as answer:
        return json.load(answer)["data"]


def interval(server):
    text = ask(server, "/api/v1/status/config")["yaml"]
    number, unit = re.search(r"scrape_interval: (\d+)(ms|s)", text).groups()
    return int(number) / (1000 if unit == "ms" else 1)


def series(server, target, seconds, window):
    query = target["expr"].replace("$__rate_interval", f"{int(window * 1000)}ms")
    query = re.sub(r"\$[a-z_]+", ".*", query)
    now = time.time()
    answer = ask(server, "/api/v1/query_range", query=query, start=now - seconds, end=now, step=seconds / STEPS)
    for found in answer["result"]:
        legend = re.sub(r"{{(\w+)}}", lambda name: found["metric"].get(name[1], ""), target["legendFormat"])
        values = [(moment - now + seconds, float(value)) for moment, value in found["values"]]
        yield legend, [(moment, value) for moment, value in values if math.isfinite(value)]


def drawn(panel, lines, seconds, x, y):
    top, left, width, height = y + 34, x + 48, WIDTH - 60, HEIGHT - 86
    unit = panel["fieldConfig"]["defaults"]["unit"]
    unit, divisor = {"reqps": ("/s", 1), "short": ("", 1), "ms": ("s", 1000)}.get(unit, (unit, 1))
    lines = [(legend, [(moment, value / divisor) for moment, value in values]) for legend, values in lines]
    largest = max((value for _, values in lines for _, value in values), default=0) or 1
    yield f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="4" fill="#ffffff" stroke="#d0d0d0"/>'
    yield f'<text x="{x + 10}" y="{y + 20}" font-weight="bold">{escape(panel["title"])}</text>'
    for share in (0, 0.5, 1):
        level = top + height * (1 - share)
        yield f'<line x1="{left}" y1="{level:.1f}" x2="{left + width}" y2="{level:.1f}" stroke="#e4e4e4"/>'
        label = f"{largest * share:.3g} {unit}".strip()
        yield f'<text x="{left - 4}" y="{level + 4:.1f}" text-anchor="end" fill="#555555">{escape(label)}</text>'
    for share in (0, 0.5, 1):
        yield (f'<text x="{left + width * share:.1f}" y="{top + height + 14}" text-anchor="middle" '
               f'fill="#555555">{seconds * share:.0f} s</text>')
    for index, (legend, values) in enumerate(lines[:len(COLOURS)]):
        points = " ".join(f"{left + width * moment / seconds:.1f},{top + height * (1 - value / largest):.1f}"
                          for moment, value in values)
        colour = COLOURS[index]
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        # Two in a line.
        across, down = left - 36 + index % 2 * 155, top + height + 28 + index // 2 * 11
        yield f'<text x="{across}" y="{down}" fill="{colour}">{escape(legend[:30])}</text>'


def main(server, seconds):
    dashboard = json.loads((Path(__file__).parent.parent / "envoy/observability/dashboard.json").read_text())
    panels = {panel["title"]: panel for panel in dashboard["panels"]}
    window = LEAST_SCRAPES * interval(server)
    rows = math.ceil(len(SHOWN) / COLUMNS)
    size = COLUMNS * (WIDTH + MARGIN) + MARGIN, rows * (HEIGHT + MARGIN) + MARGIN
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" '
          'font-family="sans-serif" font-size="10">')
    print(f'<rect width="{size[0]}" height="{size[1]}" fill="#f4f4f4"/>')
    # An address of a test says nothing; edges are told apart by a number.
    edges = {}
    for number, title in enumerate(SHOWN):
        x, y = (MARGIN + place * (side + MARGIN) for place, side in
                zip((number % COLUMNS, number // COLUMNS), (WIDTH, HEIGHT)))
        lines = [line for target in panels[title]["targets"] for line in series(server, target, seconds, window)]
        named = []
        for legend, values in lines:
            name = re.sub(r"127\.0\.0\.1:\d+", lambda found: edges.setdefault(found[0], f"edge {len(edges) + 1}"), legend)
            named.append((name, values))
        print("\n".join(drawn(panels[title], named, seconds, x, y)))
    print("</svg>")


main(sys.argv[1], float(sys.argv[2]))
