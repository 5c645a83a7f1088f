"""Fields that move in time, side by side or in one diagram, as a small picture that moves."""

import base64
import dataclasses
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from neuralop_jax._whole_files import write_whole
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.viz._arrays import about_zero, check_named, finite_range, real
from neuralop_jax.viz._fields import Label, Panel
from neuralop_jax.viz._style import SERIES, new_figure, style

if TYPE_CHECKING:
    import matplotlib.figure

_DOTS_PER_INCH = 72
_COLORS = 96
_Drawn = tuple["matplotlib.figure.Figure", Any, Callable[[int], None]]
"""A figure, the text that tells the time, and what moves the rest to a frame."""


@dataclasses.dataclass(frozen=True)
class Animation:
    """A moving picture, which a notebook shows when it is the last value of a cell.

    - `gif`: the bytes of a GIF file that repeats for ever.
    """

    gif: bytes

    def save(self, path: str | Path) -> None:
        """Writes the GIF file in one step, in place of one that is there; of a link, the file that it leads to."""
        write_whole(Path(os.path.realpath(path)), self.gif)

    def __repr__(self) -> str:
        return f"Animation({len(self.gif):,} bytes of GIF)"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"image/gif": base64.b64encode(self.gif).decode(), "text/plain": repr(self)}


def animate(
    fields: Mapping[str, ArrayLike],
    grid: Grid,
    times: ArrayLike | Sequence[float],
    *,
    label: Label,
    errors: Mapping[str, ArrayLike] | None = None,
    over: str = "$t$",
    frames_per_second: float = 10.0,
) -> Animation:
    """Trajectories of a scalar field, frame by frame: curves in one diagram on a 1-D grid, images side by side on a 2-D grid.

    All `fields` are shown on the scale of the first, the range of its finite values over all times: one that grows beyond leaves
    the diagram, or keeps the last color, and does not hide the others. What is not finite is not drawn.

    **Arguments:**

    - `fields`: by name, `(time, *space)`; the first is what the others are compared with.
    - `grid`: their grid, of one or two dimensions.
    - `times`: the time of every frame.
    - `label`: name and unit of the field.
    - `errors`: by name, differences that have a scale of their own, symmetric about zero.
    - `over`: what the times are, for instance iterations.
    - `frames_per_second`: between 0.01 and 100. *Good values* are 5 to 15.

    **Returns:** the picture. A frame of three images of 64 × 64 points takes about 10 kB: show some twenty of a trajectory.

    **Raises:** `ConfigError` for a grid of other dimensions, for no field, no time or fields that are not given on the grid at
    these times, and for another speed.

    !!! example

        ```python
        import numpy as np
        from neuralop_jax.grids import Grid
        from neuralop_jax.viz import Label, animate

        grid, times = Grid((32,), boundary=("periodic",)), np.linspace(0, 1, 4)
        wave = np.sin(2 * np.pi * (grid.coordinates()[0] - times[:, None]))
        picture = animate({"target": wave, "prediction": 0.9 * wave}, grid, times, label=Label("velocity", "m/s"))
        assert picture.gif.startswith(b"GIF89a")
        ```
    """
    if grid.num_dims not in (1, 2):
        raise ConfigError(f"animate shows fields on grids of 1 or 2 dimensions, got {grid.num_dims}. Cut the fields through.")
    check_named("animate", "field", fields)
    if not 0.01 <= frames_per_second <= 100:
        raise ConfigError(f"frames_per_second must be between 0.01 and 100, got {frames_per_second:g}. Try 10.")
    times = real("animate", "times", times)
    if times.ndim != 1 or not len(times):
        raise ConfigError(f"animate needs the time of every frame, a list of numbers, got shape {times.shape}.")
    shown, differences = (
        {name: _checked(name, values, len(times), grid) for name, values in given.items()} for given in (fields, errors or {})
    )
    draw = _curves if grid.num_dims == 1 else _images
    with style():
        figure, clock, update = draw(shown, differences, grid, label)

        def move(frame: int) -> None:
            update(frame)
            clock.set_text(f"{over} = {times[frame]:.3g}")

        return Animation(_gif(figure, move, len(times), frames_per_second))


def _checked(name: str, values: ArrayLike, num_times: int, grid: Grid) -> np.ndarray:
    found = real("animate", repr(name), values)
    if found.shape != (num_times, *grid.shape):
        raise ConfigError(
            f"animate needs {name!r} as (time, *space) = {(num_times, *grid.shape)}, got {found.shape}. Select one channel."
        )
    return found


def _curves(fields: Mapping[str, np.ndarray], errors: Mapping[str, np.ndarray], grid: Grid, label: Label) -> _Drawn:
    """One diagram of the fields, the first as a broad pale band, and below it one of the errors."""
    rows = 2 if errors else 1
    figure = new_figure(5.6, 2.8 + 1.2 * (rows - 1))
    diagrams = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=(2, 1)[:rows])[:, 0]
    x, moving = grid.coordinates()[0], []
    for axes, group, limits in zip(diagrams, (fields, errors), (_range(fields), about_zero(*errors.values())), strict=False):
        for number, (name, values) in enumerate(group.items()):
            color = SERIES[(number - (group is fields)) % len(SERIES)]
            look = {"color": "#b5b5b5", "linewidth": 4.5} if group is fields and number == 0 else {"color": color}
            moving.append((axes.plot(x, values[0], label=name, **look)[0], values))
        room = 0.06 * (limits[1] - limits[0])
        axes.set_ylim(limits[0] - room, limits[1] + room)
        axes.set_ylabel(str(label) if group is fields else "error")
        axes.grid(True)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(group), borderaxespad=0.2)
    clock = diagrams[0].set_title(" ", loc="left")
    diagrams[-1].set_xlabel(str(Label(grid.names[0], grid.unit)))
    diagrams[-1].set_xlim(grid.extent[0])

    def update(frame: int) -> None:
        for line, values in moving:
            line.set_ydata(values[frame])

    return figure, clock, update


def _images(fields: Mapping[str, np.ndarray], errors: Mapping[str, np.ndarray], grid: Grid, label: Label) -> _Drawn:
    """A panel for each field, then one for each error."""
    panels = [(Panel(n, str(label), v[:1], grid, _range(fields), "output"), v) for n, v in fields.items()]
    panels += [(Panel(n, str(label), v[:1], grid, about_zero(*errors.values()), "error"), v) for n, v in errors.items()]
    figure = new_figure(2.9 * len(panels), panels[0][0].height() + 0.25)
    places = figure.subplots(1, len(panels), squeeze=False)[0]
    for (panel, _), place in zip(panels, places, strict=True):
        panel.draw(place)

    def update(frame: int) -> None:
        for (_, values), place in zip(panels, places, strict=True):
            place.images[0].set_data(values[frame].T)

    return figure, figure.suptitle(" ", fontsize=9), update


def _range(fields: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """The range of the finite values of the first field over all times."""
    low, high = finite_range(next(iter(fields.values())))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _gif(figure: "matplotlib.figure.Figure", move: Callable[[int], None], count: int, frames_per_second: float) -> bytes:
    """All frames in one palette without dithering, so that what stands still is stored once."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(_DOTS_PER_INCH)
    canvas, pixels = FigureCanvasAgg(figure), []
    for frame in range(count):
        move(frame)
        canvas.draw()
        figure.set_layout_engine("none")  # the first frame's layout holds for all
        pixels.append(np.array(canvas.buffer_rgba())[..., :3])
    palette = Image.fromarray(np.concatenate(pixels)).quantize(_COLORS, method=Image.Quantize.MAXCOVERAGE)
    images = [Image.fromarray(each).quantize(palette=palette, dither=Image.Dither.NONE) for each in pixels]
    buffer = io.BytesIO()
    milliseconds = 10 * round(100 / frames_per_second)  # GIF counts hundredths of a second
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=milliseconds, loop=0, disposal=1)
    return buffer.getvalue()
