"""Vector fields for differential equations that learn: networks, and operators on grids."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers._activation import activation, check_activation
from neuralop_jax.layers._mlp import MLP
from neuralop_jax.layers._pointwise import Pointwise

_TIMES = ("none", "append", "modulate")
_OPERATOR_TIMES = ("none", "channel", "parameter")


class Forcing(eqx.Module):
    """What a vector field reads besides time and state: the `args` of a solve.

    - `parameters`: constants of the sample, `(parameters,)`.
    - `control`: a function of time with values `(controls,)`, such as `evaluate` of a `Control`, or a module. What a solve
      finds of its path must cover the times.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.layers import Forcing, VectorField

        field = VectorField(features=2, width=4, num_parameters=1, key=jax.random.key(0))
        rate = field(0.0, jnp.ones(2), Forcing(parameters=jnp.ones(1)))
        assert jnp.allclose(rate, field(0.0, jnp.ones(2), jnp.ones(1)))
        ```
    """

    parameters: Float[Array, " parameters"] | None = None
    control: Callable[..., Array] | None = None


class VectorField(eqx.Module):
    r"""$f(t, z, a)$, a network on states of `features` numbers, also many at once: `(features, *points)`.

    **Arguments:**

    - `features`: size of the state, without what `augmented` adds.
    - `width`, `depth`: hidden features and hidden layers.
    - `time`: `"none"`, an autonomous field; `"append"`, time as one more input of every layer; `"modulate"`, every hidden layer
      scaled and shifted, $(1 + \gamma(t))\,v + \beta(t)$, by a network of time.
    - `num_parameters`, `num_controls`: how many constants and controls to read from a `Forcing`, or from a vector of constants.
    - `activation`: a name in `ACTIVATIONS`; smooth ones keep the order of the solver.
    - `key`: initial weights.

    **Raises:** `ConfigError` for an unknown name or sizes below one; `ModelInputError` for other `args`.

    **Source:** time in every layer: Grathwohl et al. 2018, arXiv:1810.01367; modulation: Perez et al. 2017, arXiv:1709.07871.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.layers import NeuralODE, VectorField, augmented

        field = VectorField(features=3, width=8, time="modulate", key=jax.random.key(0))
        layer = NeuralODE(field, step=0.25, only_end=True)
        z = augmented(jnp.ones(2), 1)  # one dimension more
        assert layer(z, jnp.asarray([0.0, 1.0])).values.shape == (3,)
        ```
    """

    layers: tuple[Pointwise, ...]
    modulation: MLP | None
    features: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    time: str = eqx.field(static=True)
    num_parameters: int = eqx.field(static=True)
    num_controls: int = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        *,
        features: int,
        width: int,
        depth: int = 2,
        time: str = "none",
        num_parameters: int = 0,
        num_controls: int = 0,
        activation: str = "tanh",
        key: PRNGKey,
    ):
        one_of("time", time, _TIMES, ConfigError)
        check_activation(activation)
        if min(features, width, depth) < 1 or min(num_parameters, num_controls) < 0:
            raise ConfigError(f"VectorField needs sizes of at least 1, got features={features}, width={width}, depth={depth}.")
        inner, outer = jax.random.split(key)
        keys, extra = jax.random.split(inner, depth + 1), int(time == "append")
        sizes = (features + num_parameters + num_controls, *(width,) * depth, features)
        self.layers = tuple(Pointwise(a + extra, b, key=k) for a, b, k in zip(sizes[:-1], sizes[1:], keys, strict=True))
        self.modulation = MLP((1, width, 2 * width * depth), key=outer) if time == "modulate" else None
        self.features, self.width, self.depth, self.time = features, width, depth, time
        self.num_parameters, self.num_controls, self.activation = num_parameters, num_controls, activation

    def __call__(
        self, t: Float[Array, ""] | float, z: Float[Array, "features *points"], args: Any = None
    ) -> Float[Array, "features *points"]:
        """The rate of change of `z` at time `t`."""
        if z.shape[0] != self.features:
            raise ModelInputError(f"VectorField moves states of {self.features} features, got shape {z.shape}.")
        constants = _constants(t, args, self.num_parameters, self.num_controls)
        v = z if constants is None else _append(z, constants)
        time = jnp.asarray(t, z.dtype)[None]
        gamma_beta = None
        if self.modulation is not None:
            gamma_beta = self.modulation(time).reshape(self.depth, 2, self.width)
        for i, layer in enumerate(self.layers):
            v = layer(_append(v, time) if self.time == "append" else v)
            if i == self.depth:
                return v
            if gamma_beta is not None:
                gamma, beta = (_over_points(part, v) for part in gamma_beta[i])
                v = (1 + gamma) * v + beta
            v = activation(self.activation, v)
        raise AssertionError("the last layer returns")


class OperatorField(eqx.Module):
    r"""Any operator of the library as the vector field of an evolution equation, $\dot u = N(u; p)$: the method of lines.

    States are fields `(channels, *space)`, or with samples behind the channels `(channels, batch, *space)` for operators that
    have `evaluate`. With an operator that is called at any resolution, so is the equation.

    **Arguments:**

    - `operator`: takes `u` and, as `p=`, the parameters that come in `args`; as many channels out as in the state.
    - `time`: `"none"`; `"channel"`, time as one more constant channel behind those of the state; `"parameter"`, time as last of
      the parameters.
    - `batched`: states hold samples behind the channels, `args` one row of parameters for each.

    **Raises:** `ConfigError` for an unknown `time`, or numbers of channels that do not fit.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import NeuralODE, OperatorField

        def diffusion(u, *, p):
            return p[0] * (jnp.roll(u, 1, -1) - 2 * u + jnp.roll(u, -1, -1))

        solve = NeuralODE(OperatorField(diffusion), only_end=True)
        u = solve(jnp.eye(8)[:1], jnp.asarray([0.0, 1.0]), jnp.asarray([0.5])).values
        assert u.shape == (1, 8) and jnp.allclose(u.sum(), 1)
        ```
    """

    operator: Callable[..., Array]
    time: str = eqx.field(static=True)
    batched: bool = eqx.field(static=True)

    def __init__(self, operator: Callable[..., Array], *, time: str = "none", batched: bool = False):
        one_of("time", time, _OPERATOR_TIMES, ConfigError)
        inputs, outputs = (getattr(operator, name, None) for name in ("in_channels", "out_channels"))
        extra = int(time == "channel")
        if inputs is not None and outputs is not None and inputs != outputs + extra:
            raise ConfigError(
                f"the operator of a vector field returns what it reads{' but time' * extra}: it has {inputs} channels in and "
                f"{outputs} out. Build it with in_channels={outputs + extra}."
            )
        if batched and not hasattr(operator, "evaluate"):
            raise ConfigError(f"{type(operator).__name__} cannot take many samples at once. Use batched=False and jax.vmap.")
        self.operator, self.time, self.batched = operator, time, batched

    def __call__(
        self,
        t: Float[Array, ""] | float,
        u: Float[Array, "channels *space"],
        args: Float[Array, "*batch parameters"] | None = None,
    ) -> Float[Array, "..."]:
        """The rate of change of `u` at time `t`, with `args` as parameters."""
        time = jnp.asarray(t, u.dtype)[None]
        v, p = u, args
        if self.time == "channel":
            v = _append(u, time)
        elif self.time == "parameter":
            stamp = jnp.broadcast_to(time, (*u.shape[1 : 1 + self.batched], 1))
            p = stamp if args is None else jnp.concatenate([args, stamp], axis=-1)
        if self.batched:
            return self.operator.evaluate(v, p)  # pyright: ignore[reportFunctionMemberAccess]
        return self.operator(v) if p is None else self.operator(v, p=p)


def augmented(z: Float[Array, "features *points"], dimensions: int) -> Float[Array, "more *points"]:
    r"""$(z, 0)$: the state with `dimensions` zeros behind it, so that trajectories need not cross.

    The flow of a vector field deforms space without tearing it: without room it cannot even map $x$ to $-x$ on a line.

    **Raises:** `ConfigError` for a negative number.

    **Source:** Dupont, Doucet, Teh 2019, arXiv:1904.01681.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import augmented

        assert augmented(jnp.ones((2, 5)), 3).shape == (5, 5)
        ```
    """
    if dimensions < 0:
        raise ConfigError(f"augmented needs a number of dimensions of at least 0, got {dimensions}.")
    return jnp.concatenate([z, jnp.zeros((dimensions, *z.shape[1:]), z.dtype)])


def _constants(t: Array | float, args: Any, num_parameters: int, num_controls: int) -> Array | None:
    """Parameters and controls at time `t` in one vector."""
    forcing = args if isinstance(args, Forcing) else Forcing(args)
    parts = []
    for name, number, part in (
        ("parameters", num_parameters, forcing.parameters),
        ("controls", num_controls, None if forcing.control is None else forcing.control(t)),
    ):
        found = None if part is None else tuple(part.shape)
        if found != ((number,) if number else None):
            raise ModelInputError(f"VectorField reads {number or 'no'} {name} from args, got {found}. Give Forcing or a vector.")
        if part is not None:
            parts.append(part)
    return jnp.concatenate(parts) if parts else None


def _over_points(constants: Array, like: Array) -> Array:
    """A vector as channels that do not vary over the points of `like`."""
    return constants.astype(like.dtype).reshape(-1, *(1,) * (like.ndim - 1))


def _append(v: Array, constants: Array) -> Array:
    """`v` with constant channels behind its own."""
    if constants.ndim == 1:
        constants = _over_points(constants, v)
    return jnp.concatenate([v, jnp.broadcast_to(constants.astype(v.dtype), (constants.shape[0], *v.shape[1:]))])
