"""Draw the report: airlines, the latest routes, and the months of each airport of departure.

    python3 picture.py report.csv > delays.svg

The same table gives the same bytes: no clock, no chance, no fonts of this machine.
"""

import csv
import sys
from html import escape
from math import floor
from pathlib import Path

WIDTH, MARGIN, ROW, BAR, FIGURE = 1120, 44, 27, 16, 46
INK, SOFT, FAINT, PAPER = "#1f2933", "#66727f", "#e4e7eb", "#ffffff"
LATE, LATEST, EARLY = "#f2a07b", "#d9532c", "#3a8f8a"
FONT = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
END, MIDDLE, BOLD = 'text-anchor="end"', 'text-anchor="middle"', 'font-weight="600"'
MONTHS = "JFMAMJJASOND"
AIRPORTS = {"EWR": "Newark", "JFK": "New York JFK", "LGA": "New York LaGuardia"}
COMPANY = (" Inc.", " Co.", " Corporation")
MOST_ROUTES = 16
Row = dict[str, str]


def text(x: float, y: float, words: str, size: int = 12, fill: str = SOFT, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" {more}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, zero: bool = False) -> str:
    stroke = f'stroke="{INK}" stroke-width="1.2"' if zero else f'stroke="{FAINT}"'
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" {stroke}/>'


def heading(x: float, y: float, words: str, note: str) -> list[str]:
    return [text(x, y, words, 16, INK, BOLD), text(x, y + 19, note, 13)]


def bar(zero: float, end: float, y: float, fill: str) -> str:
    """A bar from the zero line, rounded at its far end."""
    way, sweep = (1, 1) if end >= zero else (-1, 0)
    r = min(3.0, abs(end - zero))
    near, far = f"a{r:.1f} {r:.1f} 0 0 {sweep} {way * r:.1f} {r:.1f}", f"{-way * r:.1f} {r:.1f}"
    corners = f"{near}v{BAR - 2 * r:.1f}a{r:.1f} {r:.1f} 0 0 {sweep} {far}"
    return f'<path d="M{zero:.1f} {y:.1f}H{end - way * r:.1f}{corners}H{zero:.1f}z" fill="{fill}"/>'


def figure(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}")


def ticks(low: float, high: float, most: int) -> list[int]:
    """At most `most` round steps that reach from below `low` to above `high`."""
    step = next(step for step in (5, 10, 20, 50, 100, 10_000) if high - low <= most * step)
    return [step * n for n in range(int(low // step), int(-(-high // step)) + 1)]


def bars(rows: list[Row], left: float, right: float, top: float, labels: float) -> list[str]:
    """Horizontal bars with names at the left, flights and the share of late ones at the right."""
    means = [float(row["mean_arr_delay"]) for row in rows]
    low, high = floor(min(0.0, *means)), max(1.0, *means)
    start, end = left + labels + (FIGURE if low < 0 else 0), right - 96 - FIGURE
    bottom = top + ROW * len(rows)

    def at(minutes: float) -> float:
        return start + (minutes - low) / (high - low) * (end - start)

    parts = [text(right - 46, top - 12, "flights", more=END), text(right, top - 12, "late", more=END)]
    for tick in ticks(low, high, 5):
        if low <= tick <= high:
            parts.append(line(at(tick), top - 4, at(tick), bottom))
            parts.append(text(at(tick), bottom + 17, figure(str(tick)), more=MIDDLE))
    halo = f'stroke="{PAPER}" stroke-width="4" stroke-linejoin="round"'
    for n, (row, mean) in enumerate(zip(rows, means, strict=True)):
        y = top + ROW * n + (ROW - BAR) / 2
        base = y + BAR - 3.5
        fill = EARLY if mean < 0 else LATEST if n == 0 else LATE
        place, side = (-6, f"{BOLD} {END}") if mean < 0 else (6, BOLD)
        words = figure(f"{mean:+.1f}")
        parts += [
            text(left + labels - 12, base, row["label"], 13, INK, END),
            bar(at(0), at(mean), y, fill),
            text(at(mean) + place, base, words, 12, PAPER, f"{side} {halo}"),  # clears the grid behind it
            text(at(mean) + place, base, words, 12, INK, side),
            text(right - 46, base, f"{int(row['flights']):,}", more=END),
            text(right, base, f"{float(row['late_pct']):.0f}%", more=END),
        ]
    parts.append(line(at(0), top - 4, at(0), bottom, zero=True))
    return parts


def year(rows: list[Row], axis: list[int], left: float, right: float, top: float, bottom: float) -> list[str]:
    """One airport's months as a line, the worst of them marked."""
    means = [float(row["mean_arr_delay"]) for row in rows]

    def x(month: int) -> float:
        return left + (month - 1) / (len(MONTHS) - 1) * (right - left)

    def y(minutes: float) -> float:
        return bottom - (minutes - axis[0]) / (axis[-1] - axis[0]) * (bottom - top)

    origin, flights = rows[0]["name"], sum(int(row["flights"]) for row in rows)
    parts = [
        text(left, top - 26, AIRPORTS.get(origin, origin), 13, INK, BOLD),
        text(right, top - 26, f"{flights:,} flights", more=END),
    ]
    for tick in axis:
        parts.append(line(left, y(tick), right, y(tick), zero=tick == 0))
        parts.append(text(left - 8, y(tick) + 4, figure(str(tick)), more=END))
    parts += [text(x(n), bottom + 18, letter, more=MIDDLE) for n, letter in enumerate(MONTHS, 1)]
    points = [(x(int(row["key"][-2:])), y(mean)) for row, mean in zip(rows, means, strict=True)]
    path = "L".join(f"{px:.1f} {py:.1f}" for px, py in points)
    area = f"M{points[0][0]:.1f} {y(0):.1f}L{path}L{points[-1][0]:.1f} {y(0):.1f}z"
    parts.append(f'<path d="{area}" fill="{LATE}" fill-opacity="0.28"/>')
    parts.append(
        f'<path d="M{path}" fill="none" stroke="{LATEST}" stroke-width="2.2" stroke-linejoin="round"/>'
    )
    worst = means.index(max(means))
    px, py = points[worst]
    ring = f'fill="{LATEST}" stroke="{PAPER}" stroke-width="1.5"'
    parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" {ring}/>')
    anchor = END if worst == len(means) - 1 else MIDDLE
    parts.append(text(px, py - 10, figure(f"{means[worst]:+.1f}"), 12, INK, f"{anchor} {BOLD}"))
    return parts


def years(report: list[Row], y: float) -> list[str]:
    """The months of each airport of departure side by side, on one scale."""
    origins: dict[str, list[Row]] = {}
    for row in report:
        origins.setdefault(row["name"], []).append(row)
    means = [float(row["mean_arr_delay"]) for row in report]
    axis = ticks(min(0.0, *means), max(1.0, *means), 7)
    gap, ticks_room = 56, 28
    wide = (WIDTH - 2 * MARGIN - ticks_room + gap) / len(origins) - gap
    parts = []
    for n, rows in enumerate(origins.values()):
        left = MARGIN + ticks_room + n * (wide + gap)
        parts += year(rows, axis, left, left + wide, y, y + 130)
    return parts


def label(row: Row) -> str:
    if row["kind"] == "route":
        return f"{row['key'].split('-')[0]} \N{RIGHTWARDS ARROW} {row['name']}"
    name = row["name"]
    for ending in COMPANY:
        name = name.removesuffix(ending)
    return name


def draw(report: list[Row]) -> str:
    kinds: dict[str, list[Row]] = {"airline": [], "route": [], "month": []}
    for row in report:
        kinds[row["kind"]].append({**row, "label": label(row)})
    airlines, routes = kinds["airline"], kinds["route"][:MOST_ROUTES]
    latest, mean = airlines[0]["label"], float(airlines[0]["mean_arr_delay"])
    flights = sum(int(row["flights"]) for row in airlines)
    title = f"{latest} arrived {abs(mean):.0f} minutes {'late' if mean > 0 else 'early'} on average"
    subtitle = f"Mean arrival delay of {flights:,} flights due to leave New York's three airports in 2013"

    right, middle, top = WIDTH - MARGIN, 596, 196
    below = top + ROW * max(len(airlines), len(routes)) + 74
    foot = below + 264
    parts = [
        text(MARGIN, 62, title, 27, INK, 'font-weight="700"'),
        text(MARGIN, 90, subtitle, 15),
        *heading(MARGIN, 138, "Airlines", "Minutes after schedule; left of zero is early"),
        *bars(airlines, MARGIN, middle - 44, top, 146),
        *heading(
            middle, 138, "The latest routes", "Minutes after schedule; routes with at least 100 arrivals"
        ),
        *bars(routes, middle, right, top, 184),
        line(MARGIN, below - 36, right, below - 36),
        *heading(MARGIN, below, "Month by month", "Minutes after schedule, by airport of departure"),
        *years(kinds["month"], below + 78),
        text(
            MARGIN,
            foot,
            "Late: 15 minutes or more after schedule. The means leave out flights that never arrived.",
        ),
        text(right, foot, "Data: US Bureau of Transportation Statistics", more=END),
    ]
    size = f'viewBox="0 0 {WIDTH} {foot + 28}" width="{WIDTH}" height="{foot + 28}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}" role="img">'
    paper = f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="{PAPER}"/>'
    return "\n".join([head, paper, *parts, "</svg>"])


def main() -> None:
    with Path(sys.argv[1]).open(encoding="utf-8", newline="") as table:
        print(draw(list(csv.DictReader(table))))


if __name__ == "__main__":
    main()
