"""The laboratory's table as a picture: per case a pale bar to the schedule's ceiling, and on it what was measured.

The rule: every figure stands in its own bar or says what it is, so that nobody reads a ceiling for a measurement.

    python3 tests/lab/plot.py docs/lab        # draws lab.svg again from lab.csv
"""

import csv
import sys
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP, LINE, BAR = 870, 340, 100, 64, 34, 20
MEASURED, CEILING, INK, GREY = "#2f6fc4", "#d5e3f5", "#222222", "#5f6b7a"
TITLE = "Times as fast as one machine"


def legend(x, y, colour, words):
    """A square of a colour and what it means."""
    return [
        f'<rect x="{x}" y="{y - 11}" width="13" height="13" fill="{colour}"/>',
        f'<text x="{x + 20}" y="{y}" fill="{INK}">{words}</text>',
    ]


def bar(line, y, scale):
    """One case: its name, both bars, and a figure for each."""
    measured, ceiling = LEFT + line["speed_up"] * scale, LEFT + line["ceiling"] * scale
    base = y + 15
    return [
        f'<text x="{LEFT - 10}" y="{base}" text-anchor="end" fill="{INK}">{escape(line["case"])}</text>',
        f'<rect x="{LEFT}" y="{y}" width="{ceiling - LEFT:.1f}" height="{BAR}" fill="{CEILING}"/>',
        f'<rect x="{LEFT}" y="{y}" width="{measured - LEFT:.1f}" height="{BAR}" fill="{MEASURED}"/>',
        f'<text x="{measured - 8:.1f}" y="{base}" text-anchor="end" font-weight="bold" fill="#ffffff">{line["speed_up"]:.2f}</text>',
        f'<text x="{max(measured, ceiling) + 8:.1f}" y="{base}" fill="{GREY}">ceiling {line["ceiling"]:.2f}</text>',
    ]


def bars(lines):
    """An SVG of the speed-ups of these lines of the table."""
    scale = (WIDTH - LEFT - RIGHT) / max(max(line["speed_up"], line["ceiling"]) for line in lines)
    height = TOP + LINE * len(lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" '
        f'role="img" aria-label="{TITLE}: measured, and the most that the schedule allows">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="15" fill="{INK}">{TITLE}</text>',
        *legend(LEFT, 24, MEASURED, "measured"),
        *legend(LEFT + 110, 24, CEILING, "ceiling: the most that the schedule allows"),
    ]
    for number, line in enumerate(lines):
        parts += bar(line, TOP - 20 + LINE * number, scale)
    return "\n".join([*parts, "</svg>", ""])


def main():
    folder = Path(sys.argv[1])
    with open(folder / "lab.csv", newline="") as file:
        lines = [{**line, "speed_up": float(line["speed_up"]), "ceiling": float(line["ceiling"])} for line in csv.DictReader(file)]
    (folder / "lab.svg").write_text(bars(lines))


if __name__ == "__main__":
    main()
