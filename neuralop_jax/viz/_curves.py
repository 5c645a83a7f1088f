"""Figures of numbers: curves over steps, errors by resolution, the distribution of errors over samples."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from neuralop_jax._checks import shown
from neuralop_jax.errors import ConfigError
from neuralop_jax.viz._arrays import check_named, finite_range, vector, vectors
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
    """Curves in one figure, as a rule over training steps; a curve of few points shows them. What is not finite is not drawn.

    **Arguments:**

    - `curves`: by name, the steps and the values, `(points,)` both.
    - `label`: what the values are, with their unit.
    - `log`: a logarithmic axis of values, if any is above 0.
    - `over`: what the curves run over, with its unit.
    - `log_over`: a logarithmic axis of that.

    **Raises:** `ConfigError` for no curve, one without points or with more steps than values, and for `log_over` if none has a
    place above 0.
    """
    check_named("plot_curves", "curve", curves)
    drawn = {name: _points(name, curve) for name, curve in curves.items()}
    places, heights = (np.concatenate(each) for each in zip(*drawn.values(), strict=True))
    if log_over and not (np.isfinite(heights) & (places > 0)).any():
        raise ConfigError("plot_curves has no finite value at a positive place for log_over=True. Leave log_over out.")
    with style():
        figure = new_figure(4.0, 2.8)
        axes = figure.subplots()
        for color, (name, (steps, values)) in zip(_colors(len(drawn)), drawn.items(), strict=True):
            axes.plot(steps, values, color=color, label=name, marker="o" if len(steps) <= 20 else "", markersize=3.5)
        if log and (heights > 0).any():
            axes.set_yscale("log")
            few_log_ticks(axes.yaxis, heights)
        axes.set_xlabel(over)
        axes.set_ylabel(label)
        if log_over:
            axes.set_xscale("log")
            few_log_ticks(axes.xaxis, places)
        elif 0 <= places.min() <= 0.2 * places.max():
            axes.set_xlim(left=0)
        axes.grid(True)
        if len(drawn) > 1:
            add_legend(axes)
        return figure


def _points(name: str, curve: Any) -> list[np.ndarray]:
    """The steps and the values of a curve."""
    try:
        steps, values = curve
    except (TypeError, ValueError) as error:
        raise ConfigError(f"plot_curves needs {name!r} as a pair, got {shown(curve)}. Write (steps, values).") from error
    return vectors("plot_curves", {f"the steps of {name!r}": steps, f"the values of {name!r}": values})


def plot_resolutions(
    errors: Mapping[str, tuple[Sequence[int], float, float]], label: str, *, trained_on: Sequence[int] | None = None
) -> "matplotlib.figure.Figure":
    """The error on each grid: mean and standard deviation over the samples, by number of points. Not drawn is what is not finite.

    **Arguments:**

    - `errors`: for each split its grid, the mean error and the standard deviation.
    - `label`: what the error is.
    - `trained_on`: the grid of the training data, which is marked.

    **Raises:** `ConfigError` for no split, or one that is not given like that.
    """
    check_named("plot_resolutions", "split", errors)
    drawn = {name: _bar(name, entry) for name, entry in errors.items()}
    with style():
        figure = new_figure(4.0, 2.8)
        axes = figure.subplots()
        shapes = sorted({grid for grid, _, _ in drawn.values()}, key=lambda shape: (np.prod(shape), shape))
        for color, (name, (grid, mean, spread)) in zip(_colors(len(drawn)), drawn.items(), strict=True):
            alike = [other for other, (shape, _, _) in drawn.items() if shape == grid]
            shift = 0.16 * (alike.index(name) - (len(alike) - 1) / 2)
            axes.errorbar(shapes.index(grid) + shift, mean, spread, color=color, label=name, fmt="o", capsize=4)
        names = ["×".join(map(str, shape)) for shape in shapes]
        trained = tuple(trained_on or ())
        ticks = [f"{n}\n(training grid)" if shape == trained else n for n, shape in zip(names, shapes, strict=True)]
        axes.set_xticks(range(len(shapes)), ticks)
        axes.set_xlim(-0.6, len(shapes) - 0.4)
        tops = [mean + spread for _, mean, spread in drawn.values()]
        axes.set_ylim(0, 1.1 * max(filter(math.isfinite, tops), default=0.0) or None)
        axes.set_xlabel("grid points")
        axes.set_ylabel(label)
        axes.grid(True, axis="y")
        add_legend(axes)
        return figure


def _bar(name: str, entry: Any) -> tuple[tuple[int, ...], float, float]:
    """The grid of a split, mean and standard deviation."""
    try:
        grid, mean, spread = entry
        return tuple(map(int, grid)), float(mean), float(spread)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"plot_resolutions needs {name!r} as a triple of grid and two numbers, got {shown(entry)}. "
            "Write ((16, 16), mean, deviation)."
        ) from error


def plot_distribution(errors: Mapping[str, ArrayLike], label: str) -> "matplotlib.figure.Figure":
    """The part of the samples whose error is at most $x$, for each split; the median is marked.

    Samples whose error is not finite are beyond every $x$: their curve ends below 1, and has no median if they are most.

    **Arguments:**

    - `errors`: for each split the errors of its samples, `(samples,)`.
    - `label`: what the error is.

    **Raises:** `ConfigError` for no split, or one without samples.

    !!! example

        ```python
        import numpy as np
        from neuralop_jax.viz import plot_distribution

        figure = plot_distribution({"test": np.array([0.4, 0.1, 0.2, 0.3])}, "relative L2")
        curve, median = figure.axes[0].lines
        assert curve.get_xydata()[-1].tolist() == [0.4, 1.0]  # no sample is worse
        assert median.get_xydata().tolist() == [[0.25, 0.5]]
        ```
    """
    check_named("plot_distribution", "split", errors)
    drawn = {name: np.sort(vector("plot_distribution", repr(name), values)) for name, values in errors.items()}
    with style():
        figure = new_figure(4.0, 2.8)
        axes = figure.subplots()
        for color, (name, values) in zip(_colors(len(drawn)), drawn.items(), strict=True):
            finite = values[np.isfinite(values)]
            share = np.arange(1, len(finite) + 1) / len(values)
            axes.step(np.r_[finite[:1], finite], np.r_[share[:1] * 0, share], where="post", color=color, label=name)
            axes.plot(np.median(np.where(np.isfinite(values), values, np.inf)), 0.5, "o", color=color, markersize=4)
        axes.set_xlim(0, 1.05 * finite_range(*drawn.values())[1] or None)
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
