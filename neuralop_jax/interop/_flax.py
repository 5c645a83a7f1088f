"""Operators as Flax modules, NNX and Linen, and Flax modules as operators."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from flax import linen, nnx
from jaxtyping import Array, Key

from neuralop_jax._named_arrays import named_arrays
from neuralop_jax._typing import Field, Fields, OutputField, OutputFields, Params, Points, PRNGKey, QueryPoints
from neuralop_jax.errors import ModelInputError
from neuralop_jax.interop._functional import check_operator, kind_of, parameters_of
from neuralop_jax.layers import Untrained
from neuralop_jax.models import AbstractOperator
from neuralop_jax.models._base import check_input, refuse_unused


class UntrainedVariable(nnx.Variable):
    """An array of an operator that is not trained: `nnx.Optimizer(..., wrt=nnx.Param)` leaves it alone.

    So are kept the statistics of normalizers, and what an operator holds as `layers.Untrained`: fixed frequencies and the like.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from flax import nnx

        from neuralop_jax.interop import UntrainedVariable, to_nnx
        from neuralop_jax.models import FNO, Normalized
        from neuralop_jax.normalizers import GaussianNormalizer, IdentityNormalizer

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        module = to_nnx(Normalized(model, GaussianNormalizer(jnp.zeros(1), jnp.ones(1)), IdentityNormalizer()))
        untrained = nnx.to_pure_dict(nnx.state(module, UntrainedVariable))["arrays"]
        assert sorted(untrained) == ["input.mean", "input.std"]
        ```
    """


class NNXOperator(nnx.Module):
    """What `to_nnx` makes: `arrays` holds an `nnx.Param` or an `UntrainedVariable` by the name of each array."""

    def __init__(self, model: AbstractOperator):
        arrays, self._rebuild = named_arrays(model)
        trained = parameters_of(model)
        self.arrays = nnx.Dict({n: (nnx.Param if n in trained else UntrainedVariable)(array) for n, array in arrays.items()})

    @property
    def operator(self) -> AbstractOperator:
        """The operator with the arrays that the module has now."""
        return self._rebuild({name: variable[...] for name, variable in self.arrays.items()})

    def __call__(self, u: Fields, **inputs: Any) -> OutputFields:
        """`operator.batched(u)`: the outputs for many samples, channels first."""
        return self.operator.batched(u, **inputs)


def to_nnx(model: AbstractOperator) -> NNXOperator:
    """A module of Flax NNX that is `model.batched` and shares its arrays; `.operator` is the way back.

    Its `nnx.Param`s are what training here trains.

    **Raises:** `ModelInputError` if `model` is no operator.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        import optax
        from flax import nnx

        from neuralop_jax.interop import to_nnx
        from neuralop_jax.models import FNO

        module = to_nnx(FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0)))
        optimizer = nnx.Optimizer(module, optax.adam(1e-3), wrt=nnx.Param)
        u = jnp.ones((2, 1, 8))
        before = module(u)
        gradient = nnx.grad(lambda module: jnp.mean(module(u) ** 2))(module)
        optimizer.update(module, gradient)
        assert not jnp.allclose(module.operator.batched(u), before)
        ```
    """
    check_operator("to_nnx expects", model)
    return NNXOperator(model)


class LinenOperator(linen.Module):
    """What `to_linen` makes."""

    build: Callable[[PRNGKey], AbstractOperator]

    @linen.compact
    def __call__(self, u: Fields, **inputs: Any) -> OutputFields:
        """`operator.batched(u)`: the outputs for many samples, channels first."""
        if self.is_initializing():
            operator = self.build(self.make_rng("params"))
            check_operator("to_linen expects a function that builds", operator)
            (arrays, _), trained = named_arrays(operator), parameters_of(operator)
            self.put_variable("params", "arrays", trained)
            self.put_variable("untrained", "arrays", {name: array for name, array in arrays.items() if name not in trained})
            return operator.batched(u, **inputs)
        _, rebuild = named_arrays(eqx.filter_eval_shape(self.build, jax.random.key(0)))
        parts = (self.get_variable(collection, "arrays", {}) for collection in ("params", "untrained"))
        return rebuild({name: array for part in parts for name, array in part.items()}).batched(u, **inputs)


def to_linen(build: Callable[[PRNGKey], AbstractOperator]) -> LinenOperator:
    """A module of Flax Linen that is `build(key).batched`.

    Its collection `"params"` holds what training here trains, `"untrained"` the other arrays, both below `"arrays"` by name.

    **Raises:** `ModelInputError` if `build` is no function, and when called if it builds no operator.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp

        from neuralop_jax.interop import to_linen
        from neuralop_jax.models import FNO

        module = to_linen(lambda key: FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=key))
        u = jnp.ones((2, 1, 8))
        variables = module.init(jax.random.key(0), u)
        assert module.apply(variables, u).shape == (2, 1, 8)
        ```
    """
    if isinstance(build, AbstractOperator) or not callable(build):
        raise ModelInputError(
            f"to_linen expects a function of a key that builds an operator, got {kind_of(build)}. "
            "Use to_linen(lambda key: FNO(..., key=key)), or to_nnx for an operator that is built."
        )
    return LinenOperator(build)


class _UntrainedCollections(Untrained):
    """All variables of a Flax module but its parameters."""

    variables: Any


class _NoRandomNumbers:
    """What stands in a module of NNX for the state of its random numbers, which is no part of the operator."""

    def __getitem__(self, index: Any) -> Any:
        raise ModelInputError(
            "FlaxOperator is called without a key, its module draws random numbers. Draw none if `deterministic`."
        )


class FlaxOperator(AbstractOperator):
    """What `from_flax` makes; `parameters` is trained, `others` (statistics of batch norms and the like) is not.

    `random` says where a module of NNX has the state of random numbers.
    """

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    module: Any = eqx.field(static=True)
    parameters: Any
    others: _UntrainedCollections
    random: tuple[tuple[Any, ...], ...] = eqx.field(static=True, default=())

    def __call__(
        self,
        u: Field,
        *,
        x: Points | None = None,
        y: QueryPoints | None = None,
        p: Params | None = None,
        key: PRNGKey | None = None,
    ) -> OutputField:
        """The output for one sample, channels first."""
        self.check(u, x, y, p, batched=False)
        return self._apply(u[None])[0]

    def batched(
        self,
        u: Fields,
        *,
        x: Array | None = None,
        y: Array | None = None,
        p: Array | None = None,
        key: Key[Array, " batch"] | None = None,
    ) -> OutputFields:
        """The outputs for many samples, channels first, by one call of the module."""
        self.check(u, x, y, p, batched=True)
        return self._apply(u)

    def check(self, u: Any, x: Any, y: Any, p: Any, *, batched: bool) -> None:
        """Raises `ModelInputError` unless `u` fits and nothing else is given."""
        check_input(self, u, self.num_dims, batched=batched)
        refuse_unused(self, x=x, y=y, p=p)

    def _apply(self, u: Array) -> Array:
        u = jnp.moveaxis(u, 1, -1)
        if isinstance(self.module, linen.Module):
            v: Any = self.module.apply({"params": self.parameters, **self.others.variables}, u)
        else:
            random = nnx.from_flat_state([(path, _NoRandomNumbers()) for path in self.random])
            v = nnx.merge(self.module, self.parameters, self.others.variables, random)(u)
        # a network may need grids of certain sizes, so that no trial at conversion could tell what it gives
        if jnp.shape(v)[-1:] != (self.out_channels,):
            raise ModelInputError(
                f"FlaxOperator expected {self.out_channels} output channels on the last axis of what its module gives, got "
                f"shape {jnp.shape(v)}. Give from_flax the out_channels of the module."
            )
        return jnp.moveaxis(v, -1, 1)


def from_flax(
    module: linen.Module | nnx.Module,
    variables: Mapping[str, Any] | None = None,
    *,
    in_channels: int,
    out_channels: int,
    num_dims: int,
    width: int = 32,
) -> FlaxOperator:
    """The operator of a Flax module that maps samples `(batch, *space, in_channels)` to `(batch, *space, out_channels)`.

    Training, evaluation, checkpoints and the command line take it like any other, within a class that a configuration can name
    (see `models.REGISTRY`). The module is called in the same way in training and in use: without a key, and with the statistics
    of batch norms as they are. Of a module of NNX this is its evaluation mode, `module.eval()`, whatever its mode; the module
    itself stays as it is, and the state of its random numbers is left out. One of Linen is told so by its own attributes.
    A module that draws numbers all the same raises an error when it is called.

    **Arguments:**

    - `module`: of Linen, or of NNX, which holds its variables itself.
    - `variables`: those of a Linen module, as `module.init` gives them. `"params"` is trained, other collections are not.
    - `in_channels`, `out_channels`, `num_dims`: channels and space axes of the fields.
    - `width`: channels of a hidden field, by which batches are cut into portions that fit the cache.

    **Raises:** `ModelInputError` if `module` is no module of Flax, and when called if it does not give `out_channels`.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from flax import linen

        from neuralop_jax.interop import from_flax

        module = linen.Conv(2, (3,), padding="CIRCULAR")
        variables = module.init(jax.random.key(0), jnp.ones((1, 8, 1)))
        model = from_flax(module, variables, in_channels=1, out_channels=2, num_dims=1)
        assert model(jnp.ones((1, 32))).shape == (2, 32)
        ```
    """
    if not isinstance(module, linen.Module | nnx.Module):
        a_class = isinstance(module, type) and issubclass(module, linen.Module | nnx.Module)
        remedy = f"Build it first: {module.__name__}(...)." if a_class else "Make a function the __call__ of an nnx.Module."
        raise ModelInputError(f"from_flax expects a module of Flax, got {kind_of(module)}. {remedy}")
    sizes = (in_channels, out_channels, width, num_dims)
    if isinstance(module, linen.Module):
        others = {name: held for name, held in (variables or {}).items() if name != "params"}
        return FlaxOperator(*sizes, module, (variables or {}).get("params", {}), _UntrainedCollections(others))
    in_use = nnx.clone(module)
    in_use.set_attributes(deterministic=True, use_running_average=True, raise_if_not_found=False)  # its evaluation mode
    graph, random, parameters, rest = nnx.split(in_use, nnx.RngState, nnx.Param, ...)
    pure = [nnx.to_pure_dict(state) for state in (parameters, rest)]
    paths = tuple(path for path, _ in nnx.to_flat_state(random))
    return FlaxOperator(*sizes, graph, pure[0], _UntrainedCollections(pure[1]), paths)
