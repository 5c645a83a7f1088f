"""Held-out samples on the grid of one's choice: a split that has it, or every k-th point of a split that contains it."""

from collections.abc import Sequence

from neuralop_jax.data import HDF5Dataset, Sample
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid, strides_to


class Subsampled:
    """A dataset seen on every `strides[i]`-th point of axis i: the values of the finer grid, nothing is interpolated."""

    def __init__(self, dataset: HDF5Dataset, strides: tuple[int, ...]):
        self._dataset = dataset
        self._slices = (..., *(slice(None, None, stride) for stride in strides))
        self._grid = dataset.grid.with_shape(tuple(-(-n // k) for n, k in zip(dataset.grid.shape, strides, strict=True)))

    @property
    def grid(self) -> Grid:
        """The coarser grid."""
        return self._grid

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        return Sample({name: values[self._slices] for name, values in sample.inputs.items()}, sample.target[self._slices])


def on_grid(splits: dict[str, Grid], shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The splits to evaluate for a grid of `shape` points, with strides: those that have it, else the coarsest that contains it.

    **Raises:** `ConfigError` if no split has or contains the grid.
    """
    exact = {name: (1,) * len(shape) for name, grid in splits.items() if grid.shape == shape}
    if exact:
        return exact
    contained = [(grid.shape, name, strides) for name, grid in splits.items() if (strides := strides_to(grid, shape))]
    if not contained:
        listed = ", ".join(f"{name} ({_times(grid.shape)})" for name, grid in splits.items())
        raise ConfigError(
            f"--resolution {_times(shape)}: no split has this grid or contains it as every k-th point, and evaluation never "
            f"interpolates. Found: {listed}. Name one of these grids, or add a split on this one."
        )
    _, name, strides = min(contained)
    return {name: strides}


def parse_resolutions(text: str, num_dims: int) -> list[tuple[int, ...]]:
    """`"16,64x32"` as `[(16, 16), (64, 32)]`: one number counts for every axis."""
    shapes = []
    for part in text.split(","):
        sizes = part.strip().lower().split("x")
        if not all(size.isdecimal() and int(size) > 0 for size in sizes) or len(sizes) not in (1, num_dims):
            example = "x".join(["64"] * num_dims)
            raise ConfigError(f"--resolution must be points per axis such as 16,32 or {example}, got {part.strip()!r}.")
        shapes.append(tuple(map(int, sizes * num_dims if len(sizes) == 1 else sizes)))
    return shapes


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
