"""Fully connected networks on vectors of features, with initial weights by name."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers._activation import activation, check_activation
from neuralop_jax.layers._pointwise import Pointwise

_AXES = {"in_axis": -1, "out_axis": -2}
INITIALIZERS: dict[str, Callable[..., Array] | None] = {
    "glorot_normal": jax.nn.initializers.glorot_normal(**_AXES),
    "glorot_uniform": jax.nn.initializers.glorot_uniform(**_AXES),
    "he_normal": jax.nn.initializers.he_normal(**_AXES),
    "he_uniform": jax.nn.initializers.he_uniform(**_AXES),
    "lecun_normal": jax.nn.initializers.lecun_normal(**_AXES),
    "lecun_uniform": jax.nn.initializers.lecun_uniform(**_AXES),
    "orthogonal": jax.nn.initializers.orthogonal(),
    "zeros": jax.nn.initializers.zeros,
    "pytorch": None,
}
"""Every distribution of initial weights that an `initializer` option can name; biases start at zero, but for `"pytorch"`, which
draws both uniformly in $\\pm 1/\\sqrt{\\text{inputs}}$."""


class MLP(eqx.Module):
    r"""$v_{k+1} = \sigma_k(W_k v_k + b_k)$ on vectors of features, the same at every point.

    **Arguments:**

    - `sizes`: features before, between and after the affine maps; two entries make one map.
    - `activations`: the activation after each map, by its name in `ACTIVATIONS`: one for all but the last, which then has none,
      or one for each, with `"identity"` for none.
    - `initializer`: a name in `INITIALIZERS`.
    - `key`: initial weights.

    **Raises:** `ConfigError` for an unknown name or another number of activations.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.layers import MLP

        trunk = MLP((2, 16, 8), activations=("tanh", "tanh"), key=jax.random.key(0))
        assert trunk(jnp.ones((2, 50))).shape == (8, 50)
        ```
    """

    layers: tuple[Pointwise, ...]
    activations: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activations: str | Sequence[str] = "tanh",
        initializer: str = "glorot_normal",
        key: PRNGKey,
    ):
        one_of("initializer", initializer, INITIALIZERS, ConfigError)
        number = len(sizes) - 1
        names = (*(activations,) * (number - 1), "identity") if isinstance(activations, str) else tuple(activations)
        if len(names) != number:
            raise ConfigError(f"an MLP of sizes {tuple(sizes)} has {number} activations, got {len(names)}: {names}.")
        for name in names:
            check_activation(name)
        keys = jax.random.split(key, number)
        self.layers = tuple(_affine(a, b, initializer, k) for a, b, k in zip(sizes[:-1], sizes[1:], keys, strict=True))
        self.activations = names

    def __call__(self, v: Float[Array, "features *points"], dtype: DTypeLike | None = None) -> Float[Array, "out *points"]:
        """The output for one vector, or for one at each point behind the features; `dtype` as in `hidden`."""
        return self.hidden(v, dtype)[-1]

    def hidden(self, v: Float[Array, "features *points"], dtype: DTypeLike | None = None) -> list[Float[Array, "hidden *points"]]:
        """What comes out of each layer after its activation, the last being the output.

        With `dtype`, this is the type of what comes out of every layer: the first may read coordinates in a finer one.
        """
        outputs = []
        for layer, name in zip(self.layers, self.activations, strict=True):
            v = activation(name, layer(v))
            v = v if dtype is None else v.astype(dtype)
            outputs.append(v)
        return outputs


class StackedMLP(eqx.Module):
    """Independent networks side by side, each with one output: as many outputs as networks.

    **Arguments:** as for `MLP`, with the number of networks as last of the `sizes`.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.layers import StackedMLP

        networks = eqx.filter_jit(StackedMLP)((2, 8, 5), key=jax.random.key(0))
        assert networks(jnp.ones((2, 7))).shape == (5, 7)
        ```
    """

    networks: MLP

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activations: str | Sequence[str] = "tanh",
        initializer: str = "glorot_normal",
        key: PRNGKey,
    ):
        build = lambda k: MLP((*sizes[:-1], 1), activations=activations, initializer=initializer, key=k)  # noqa: E731
        self.networks = eqx.filter_vmap(build)(jax.random.split(key, sizes[-1]))

    def __call__(self, v: Float[Array, "features *points"]) -> Float[Array, "networks *points"]:
        """The output of every network for the same input."""
        return eqx.filter_vmap(lambda network, v: network(v)[0], in_axes=(eqx.if_array(0), None))(self.networks, v)


def _affine(inputs: int, outputs: int, initializer: str, key: PRNGKey) -> Pointwise:
    layer, draw = Pointwise(inputs, outputs, key=key), INITIALIZERS[initializer]
    if draw is None:
        return layer
    drawn = draw(key, (outputs, inputs)), jnp.zeros(outputs)
    return eqx.tree_at(lambda affine: (affine.weight, affine.bias), layer, drawn)
