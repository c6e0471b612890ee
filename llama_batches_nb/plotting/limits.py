"""Limits of axes that hold what is drawn, and what was drawn before, unless the user set them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AxisName = Literal["x", "y"]


class Limits:
    """The limits of axes before a chart is drawn on them.

    Limits that the user has set, which turns autoscaling off, are kept. If the axes, or others that
    share an axis, already show something, the chart only widens them.
    """

    def __init__(self, ax: Axes) -> None:
        from matplotlib.axes import Axes

        if not isinstance(ax, Axes):
            raise TypeError(
                f"ax must be one matplotlib Axes, not {type(ax).__name__}. plt.subplots() with "
                "several rows or columns returns an array: pass one of its elements."
            )
        self._ax = ax
        self._is_set = {name: not getattr(ax, f"get_autoscale{name}_on")() for name in ("x", "y")}
        self._before = {name: self._limits_before(name) for name in ("x", "y")}
        self._shown: dict[AxisName, tuple[float, float]] = {}

    def is_free(self, name: AxisName) -> bool:
        """Return whether nothing else depends on the scale and the ticks of an axis."""
        return self._before[name] is None and is_linear(self._ax, name)

    def show(self, name: AxisName, low: float, high: float) -> float:
        """Let `apply` widen the limits so that they hold a range. Return the upper one."""
        self._shown[name] = low, high
        before = self._before[name]
        if before is None:
            return high
        return max(before) if self._is_set[name] else max(high, *before)

    def apply(self) -> None:
        """Set the limits, once everything is drawn. What the user adds may still widen them."""
        for name, shown in self._shown.items():
            if self._is_set[name]:
                continue
            axis = self._ax.xaxis if name == "x" else self._ax.yaxis
            ends = (*axis.limit_range_for_scale(*shown), *(self._before[name] or ()))
            low, high = min(ends), max(ends)
            set_limits = self._ax.set_xlim if name == "x" else self._ax.set_ylim
            set_limits(*((high, low) if axis.get_inverted() else (low, high)), auto=None)

    def _limits_before(self, name: str) -> tuple[float, float] | None:
        shared = getattr(self._ax, f"get_shared_{name}_axes")().get_siblings(self._ax)
        if not self._is_set[name] and not any(one.has_data() for one in shared):
            return None
        low, high = getattr(self._ax, f"get_{name}lim")()
        return float(low), float(high)


def is_linear(ax: Axes, name: AxisName) -> bool:
    """Return whether an axis has the linear scale, and not one that the user has chosen."""
    return (ax.get_xscale() if name == "x" else ax.get_yscale()) == "linear"
