"""What every operator has in common: its call, and the checks of its input."""

import abc
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Key

from neuralop_jax._field_checks import check_field
from neuralop_jax._typing import Field, Fields, OutputField, OutputFields, Params, Points, PRNGKey, QueryPoints
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.kernels import SPACE, is_divided, space_size
from neuralop_jax.layers import Untrained
from neuralop_jax.models._resolution import ResolutionClaim
from neuralop_jax.normalizers import AbstractNormalizer


class AbstractOperator(eqx.Module):
    """A map from functions to functions, on one sample; `batched` takes many.

    Weights never depend on the grid: an operator is called at any resolution. `resolution` says what it claims of its output
    there.

    A `divisible` operator gives the block of the output for the block of the input where devices share the domain, that is in a
    `jax.shard_map` over a mesh with an axis `"space"`, along which the first space axis is divided. Others refuse to.
    """

    divisible: ClassVar[bool] = False
    resolution: ClassVar[ResolutionClaim] = ResolutionClaim("none", "its class claims nothing of other grids")
    in_channels: eqx.AbstractVar[int]
    out_channels: eqx.AbstractVar[int]
    width: eqx.AbstractVar[int]

    def check(self, u: Any, x: Any, y: Any, p: Any, *, batched: bool) -> None:
        """Raises `ModelInputError` for arguments that a call, or with `batched` a call of `batched`, would refuse."""

    @abc.abstractmethod
    def __call__(
        self,
        u: Field,
        *,
        x: Points | None = None,
        y: QueryPoints | None = None,
        p: Params | None = None,
        key: PRNGKey | None = None,
    ) -> OutputField:
        """The output function for the input function `u`.

        **Arguments:**

        - `u`: input function on a grid, `(in_channels, *space)`.
        - `x`: points at which `u` is given, for operators on point clouds.
        - `y`: points at which the output is wanted, for operators that can be queried anywhere.
        - `p`: scalar parameters of the sample.
        - `key`: randomness, for operators that use it in training.

        **Raises:** `ModelInputError` for a wrong shape or type, or an argument that the operator cannot use.
        """

    def batched(
        self,
        u: Fields,
        *,
        x: Array | None = None,
        y: Array | None = None,
        p: Float[Array, "batch parameters"] | None = None,
        key: Key[Array, " batch"] | None = None,
    ) -> OutputFields:
        """The output functions of many samples: every argument has a leading axis, `u` is `(batch, in_channels, *space)`.

        This is `jax.vmap` of the operator over the axis `"batch"`. An operator with a faster way to the same numbers overrides
        it; training and evaluation use it.
        """
        return jax.vmap(lambda kwargs: self(**kwargs), axis_name="batch")({"u": u, "x": x, "y": y, "p": p, "key": key})

    def fit_outputs(self, targets: Iterable[np.ndarray]) -> "AbstractOperator":
        """The operator with what it takes from the outputs of the training data, before training; by default nothing.

        **Arguments:**

        - `targets`: blocks of training outputs, `(samples, out_channels, *space)`, in the units of the operator.
        """
        return self


def check_input(model: AbstractOperator, u: Any, num_dims: int, *, complex_data: bool = False, batched: bool = False) -> None:
    """Raises `ModelInputError` unless `u` is `(in_channels, *space)` with `num_dims` space axes, with `batched` one axis more."""
    name = type(model).__name__ + (".batched" if batched else "")
    if is_divided() and not model.divisible:
        raise ModelInputError(
            f"{name} needs the whole domain, which is divided among {space_size()} devices. Use a mesh with one device along "
            f"{SPACE!r} and more along 'data', or an operator that can be divided, such as FNO, TFNO, MgNO or MultigridPatches."
        )
    check_field(name, u, model.in_channels, num_dims, complex_data=complex_data, batched=batched)


def check_parameters(model: AbstractOperator, p: Any, number: int, batch: tuple[int, ...]) -> None:
    """Raises `ModelInputError` unless `p` is the vector of `number` parameters of the sample, or of each of a batch."""
    if p is None or tuple(p.shape) != (*batch, number):
        found = "nothing" if p is None else f"shape {tuple(p.shape)}"
        raise ModelInputError(
            f"{type(model).__name__} reads parameters p of shape {(*batch, number)}, got {found}. Call it with p=...."
        )


def refuse_unused(model: AbstractOperator, *, x: Any = None, y: Any = None, p: Any = None) -> None:
    """Raises `ModelInputError` if an argument is given that an operator on grids cannot use."""
    name = type(model).__name__
    for label, points in (("points x", x), ("query points y", y)):
        if points is not None:
            raise ModelInputError(
                f"{name} returns values on the grid of u; it got {label} {tuple(points.shape)}. Leave them out, and interpolate "
                "the output."
            )
    if p is not None:
        raise ModelInputError(
            f"{name} got parameters p {tuple(p.shape)} but has no layer that reads them. Use norm='adaptive' with "
            "num_parameters, or append them to u as constant channels."
        )


def check_training_grid(model: AbstractOperator, shape: Sequence[int], *, name: str = "the training data") -> None:
    """Raises `ConfigError` if the grid `shape` has fewer points than the model keeps modes: some would never be trained.

    At evaluation a coarser grid is fine: the modes are clipped to those that it can represent.

    !!! example

        ```python
        import jax, pytest
        from neuralop_jax.errors import ConfigError
        from neuralop_jax.models import FNO, check_training_grid

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        check_training_grid(model, (16,))
        with pytest.raises(ConfigError, match="modes"):
            check_training_grid(model, (3,))
        ```
    """
    kept = clipped_modes(model, shape)
    if kept is None:
        return
    inner, seen, option = _resolving(model, shape)
    of = "" if tuple(seen) == tuple(shape) else f", of which it sees {tuple(seen)} at once"
    raise ConfigError(
        f"n_modes={inner.n_modes} needs a training grid of at least as many points per axis, {name} has "
        f"{tuple(shape)}{of}. Use --{option} {','.join(map(str, kept))}."
    )


def clipped_modes(model: AbstractOperator, shape: Sequence[int]) -> tuple[int, ...] | None:
    """The modes per axis that a grid of `shape` leaves of the model's `n_modes`, or `None` if it holds all, or there are none.

    !!! example

        ```python
        import jax
        from neuralop_jax.models import FNO, clipped_modes, modes_and_grid, refused_grid

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        assert clipped_modes(model, (3,)) == (3,) and clipped_modes(model, (16,)) is None
        assert modes_and_grid(model, (16,)) == ((4,), (16,)) and refused_grid(model, (3,)) is None
        ```
    """
    n_modes, seen = modes_and_grid(model, shape)
    if not n_modes or all(m <= n for m, n in zip(n_modes, seen, strict=True)):
        return None
    return tuple(min(m, n) for m, n in zip(n_modes, seen, strict=True))


def modes_and_grid(model: AbstractOperator, shape: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The model's `n_modes`, none if it has no such option, and the grid that it sees at once of a field on a grid of `shape`."""
    inner, seen, _ = _resolving(model, shape)
    return tuple(getattr(inner, "n_modes", None) or ()), tuple(seen)


def _resolving(model: Any, shape: Sequence[int]) -> tuple[Any, Sequence[int], str]:
    """The operator inside wrappers, the grid that it sees of a field on the grid `shape`, and the option with its modes."""
    model, option = _bare(model), "model"
    while hasattr(model, "inner"):
        shape = model.window_shape(shape) if hasattr(model, "window_shape") else shape
        model, option = model.inner, f"{option}.operator"
    return model, shape, f"{option}.n-modes"


def sensors_of(model: AbstractOperator) -> tuple[int, ...] | None:
    """The shape of the only grid on which an operator reads its input, `None` if it reads any.

    !!! example

        ```python
        import jax
        from neuralop_jax.models import FNO, DeepONet, sensors_of

        sizes = {"in_channels": 1, "out_channels": 1, "width": 4, "key": jax.random.key(0)}
        assert sensors_of(DeepONet(sensors=(8,), **sizes)) == (8,)
        assert sensors_of(FNO(n_modes=(4,), depth=1, **sizes)) is None
        ```
    """
    return getattr(_bare(model), "sensors", None)


def refused_grid(model: AbstractOperator, shape: Sequence[int]) -> str | None:
    """Why an operator with fixed sensors cannot be called on a grid of `shape`, in a few words; `None` if any operator can."""
    sensors = sensors_of(model)
    if sensors is None or sensors == tuple(shape):
        return None
    name, (here, there) = type(_bare(model)).__name__, (" x ".join(map(str, s)) for s in (shape, sensors))
    return f"{name} reads its input at {there} fixed sensors, not on {here} points"


def _bare(model: Any) -> Any:
    """The operator itself, without an ensemble around it or physical units."""
    members = getattr(model, "members", model)
    return getattr(members, "model", members)


def trainable(module: Any) -> Any:
    """Which leaves are trained: true on floating JAX arrays outside normalizers and `layers.Untrained`; for `eqx.partition`."""
    is_untrained = lambda leaf: isinstance(leaf, AbstractNormalizer | Untrained)  # noqa: E731
    return jax.tree.map(
        lambda leaf: jax.tree.map(lambda _: False, leaf) if is_untrained(leaf) else eqx.is_inexact_array(leaf),
        module,
        is_leaf=is_untrained,
    )


def count_parameters(module: Any) -> int:
    """The number of trainable real numbers: a complex weight counts twice."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(eqx.filter(module, trainable(module))))
