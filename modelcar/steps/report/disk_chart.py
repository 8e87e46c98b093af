"""A picture of what a run's steps used of the claim and of the node's own disk: SVG within one HTML page.

It needs nothing from elsewhere, runs nothing, and can be read on a light and on a dark page.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from rich.filesize import decimal

from modelcar.records.disk_usage import KIB, Point
from modelcar.records.step_record import Record

WIDTH, HEIGHT = 860, 340
LEFT, RIGHT, TOP, BOTTOM = 78, 14, 34, 50
LEAST_BYTES = 1_000_000
"""An axis is never shorter, or else the noise of a disk that nobody writes to would fill the picture."""

EXPLANATION = "What was in use beyond what was in use before: on the claim before the run, on the node before the step."
NOISE = 0.02
"""Of the picture's height; less than that below zero is not worth an axis that goes there."""

TICKS = 5
LETTER = 7
STEPS_IN_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
Disk = Literal["claim", "node"]
DISKS: tuple[Disk, ...] = ("claim", "node")
LEGEND = {"claim": "claim", "node": "the node's own disk"}

# Blue and orange are told apart by everybody; the dashes, in print as well.
STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --text: #1b1b1b; --faint: #6a6e73; --line: #d2d2d2; --band: #f3f4f6;
  --claim: #0066b3; --node: #c2410c; --bad: #b1380b; }
@media (prefers-color-scheme: dark) { :root { --page: #1b1d21; --text: #ececec; --faint: #a8adb3; --line: #43474d;
  --band: #25282d; --claim: #63b3f5; --node: #ff9d5c; --bad: #ff9d5c; } }
body { margin: 0; padding: 16px; background: var(--page); color: var(--text);
  font: 14px/1.45 "Red Hat Text", "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
h1 { font-size: 17px; margin: 0 0 4px; } p { margin: 0 0 10px; color: var(--faint); }
svg { display: block; width: 100%; max-width: 1100px; height: auto; }
svg text { fill: var(--text); font-size: 12px; } svg .faint { fill: var(--faint); }
.grid { stroke: var(--line); stroke-width: 1; } .zero { stroke: var(--faint); stroke-width: 1; }
.band { fill: var(--band); }
.claim, .node { fill: none; stroke-width: 2; stroke-linejoin: round; }
.claim { stroke: var(--claim); } .node { stroke: var(--node); stroke-dasharray: 6 3; }
.failed { fill: var(--bad) !important; font-weight: bold; }
table { border-collapse: collapse; margin-top: 10px; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 14px 3px 0; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } th { color: var(--faint); font-weight: normal; }
"""


@dataclass(frozen=True)
class Curve:
    """How much more of a disk was in use than at its beginning, during one step.

    Attributes:
        points: Seconds since the run's start, and bytes.
    """

    disk: Disk
    points: tuple[tuple[float, int], ...]


@dataclass(frozen=True)
class Scale:
    """From seconds and bytes to the picture's units."""

    seconds: float
    lowest: float
    highest: float

    def x(self, seconds: float) -> float:
        """From the left."""
        return round(LEFT + (WIDTH - LEFT - RIGHT) * seconds / self.seconds, 1)

    def y(self, count: float) -> float:
        """From the top."""
        share = (max(count, self.lowest) - self.lowest) / (self.highest - self.lowest)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)


def curves(records: Sequence[Record]) -> list[Curve]:
    """The records' series as changes. The claim is one disk for all steps; the node may be another for each."""
    begun = records[0].start if records else 0.0
    claim_before: int | None = None
    found = []
    for record in records:
        for disk in DISKS:
            free = [(record.start - begun + point.seconds, value) for point, value in _values(record.disk, disk)]
            if not free:
                continue
            before = free[0][1]
            if disk == "claim":
                before = claim_before = before if claim_before is None else claim_before
            found.append(Curve(disk, tuple((seconds, (before - value) * KIB) for seconds, value in free)))
    return found


def peak(record: Record, disk: Disk) -> int | None:
    """The most bytes of a disk that a step used more than when it began; None if that was not seen."""
    values = [value for _point, value in _values(record.disk, disk)]
    return max(values[0] - min(values), 0) * KIB if values else None


def page(records: Sequence[Record], title: str) -> str:
    """The HTML page.

    Args:
        records: What the steps left, by the time they began.
        title: What the run was about.
    """
    html = ElementTree.Element("html", lang="en")
    head = ElementTree.SubElement(html, "head")
    ElementTree.SubElement(head, "meta", charset="utf-8")
    _text(head, "title", title)
    _text(head, "style", STYLE)
    body = ElementTree.SubElement(html, "body")
    _text(body, "h1", title)
    shown = curves(records)
    if shown:
        _text(
            body,
            "p",
            EXPLANATION,
        )
        body.append(_picture(records, shown))
    else:
        _text(body, "p", "No step of this run has left a record of the disks.")
    if records:
        body.append(_table(records))
    return "<!DOCTYPE html>\n" + ElementTree.tostring(html, encoding="unicode", method="html")


def clock(seconds: float) -> str:
    """A duration, as people write it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if minutes:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    return f"{rest} s"


def _picture(records: Sequence[Record], shown: Sequence[Curve]) -> ElementTree.Element:
    begun = records[0].start
    end = max([record.end - begun for record in records] + [curve.points[-1][0] for curve in shown])
    values = [count for curve in shown for _seconds, count in curve.points]
    highest = max([LEAST_BYTES, *values])
    lowest = min([0, *values])
    rungs = list(_rungs(lowest if -lowest > NOISE * highest else 0, highest))
    scale = Scale(max(end, 1.0), rungs[0], rungs[-1])
    label = "Disk in use over time, " + ", ".join(
        f"{record.step} from {clock(record.start - begun)}" for record in records
    )
    svg = ElementTree.Element(
        "svg",
        {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": label, "xmlns": "http://www.w3.org/2000/svg"},
    )
    _bands(svg, records, scale)
    _axes(svg, scale, rungs)
    for curve in shown:
        points = " ".join(f"{scale.x(seconds)},{scale.y(count)}" for seconds, count in curve.points)
        ElementTree.SubElement(svg, "polyline", {"class": curve.disk, "points": points})
    _legend(svg, {curve.disk for curve in shown})
    return svg


def _bands(svg: ElementTree.Element, records: Sequence[Record], scale: Scale) -> None:
    begun = records[0].start
    for record in records:
        left, right = scale.x(record.start - begun), scale.x(max(record.end, record.start) - begun)
        box = {"x": left, "y": TOP, "width": round(right - left, 1), "height": HEIGHT - TOP - BOTTOM}
        ElementTree.SubElement(svg, "rect", {"class": "band", **{key: str(value) for key, value in box.items()}})
        room = LETTER * len(record.step)
        if record.failed:
            middle = min(max((left + right) / 2, LEFT + room / 2), WIDTH - RIGHT - room / 2)
            _label(svg, f"{record.step} \N{BALLOT X}", middle, TOP - 8, "middle", "failed")
        elif right - left > room:
            _label(svg, record.step, (left + right) / 2, TOP - 8, "middle")


def _axes(svg: ElementTree.Element, scale: Scale, rungs: Sequence[float]) -> None:
    for rung in rungs:
        y = str(scale.y(rung))
        kind = "zero" if rung == 0 else "grid"
        ElementTree.SubElement(
            svg, "line", {"class": kind, "x1": str(LEFT), "x2": str(WIDTH - RIGHT), "y1": y, "y2": y}
        )
        sign = "-" if rung < 0 else ""
        _label(svg, sign + decimal(int(abs(rung))), LEFT - 8, scale.y(rung) + 4, "end", "faint")
    step = next((step for step in STEPS_IN_SECONDS if scale.seconds / step <= TICKS + 1), STEPS_IN_SECONDS[-1])
    for number in range(math.floor(scale.seconds / step) + 1):
        x = scale.x(number * step)
        ElementTree.SubElement(
            svg,
            "line",
            {"class": "zero", "x1": str(x), "x2": str(x), "y1": str(HEIGHT - BOTTOM), "y2": str(HEIGHT - BOTTOM + 5)},
        )
        words = clock(number * step)
        room = LETTER * len(words) / 2
        anchor = "start" if x - LEFT < room else "end" if WIDTH - x < room else "middle"
        _label(svg, words, x, HEIGHT - BOTTOM + 19, anchor, "faint")


def _legend(svg: ElementTree.Element, disks: set[Disk]) -> None:
    x = LEFT
    y = HEIGHT - 8
    for disk in DISKS:
        if disk in disks:
            ElementTree.SubElement(
                svg, "line", {"class": disk, "x1": str(x), "x2": str(x + 26), "y1": str(y - 4), "y2": str(y - 4)}
            )
            _label(svg, LEGEND[disk], x + 32, y, "start")
            x += 60 + LETTER * len(LEGEND[disk])


def _table(records: Sequence[Record]) -> ElementTree.Element:
    table = ElementTree.Element("table")
    _row(table, "th", ["step", "time", "moved", "peak on the claim", "peak on the node"])
    for record in records:
        name = f"{record.step} (failed)" if record.failed else record.step
        peaks = [_size(peak(record, disk)) for disk in DISKS]
        _row(table, "td", [name, clock(record.seconds), _size(record.moved_bytes), *peaks])
    return table


def _row(table: ElementTree.Element, kind: str, cells: Iterable[str]) -> None:
    row = ElementTree.SubElement(table, "tr")
    for cell in cells:
        _text(row, kind, cell)


def _size(count: int | None) -> str:
    return "not seen" if count is None else decimal(count)


def _rungs(lowest: float, highest: float) -> Iterator[float]:
    """Round numbers of bytes that take in both ends."""
    rough = (highest - lowest) / TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    yield from (number * step for number in range(math.floor(lowest / step), math.ceil(highest / step) + 1))


def _values(points: Sequence[Point], disk: Disk) -> list[tuple[Point, int]]:
    values = ((point, point.claim if disk == "claim" else point.node) for point in points)
    return [(point, value) for point, value in values if value is not None]


def _label(svg: ElementTree.Element, text: str, x: float, y: float, anchor: str, kind: str = "") -> None:
    label = _text(svg, "text", text)
    label.attrib.update({"x": str(round(x, 1)), "y": str(round(y, 1)), "text-anchor": anchor})
    if kind:
        label.set("class", kind)


def _text(parent: ElementTree.Element, tag: str, text: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag)
    element.text = text
    return element
