"""Operators that read their input at fixed sensors and can be queried at points."""

import abc
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from neuralop_jax._typing import Field, Fields, OutputField, OutputFields, Params, Points, PRNGKey, QueryPoints
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers import grid_points
from neuralop_jax.models._base import AbstractOperator, check_input
from neuralop_jax.models._options import check_sizes
from neuralop_jax.models._resolution import ResolutionClaim


class AbstractSensorOperator(AbstractOperator):
    """An operator that maps values on one grid of `sensors` to values at any points `y`, coordinates on the unit box.

    Without `y`, the output is given at the points of the grid `output_shape`, as that of other operators; `endpoint` says
    whether its last points lie on 1. Functions and points are two arguments of one product: for many functions at the same
    points, what depends on the points is computed once.

    To write one, define `evaluate`. `queries` says whether any `y` can be given. Where it cannot, and the points are a list with
    other than one coordinate each, `y` holds the coordinates of the points of this list.
    """

    resolution = ResolutionClaim("none", "it reads its input at fixed sensors and refuses another grid")
    sensors: eqx.AbstractVar[tuple[int, ...]]
    output_shape: eqx.AbstractVar[tuple[int, ...]]
    num_dims: eqx.AbstractVar[int]
    endpoint: eqx.AbstractVar[bool]
    queries: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def evaluate(
        self, u: Float[Array, "batch in_channels *sensors"], y: Float[Array, "dims *batch_points"]
    ) -> Float[Array, "batch out_channels points"]:
        """The outputs for some functions, at points `(dims, points)` that all share or at `(dims, batch, points)`.

        The outputs have the type of `u`; that of `y` may be finer.
        """

    def __call__(
        self,
        u: Field,
        *,
        x: Points | None = None,
        y: QueryPoints | None = None,
        p: Params | None = None,
        key: PRNGKey | None = None,
    ) -> OutputField:
        """The output function of `u`, given at the sensors, `(in_channels, *sensors)`.

        **Returns:** `(out_channels, points)` at the query points `y`, or without them `(out_channels, *output_shape)`.
        """
        self.check(u, x, y, p, batched=False)
        return self._at(u[None], y)[0]

    def batched(
        self,
        u: Fields,
        *,
        x: Array | None = None,
        y: Array | None = None,
        p: Float[Array, "batch parameters"] | None = None,
        key: Key[Array, " batch"] | None = None,
    ) -> OutputFields:
        """The output functions of many inputs, at points `y` `(points, dims)` that all share or `(batch, points, dims)`.

        Aligned pairs of a function and a point each are `y[:, None]`, one point per function.
        """
        self.check(u, x, y, p, batched=True)
        return self._at(u, y)

    def _at(self, u: Array, y: Array | None) -> Array:
        real = jnp.result_type(jnp.float32, u.dtype)  # in half precision, neighboring points would have the same coordinates
        if y is None:
            points = jnp.asarray(grid_points(self.output_shape, endpoint=self.endpoint), real)
            return self.evaluate(u, points).reshape(u.shape[0], self.out_channels, *self.output_shape)
        return self.evaluate(u, jnp.moveaxis(y.astype(real), -1, 0))

    def check(self, u: Any, x: Any, y: Any, p: Any, *, batched: bool) -> None:
        """Raises `ModelInputError` unless `u` is given at the sensors and `y` holds points of the right dimension."""
        name = type(self).__name__
        check_input(self, u, len(self.sensors), batched=batched)
        if (found := tuple(u.shape[u.ndim - len(self.sensors) :])) != self.sensors:
            raise ModelInputError(
                f"{name} reads its input at the {_times(self.sensors)} sensors it was built for, got {_times(found)} points. "
                f"Subsample or interpolate u{'; the output can be had at any points y' if self.queries else ''}."
            )
        for label, given in (("points x of the input", x), ("parameters p", p)):
            if given is not None:
                raise ModelInputError(
                    f"{name} has no layer that reads {label}, got shape {tuple(given.shape)}. Leave them out, or append them "
                    "to u as channels."
                )
        if y is None and self.num_dims != len(self.output_shape):
            raise ModelInputError(
                f"{name} has outputs on {len(self.output_shape)} axes and {self.num_dims}-dimensional points. Give the points y."
            )
        if y is not None:
            self._check_queries(y, u.shape[0] if batched else None)

    def _check_queries(self, y: Any, batch: int | None) -> None:
        name, shape = type(self).__name__, tuple(getattr(y, "shape", ()))
        if not hasattr(y, "shape") or 0 in shape:
            found = f"shape {shape}" if hasattr(y, "shape") else f"{type(y).__name__}, no array"
            raise ModelInputError(f"{name} expects query points y (points, {self.num_dims}), at least one, got {found}.")
        if not self.queries and self.num_dims != len(self.output_shape):
            if shape == (wanted := (self.output_shape[0], self.num_dims)):
                return
            raise ModelInputError(
                f"{name} knows what it took from the training outputs on their list of points only; it got y {shape}. Give the "
                f"coordinates {wanted} of these points, in their order."
            )
        if not self.queries:
            raise ModelInputError(
                f"{name} knows what it took from the training outputs on their {_times(self.output_shape)} points only; it got "
                f"query points y {shape}. Leave y out and interpolate the output, or use DeepONet with output_affine=False."
            )
        shared = len(shape) == 2 and shape[-1] == self.num_dims
        if not shared and (batch is None or len(shape) != 3 or shape[0] != batch or shape[-1] != self.num_dims):
            each = "" if batch is None else f" or ({batch}, points, {self.num_dims})"
            raise ModelInputError(f"{name} expects query points y (points, {self.num_dims}){each}, got shape {shape}.")


def output_axes(num_dims: int | None, output_shape: tuple[int, ...], *, listed: bool) -> int:
    """Coordinates of the points of the outputs, as many as these have axes if `num_dims` leaves it open.

    **Raises:** `ConfigError` for another number, but that with `listed` the points of a single axis have any.
    """
    found = len(output_shape) if num_dims is None else num_dims
    check_sizes(num_dims=found)
    if found != len(output_shape) and not (listed and len(output_shape) == 1):
        raise ConfigError(
            f"num_dims {found} is not the number of axes of the outputs, which are known on {_times(output_shape)} points only. "
            f"Set num_dims to {len(output_shape)}."
        )
    return found


def training_outputs(model: AbstractSensorOperator, targets: Iterable[np.ndarray], what: str) -> np.ndarray:
    """All blocks of training outputs, `(samples, out_channels, *output_shape)`, in double precision.

    **Raises:** `ConfigError` if there is none, or one of another shape; `what` says what the model takes from them.
    """
    name, wanted = type(model).__name__, (model.out_channels, *model.output_shape)
    blocks = [np.asarray(block, np.float64) for block in targets]
    for block in blocks:
        if block.shape[1:] != wanted:
            raise ConfigError(
                f"{name} takes {what} from outputs {wanted}, got {block.shape[1:]}. Give (samples, channels, *space), or "
                "build it with the out_channels and the grid of these outputs."
            )
    if not sum(map(len, blocks)):
        raise ConfigError(f"{name} takes {what} from outputs {wanted}, got no sample. Give the outputs of the training data.")
    return np.concatenate(blocks)


SCALINGS: dict[str, Callable[[int], float]] = {
    "none": lambda number: 1.0,
    "mean": lambda number: 1 / number,
    "sqrt": lambda number: number**-0.5,
}
"""The factor of a sum over so many basis functions, by the name that a `scaling` option gives it."""


def products(b: Float[Array, "basis batch"], t: Float[Array, "basis *batch_points"]) -> Float[Array, "batch points"]:
    r"""$\sum_k b_k t_k$ for each function and each point; points may be the same for all functions or be their own."""
    return b.T @ t if t.ndim == 2 else jnp.einsum("kb,kbn->bn", b, t)


def vanishing(y: Float[Array, "dims *batch_points"], v: Float[Array, "batch channels points"]) -> Array:
    r"""$v \prod_i 4 y_i (1 - y_i)$: the factor is exactly zero on the boundary of the unit box, 1 in its center."""
    return jnp.prod(4 * y * (1 - y), axis=0).reshape(-1, 1, y.shape[-1]).astype(v.dtype) * v


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
