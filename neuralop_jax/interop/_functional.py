"""Operators as pure functions of a plain dictionary of arrays, for training loops of any kind."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import numpy as np
from jaxtyping import Array

from neuralop_jax._checks import did_you_mean
from neuralop_jax._named_arrays import named_arrays
from neuralop_jax.errors import ModelInputError
from neuralop_jax.models import AbstractOperator, trainable

Parameters = dict[str, Array]
Operator = TypeVar("Operator", bound=AbstractOperator)


def functional(model: AbstractOperator) -> tuple[Callable[[], Parameters], Callable[..., Array]]:
    """`init, apply`: `apply(init(), u)` is `model.batched(u)`, the outputs for many samples `(batch, channels, *space)`.

    The parameters are what training here trains, a dictionary by the names of checkpoints. Normalizers and all that is
    `layers.Untrained` stay in `apply`, so that no weight decay can reach them. `apply` takes the keyword arguments of `batched`,
    and parameters of any type. `with_parameters` makes an operator again.

    **Raises:** `ModelInputError` if `model` is no operator.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        import optax

        from neuralop_jax.interop import functional, with_parameters
        from neuralop_jax.models import FNO

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        init, apply = functional(model)
        parameters, optimizer = init(), optax.adam(1e-3)
        u = jnp.ones((2, 1, 8))
        gradient = jax.grad(lambda parameters: jnp.mean(apply(parameters, u) ** 2))(parameters)
        updates, state = optimizer.update(gradient, optimizer.init(parameters))
        trained = with_parameters(model, optax.apply_updates(parameters, updates))
        assert not jnp.allclose(trained(u[0]), model(u[0]))
        ```
    """

    check_operator("functional expects", model)

    def apply(parameters: Mapping[str, Array], u: Array, **inputs: Any) -> Array:
        return with_parameters(model, parameters).batched(u, **inputs)

    return lambda: parameters_of(model), apply


def check_operator(who_expects: str, model: Any) -> None:
    """Raises `ModelInputError` unless `model` is an operator that was built."""
    if not isinstance(model, AbstractOperator):
        raise ModelInputError(f"{who_expects} an operator, got {kind_of(model)}. Build one first, as with models.FNO(...).")


def kind_of(value: Any) -> str:
    """What a message calls a value that is of the wrong kind."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"a value of type {type(value).__name__}"


def parameters_of(model: AbstractOperator) -> Parameters:
    """The trained arrays of a model by name."""
    return named_arrays(eqx.filter(model, trainable(model)))[0]


def with_parameters(model: Operator, parameters: Mapping[str, Array]) -> Operator:
    """The same operator with other parameters, named as by `functional`.

    **Raises:** `ModelInputError` if names or shapes are not those of `model`, or it is no operator.
    """
    check_operator("with_parameters expects", model)
    arrays, rebuild = named_arrays(model)
    wanted, found = ({name: np.shape(leaf) for name, leaf in held.items()} for held in (parameters_of(model), parameters))
    for name in sorted(wanted | found):
        if wanted.get(name) != found.get(name):
            here, there = (f"shape {held[name]}" if name in held else "nothing" for held in (wanted, found))
            hint = "" if name in wanted else did_you_mean(name, wanted)
            raise ModelInputError(f"{type(model).__name__} has {here} at {name!r}, the parameters have {there}.{hint}")
    return rebuild({**arrays, **parameters})
