"""Operators on uniform grids that compute many samples at once as easily as one."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Key

from neuralop_jax._typing import Field, Fields, OutputField, OutputFields, Params, Points, PRNGKey
from neuralop_jax.models._base import AbstractOperator, check_batch, check_input, refuse_unused


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
        self, u: Inexact[Array, "in_channels *batch_space"], p: Float[Array, "..."] | None
    ) -> Inexact[Array, "out_channels *batch_out_space"]:
        """The output for one sample, `(channels, *space)`, or for several, `(channels, batch, *space)` with `p` `(batch, :)`."""

    def __call__(
        self,
        u: Field,
        *,
        x: Points | None = None,
        y: Points | None = None,
        p: Params | None = None,
        key: PRNGKey | None = None,
    ) -> OutputField:
        """The output function on the grid of `u`, or on the grid that an option such as `output_scaling` leads to."""
        self._check(u, x, y, p)
        return self.evaluate(u, p)

    def batched(
        self,
        u: Fields,
        *,
        x: Array | None = None,
        y: Array | None = None,
        p: Float[Array, "batch parameters"] | None = None,
        key: Key[Array, " batch"] | None = None,
    ) -> OutputFields:
        """The output functions of many samples: the same as `jax.vmap` of the operator, but faster."""
        check_batch(u)
        self._check(u[0], x, y, p)
        return jnp.moveaxis(self.evaluate(jnp.moveaxis(u, 0, 1), p), 1, 0)

    def _check(self, u: Array, x: Array | None, y: Array | None, p: Array | None) -> None:
        check_input(self, u, self.num_dims, complex_data=getattr(self, "complex_data", False))
        refuse_unused(self, x=x, y=y, p=None if getattr(self, "num_parameters", 0) else p)
