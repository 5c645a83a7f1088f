"""A neural controlled differential equation as an operator on irregularly sampled time series."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import NeuralCDE, control, control_channels
from neuralop_jax.layers._activation import check_activation
from neuralop_jax.layers._control import check_kind
from neuralop_jax.models._on_grids import AbstractGridOperator
from neuralop_jax.models._options import check_sizes, sizes_of
from neuralop_jax.models._resolution import ResolutionClaim


class SeriesCDE(AbstractGridOperator):
    r"""$\mathrm dz = f(z)\, \mathrm dX$ along the control $X$ through a series of observations, and an affine readout of $z$.

    The input is a series on its own axis: the first channel holds the times, the others the values. With `masked`, as many
    channels follow that are above 0 where the value is observed, and the value itself is not read elsewhere. A series that is
    shorter than the axis ends with repeats of its last observation. For a classifier, the outputs are the logits of the classes:
    train it with the loss `"cross_entropy"`.

    Times that do not increase, a value that is observed nowhere, or a solve that fails give NaN for that sample, never a number.

    **Arguments:**

    - `in_channels`: time, values, and with `masked` whether they are observed.
    - `out_channels`: for instance the classes.
    - `masked`: whether the last half of the channels behind the time says which values are observed.
    - `control`: `"hermite"`, `"linear"` or `"rectilinear"`; see `layers.control`.
    - `fill`: what stands for missing values, `"interpolate"` or `"forward"`; `None` is the rule of the control. With
      `"interpolate"`, the rule of all but rectilinear controls, an answer with `readout="all"` depends on later observations.
    - `count_weight`: by how much an observation raises the channel that counts it; 0 leaves counts out.
    - `width`: of $z$.
    - `hidden`: widths of the hidden layers of $f$.
    - `activation`: of $f$.
    - `solver`, `steps`, `rtol`, `atol`, `max_steps`, `adjoint`: as for `layers.NeuralCDE`.
    - `readout`: `"end"` for the output behind the last observation, the same at all points of the axis, or `"all"` for the output
      behind each observation.
    - `key`: initial weights.

    **Raises:** `ConfigError` for an option that does not fit, or channels that are not one time and whole pairs.

    **Source:** Kidger et al. 2020, arXiv:2005.08926. Differs in that every solve ends at an observation.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.models import SeriesCDE

        model = SeriesCDE(in_channels=3, out_channels=2, width=8, hidden=(8,), key=jax.random.key(0))
        times = jnp.asarray([0.0, 0.1, 0.4, 1.0])
        series = jnp.stack([times, jnp.sin(times), jnp.cos(times)])
        assert eqx.filter_jit(model)(series).shape == (2, 4)
        ```
    """

    resolution = ResolutionClaim("none", "other observations are another path")
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    masked: bool = eqx.field(static=True)
    control: str = eqx.field(static=True)
    fill: str | None = eqx.field(static=True)
    count_weight: int | float = eqx.field(static=True)
    width: int = eqx.field(static=True)
    hidden: tuple[int, ...] = eqx.field(static=True)
    activation: str = eqx.field(static=True)
    solver: str = eqx.field(static=True)
    steps: int | None = eqx.field(static=True)
    rtol: float = eqx.field(static=True)
    atol: float = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    adjoint: str = eqx.field(static=True)
    readout: str = eqx.field(static=True)
    cde: NeuralCDE
    num_dims: int = eqx.field(static=True)

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        masked: bool = False,
        control: str = "hermite",
        fill: str | None = None,
        count_weight: int | float = 0.0,
        width: int = 32,
        hidden: Sequence[int] = (32,),
        activation: str = "silu",
        solver: str = "heun",
        steps: int | None = 1,
        rtol: float = 1e-3,
        atol: float = 1e-5,
        max_steps: int = 256,
        adjoint: str = "checkpoint",
        readout: str = "end",
        key: PRNGKey,
    ):
        check_activation(activation)
        check_sizes(in_channels=in_channels, out_channels=out_channels, width=width)
        check_kind(control, fill, count_weight)
        if in_channels < 2 or (masked and in_channels % 2 == 0):
            wanted = (
                "one time and a mask for each value, an odd number of at least 3" if masked else "a time and values, at least 2"
            )
            raise ConfigError(f"in_channels must be {wanted}, got {in_channels}. Check the fields of the input.")
        self.num_dims = 1
        self.in_channels, self.out_channels, self.masked = in_channels, out_channels, masked
        self.control, self.fill, self.count_weight = control, fill, count_weight
        self.width, self.hidden, self.activation = width, sizes_of("hidden", hidden), activation
        self.solver, self.steps, self.rtol, self.atol = solver, steps, rtol, atol
        self.max_steps, self.adjoint, self.readout = max_steps, adjoint, readout
        self.cde = NeuralCDE(
            in_channels=control_channels(self._values, count_weight),
            out_channels=out_channels,
            width=width,
            hidden=self.hidden,
            activation=activation,
            solver=solver,
            steps=steps,
            rtol=rtol,
            atol=atol,
            max_steps=max_steps,
            adjoint=adjoint,
            readout=readout,
            key=key,
        )

    @property
    def _values(self) -> int:
        """How many values an observation has."""
        return (self.in_channels - 1) // (2 if self.masked else 1)

    def evaluate(
        self,
        u: Inexact[Array, "in_channels *batch_times"],
        p: Float[Array, "*batch parameters"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Inexact[Array, "out_channels *batch_times"]:
        """The output for a series `(channels, times)`, or for several `(channels, batch, times)`; `p` is not read."""
        precise = u.astype(jnp.result_type(jnp.float32, u.dtype))  # close times would be one in half precision
        along = self._along if u.ndim == 2 else jax.vmap(self._along, in_axes=1, out_axes=1)
        return along(precise).astype(u.dtype)

    def _along(self, u: Float[Array, "in_channels times"]) -> Float[Array, "out_channels times"]:
        values = u[1 : 1 + self._values]
        if self.masked:
            values = jnp.where(u[1 + self._values :] > 0, values, jnp.nan)
        options = {"kind": self.control, "fill": self.fill, "count_weight": self.count_weight}
        found = self.cde(control(u[0], values.T, **options, throw=False), throw=False).values
        return found.T if self.readout == "all" else jnp.broadcast_to(found[:, None], (len(found), u.shape[1]))
