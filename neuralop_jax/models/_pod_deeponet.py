"""The deep operator network whose basis functions are the leading modes of the training outputs."""

from collections.abc import Iterable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import MLP
from neuralop_jax.models._branch import Branch
from neuralop_jax.models._on_sensors import SCALINGS, AbstractSensorOperator, output_axes, products, training_outputs
from neuralop_jax.models._options import check_counts, check_sizes, sizes_of
from neuralop_jax.models._pod import Modes, cosine_modes, pod_modes


class PODDeepONet(AbstractSensorOperator):
    r"""The deep operator network $G(u)(y) = \bar v(y) + s \sum_{k=1}^K b_k(u)\, \phi_k(y)$ with fixed $\bar v$, $\phi_k$.

    $\bar v$ and $\phi_k$ are mean and leading modes of the *training* outputs, channel by channel (`pod_modes`). Training sets
    them before its first step; by hand it is `model.fit_outputs([targets])`. They are in the checkpoint and are not trained.
    Before that they are zero and cosines. There are no values off the grid of the training outputs.

    **Arguments:** (keyword-only; all but `key` are kept and make the model's `spec_of`)

    - `in_channels`, `out_channels`, `sensors`, `width`, `branch`, `branch_hidden`, `branch_channels`, `branch_activation`,
      `trunk_activation`, `endpoint`, `initializer`, `key`: as in `DeepONet`; two hidden layers by default.
    - `num_modes`: $K$, modes per output channel. *Good values:* as many as hold 99.9 % of the variance; 32 for Burgers, 115 for
      piecewise constant Darcy in the paper.
    - `scaling`: $s$: `"mean"` $1/K$ as published, with which the branch has outputs of order $K$; `"none"` 1; `"sqrt"`
      $1/\sqrt K$. With further basis functions $K$ counts them too.
    - `num_basis`: further basis functions per channel, which a trunk network learns, and a bias; 0 for none.
    - `trunk_hidden`: hidden layers of that trunk, two of `width` if left out.
    - `num_dims`: coordinates of a point, as many as the outputs have axes. With a trunk, outputs of one axis may be a list of
      points with other than one coordinate; the trunk reads those of all points, in their order, as `y`.
    - `output_shape`: the shape of the grid of the outputs, if it is not that of the sensors.

    **Raises:** `ConfigError` for options that do not fit; `ModelInputError` for an input at other points than the sensors, or
    other query points than those of such a list.

    **Source:** Lu et al. 2022, arXiv:2111.05512, section 3.1, and `lu-group/deeponet-fno`; trunk beside the modes as in DeepXDE.

    !!! example

        ```python
        import jax, jax.numpy as jnp, numpy as np
        from neuralop_jax.models import PODDeepONet

        model = PODDeepONet(in_channels=1, out_channels=1, sensors=(32,), width=16, num_modes=8, key=jax.random.key(0))
        model = model.fit_outputs([np.random.default_rng(0).normal(size=(20, 1, 32))])
        assert model(jnp.ones((1, 32))).shape == (1, 32)
        ```
    """

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    sensors: tuple[int, ...] = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    num_modes: int = eqx.field(static=True)
    branch: str = eqx.field(static=True)
    branch_hidden: tuple[int, ...] | None = eqx.field(static=True)
    branch_channels: tuple[int, ...] = eqx.field(static=True)
    branch_activation: str | tuple[str, ...] = eqx.field(static=True)
    scaling: str = eqx.field(static=True)
    num_basis: int = eqx.field(static=True)
    trunk_hidden: tuple[int, ...] | None = eqx.field(static=True)
    trunk_activation: str = eqx.field(static=True)
    output_shape: tuple[int, ...] = eqx.field(static=True)
    endpoint: bool = eqx.field(static=True)
    initializer: str = eqx.field(static=True)
    queries: bool = eqx.field(static=True)
    branch_network: Branch
    modes: Modes
    trunk: MLP | None
    bias: Float[Array, " out_channels"] | None

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        sensors: Sequence[int],
        num_dims: int | None = None,
        width: int = 128,
        num_modes: int = 32,
        branch: str = "mlp",
        branch_hidden: Sequence[int] | None = None,
        branch_channels: Sequence[int] = (64, 128),
        branch_activation: str | Sequence[str] = "tanh",
        scaling: str = "mean",
        num_basis: int = 0,
        trunk_hidden: Sequence[int] | None = None,
        trunk_activation: str = "tanh",
        output_shape: Sequence[int] | None = None,
        endpoint: bool = True,
        initializer: str = "glorot_normal",
        key: PRNGKey,
    ):
        one_of("scaling", scaling, SCALINGS, ConfigError)
        check_sizes(in_channels=in_channels, out_channels=out_channels, width=width, num_modes=num_modes)
        check_counts(num_basis=num_basis)
        self.sensors = sizes_of("sensors", sensors)
        self.output_shape = self.sensors if output_shape is None else sizes_of("output_shape", output_shape)
        self.num_dims = output_axes(num_dims, self.output_shape, listed=num_basis > 0)
        self.in_channels, self.out_channels, self.width = in_channels, out_channels, width
        self.num_modes, self.branch, self.branch_channels = num_modes, branch, sizes_of("branch_channels", branch_channels)
        self.branch_hidden = None if branch_hidden is None else sizes_of("branch_hidden", branch_hidden)
        self.trunk_hidden = None if trunk_hidden is None else sizes_of("trunk_hidden", trunk_hidden)
        self.branch_activation = branch_activation if isinstance(branch_activation, str) else tuple(branch_activation)
        self.scaling, self.num_basis, self.trunk_activation = scaling, num_basis, trunk_activation
        self.endpoint, self.initializer, self.queries = endpoint, initializer, False
        branch_key, trunk_key = jax.random.split(key)
        self.branch_network = Branch(
            branch,
            in_channels,
            self.sensors,
            out_channels * (num_modes + num_basis),
            hidden=(width,) * 2 if self.branch_hidden is None else self.branch_hidden,
            channels=self.branch_channels,
            activation=self.branch_activation,
            initializer=initializer,
            key=branch_key,
        )
        self.modes, self.trunk, self.bias = cosine_modes(out_channels, num_modes, self.output_shape), None, None
        if num_basis:
            hidden = (width,) * 2 if self.trunk_hidden is None else self.trunk_hidden
            sizes = (self.num_dims, *hidden, out_channels * num_basis)
            names = (trunk_activation,) * (len(sizes) - 1)
            self.trunk = MLP(sizes, activations=names, initializer=initializer, key=trunk_key)
            self.bias = jnp.zeros(out_channels)

    def evaluate(
        self, u: Float[Array, "batch in_channels *sensors"], y: Float[Array, "dims *batch_points"]
    ) -> Float[Array, "batch out_channels points"]:
        """The outputs for some functions on the grid of the training outputs, whose coordinates `y` the trunk sees."""
        number, channels = self.num_modes + self.num_basis, self.out_channels
        b = self.branch_network(u).reshape(channels, number, -1)
        basis = self.modes.modes.astype(u.dtype).reshape(channels, self.num_modes, -1)
        v = [products(b[c, : self.num_modes], basis[c]) for c in range(channels)]
        if self.trunk is not None:
            t = self.trunk(y, u.dtype).reshape(channels, self.num_basis, -1)
            v = [part + products(b[c, self.num_modes :], t[c]) for c, part in enumerate(v)]
        output = SCALINGS[self.scaling](number) * jnp.stack(v, axis=1) + self.modes.mean.astype(u.dtype).reshape(1, channels, -1)
        return output if self.bias is None else output + self.bias.astype(u.dtype)[None, :, None]

    def fit_outputs(self, targets: Iterable[np.ndarray]) -> "PODDeepONet":
        """The operator with mean and modes of the training outputs, blocks of `(samples, out_channels, *output_shape)`.

        **Raises:** `ConfigError` for more modes than samples, or outputs on another grid or none.
        """
        values = training_outputs(self, targets, "its modes")
        arrays = (jnp.asarray(part, self.modes.mean.dtype) for part in pod_modes(values, self.num_modes))
        return eqx.tree_at(lambda model: model.modes, self, Modes(*arrays))
