"""Pictures of a sample: input, target, prediction and error side by side."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from neuralop_jax._checks import shown
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.viz._arrays import about_zero, field, finite_range, real
from neuralop_jax.viz._style import frame_colors, new_figure, style

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

_WHERE = "a picture of a sample"
_MOST = 3
"""Channels of the input, and of the output, that are shown of a sample."""


@dataclasses.dataclass(frozen=True)
class Label:
    """The name and the unit of a channel; `"1"` is dimensionless."""

    name: str
    unit: str = "1"

    def __str__(self) -> str:
        return self.name if self.unit in ("", "1") else f"{self.name} [{self.unit}]"


@dataclasses.dataclass(frozen=True)
class Panel:
    """One picture: lines over the axis of a 1-D grid, or the values on a 2-D grid in color.

    - `title`: what is seen.
    - `label`: the unit, at the color bar or the axis of values.
    - `values`: `(lines, points)` or `(1, points, points)`.
    - `names`: the legend of the lines.
    - `limits`: the range of values; symmetric about zero for an error.
    - `kind`: decides the colors.
    - `reference`: lines drawn pale behind the others, of the same shape.
    """

    title: str
    label: str
    values: np.ndarray
    grid: Grid
    limits: tuple[float, float]
    kind: Literal["input", "output", "error"]
    names: tuple[str, ...] = ()
    reference: np.ndarray | None = None

    def figure(self) -> "matplotlib.figure.Figure":
        """The panel alone."""
        with style():
            figure = new_figure(2.9, self.height())
            self.draw(figure.subplots())
            return figure

    def draw(self, axes: "matplotlib.axes.Axes") -> None:
        """Draws the panel into the axes of a figure."""
        axes.set_title(self.title)
        axes.set_xlabel(str(Label(self.grid.names[0], self.grid.unit)))
        if self.grid.num_dims == 1:
            self._draw_lines(axes)
        else:
            self._draw_image(axes)

    def height(self) -> float:
        """The height in inches of a panel of usual width: less for a wide box, which would leave room empty."""
        if self.grid.num_dims == 1:
            return 2.2
        width, height = (right - left for left, right in self.grid.extent)
        return 0.75 + 1.6 * min(1.0, max(0.4, height / width))

    def _draw_lines(self, axes: Any) -> None:
        x = self.grid.coordinates()[0]
        for number, (color, values) in enumerate(zip(frame_colors(len(self.values)), self.values, strict=True)):
            if self.reference is not None:
                axes.plot(x, self.reference[number], color=color, linewidth=4, alpha=0.3, solid_capstyle="round")
            name = self.names[number] if len(self.names) > 1 else None
            axes.plot(x, values, color=color, linewidth=1.2, label=name)
        axes.set_xlim(self.grid.extent[0])
        axes.set_ylim(self.limits)
        axes.set_ylabel(self.label)
        axes.yaxis.set_major_formatter("{x:g}")  # a common factor of the ticks would be printed into the title
        axes.grid(True)
        if len(self.names) > 1:
            axes.legend(fontsize=7, handlelength=1.2, labelspacing=0.2)

    def _draw_image(self, axes: Any) -> None:
        (left, right), (low, high) = (
            (x[0] - h / 2, x[-1] + h / 2) for x, h in zip(self.grid.coordinates(), self.grid.spacing, strict=True)
        )
        image = axes.imshow(
            self.values[0].T,
            cmap={"input": "cividis", "output": "viridis", "error": "RdBu_r"}[self.kind],
            vmin=self.limits[0],
            vmax=self.limits[1],
            extent=(left, right, low, high),
            origin="lower",
            interpolation="nearest",
            aspect="equal" if 0.4 < (right - left) / (high - low) < 4 else "auto",
        )
        axes.set_ylabel(str(Label(self.grid.names[1], self.grid.unit)))
        axes.spines[:].set_visible(False)
        bar = axes.figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, label=self.label)
        bar.outline.set_visible(False)
        bar.formatter.set_powerlimits((-2, 3))
        bar.formatter.set_useMathText(True)


def sample_panels(
    u: ArrayLike,
    target: ArrayLike,
    prediction: ArrayLike,
    grid: Grid,
    *,
    input: Sequence[Label] = (),
    output: Sequence[Label] = (),
) -> list[list[Panel]]:
    """The pictures of one sample: input channels, then target, prediction and error of each output channel.

    On a 1-D grid all channels shown are lines of one panel, the target pale behind the prediction. Of many channels three are
    shown: first, middle and last. A grid of three or four axes is cut through the middle of all but the first two. What is not
    finite is not drawn.

    **Arguments:**

    - `u`: input function, `(in_channels, *space)`, on the grid or on other points of the same box.
    - `target`, `prediction`: `(out_channels, *space)`; both are shown on one scale of color, the error on its own.
    - `grid`: that of target and prediction.
    - `input`, `output`: the names and units of the channels.

    **Returns:** rows of panels: a single row for one input and one output channel, else the inputs and then the outputs.

    **Raises:** `ConfigError` for fields that are not on the grid, a prediction of other channels than the target, and labels that
    are not as many as channels.

    !!! example

        ```python
        import numpy as np
        from neuralop_jax.grids import Grid
        from neuralop_jax.viz import Label, sample_panels

        a, u = np.ones((1, 8, 8)), np.linspace(0, 1, 64).reshape(1, 8, 8)
        ((given, target, prediction, error),) = sample_panels(a, u, 1.5 * u, Grid((8, 8)), output=[Label("pressure", "Pa")])
        assert target.limits == prediction.limits == (0.0, 1.5) and error.limits == (-0.5, 0.5)
        figure = error.figure()
        assert figure.axes[-1].get_ylabel() == "pressure [Pa]"  # the color bar
        ```
    """
    u = real(_WHERE, "u", u)
    given_on = grid.with_shape(u.shape[1:]) if u.ndim == grid.num_dims + 1 and u.size else grid
    u, target = field(_WHERE, "u", u, given_on), field(_WHERE, "target", target, grid)
    prediction = field(_WHERE, "prediction", prediction, grid, channels=len(target))
    input, output = _labels("input", input, len(u)), _labels("output", output, len(target))
    u, target, prediction, grid, given_on = _cut(u), _cut(target), _cut(prediction), _plane(grid), _plane(given_on)
    given, drawn = _some(len(u)), _some(len(target))
    if grid.num_dims == 1:
        lines = u[given], given_on, target[drawn], prediction[drawn], grid
        return [_line_panels(*lines, *_picked(input, given), *_picked(output, drawn))]
    rows = []
    for c in drawn:
        both = _range(target[c], prediction[c])
        error = prediction[c] - target[c]
        name, label = output[c].name, _short(output[c])
        rows.append(
            [
                Panel(f"target: {name}", label, target[c : c + 1], grid, both, "output"),
                Panel(f"prediction: {name}", label, prediction[c : c + 1], grid, both, "output"),
                Panel("error (prediction − target)", label, error[None], grid, about_zero(error), "error"),
            ]
        )
    inputs = [Panel(f"input: {input[i].name}", _short(input[i]), u[i : i + 1], given_on, _range(u[i]), "input") for i in given]
    return [inputs + rows[0]] if len(inputs) == len(rows) == 1 else [inputs, *rows]


def plot_sample(
    u: ArrayLike,
    target: ArrayLike,
    prediction: ArrayLike,
    grid: Grid,
    *,
    input: Sequence[Label] = (),
    output: Sequence[Label] = (),
) -> "matplotlib.figure.Figure":
    """The panels of `sample_panels` in one figure.

    !!! example

        ```python
        import numpy as np
        from neuralop_jax.grids import Grid
        from neuralop_jax.viz import Label, plot_sample

        field = np.random.default_rng(0).normal(size=(1, 16, 16))
        figure = plot_sample(field, field, 0.9 * field, Grid((16, 16)), output=[Label("pressure", "Pa")])
        ```
    """
    rows = sample_panels(u, target, prediction, grid, input=input, output=output)
    columns = max(map(len, rows))
    with style():
        figure = new_figure(2.9 * columns, rows[0][0].height() * len(rows))
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for row, panels in enumerate(rows):
            for blank in axes[row, len(panels) :]:
                blank.set_visible(False)
            for panel, place in zip(panels, axes[row], strict=False):
                panel.draw(place)
        return figure


def _line_panels(
    u: np.ndarray,
    given_on: Grid,
    target: np.ndarray,
    prediction: np.ndarray,
    grid: Grid,
    input_names: tuple[str, ...],
    input_label: str,
    output_names: tuple[str, ...],
    output_label: str,
) -> list[Panel]:
    error = prediction - target
    return [
        Panel("input", input_label, u, given_on, _range(u, room=0.05), "input", input_names),
        Panel("prediction (line) on target (band)", output_label, prediction, grid, _range(target, prediction, room=0.05),
              "output", output_names, target),
        Panel("error (prediction − target)", output_label, error, grid, about_zero(1.1 * error), "error", output_names),
    ]  # fmt: skip


def _labels(name: str, given: Any, count: int) -> list[Label]:
    """The labels of `count` channels; those that are not given are numbered."""
    labels = list(given) if isinstance(given, Sequence) else [given]
    if not labels:
        return [Label(f"{name} {channel}" if count > 1 else name) for channel in range(count)]
    if len(labels) != count or not all(isinstance(label, Label) for label in labels):
        raise ConfigError(f"{_WHERE} needs {count} Label for {name}, one per channel, got {shown(given)}. Label all or none.")
    return labels


def _short(label: Label) -> str:
    """The label of a channel without the time of its frame."""
    return str(Label(label.name.partition(",")[0], label.unit))


def _picked(labels: Sequence[Label], chosen: Sequence[int]) -> tuple[tuple[str, ...], str]:
    """The names of the lines, and the label of their axis: the one name and unit that they share, or the unit alone."""
    picked = [labels[c] for c in chosen]
    units = {label.unit for label in picked}
    stems = {label.name.partition(",")[0] for label in picked}
    unit = units.pop() if len(units) == 1 else "1"
    name = stems.pop() if len(stems) == 1 else "value"
    names = tuple(label.name.removeprefix(f"{name}, ") for label in picked)
    return names, str(Label(name, unit))


def _some(count: int) -> list[int]:
    """The indices of at most three of `count` channels: first, middle, last."""
    return sorted({0, (count - 1) // 2, count - 1}) if count > _MOST else list(range(count))


def _range(*values: np.ndarray, room: float = 0.0) -> tuple[float, float]:
    low, high = finite_range(*values)
    margin = room * (high - low) or (0.0 if high > low else 0.5 * abs(high) or 0.5)
    return low - margin, high + margin


def _cut(u: np.ndarray) -> np.ndarray:
    return u[(..., *(n // 2 for n in u.shape[3:]))]


def _plane(grid: Grid) -> Grid:
    first = {name: getattr(grid, name)[:2] for name in ("shape", "extent", "boundary", "endpoint", "names", "centered")}
    return dataclasses.replace(grid, **first)
