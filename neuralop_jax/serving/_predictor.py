"""Predictions in physical units, by whoever has the files of an operator and none of its code."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._checks import did_you_mean, printable, shown
from neuralop_jax._field_checks import check_field
from neuralop_jax.errors import ModelInputError
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo
from neuralop_jax.serving._artifact import CARD
from neuralop_jax.serving._card import ModelCard
from neuralop_jax.serving._program import load_program
from neuralop_jax.serving._run import load_run

Fields = Float[np.ndarray, "batch channels *space"]
Outputs = Float[np.ndarray, "batch out_channels *out_space"]


class Predictor:
    """A trained operator, from physical units to physical units, that refuses what it was not trained for.

    **Arguments:**

    - `card`: what the input is compared with.
    - `function`: the outputs for samples `(batch, channels, *space)` that fit the card.

    !!! example

        ```python
        import numpy as np

        from neuralop_jax import Grid
        from neuralop_jax.info import FieldInfo
        from neuralop_jax.serving import ModelCard, Predictor

        card = ModelCard((FieldInfo("depth", "m"),), (FieldInfo("pressure", "Pa"),), Grid((8,), unit="m"))
        predictor = Predictor(card, lambda u: 9810 * u)
        assert predictor(np.ones((2, 1, 8)), units={"depth": "m"}, grid=Grid((8,), unit="m"))[0, 0, 0] == 9810
        ```
    """

    def __init__(self, card: ModelCard, function: Callable[[Array], Array]):
        self.card, self._function = card, function

    def __repr__(self) -> str:
        card, spec = self.card, self.card.record.get("spec")
        kind = f"{spec['kind']}: " if isinstance(spec, dict) and "kind" in spec else ""  # a card of another's making may say none
        extent = " x ".join(f"[{a:g}, {b:g}]" for a, b in card.grid.extent)
        grid = f"{' x '.join(map(str, card.grid.shape))} over {extent} {card.grid.unit}"
        return printable(f"Predictor({kind}{_listed(card.inputs)} -> {_listed(card.outputs)}; grid {grid})")

    @classmethod
    def load(cls, path: str | Path) -> "Predictor":
        """The operator in a directory that `export_operator` wrote, or in that of a training run, which takes model code to read.

        **Raises:** `CheckpointError` or `RunDirError` if there is none, or any byte of it has changed, or it was exported for
        other devices than those that are here, or in a precision that JAX is not set to hold.
        """
        path = Path(path)
        return cls(*(load_program(path) if (path / CARD).exists() else _trained(path)))

    def __call__(
        self, u: Any, *, grid: Grid | None = None, units: Mapping[str, str] | None = None, batch_size: int | None = None
    ) -> Outputs:
        """The outputs for samples `u`, in physical units.

        **Arguments:**

        - `u`: `(batch, channels, *space)`, real; the channels are those of `card.inputs`, frame by frame where a field varies in
            time. Computed in the precision of the card.
        - `grid`: the grid of `u`, to be compared with that of the training: extent, boundary, where the points lie, unit.
        - `units`: units of input fields by name, likewise.
        - `batch_size`: samples computed at once, 1 or more; that of the card by default.

        **Returns:** `(batch, channels, *space)`, the channels being those of `card.outputs`; where a solve inside the operator
        fails, a sample is NaN.

        **Raises:** `ModelInputError` if `u`, its grid or its units do not fit, or `u` holds values that are masked or not finite.
        Another number of points than in the training is a warning, or an error where the operator does not read it.
        """
        size = self.card.batch_size if batch_size is None else batch_size
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise ModelInputError(f"Predictor got batch_size={shown(size)}. Give a whole number of 1 or more, or leave it out.")
        u = self.check(u, grid=grid, units=units)
        size = min(int(size), len(u))
        return np.concatenate([self._portion(u[start : start + size], size) for start in range(0, len(u), size)])

    def check(self, u: Any, *, grid: Grid | None = None, units: Mapping[str, str] | None = None) -> Fields:
        """`u` in the precision of the card.

        **Raises:** `ModelInputError`, as a call does.
        """
        card = self.card
        names = ", ".join(field.name if field.channels == 1 else f"{field.name} ({field.channels})" for field in card.inputs)
        check_field("Predictor", u, card.in_channels, card.grid.num_dims, batched=True, fields=names)
        masked = np.argwhere(np.ma.getmaskarray(u)) if isinstance(u, np.ma.MaskedArray) else np.empty((0, np.ndim(u)), int)
        if len(masked):
            raise ModelInputError(
                f"Predictor got {len(masked)} values of u that are masked, first at {masked[0].tolist()}. "
                "Leave these samples out."
            )
        self._check_units({} if units is None else units)
        self._check_grid(tuple(u.shape[2:]), grid)
        with np.errstate(over="ignore"):  # what is too large comes out as infinite, and is refused below
            u = np.asarray(u).astype(jnp.dtype(card.dtype))
        bad = np.argwhere(~np.isfinite(u))
        if len(bad):
            raise ModelInputError(
                f"Predictor got {len(bad)} values of u that are not finite in {card.dtype}, first at {bad[0].tolist()}. "
                "Leave these samples out."
            )
        return u

    def _portion(self, u: Fields, size: int) -> Outputs:
        """The outputs for up to `size` samples, always by the program for `size`: another one would have to be compiled."""
        padded = u if len(u) == size else np.concatenate([u, np.repeat(u[-1:], size - len(u), axis=0)])
        return np.asarray(self._function(jnp.asarray(padded)))[: len(u)]

    def _check_units(self, units: Mapping[str, str]) -> None:
        known = {field.name: field.unit for field in self.card.inputs}
        if not isinstance(units, Mapping):
            example = repr(dict(list(known.items())[:1]))
            raise ModelInputError(
                f"Predictor reads units by the name of a field, got {shown(units)}. Give a dictionary like {example}."
            )
        for name, unit in units.items():
            if name not in known:
                raise ModelInputError(f"Predictor reads {', '.join(known)}, not {name!r}.{did_you_mean(name, known)}")
            if unit != known[name]:
                raise ModelInputError(f"Predictor reads {name} in {known[name]}, got it in {unit}. Convert it.")

    def _check_grid(self, shape: tuple[int, ...], grid: Grid | None) -> None:
        trained, least = self.card.grid, self.card.smallest_grid
        here, there = (" x ".join(map(str, points)) for points in (shape, trained.shape))
        if grid is not None:
            if not isinstance(grid, Grid):
                raise ModelInputError(
                    f"Predictor reads a Grid, got grid={shown(grid)}. Use neuralop_jax.Grid(...), or leave it out."
                )
            _compare(grid, trained)
            if grid.shape != shape:
                raise ModelInputError(f"Predictor got {here} points and a grid of shape {grid.shape}. Give the grid of u.")
        if least is not None and any(n < m for n, m in zip(shape, least, strict=True)):
            few = " x ".join(map(str, least))
            raise ModelInputError(f"Predictor needs at least {few} points, got {here}. Interpolate u to a finer grid.")
        if shape == trained.shape:
            return
        if least is None:
            raise ModelInputError(f"Predictor reads fields on {there} points, got {here}. Interpolate u to the grid of the card.")
        warnings.warn(f"the input has {here} points, the operator was trained on {there}.", stacklevel=4)


def _listed(fields: tuple[FieldInfo, ...]) -> str:
    return ", ".join(f"{f.name} [{f.unit}]" + f" ({f.channels} channels)" * (f.channels > 1) for f in fields)


def _compare(grid: Grid, trained: Grid) -> None:
    """Raises `ModelInputError` unless the grids differ in nothing but the number of points."""
    if grid.num_dims != trained.num_dims:
        raise ModelInputError(f"Predictor reads fields on {trained.num_dims} space axes, got a grid with {grid.num_dims}.")
    for name in ("unit", "extent", "boundary", "endpoint", "centered"):
        found, wanted = getattr(grid, name), getattr(trained, name)
        if found != wanted and not (name == "extent" and np.allclose(found, wanted, rtol=1e-6, atol=0)):
            raise ModelInputError(
                f"Predictor was trained on a grid of {name} {wanted}, got one of {name} {found}. Bring u to the former."
            )


def _trained(run: Path) -> tuple[ModelCard, Callable[[Array], Array]]:
    operator, card = load_run(run)

    from neuralop_jax import models  # the code of the model, which exported operators do without

    apply = jax.jit(models.apply_batched)
    return card, lambda u: apply(operator, u)
