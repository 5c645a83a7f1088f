"""The deep operator network: coefficients from one network, basis functions from another."""

from collections.abc import Iterable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import MLP, Untrained, periodic_features
from neuralop_jax.models._branch import Branch
from neuralop_jax.models._on_sensors import SCALINGS, AbstractSensorOperator, output_axes, products, training_outputs, vanishing
from neuralop_jax.models._options import check_counts, check_sizes, sizes_of

MULTI_OUTPUTS = ("independent", "split_both", "split_branch", "split_trunk")


class PointAffine(Untrained):
    """Mean and standard deviation of the training outputs, for every channel at every point of their grid."""

    mean: Float[Array, "channels *space"]
    std: Float[Array, "channels *space"]


class DeepONet(AbstractSensorOperator):
    r"""The deep operator network $G(u)(y) = s \sum_{k=1}^p b_k(u)\, t_k(y) + b_0$.

    The branch $b$ reads the input function at fixed sensors, the trunk $t$ the query point; after the trunk's last layer stands
    its activation once more. The input must be given at the sensors; the output can be had at any points of the unit box.

    **Arguments:** (keyword-only; all but `key` are kept and make the model's `spec_of`)

    - `in_channels`, `out_channels`: channels of input and output function.
    - `sensors`: the shape of the grid on which the input is given; `build` and training fill it in from the data.
    - `num_dims`: coordinates of a query point; as many as the sensors have axes if left out.
    - `width`: size of every hidden layer, and $p$, where nothing else is said.
    - `num_basis`: $p$, basis functions per output channel. *Good values:* 32 to 256.
    - `branch`: `"mlp"`, `"cnn"` (convolutions first, for fields of two or three dimensions) or `"stacked"` ($p$ small networks).
    - `branch_hidden`, `trunk_hidden`: sizes of the hidden layers; three and two layers of `width` if left out.
    - `branch_channels`: channels of the convolutions of `"cnn"`, 5 points wide, which keep every second point.
    - `branch_activation`, `trunk_activation`: names in `layers.ACTIVATIONS`; for the branch also one per hidden layer.
    - `multi_output`: how several outputs are had: `"independent"` networks; parts of the outputs of both networks,
      `"split_both"`; of the branch alone with one trunk for all, `"split_branch"`; or of the trunk alone, `"split_trunk"`.
    - `scaling`: $s$: `"none"` 1, `"mean"` $1/p$, `"sqrt"` $1/\sqrt p$, with which the variance does not grow with $p$.
    - `periodic_features`: the trunk sees cosines and sines of $2\pi k y$ for $k$ up to this number instead of $y$.
    - `boundary_condition`: `"dirichlet"` multiplies the output by $\prod_i 4 y_i (1 - y_i)$: exactly zero on the boundary. Use
      normalizers of the output that keep zero (`"rms"`, `"identity"`).
    - `output_affine`: the output, times the standard deviation of the training outputs at this point, plus their mean; then
      there are no values off the grid. `fit_outputs` sets both. `sensors` of one axis may then be a list of points of `num_dims`
      coordinates, which a call gives as `y`.
    - `endpoint`: whether the grid of the sensors includes the right end of every axis; if left out, unless the features are
      periodic. Query points are in units of this box.
    - `initializer`: a name in `layers.INITIALIZERS`.
    - `key`: initial weights.

    **Raises:** `ConfigError` for options that do not fit; `ModelInputError` for an input at other points than the sensors.

    **Source:** Lu et al. 2021, arXiv:1910.03193; Lu et al. 2022, arXiv:2111.05512, section 3.1, the defaults being
    those of its Burgers problem but for the periodic features. Differs: normal initial weights are truncated, as in TensorFlow;
    the published Dirichlet factor is $20 \prod_i y_i (1 - y_i)$ and multiplies $G + 1$.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.models import DeepONet

        model = DeepONet(in_channels=1, out_channels=1, sensors=(16, 16), width=32, key=jax.random.key(0))
        compiled = eqx.filter_jit(model)
        assert compiled(jnp.ones((1, 16, 16))).shape == (1, 16, 16)
        assert compiled(jnp.ones((1, 16, 16)), y=jnp.ones((5, 2))).shape == (1, 5)
        assert model.batched(jnp.ones((3, 1, 16, 16)), y=jnp.ones((3, 7, 2))).shape == (3, 1, 7)
        ```
    """

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    sensors: tuple[int, ...] = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    num_basis: int = eqx.field(static=True)
    branch: str = eqx.field(static=True)
    branch_hidden: tuple[int, ...] | None = eqx.field(static=True)
    trunk_hidden: tuple[int, ...] | None = eqx.field(static=True)
    branch_channels: tuple[int, ...] = eqx.field(static=True)
    branch_activation: str | tuple[str, ...] = eqx.field(static=True)
    trunk_activation: str = eqx.field(static=True)
    multi_output: str = eqx.field(static=True)
    scaling: str = eqx.field(static=True)
    periodic_features: int = eqx.field(static=True)
    boundary_condition: str | None = eqx.field(static=True)
    output_affine: bool = eqx.field(static=True)
    endpoint: bool = eqx.field(static=True)
    initializer: str = eqx.field(static=True)
    output_shape: tuple[int, ...] = eqx.field(static=True)
    queries: bool = eqx.field(static=True)
    branches: tuple[Branch, ...]
    trunks: tuple[MLP, ...]
    bias: Float[Array, " out_channels"]
    affine: PointAffine | None

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        sensors: Sequence[int],
        num_dims: int | None = None,
        width: int = 128,
        num_basis: int | None = None,
        branch: str = "mlp",
        branch_hidden: Sequence[int] | None = None,
        trunk_hidden: Sequence[int] | None = None,
        branch_channels: Sequence[int] = (64, 128),
        branch_activation: str | Sequence[str] = "tanh",
        trunk_activation: str = "tanh",
        multi_output: str = "independent",
        scaling: str = "none",
        periodic_features: int = 0,
        boundary_condition: str | None = None,
        output_affine: bool = False,
        endpoint: bool | None = None,
        initializer: str = "glorot_normal",
        key: PRNGKey,
    ):
        one_of("multi_output", multi_output, MULTI_OUTPUTS, ConfigError)
        one_of("scaling", scaling, SCALINGS, ConfigError)
        one_of("boundary_condition", boundary_condition, (None, "dirichlet"), ConfigError)
        self.num_basis = width if num_basis is None else num_basis
        self.sensors = self.output_shape = sizes_of("sensors", sensors)
        self.queries = not output_affine
        self.num_dims = len(self.sensors) if num_dims is None else num_dims
        check_sizes(in_channels=in_channels, out_channels=out_channels, width=width, num_basis=self.num_basis)
        check_sizes(num_dims=self.num_dims)
        check_counts(periodic_features=periodic_features)
        if output_affine:
            output_axes(self.num_dims, self.output_shape, listed=True)
        if boundary_condition is not None and output_affine:
            raise ConfigError("output_affine would move the zeros of boundary_condition 'dirichlet'. Use one of them.")
        self.in_channels, self.out_channels, self.width = in_channels, out_channels, width
        self.branch_hidden = None if branch_hidden is None else sizes_of("branch_hidden", branch_hidden)
        self.trunk_hidden = None if trunk_hidden is None else sizes_of("trunk_hidden", trunk_hidden)
        self.branch, self.branch_channels = branch, sizes_of("branch_channels", branch_channels)
        self.branch_activation = branch_activation if isinstance(branch_activation, str) else tuple(branch_activation)
        self.trunk_activation, self.multi_output, self.scaling = trunk_activation, multi_output, scaling
        self.periodic_features, self.boundary_condition = periodic_features, boundary_condition
        self.output_affine, self.initializer = output_affine, initializer
        self.endpoint = not periodic_features if endpoint is None else endpoint

        number = out_channels if multi_output == "independent" else 1
        per_branch = self.num_basis * (out_channels if multi_output in ("split_both", "split_branch") else 1)
        per_trunk = self.num_basis * (out_channels if multi_output in ("split_both", "split_trunk") else 1)
        keys = jax.random.split(key, 2 * number)
        self.branches = tuple(
            Branch(
                branch,
                in_channels,
                self.sensors,
                per_branch,
                hidden=(width,) * 3 if self.branch_hidden is None else self.branch_hidden,
                channels=self.branch_channels,
                activation=self.branch_activation,
                initializer=initializer,
                key=k,
            )
            for k in keys[:number]
        )
        hidden = (width,) * 2 if self.trunk_hidden is None else self.trunk_hidden
        sizes = (self.num_dims * max(1, 2 * periodic_features), *hidden, per_trunk)
        names = (trunk_activation,) * (len(sizes) - 1)
        self.trunks = tuple(MLP(sizes, activations=names, initializer=initializer, key=k) for k in keys[number:])
        self.bias = jnp.zeros(out_channels)
        shape = (out_channels, *self.sensors)
        self.affine = PointAffine(jnp.zeros(shape), jnp.ones(shape)) if output_affine else None

    def evaluate(
        self, u: Float[Array, "batch in_channels *sensors"], y: Float[Array, "dims *batch_points"]
    ) -> Float[Array, "batch out_channels points"]:
        """The outputs for some functions, at points that all share or at their own."""
        seen = periodic_features(y, self.periodic_features) if self.periodic_features else y
        parts = lambda v: list(v.reshape(-1, self.num_basis, *v.shape[1:]))  # noqa: E731
        rows = [part for branch in self.branches for part in parts(branch(u))]
        columns = [part for trunk in self.trunks for part in parts(trunk(seen, u.dtype))]
        pairs = [(rows[c % len(rows)], columns[c % len(columns)]) for c in range(self.out_channels)]
        v = (
            SCALINGS[self.scaling](self.num_basis) * jnp.stack([products(b, t) for b, t in pairs], axis=1)
            + self.bias.astype(u.dtype)[None, :, None]
        )
        if self.boundary_condition is not None:
            v = vanishing(y, v)
        if self.affine is not None:
            mean, std = (part.astype(u.dtype).reshape(1, self.out_channels, -1) for part in (self.affine.mean, self.affine.std))
            v = std * v + mean
        return v

    def fit_outputs(self, targets: Iterable[np.ndarray]) -> "DeepONet":
        """With `output_affine`, the operator with mean and standard deviation of the training outputs at every point.

        **Raises:** `ConfigError` for outputs on another grid, or none.
        """
        if self.affine is None:
            return self
        values = training_outputs(self, targets, "mean and deviation")
        fitted = PointAffine(*(jnp.asarray(part, self.affine.mean.dtype) for part in (values.mean(0), values.std(0))))
        return eqx.tree_at(lambda model: model.affine, self, fitted)
