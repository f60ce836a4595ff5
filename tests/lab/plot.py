"""The laboratory's table as a picture: a bar a case, and a tick where the schedule's own ceiling is."""

from xml.sax.saxutils import escape

WIDTH, LEFT, LINE, BAR = 860, 330, 34, 18


def bars(lines):
    """An SVG of the speed-ups of these lines of the table."""
    most = max(max(line["speed_up"], line["ceiling"]) for line in lines)
    scale = (WIDTH - LEFT - 90) / most
    height = LINE * len(lines) + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="12" y="24" font-size="15" fill="#222222">Times faster than one machine (tick: ceiling of the schedule)</text>',
    ]
    for number, line in enumerate(lines):
        y = 44 + LINE * number
        end, tick = LEFT + line["speed_up"] * scale, LEFT + line["ceiling"] * scale
        parts += [
            f'<text x="{LEFT - 10}" y="{y + 14}" text-anchor="end" fill="#222222">{escape(line["case"])}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR}" fill="#3b7dd8"/>',
            f'<line x1="{tick:.1f}" x2="{tick:.1f}" y1="{y - 3}" y2="{y + BAR + 3}" stroke="#222222" stroke-width="2"/>',
            f'<text x="{max(end, tick) + 8:.1f}" y="{y + 14}" fill="#222222">{line["speed_up"]:.2f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
