"""One look for all figures: sizes, colors and fonts, without touching Matplotlib's global state."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import matplotlib.figure

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555")
"""Colors of unordered series (Okabe and Ito), told apart with any color vision."""

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.width": 0.5,
    "ytick.minor.width": 0.5,
    "axes.edgecolor": "#444444",
    "axes.grid": False,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.5,
    "mathtext.fontset": "cm",
    "svg.hashsalt": "neuralop_jax",
}


def style() -> AbstractContextManager[Any]:
    """The context in which a figure is made and drawn."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def new_figure(width: float, height: float) -> "matplotlib.figure.Figure":
    """An empty figure of a size in inches, outside pyplot: it needs no screen and leaves no trace when it is dropped."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def frame_colors(count: int) -> list[Any]:
    """Colors of an ordered series, dark to light."""
    import matplotlib

    return [matplotlib.colormaps["viridis"](value) for value in np.linspace(0, 0.85, count)]


def add_legend(axes: Any) -> None:
    """A legend where it covers no curve; above all of them if there is no such place, and beside them if it is a long one."""
    legend = axes.legend()
    legend.set_in_layout(False)  # a long one would leave the axes no room
    axes.figure.draw_without_rendering()
    box = legend.get_window_extent()
    if box.height > 0.4 * axes.bbox.height:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        axes.figure.set_figheight(max(axes.figure.get_figheight(), 1.1 * box.height / axes.figure.dpi))
    elif any(line.get_transform().transform_path(line.get_path()).intersects_bbox(box, filled=False) for line in axes.lines):
        low, high = axes.yaxis.get_transform().transform(axes.get_ylim())
        room = box.height / (axes.bbox.height - box.height)
        axes.set_ylim(top=axes.yaxis.get_transform().inverted().transform(high + 1.2 * room * (high - low)))
