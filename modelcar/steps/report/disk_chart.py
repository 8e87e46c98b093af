"""A picture of what a run's steps used of the claim and of the node's own disk: SVG, for screens and for phones.

Its colours are those of the page (modelcar.html_page), so that it can be read on a light and on a dark one.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from rich.filesize import decimal

from modelcar.html_page import Picture
from modelcar.progress import duration
from modelcar.records.disk_usage import KIB, Point
from modelcar.records.step_record import StepRecord

HEIGHT = 340
WIDTHS = {"on-screens": 860, "on-phones": 400}
"""Units across, of 1 CSS pixel where the picture is shown as wide; letters get no smaller than people can read."""

LEFT, RIGHT, TOP, BOTTOM = 78, 14, 34, 50
LEAST_BYTES = 1_000_000
"""An axis is never shorter, or else the noise of a disk that nobody writes to would fill the picture."""

EXPLANATION = "What was in use beyond what was in use before: on the claim before the run, on the node before the step."
NOISE = 0.02
"""Share of the picture's height; less than that below zero is not worth an axis that goes there."""

TICKS = 5
TICK_WIDTH = 130
"""Units from one time to the next, at least."""

LETTER = 7
STEPS_IN_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
Disk = Literal["claim", "node"]
DISKS: tuple[Disk, ...] = ("claim", "node")
LEGEND = {"claim": "claim", "node": "the node's own disk"}


@dataclass(frozen=True)
class Curve:
    """Growth of a disk's use since its beginning, during one step.

    Attributes:
        points: Seconds since the run's start, and bytes.
    """

    disk: Disk
    points: tuple[tuple[float, int], ...]


@dataclass(frozen=True)
class Scale:
    """From seconds and bytes to the picture's units."""

    width: int
    seconds: float
    lowest: float
    highest: float

    def x(self, seconds: float) -> float:
        """From the left."""
        return round(LEFT + (self.width - LEFT - RIGHT) * seconds / self.seconds, 1)

    def y(self, count: float) -> float:
        """From the top."""
        share = (max(count, self.lowest) - self.lowest) / (self.highest - self.lowest)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)


def curves(records: Sequence[StepRecord]) -> list[Curve]:
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


def peak(record: StepRecord, disk: Disk) -> int | None:
    """The most bytes of a disk that a step used more than when it began; None if that was not seen."""
    values = [value for _point, value in _values(record.disk, disk)]
    return max(values[0] - min(values), 0) * KIB if values else None


def pictures(records: Sequence[StepRecord]) -> Iterator[Picture]:
    """The picture, if any step has left a record of the disks.

    Args:
        records: What the steps left, by the time they began.
    """
    shown = curves(records)
    if shown:
        drawings = [_picture(records, shown, width, kind) for kind, width in WIDTHS.items()]
        svg = "\n".join(ElementTree.tostring(one, encoding="unicode", method="html") for one in drawings)
        yield Picture(svg, EXPLANATION)


def _picture(records: Sequence[StepRecord], shown: Sequence[Curve], width: int, kind: str) -> ElementTree.Element:
    begun = records[0].start
    end = max([record.end - begun for record in records] + [curve.points[-1][0] for curve in shown])
    values = [count for curve in shown for _seconds, count in curve.points]
    highest = max([LEAST_BYTES, *values])
    lowest = min([0, *values])
    rungs = list(_rungs(lowest if -lowest > NOISE * highest else 0, highest))
    scale = Scale(width, max(end, 1.0), rungs[0], rungs[-1])
    label = "Disk in use over time, " + ", ".join(
        f"{record.step} from {duration(record.start - begun)}" for record in records
    )
    svg = ElementTree.Element(
        "svg",
        {
            "class": kind,
            "viewBox": f"0 0 {width} {HEIGHT}",
            "role": "img",
            "aria-label": label,
            "xmlns": "http://www.w3.org/2000/svg",
        },
    )
    _bands(svg, records, scale)
    _axes(svg, scale, rungs)
    for curve in shown:
        points = " ".join(f"{scale.x(seconds)},{scale.y(count)}" for seconds, count in curve.points)
        # Where a policy drops the page's style, lines are still lines.
        line = {"class": curve.disk, "points": points, "fill": "none", "stroke": "currentColor"}
        ElementTree.SubElement(svg, "polyline", line)
    _legend(svg, {curve.disk for curve in shown})
    return svg


def _bands(svg: ElementTree.Element, records: Sequence[StepRecord], scale: Scale) -> None:
    begun = records[0].start
    for record in records:
        left, right = scale.x(record.start - begun), scale.x(max(record.end, record.start) - begun)
        box = {"x": left, "y": TOP, "width": round(right - left, 1), "height": HEIGHT - TOP - BOTTOM}
        ElementTree.SubElement(
            svg, "rect", {"class": "band", "fill": "none", **{key: str(value) for key, value in box.items()}}
        )
        room = LETTER * len(record.step)
        if record.failed:
            middle = min(max((left + right) / 2, LEFT + room / 2), scale.width - RIGHT - room / 2)
            _label(svg, f"{record.step} \N{BALLOT X}", middle, TOP - 8, "middle", "failed")
        elif right - left > room:
            _label(svg, record.step, (left + right) / 2, TOP - 8, "middle")


def _axes(svg: ElementTree.Element, scale: Scale, rungs: Sequence[float]) -> None:
    for rung in rungs:
        y = str(scale.y(rung))
        kind = "zero" if rung == 0 else "grid"
        ElementTree.SubElement(
            svg, "line", {"class": kind, "x1": str(LEFT), "x2": str(scale.width - RIGHT), "y1": y, "y2": y}
        )
        sign = "-" if rung < 0 else ""
        _label(svg, sign + decimal(int(abs(rung))), LEFT - 8, scale.y(rung) + 4, "end", "faint")
    most = max((scale.width - LEFT) // TICK_WIDTH, 1)
    step = next((step for step in STEPS_IN_SECONDS if scale.seconds / step <= most), STEPS_IN_SECONDS[-1])
    for number in range(math.floor(scale.seconds / step) + 1):
        x = scale.x(number * step)
        ElementTree.SubElement(
            svg,
            "line",
            {"class": "zero", "x1": str(x), "x2": str(x), "y1": str(HEIGHT - BOTTOM), "y2": str(HEIGHT - BOTTOM + 5)},
        )
        words = duration(number * step)
        room = LETTER * len(words) / 2
        anchor = "start" if x - LEFT < room else "end" if scale.width - x < room else "middle"
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
