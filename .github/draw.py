"""Draws a text picture as SVG: `python3 .github/draw.py .github/parts.txt > .github/parts.svg`.

Each character is a cell. Lines of the box-drawing block become strokes, triangles become arrow heads, and
everything else is text, in its place.
"""

import html
import sys

WIDTH, HEIGHT = 8, 17  # of a cell
# Where the strokes of a character go from the middle of its cell.
STROKES = {
    "─": "lr", "│": "ud", "┌": "rd", "┐": "ld", "└": "ru", "┘": "lu",
    "├": "udr", "┤": "udl", "┬": "lrd", "┴": "lru", "┼": "lrud",
}
ENDS = {"l": (-WIDTH / 2, 0), "r": (WIDTH / 2, 0), "u": (0, -HEIGHT / 2), "d": (0, HEIGHT / 2)}
ARROWS = {"▲": "0,-7 4,3 -4,3", "▼": "0,7 4,-3 -4,-3", "◄": "-7,0 3,4 3,-4", "►": "7,0 -3,4 -3,-4"}
STYLE = (
    "text{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#1f2328;white-space:pre}"
    "path{stroke:#57606a;fill:none}polygon{fill:#57606a}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}path{stroke:#9198a1}polygon{fill:#9198a1}}"
)


def draw(picture):
    lines = picture.rstrip("\n").split("\n")
    width, height = (max(map(len, lines)) + 2) * WIDTH, (len(lines) + 1) * HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<style>{STYLE}</style>",
    ]
    for row, line in enumerate(lines):
        strokes = ""
        for column, letter in enumerate(line):
            x, y = (column + 1.5) * WIDTH, (row + 1) * HEIGHT
            for side in STROKES.get(letter, ""):
                strokes += f"M{x:g} {y:g}l{ENDS[side][0]:g} {ENDS[side][1]:g}"
            if letter in ARROWS:
                parts.append(f'<polygon transform="translate({x:g} {y:g})" points="{ARROWS[letter]}"/>')
        if strokes:
            parts.append(f'<path d="{strokes}"/>')
        words = "".join(" " if letter in STROKES or letter in ARROWS else letter for letter in line)
        # Each run of words by itself, so that a font of another width moves nothing but its own end.
        begin = 0
        for run in words.split("  "):
            if run.strip():
                column = begin + len(run) - len(run.lstrip())
                text, length = html.escape(run.strip()), len(run.strip()) * WIDTH
                x, y = (column + 1) * WIDTH, (row + 1) * HEIGHT + 4
                parts.append(
                    f'<text x="{x}" y="{y}" textLength="{length}" lengthAdjust="spacingAndGlyphs">{text}</text>'
                )
            begin += len(run) + 2
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as source:
        sys.stdout.write(draw(source.read()))
