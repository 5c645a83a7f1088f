"""MultiONet: a deep operator network whose products are taken in several layers."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import MLP
from neuralop_jax.layers._pointwise import Pointwise
from neuralop_jax.models._on_sensors import AbstractSensorOperator, products, vanishing
from neuralop_jax.models._options import Depth, check_sizes, sizes_of


class LayerWeights(eqx.Module):
    r"""The weights $\omega_k$ of the layers and the bias $b$ of every output."""

    omega: Float[Array, "out_channels layers"]
    bias: Float[Array, " out_channels"]


class MultiONet(AbstractSensorOperator):
    r"""The operator network $G(u)(y) = \frac1l \sum_{k=n-l+1}^n \omega_k \langle t_k(y), b_k(u) \rangle + b$.

    Branch and trunk have $n$ layers each, with an activation after every one; the products of the last $l$ layers are averaged.
    Several outputs have networks of their own.

    With `channelwise`, the branch reads every input channel $m$ by itself and the outputs are affine in the averaged products:
    $G(u)(y) = A h + a$, $h_m = \frac1l \sum_k \langle t_k(y), b_k(u_m) \rangle$.

    **Arguments:** (keyword-only; all but `key` are kept and make the model's `spec_of`)

    - `in_channels`, `out_channels`: channels of input and output function.
    - `sensors`: the shape of the grid on which the input is given; `build` and training fill it in from the data.
    - `num_dims`: coordinates of a query point; as many as the sensors have axes if left out.
    - `width`, `depth`: size and number $n$ of the layers.
    - `sum_layers`: $l < n$.
    - `branch_sizes`, `trunk_sizes`: the size of each of the `depth` layers, where they are not all `width`; the last $l$ agree.
    - `branch_activation`, `trunk_activation`: names in `layers.ACTIVATIONS`.
    - `omega_init`: all $\omega_k$ at the start. The published 0 makes the untrained output zero, and the first step moves
      nothing but $\omega$ and $b$.
    - `channelwise`: see above; there is no $\omega$ then.
    - `boundary_condition`, `endpoint`: as in `DeepONet`.
    - `initializer`: a name in `layers.INITIALIZERS`; `"pytorch"` as published.
    - `key`: initial weights.

    **Raises:** `ConfigError` for options that do not fit; `ModelInputError` for an input at other points than the sensors.

    **Source:** Zang & Koutsourelakis 2025, arXiv:2502.06250, and `Networks/MultiONets.py` of `yaohua32/DGenNO`, whose three forms
    these are (points of all functions, or of each, are told apart by their shape). Differs: $\omega$ starts at one.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.models import MultiONet

        model = MultiONet(in_channels=1, out_channels=1, sensors=(29, 29), width=16, depth=4, sum_layers=3, key=jax.random.key(0))
        assert model(jnp.ones((1, 29, 29))).shape == (1, 29, 29)
        assert model(jnp.ones((1, 29, 29)), y=jnp.ones((25, 2))).shape == (1, 25)
        ```
    """

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    sensors: tuple[int, ...] = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    sum_layers: int = eqx.field(static=True)
    branch_sizes: tuple[int, ...] | None = eqx.field(static=True)
    trunk_sizes: tuple[int, ...] | None = eqx.field(static=True)
    branch_activation: str = eqx.field(static=True)
    trunk_activation: str = eqx.field(static=True)
    omega_init: float = eqx.field(static=True)
    channelwise: bool = eqx.field(static=True)
    boundary_condition: str | None = eqx.field(static=True)
    endpoint: bool = eqx.field(static=True)
    initializer: str = eqx.field(static=True)
    output_shape: tuple[int, ...] = eqx.field(static=True)
    queries: bool = eqx.field(static=True)
    branches: tuple[MLP, ...]
    trunks: tuple[MLP, ...]
    head: LayerWeights | Pointwise

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        sensors: Sequence[int],
        num_dims: int | None = None,
        width: int = 100,
        depth: Depth = 6,
        sum_layers: int = 5,
        branch_sizes: Sequence[int] | None = None,
        trunk_sizes: Sequence[int] | None = None,
        branch_activation: str = "silu",
        trunk_activation: str = "silu_sin",
        omega_init: int | float = 1.0,
        channelwise: bool = False,
        boundary_condition: str | None = None,
        endpoint: bool = True,
        initializer: str = "pytorch",
        key: PRNGKey,
    ):
        one_of("boundary_condition", boundary_condition, (None, "dirichlet"), ConfigError)
        self.sensors = self.output_shape = sizes_of("sensors", sensors)
        self.num_dims, self.queries = len(self.sensors) if num_dims is None else num_dims, True
        check_sizes(in_channels=in_channels, out_channels=out_channels, width=width, depth=depth, sum_layers=sum_layers)
        check_sizes(num_dims=self.num_dims)
        if sum_layers >= depth:
            raise ConfigError(f"sum_layers must be less than depth, got {sum_layers} of {depth} layers. Raise depth.")
        self.in_channels, self.out_channels, self.width = in_channels, out_channels, width
        self.depth, self.sum_layers, self.omega_init, self.channelwise = depth, sum_layers, float(omega_init), channelwise
        self.branch_sizes = None if branch_sizes is None else sizes_of("branch_sizes", branch_sizes)
        self.trunk_sizes = None if trunk_sizes is None else sizes_of("trunk_sizes", trunk_sizes)
        self.branch_activation, self.trunk_activation = branch_activation, trunk_activation
        self.boundary_condition, self.endpoint, self.initializer = boundary_condition, endpoint, initializer

        branch, trunk = (sizes or (width,) * depth for sizes in (self.branch_sizes, self.trunk_sizes))
        if len(branch) != depth or len(trunk) != depth or branch[-sum_layers:] != trunk[-sum_layers:]:
            raise ConfigError(
                f"branch_sizes {branch} and trunk_sizes {trunk} must have {depth} entries, of which the last {sum_layers} agree."
            )
        read = int(np.prod(self.sensors)) * (1 if channelwise else in_channels)
        number = 1 if channelwise else out_channels
        branch_keys, trunk_keys = jax.random.split(key, (2, number))
        network = lambda sizes, name, k: MLP(sizes, activations=(name,) * depth, initializer=initializer, key=k)  # noqa: E731
        self.branches = tuple(network((read, *branch), branch_activation, k) for k in branch_keys)
        self.trunks = tuple(network((self.num_dims, *trunk), trunk_activation, k) for k in trunk_keys)
        if channelwise:
            self.head = Pointwise(in_channels, out_channels, key=jax.random.fold_in(key, 0))
        else:
            self.head = LayerWeights(jnp.full((out_channels, sum_layers), self.omega_init), jnp.zeros(out_channels))

    def evaluate(
        self, u: Float[Array, "batch in_channels *sensors"], y: Float[Array, "dims *batch_points"]
    ) -> Float[Array, "batch out_channels points"]:
        """The outputs for some functions, at points that all share or at their own."""
        v = self._jointly(u, y, self.head) if isinstance(self.head, LayerWeights) else self._by_channel(u, y, self.head)
        return v if self.boundary_condition is None else vanishing(y, v)

    def _jointly(self, u: Array, y: Array, head: LayerWeights) -> Array:
        read, outputs = u.reshape(u.shape[0], -1).T, []
        for branch, trunk, omega in zip(self.branches, self.trunks, head.omega.astype(u.dtype), strict=True):
            pairs = zip(omega, *self._last(branch, trunk, read, y), strict=True)
            outputs.append(sum(products(weight * b, t) for weight, b, t in pairs))
        return jnp.stack(outputs, axis=1) / self.sum_layers + head.bias.astype(u.dtype)[None, :, None]

    def _by_channel(self, u: Array, y: Array, head: Pointwise) -> Array:
        rows = u.reshape(u.shape[0] * self.in_channels, -1).T
        total: Array | float = 0.0
        for b, t in zip(*self._last(self.branches[0], self.trunks[0], rows, y), strict=True):
            if t.ndim == 2:
                total = total + products(b, t).reshape(u.shape[0], self.in_channels, -1)
            else:
                total = total + jnp.einsum("hbm,hbn->bmn", b.reshape(len(b), u.shape[0], -1), t)
        mean = jnp.moveaxis(total / self.sum_layers, 1, 0)
        return jnp.moveaxis(head(mean), 0, 1)

    def _last(self, branch: MLP, trunk: MLP, read: Array, y: Array) -> tuple[list[Array], list[Array]]:
        """What comes out of the layers of both networks whose products are summed."""
        return branch.hidden(read)[-self.sum_layers :], trunk.hidden(y, read.dtype)[-self.sum_layers :]
