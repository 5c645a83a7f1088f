"""Picture of an inverse problem: the coefficient that was sought, what was found, where it was observed, and how it came."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.viz._arrays import about_zero, field, finite_range, real, vector, vectors
from neuralop_jax.viz._curves import few_log_ticks
from neuralop_jax.viz._fields import Label, Panel
from neuralop_jax.viz._style import SERIES, new_figure, style

if TYPE_CHECKING:
    import matplotlib.figure


@dataclasses.dataclass(frozen=True)
class InversionCurves:
    """What stands below the fields of `plot_inversion`.

    - `misfit`: after each iteration, the root mean square of (predicted − observed) / noise; 1 is what noise alone makes.
    - `error`: after each iteration, the relative error of the coefficient.
    - `observed`, `predicted`: the data and what the found coefficient makes of them, one number per sensor.
    - `noise`: their standard deviation.
    """

    misfit: ArrayLike
    error: ArrayLike
    observed: ArrayLike
    predicted: ArrayLike
    noise: float


def plot_inversion(
    truth: ArrayLike, found: ArrayLike, grid: Grid, points: ArrayLike, curves: InversionCurves, *, label: Label
) -> "matplotlib.figure.Figure":
    """Truth with sensors, reconstruction and error; below, the course of misfit and error, and the data.

    **Arguments:**

    - `truth`, `found`: the coefficient on a 2-D grid, `(1, *space)`; both are shown on one scale of color.
    - `grid`: their grid.
    - `points`: where the sensors are, `(sensors, 2)`.
    - `curves`: see `InversionCurves`.
    - `label`: name and unit of the coefficient.

    **Raises:** `ConfigError` for fields that are not on the grid, a grid of other dimensions, points of another shape, no
    iterations, no data, and data that are not as many as predicted.

    !!! example

        ```python
        import numpy as np
        from neuralop_jax.grids import Grid
        from neuralop_jax.viz import InversionCurves, Label, plot_inversion

        a, rng = np.ones((1, 8, 8)), np.random.default_rng(0)
        data = rng.normal(size=5)
        curves = InversionCurves([9.0, 1.0], [0.5, 0.1], data, data + 0.1, 0.1)
        figure = plot_inversion(a, 1.1 * a, Grid((8, 8)), rng.uniform(size=(5, 2)), curves, label=Label("permeability"))
        ```
    """
    where = "plot_inversion"
    if grid.num_dims != 2:
        raise ConfigError(f"{where} shows coefficients on grids of 2 dimensions, got {grid.num_dims}. Cut them through.")
    truth, found = (field(where, name, v, grid, channels=1) for name, v in (("truth", truth), ("found", found)))
    points = real(where, "points", points)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ConfigError(f"{where} needs points as (sensors, 2), got {points.shape}. Give x and y of one sensor in a row.")
    misfit, errors = vector(where, "curves.misfit", curves.misfit), vector(where, "curves.error", curves.error)
    observed, predicted = vectors(where, {name: np.ravel(getattr(curves, name)) for name in ("observed", "predicted")})
    both, error = finite_range(truth, found), found - truth
    panels = (
        Panel("truth, and the sensors", str(label), truth, grid, both, "input"),
        Panel("reconstruction", str(label), found, grid, both, "input"),
        Panel("error (reconstruction − truth)", str(label), error, grid, about_zero(error), "error"),
    )
    with style():
        figure = new_figure(9.6, panels[0].height() + 2.6)
        axes = figure.subplots(2, 3, height_ratios=(panels[0].height(), 2.6))
        for panel, place in zip(panels, axes[0], strict=True):
            panel.draw(place)
        axes[0, 0].scatter(points[:, 0], points[:, 1], s=7, color="white", edgecolors="black", linewidths=0.5)
        _draw_course(axes[1, 0], misfit, "data misfit / noise", SERIES[0])
        axes[1, 0].axhline(1, color="#444444", linewidth=0.8, linestyle="--", label="noise alone")
        axes[1, 0].legend()
        _draw_course(axes[1, 1], errors, f"relative L2 error of {label.name}", SERIES[1])
        _draw_data(axes[1, 2], observed, predicted, curves.noise)
        return figure


def _draw_course(axes: Any, values: np.ndarray, name: str, color: str) -> None:
    axes.plot(np.arange(len(values)), values, color=color)
    axes.set_yscale("log")
    few_log_ticks(axes.yaxis, values)
    axes.set_xlabel("iteration")
    axes.set_title(name)
    axes.set_xlim(left=0)
    axes.grid(True)


def _draw_data(axes: Any, observed: np.ndarray, predicted: np.ndarray, noise: float) -> None:
    ends = np.asarray(finite_range(observed, predicted))
    axes.fill_between(ends, ends - 2 * noise, ends + 2 * noise, color="#dddddd", label="± 2 standard deviations")
    axes.plot(observed, predicted, "o", color=SERIES[2], markersize=3)
    axes.set_xlabel("observed")
    axes.set_ylabel("predicted")
    axes.set_title("data at the sensors")
    axes.grid(True)
    axes.legend(loc="upper left")
