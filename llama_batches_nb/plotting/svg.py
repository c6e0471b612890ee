"""Charts as SVG text for a page: in the page's colours, with values on hover.

matplotlib's own SVG depends on global settings, has ids that clash on a page, and is large.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Callable, Iterable
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backend_bases import FigureCanvasBase, GraphicsContextBase, RendererBase
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox, Transform

from llama_batches_nb.plotting.colours import INK
from llama_batches_nb.plotting.fonts import any_character
from llama_batches_nb.plotting.headings import describe
from llama_batches_nb.plotting.hover import HoverArea

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.font_manager import FontProperties
    from matplotlib.text import Text

DPI = 96  # of CSS pixels
HATCH_TILE = 12  # pixels
MAX_TEXT_HEIGHT = 6.0  # inches; of title, legend and labels
ANCHORS = {"left": ("", 0.0), "center": ("middle", 0.5), "right": ("end", 1.0)}
PATH_COMMANDS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
WHITE = (1.0, 1.0, 1.0)
PAGE_COLOUR = "var(--lb-page,var(--jp-layout-color0,var(--vscode-editor-background,Canvas)))"


class SvgCanvas(FigureCanvasBase):
    """The canvas of a figure that becomes SVG text."""

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.hover_areas: list[tuple[Axes, HoverArea]] = []

    def get_renderer(self) -> SvgRenderer:
        """Return a renderer, with which matplotlib also measures texts."""
        return SvgRenderer(self.figure.bbox.width, self.figure.bbox.height)


def figure_to_svg(
    draw: Callable[..., Any],
    size: tuple[float, float] = (9.6, 3.6),
    axes_height: float | None = None,
) -> str:
    """Return what ``draw(ax=…)`` draws as an ``<svg>`` element, `size` in inches of 96 pixels.

    Its background is transparent; texts and axes have the text colour of the page
    (``currentColor``). Its accessible name is the heading of the chart. It is safe to call on any
    thread. With `axes_height`, in inches, the figure is higher than `size` where the title and
    the legend need it.
    """
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    canvas = SvgCanvas(figure)
    ax = figure.add_subplot()
    _use_page_colours(ax)
    token = any_character.set(True)
    try:
        draw(ax=ax)
    finally:
        any_character.reset(token)
    figure.patch.set_visible(False)
    ax.patch.set_visible(False)
    if axes_height is not None:
        _fit_height(figure, ax, axes_height)
    renderer = canvas.get_renderer()
    figure.draw(renderer)
    title = ". ".join(describe(ax)).replace(r"\$", "$")
    return renderer.to_svg(title, canvas.hover_areas)


def _fit_height(figure: Figure, ax: Axes, axes_height: float) -> None:
    """Raise the figure until its axes are high enough; layouts are not applied to too low ones."""
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + MAX_TEXT_HEIGHT)
    figure.draw_without_rendering()
    excess = ax.get_position().height * (height + MAX_TEXT_HEIGHT) - axes_height
    figure.set_size_inches(width, max(height, height + MAX_TEXT_HEIGHT - excess))


def _use_page_colours(ax: Axes) -> None:
    """Give axes the colours for which `_colour` writes those of the page."""
    ax.set_facecolor("white")
    ax.tick_params(colors=INK)
    ax.spines[:].set_color(INK)
    for text in (ax.title, ax.xaxis.label, ax.yaxis.label, ax.xaxis.get_offset_text()):
        text.set_color(INK)


class SvgRenderer(RendererBase):
    """Writes compact SVG elements, consecutive paths of the same style as one."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__()
        self.width, self.height = width, height
        self._elements: list[str] = []
        self._style, self._data = "", ""
        self._patterns: dict[str, str] = {}
        self._id = uuid.uuid4().hex[:8]  # another one in each chart of a page
        self._flip = Affine2D().scale(1, -1).translate(0, height)

    def to_svg(self, name: str, areas: Iterable[tuple[Axes, HoverArea]]) -> str:
        """Return the SVG element."""
        self._flush()
        patterns = "".join(self._patterns.values())
        hover = "".join(self._hover(ax, area) for ax, area in areas)
        return (
            f'<svg class="tex2jax_ignore mathjax_ignore" xmlns="http://www.w3.org/2000/svg" '
            f'role="img" aria-label="{_clean(name)}" width="{self.width:g}" '
            f'height="{self.height:g}" viewBox="0 0 {self.width:g} {self.height:g}" '
            'style="max-width:100%;height:auto;white-space:pre" fill="none">'
            + (f"<defs>{patterns}</defs>" if patterns else "")
            + "".join(self._elements)
            + f'<g pointer-events="all">{hover}</g></svg>'
        )

    def get_canvas_width_height(self) -> tuple[float, float]:
        """Return the size in pixels."""
        return self.width, self.height

    def points_to_pixels(self, points: Any) -> Any:
        """Return a length in points in pixels."""
        return points * DPI / 72

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: Any
    ) -> tuple[float, float, float]:
        """Measure a text whose font the page chooses, so that no glyph can be missing."""
        measured = s if ismath else "".join(map(_similar_width, s))
        return super().get_text_width_height_descent(measured, prop, ismath)

    def draw_path(
        self,
        gc: GraphicsContextBase,
        path: Path,
        transform: Transform,
        rgbFace: Any = None,  # noqa: N803
    ) -> None:
        """Draw a path, clipped to the rectangle of the graphics context."""
        clip = gc.get_clip_rectangle()
        box = None if clip is None else Bbox(self._flip.transform(np.asarray(clip)))
        hatch = self._pattern(gc, rgbFace)
        if box is not None and (rgbFace is not None or hatch):
            path = path.transformed(transform + self._flip).clip_to_bbox(box)
            data = _path_data(path, Affine2D())
        else:
            data = _path_data(path, transform + self._flip, box)
        fill = _colour("fill", rgbFace, _face_alpha(gc, rgbFace))
        if hatch:
            fill = f' fill="url(#{hatch})"'
        self._add_path(data, fill + self._stroke(gc), mergeable=not hatch)

    def draw_markers(
        self,
        gc: GraphicsContextBase,
        marker_path: Path,
        marker_trans: Transform,
        path: Path,
        trans: Transform,
        rgbFace: Any = None,  # noqa: N803
    ) -> None:
        """Draw markers as one path; circles as points of a line with round ends."""
        if marker_path is not Path.unit_circle():
            super().draw_markers(gc, marker_path, marker_trans, path, trans, rgbFace)
            return
        ends = [vertices[-2:] for vertices, _ in path.iter_segments(trans, simplify=False)]
        points = np.reshape(ends, (-1, 2))
        points = points[np.isfinite(points).all(axis=1)]
        clip = gc.get_clip_rectangle()
        if clip is not None:
            points = points[((points >= clip.min) & (points <= clip.max)).all(axis=1)]
        size = float(np.ptp(marker_trans.transform([(-1, 0), (1, 0)])[:, 0]))
        data = "".join(f"M{_number(x)} {_number(y)}h0" for x, y in self._flip.transform(points))
        edge = self.points_to_pixels(gc.get_linewidth()) if gc.get_rgb()[3] else 0.0
        layers = [(gc.get_rgb(), gc.get_rgb()[3], size + edge)] if edge else []
        if rgbFace is not None:
            layers.append((rgbFace, _face_alpha(gc, rgbFace), size - edge))
        for colour, alpha, width in layers:
            self._add_path(
                data,
                f'{_colour("stroke", colour, alpha)} stroke-width="{width:.4g}" '
                'stroke-linecap="round"',
            )

    def draw_text(
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: Any = False,
        mtext: Text | None = None,
    ) -> None:
        """Write a text in the font of the page, anchored where its alignment says."""
        if ismath:  # as paths
            super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)
            return
        self._flush()
        anchor, share = ANCHORS[mtext.get_horizontalalignment()] if mtext else ("", 0.0)
        along = share * self.get_text_width_height_descent(s, prop, ismath)[0]
        x += along * np.cos(np.radians(angle))
        y -= along * np.sin(np.radians(angle))
        weight = prop.get_weight()
        self._elements.append(
            f'<text x="{_number(x)}" y="{_number(y)}"'
            + (f' text-anchor="{anchor}"' if anchor else "")
            + (f' transform="rotate({-angle:g} {_number(x)} {_number(y)})"' if angle else "")
            + (f' font-weight="{weight}"' if weight not in ("normal", 400) else "")
            + f' font-size="{self.points_to_pixels(prop.get_size_in_points()):.3g}"'
            + f"{_colour('fill', gc.get_rgb(), gc.get_rgb()[3])}>{_clean(s)}</text>"
        )

    def _stroke(self, gc: GraphicsContextBase) -> str:
        """Return the attributes of a line."""
        width, colour = self.points_to_pixels(gc.get_linewidth()), gc.get_rgb()
        if not width or not colour[3]:
            return ""
        dashes: Any = gc.get_dashes()[1]
        pattern = " ".join(f"{self.points_to_pixels(dash):.3g}" for dash in dashes or ())
        return f'{_colour("stroke", colour, colour[3])} stroke-width="{width:.3g}"' + (
            f' stroke-dasharray="{pattern}"' if pattern else ""
        )

    def _pattern(self, gc: GraphicsContextBase, face: Any) -> str:
        """Return the id of the hatch pattern of a graphics context, if any."""
        hatch = gc.get_hatch()
        if not hatch:
            return ""
        colour = gc.get_hatch_color()
        lines = _path_data(Path.hatch(hatch, 1), Affine2D().scale(HATCH_TILE))
        content = (
            f'<rect width="{HATCH_TILE}" height="{HATCH_TILE}"'
            f'{_colour("fill", face, _face_alpha(gc, face))}/><path d="{lines}"'
            f"{_colour('fill', colour, 1)}{_colour('stroke', colour, 1)}/>"
        )
        if content not in self._patterns:
            self._patterns[content] = (
                f'<pattern id="lb-{self._id}-{len(self._patterns)}" width="{HATCH_TILE}" '
                f'height="{HATCH_TILE}" patternUnits="userSpaceOnUse">{content}</pattern>'
            )
        return f"lb-{self._id}-{list(self._patterns).index(content)}"

    def _add_path(self, data: str, style: str, *, mergeable: bool = True) -> None:
        if not data or not style:
            return
        if style != self._style or not mergeable:
            self._flush()
        self._style = style
        self._data += data

    def _flush(self) -> None:
        if self._data:
            self._elements.append(f'<path d="{self._data}"{self._style}/>')
        self._style, self._data = "", ""

    def _hover(self, ax: Axes, area: HoverArea) -> str:
        """Return a transparent rectangle with a title."""
        axes = ax.bbox
        ends = []
        for n, values in enumerate((area.x, area.y)):
            low, high = axes.intervalx if n == 0 else axes.intervaly
            if values is not None:
                at = [ax.transData.transform([(v, v)])[0][n] for v in values]
                low, high = max(low, min(at)), min(high, max(at))
            ends.append((low, high))
        (left, right), (bottom, top) = ends
        if not (right > left and top > bottom):
            return ""
        return (
            f'<rect x="{_number(left)}" y="{_number(self.height - top)}" '
            f'width="{_number(right - left)}" height="{_number(top - bottom)}">'
            f"<title>{_clean(area.text)}</title></rect>"
        )


def _path_data(path: Path, transform: Transform, clip: Bbox | None = None) -> str:
    """Return the ``d`` attribute of a path; `clip` applies to its lines."""
    parts, at = [], ("", "")
    rectangle = None if clip is None else (clip.xmin, clip.ymin, clip.xmax, clip.ymax)
    for vertices, code in path.iter_segments(transform, clip=rectangle, simplify=False):
        if code == Path.CLOSEPOLY:
            parts.append("Z")
            continue
        numbers = [*map(_number, vertices)]
        x, y = numbers[-2:]
        if code != Path.LINETO:
            parts.append(PATH_COMMANDS[code] + " ".join(numbers))
        elif y == at[1]:
            parts.append(f"H{x}" * (x != at[0]))
        else:
            parts.append(f"V{y}" if x == at[0] else f"L{x} {y}")
        at = x, y
    return "".join(parts)


def _colour(attribute: str, colour: Any, alpha: float) -> str:
    """Return a colour attribute; the colours of texts become the page's, with opacity."""
    if colour is None or not alpha:
        return ""
    rgb = to_rgb(colour)
    if rgb == WHITE:
        name = PAGE_COLOUR
    elif rgb == to_rgb(INK):
        name = "currentColor"
    else:
        name = to_hex(rgb)
    opacity = f' {attribute}-opacity="{alpha:.2g}"' if alpha < 1 else ""
    return f' {attribute}="{name}"{opacity}'


def _face_alpha(gc: GraphicsContextBase, face: Any) -> float:
    if face is None:
        return 0.0
    return float(gc.get_alpha() if gc.get_forced_alpha() else face[3] if len(face) > 3 else 1.0)


def _number(value: float) -> str:
    """Return a coordinate to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def _clean(text: str) -> str:
    """Return text for XML: escaped, without characters that XML does not allow."""
    return escape(NOT_IN_XML.sub("", text))


def _similar_width(character: str) -> str:
    """Return a character that every font has and that is about as wide."""
    if unicodedata.category(character)[0] in "MC":
        return ""
    if character < "\u0250":
        return character
    return "W" if unicodedata.east_asian_width(character) in "WF" else "n"
