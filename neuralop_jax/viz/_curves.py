"""Figures of numbers: curves over steps, errors by resolution, the distribution of errors over samples."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from neuralop_jax.viz._style import SERIES, add_legend, new_figure, style

if TYPE_CHECKING:
    import matplotlib.figure


def plot_curves(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    label: str,
    *,
    log: bool = True,
    over: str = "step",
    log_over: bool = False,
) -> "matplotlib.figure.Figure":
    """Curves in one figure, as a rule over training steps; a curve of few points shows them.

    **Arguments:**

    - `curves`: by name, the steps and the values.
    - `label`: what the values are, with their unit.
    - `log`: a logarithmic axis of values.
    - `over`: what the curves run over, with its unit.
    - `log_over`: a logarithmic axis of that.
    """
    with style():
        figure = new_figure(4.0, 2.8)
        axes = figure.subplots()
        for color, (name, (steps, values)) in zip(_colors(len(curves)), curves.items(), strict=True):
            axes.plot(steps, values, color=color, label=name, marker="o" if np.size(steps) <= 20 else "", markersize=3.5)
        if log:
            axes.set_yscale("log")
            few_log_ticks(axes.yaxis, np.concatenate([np.ravel(values) for _, values in curves.values()]))
        axes.set_xlabel(over)
        axes.set_ylabel(label)
        places = np.concatenate([np.ravel(places).astype(float) for places, _ in curves.values()])
        if log_over:
            axes.set_xscale("log")
            few_log_ticks(axes.xaxis, places)
        elif 0 <= places.min(initial=np.inf) <= 0.2 * places.max(initial=0):
            axes.set_xlim(left=0)
        axes.grid(True)
        if len(curves) > 1:
            add_legend(axes)
        return figure


def plot_resolutions(
    errors: Mapping[str, tuple[Sequence[int], float, float]], label: str, *, trained_on: Sequence[int] | None = None
) -> "matplotlib.figure.Figure":
    """The error on each grid: mean and standard deviation over the samples, by number of points.

    **Arguments:**

    - `errors`: for each split its grid, the mean error and the standard deviation.
    - `label`: what the error is.
    - `trained_on`: the grid of the training data, which is marked.
    """
    with style():
        figure = new_figure(4.0, 2.8)
        axes = figure.subplots()
        shapes = sorted({tuple(grid) for grid, _, _ in errors.values()}, key=lambda shape: (np.prod(shape), shape))
        for color, (name, (grid, mean, spread)) in zip(_colors(len(errors)), errors.items(), strict=True):
            alike = [other for other, (shape, _, _) in errors.items() if tuple(shape) == tuple(grid)]
            shift = 0.16 * (alike.index(name) - (len(alike) - 1) / 2)
            axes.errorbar(shapes.index(tuple(grid)) + shift, mean, spread, color=color, label=name, fmt="o", capsize=4)
        names = ["×".join(map(str, shape)) for shape in shapes]
        trained = tuple(trained_on or ())
        ticks = [f"{n}\n(training grid)" if shape == trained else n for n, shape in zip(names, shapes, strict=True)]
        axes.set_xticks(range(len(shapes)), ticks)
        axes.set_xlim(-0.6, len(shapes) - 0.4)
        axes.set_ylim(0, 1.1 * max(mean + spread for _, mean, spread in errors.values()) or None)
        axes.set_xlabel("grid points")
        axes.set_ylabel(label)
        axes.grid(True, axis="y")
        add_legend(axes)
        return figure


def plot_distribution(errors: Mapping[str, np.ndarray], label: str) -> "matplotlib.figure.Figure":
    """The part of the samples whose error is at most $x$, for each split; the median is marked.

    **Arguments:**

    - `errors`: for each split the errors of its samples, `(samples,)`.
    - `label`: what the error is.
    """
    with style():
        figure = new_figure(4.0, 2.8)
        axes = figure.subplots()
        for color, (name, values) in zip(_colors(len(errors)), errors.items(), strict=True):
            ordered = np.sort(np.asarray(values, np.float64))
            share = np.arange(1, len(ordered) + 1) / len(ordered)
            axes.step(np.r_[ordered[0], ordered], np.r_[0, share], where="post", color=color, label=name)
            axes.plot(np.median(ordered), 0.5, "o", color=color, markersize=4)
        axes.set_xlim(0, 1.05 * max(np.max(values) for values in errors.values()) or None)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel(label)
        axes.set_ylabel("share of samples below")
        axes.grid(True)
        axes.legend(loc="lower right")
        return figure


def _colors(count: int) -> list[str]:
    return [SERIES[number % len(SERIES)] for number in range(count)]


def few_log_ticks(axis: Any, values: np.ndarray) -> None:
    """Ticks where the values span less than two decades, which would else hold one label or none: 1, 2, 5 per decade, or evenly
    spaced ones where these would be too few."""
    from matplotlib import ticker

    positive = values[values > 0]
    if len(positive) and positive.max() < 100 * positive.min():
        narrow = positive.max() < 5 * positive.min()
        axis.set_major_locator(ticker.MaxNLocator(5) if narrow else ticker.LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.set_minor_formatter(ticker.NullFormatter())
