"""Operators on uniform grids that compute many samples at once as easily as one."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Key

from neuralop_jax._typing import Field, Fields, OutputField, OutputFields, Params, Points, PRNGKey, QueryPoints
from neuralop_jax.models._base import AbstractOperator, check_input, check_parameters, refuse_unused


class AbstractGridOperator(AbstractOperator):
    """An operator that maps values on a grid to values on a grid, by one function of `(channels, *batch, *space)`.

    With samples behind the channels, an affine map over the channels is one product of two matrices however many samples there
    are, and so is its gradient; `jax.vmap` would have XLA transpose the fields in memory.

    To write one, define `evaluate`. An option `complex_data` says that fields are complex, an option `num_parameters` above zero
    that parameters `p` are read.
    """

    num_dims: eqx.AbstractVar[int]

    @abc.abstractmethod
    def evaluate(
        self,
        u: Inexact[Array, "in_channels *batch_space"],
        p: Float[Array, "*batch parameters"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Inexact[Array, "out_channels *batch_out_space"]:
        """The output for one sample, `(channels, *space)`, or for several, `(channels, batch, *space)` with `p` `(batch, :)`.

        With a `key` the operator is in training: dropout draws from it, once for all samples, and a batch norm takes the
        statistics of the samples. Without, it is in use.
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
        """The output function on the grid of `u`, or on the grid that an option such as `output_scaling` leads to."""
        self.check(u, x, y, p, batched=False)
        return self.evaluate(u, p, key=key)

    def batched(
        self,
        u: Fields,
        *,
        x: Array | None = None,
        y: Array | None = None,
        p: Float[Array, "batch parameters"] | None = None,
        key: Key[Array, " batch"] | None = None,
    ) -> OutputFields:
        """The output functions of at least one sample: the same as `jax.vmap` of the operator, but faster.

        Only a batch norm in training tells them apart: here its statistics are those of all samples, under `jax.vmap` each
        sample has its own.
        """
        self.check(u, x, y, p, batched=True)
        key = None if key is None else key[0]
        return jnp.moveaxis(self.evaluate(jnp.moveaxis(u, 0, 1), p, key=key), 1, 0)

    def check(self, u: Any, x: Any, y: Any, p: Any, *, batched: bool) -> None:
        """Raises `ModelInputError` unless `u` fits the grid and channels, and nothing is given that is not read."""
        number = getattr(self, "num_parameters", 0)
        check_input(self, u, self.num_dims, complex_data=getattr(self, "complex_data", False), batched=batched)
        refuse_unused(self, x=x, y=y, p=None if number else p)
        if number:
            check_parameters(self, p, number, (u.shape[0],) if batched else ())
