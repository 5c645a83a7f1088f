"""Pictures of one sample: what went in, what was wanted, what came out, and the difference."""

from typing import Any

import numpy as np

from neuralop_jax.grids import Grid


def plot_sample(
    inputs: np.ndarray,
    target: np.ndarray,
    prediction: np.ndarray,
    grid: Grid,
    *,
    input_label: str = "input",
    output_label: str = "output",
) -> Any:
    """A row of panels for one sample: input, target, prediction, prediction minus target.

    Target and prediction share one color scale; that of the error is symmetric about zero. Fields on a line become curves, and
    of many channels the first, the middle and the last one are drawn.

    **Arguments:**

    - `inputs`, `target`, `prediction`: `(channels, *space)` with one or two space axes.
    - `grid`: coordinates, names of the axes and unit of length.
    - `input_label`, `output_label`: name and unit of the fields.

    **Returns:** a Matplotlib figure.
    """
    from matplotlib.figure import Figure

    if grid.num_dims == 1:
        return _lines(inputs, target, prediction, grid, input_label, output_label)
    if grid.num_dims != 2:
        raise ValueError(f"plot_sample draws one or two space axes, got {grid.num_dims}. Pass a slice.")
    figure = Figure(figsize=(11, 2.9), layout="constrained")
    panels = figure.subplots(1, 4, sharex=True, sharey=True)
    low, high = float(min(target[0].min(), prediction[0].min())), float(max(target[0].max(), prediction[0].max()))
    error = prediction[0] - target[0]
    bound = float(np.abs(error).max()) or 1.0
    drawn = [
        (inputs[0], input_label, {"cmap": "cividis"}),
        (target[0], f"target: {output_label}", {"cmap": "viridis", "vmin": low, "vmax": high}),
        (prediction[0], f"prediction: {output_label}", {"cmap": "viridis", "vmin": low, "vmax": high}),
        (error, "prediction − target", {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound}),
    ]
    (x0, x1), (y0, y1) = grid.extent
    unit = "" if grid.unit == "1" else f" ({grid.unit})"
    for panel, (field, title, style) in zip(panels, drawn, strict=True):
        image = panel.imshow(np.asarray(field).T, origin="lower", extent=(x0, x1, y0, y1), aspect="equal", **style)
        panel.set_title(title, fontsize=9)
        panel.set_xlabel(grid.names[0] + unit, fontsize=8)
        panel.tick_params(labelsize=7)
        figure.colorbar(image, ax=panel, shrink=0.85).ax.tick_params(labelsize=7)
    panels[0].set_ylabel(grid.names[1] + unit, fontsize=8)
    return figure


def _lines(inputs, target, prediction, grid: Grid, input_label: str, output_label: str) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.9), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    (x,) = grid.coordinates()
    for channel, field in enumerate(inputs):
        left.plot(x, field, color=f"C{channel}")
    left.set_title(input_label, fontsize=9)
    for order, channel in enumerate(sorted({0, len(target) // 2, len(target) - 1})):
        name = f"channel {channel}" if len(target) > 1 else ""
        middle.plot(x, target[channel], color=f"C{order}", lw=2.5, alpha=0.4, label=f"{name} target".strip())
        middle.plot(x, prediction[channel], color=f"C{order}", lw=1, ls="--", label=f"{name} prediction".strip())
        right.plot(x, prediction[channel] - target[channel], color=f"C{order}")
    middle.set_title(output_label, fontsize=9)
    middle.legend(fontsize=6, ncols=2)
    right.set_title("prediction − target", fontsize=9)
    for panel in (left, middle, right):
        panel.set_xlabel(grid.names[0] + ("" if grid.unit == "1" else f" ({grid.unit})"), fontsize=8)
        panel.tick_params(labelsize=7)
    return figure
