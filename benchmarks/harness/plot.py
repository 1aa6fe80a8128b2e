"""Lines on logarithmic axes as SVG: no more than the growth plots need, in light and dark."""

import math
from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 40, 48
COLOURS = ("#1f6feb", "#d9730d", "#2da44e", "#8250df")
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.small { font-size: 11px; fill: #57606a }
.grid { stroke: #d0d7de; stroke-width: 1 }
.back { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d } .back { fill: #0d1117 }
}
"""


def plot(title: str, across: str, up: str, lines: Mapping[str, Points]) -> str:
    """The drawing. Zeros on the horizontal axis stand at its left end."""
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    low_x = min(x for x in xs if x > 0)
    to_x = _Scale(low_x / 10 if 0 in xs else low_x, max(xs), LEFT, WIDTH - RIGHT)
    to_y = _Scale(10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys))), HEIGHT - BOTTOM, TOP)
    body = [
        *_grid(to_x, to_y, xs),
        f'<text x="{LEFT}" y="22">{escape(title)}</text>',
        _label(f'x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}"', across),
        _label(f'transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"', up),
    ]
    ends: list[float] = []
    for colour, (name, points) in zip(COLOURS, lines.items(), strict=False):
        body += _line(name, [(to_x(x), to_y(y)) for x, y in points], colour, ends)
    inside = "\n".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">\n<style>{STYLE}</style>\n'
        f'<rect class="back" width="{WIDTH}" height="{HEIGHT}"/>\n{inside}\n</svg>\n'
    )


def _label(where: str, text: str) -> str:
    return f'<text class="small" {where} text-anchor="middle">{escape(text)}</text>'


class _Scale:
    """From a value to a place, by its logarithm; zero is the lowest."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        self.low, self.high = low, max(high, low * 10)
        self._first, self._last = first, last

    def __call__(self, value: float) -> float:
        part = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return round(self._first + part * (self._last - self._first), 1)

    def tens(self) -> Iterator[float]:
        """The powers of ten in it."""
        for power in range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1):
            yield 10.0**power


def _grid(to_x: _Scale, to_y: _Scale, xs: Sequence[float]) -> Iterator[str]:
    for x in to_x.tens():
        name = "0" if x == to_x.low and 0 in xs else tell(x)
        yield f'<line class="grid" x1="{to_x(x)}" y1="{TOP}" x2="{to_x(x)}" y2="{HEIGHT - BOTTOM}"/>'
        yield f'<text class="small" x="{to_x(x)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{name}</text>'
    for y in to_y.tens():
        yield f'<line class="grid" x1="{LEFT}" y1="{to_y(y)}" x2="{WIDTH - RIGHT}" y2="{to_y(y)}"/>'
        yield f'<text class="small" x="{LEFT - 6}" y="{to_y(y) + 4}" text-anchor="end">{tell(y)}</text>'


def _line(name: str, points: Points, colour: str, ends: list[float]) -> Iterator[str]:
    path = " ".join(f"{x},{y}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y in points:
        yield f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'
    at = points[-1][1]
    while any(abs(at - other) < 15 for other in ends):
        at += 3
    ends.append(at)
    yield f'<text x="{WIDTH - RIGHT + 10}" y="{at + 4}" style="fill:{colour}">{escape(name)}</text>'


def tell(value: float) -> str:
    """A number for an axis."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
