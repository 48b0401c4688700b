"""Labels beside markers, without overlaps: the same markers always get the same places."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from ppbench.bundle import Array
from ppbench.report.style import GREY, INK, SMALL_PT

_DISTANCES_PT = (7, 11, 16, 22, 30, 40, 52, 66, 82, 100, 120, 142, 166, 192, 220)
_ANGLES = (0, 180, 90, 270, 30, -30, 150, 210, 60, -60, 120, 240)
_LEADER_FROM_PT = 11
"""Beyond this distance a thin line ties the label to its marker."""
_GAP_PX = 2.0
_BEHIND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
"""What keeps a label that lies on a line readable."""


@dataclasses.dataclass(frozen=True)
class Label:
    """Text that belongs to a point, in the coordinates of the data."""

    text: str
    x: float
    y: float
    weight: str = "normal"


@dataclasses.dataclass(frozen=True)
class _Place:
    box: Bbox
    anchor: tuple[float, float]
    """Where the leader meets the text, in pixels."""
    dx_pt: float
    dy_pt: float
    alignment: tuple[str, str]
    far: bool


class _Field:
    """What is taken already, in pixels; each row of an array is a box: left, bottom, right, top."""

    def __init__(self, inside: Bbox, markers: Array, lines: Sequence[Bbox]) -> None:
        self.inside = inside
        self.markers = markers
        self.lines = _rows(lines)
        self.boxes = _rows([])
        self.leaders: list[tuple[tuple[float, float], tuple[float, float]]] = []

    def has_room(self, place: _Place) -> bool:
        box, inside = place.box, self.inside
        if box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0 or box.y1 > inside.y1:
            return False
        return not _overlaps(box, self.boxes) and not _overlaps(box, self.markers)

    def free(self, place: _Place, point: tuple[float, float]) -> bool:
        """Of what `has_room`."""
        if any(_crosses(*leader, place.box) for leader in self.leaders):
            return False
        if not place.far:
            return True
        reach = Bbox([point, place.anchor])
        x, y = point
        left, bottom, right, top = self.markers.T
        others = self.markers[~((left <= x) & (x <= right) & (bottom <= y) & (y <= top))]
        near = [boxes[_overlapping(reach, boxes)] for boxes in (self.boxes, others)]
        return not any(_crosses(point, place.anchor, Bbox.from_extents(*box)) for boxes in near for box in boxes)

    def is_clear(self, place: _Place) -> bool:
        """Of lines."""
        return not _overlaps(place.box, self.lines)

    def is_crossed(self, place: _Place) -> bool:
        """By a line, or by another label's leader."""
        others = (leader for leader in self.leaders if leader[1] != place.anchor)
        return not self.is_clear(place) or any(_crosses(*leader, place.box) for leader in others)

    def take(self, place: _Place, point: tuple[float, float]) -> None:
        self.boxes = np.concatenate([self.boxes, _rows([place.box])])
        if place.far:
            self.leaders.append((point, place.anchor))


def _rows(boxes: Sequence[Bbox]) -> Array:
    return np.array([[box.xmin, box.ymin, box.xmax, box.ymax] for box in boxes]).reshape(-1, 4)


def _overlapping(box: Bbox, boxes: Array) -> Array:
    """Which of them it shares a point with."""
    left, bottom, right, top = boxes.T
    shared: Array = (left <= box.xmax) & (box.xmin <= right) & (bottom <= box.ymax) & (box.ymin <= top)
    return shared


def _overlaps(box: Bbox, boxes: Array) -> bool:
    return bool(_overlapping(box, boxes).any())


def place_labels(
    axes: Axes, labels: Sequence[Label], markers: Sequence[tuple[float, float, float]], lines: Sequence[Bbox]
) -> None:
    """Write each label as near to its point as there is room.

    It covers no other label, none of the `markers` (x, y, size in pt), and one of the `lines` (boxes in pixels) only
    where there is no better place near by.
    """
    canvas: Any = axes.figure.canvas
    pixels = canvas.figure.dpi / 72
    points = [_pixel(axes, label.x, label.y) for label in labels]
    boxes = [_around(_pixel(axes, x, y), size_pt * pixels / 2 + _GAP_PX / 2) for x, y, size_pt in markers]
    field = _Field(axes.get_window_extent(), _rows(boxes), lines)
    places: dict[int, _Place] = {}
    # From the right edge inwards: where markers crowd, those with the least room choose first.
    for i in sorted(range(len(labels)), key=lambda i: (-points[i][0], -points[i][1], labels[i].text)):
        text = axes.text(0, 0, labels[i].text, fontsize=SMALL_PT, fontweight=labels[i].weight)
        extent = text.get_window_extent(canvas.get_renderer())
        text.remove()
        places[i] = _best(field, points[i], (extent.width, extent.height), pixels)
        field.take(places[i], points[i])
    for i, place in places.items():
        _write(axes, labels[i], place, crossed=field.is_crossed(place))


def _pixel(axes: Axes, x: float, y: float) -> tuple[float, float]:
    across, up = axes.transData.transform((x, y))
    return float(across), float(up)


def _around(point: tuple[float, float], half: float) -> Bbox:
    return Bbox.from_extents(point[0] - half, point[1] - half, point[0] + half, point[1] + half)


def _best(field: _Field, point: tuple[float, float], size: tuple[float, float], pixels: float) -> _Place:
    places = list(_places(point, size, pixels))
    roomy = [place for place in places if field.has_room(place)]
    free = [place for place in roomy if field.free(place, point)]
    # A place far away is worse than one on a line.
    near = (place for place in free if math.hypot(place.dx_pt, place.dy_pt) <= 60 and field.is_clear(place))
    return next(itertools.chain(near, free, roomy, places))


def _places(point: tuple[float, float], size: tuple[float, float], pixels: float) -> Iterator[_Place]:
    width, height = size
    for distance, angle in itertools.product(_DISTANCES_PT, _ANGLES):
        dx, dy = distance * math.cos(math.radians(angle)), distance * math.sin(math.radians(angle))
        x, y = point[0] + dx * pixels, point[1] + dy * pixels
        across = "left" if dx > distance / 3 else "right" if dx < -distance / 3 else "center"
        upright = "bottom" if dy > distance * 0.8 else "top" if dy < -distance * 0.8 else "center"
        left = x - {"left": 0.0, "center": width / 2, "right": width}[across]
        bottom = y - {"bottom": 0.0, "center": height / 2, "top": height}[upright]
        box = Bbox.from_extents(left - _GAP_PX, bottom - _GAP_PX, left + width + _GAP_PX, bottom + height + _GAP_PX)
        yield _Place(box, (x, y), dx, dy, (across, upright), distance > _LEADER_FROM_PT)


def _write(axes: Axes, label: Label, place: _Place, crossed: bool) -> None:
    across, upright = place.alignment
    meets = {"left": 0.0, "right": 1.0, "bottom": 0.0, "top": 1.0, "center": 0.5}
    leader: dict[str, Any] = {
        "arrowstyle": "-",
        "color": GREY,
        "linewidth": 0.6,
        "shrinkA": 0,
        "shrinkB": 4,
        "relpos": (meets[across], meets[upright]),
    }
    axes.annotate(
        label.text,
        (label.x, label.y),
        (place.dx_pt, place.dy_pt),
        textcoords="offset points",
        ha=across,
        va=upright,
        fontsize=SMALL_PT,
        fontweight=label.weight,
        color=INK,
        arrowprops=leader if place.far else None,
        bbox=_BEHIND if crossed else None,
        zorder=6 if crossed else 5,
    )


def _crosses(start: tuple[float, float], end: tuple[float, float], box: Bbox) -> bool:
    """Whether a line from start to end meets the box, by clipping it (Liang, Barsky)."""
    low, high = 0.0, 1.0
    for axis, (least, most) in enumerate(((box.x0, box.x1), (box.y0, box.y1))):
        step = end[axis] - start[axis]
        if step == 0:
            if not least <= start[axis] <= most:
                return False
            continue
        enter, leave = sorted(((least - start[axis]) / step, (most - start[axis]) / step))
        low, high = max(low, enter), min(high, leave)
        if low > high:
            return False
    return True
