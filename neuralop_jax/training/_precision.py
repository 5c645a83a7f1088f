"""Operators computed in another precision than that of their weights."""

from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from neuralop_jax._typing import Field, Fields, OutputField, OutputFields, Params, Points, PRNGKey, QueryPoints
from neuralop_jax.models import AbstractOperator, Normalized, trainable

Operator = TypeVar("Operator")


def in_precision(model: Operator, dtype: DTypeLike) -> Operator:
    """An operator that computes in `dtype` with a copy of its weights, and takes and returns fields of the type they come in.

    Gradients go through the conversion to the weights themselves, in their own type, so that small updates are not lost. Of a
    `Normalized` operator only the inside is converted: physical units may need more digits than `dtype` has. Fourier transforms
    promote to single precision by themselves. Points and parameters keep their type.

    **Arguments:**

    - `model`: an operator, or anything callable on fields.
    - `dtype`: *Good values*: `jax.numpy.bfloat16`, which has the range of single precision: no scaling of the loss is needed.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp

        from neuralop_jax.models import FNO
        from neuralop_jax.training import in_precision

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        v = in_precision(model, jnp.bfloat16)(jnp.ones((1, 8), jnp.float32))
        assert v.dtype == jnp.float32 and v.shape == (1, 8)
        ```
    """
    if isinstance(model, Normalized):
        return eqx.tree_at(lambda m: m.model, model, in_precision(model.model, dtype))
    return _Converted(model, dtype)  # pyright: ignore[reportReturnType]


class _Converted(AbstractOperator):
    """An operator computed in another type."""

    model: Any
    dtype: DTypeLike = eqx.field(static=True)
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    width: int = eqx.field(static=True)

    def __init__(self, model: Any, dtype: DTypeLike):
        self.model, self.dtype = model, dtype
        self.in_channels, self.out_channels, self.width = (
            getattr(model, name, 0) for name in ("in_channels", "out_channels", "width")
        )

    def check(self, u: Any, x: Any, y: Any, p: Any, *, batched: bool) -> None:
        self.model.check(u, x, y, p, batched=batched)

    def __call__(
        self,
        u: Field,
        *,
        x: Points | None = None,
        y: QueryPoints | None = None,
        p: Params | None = None,
        key: PRNGKey | None = None,
    ) -> OutputField:
        return self._converted()(u.astype(self.dtype), **_given(x, y, p), key=key).astype(u.dtype)

    def batched(
        self,
        u: Fields,
        *,
        x: Array | None = None,
        y: Array | None = None,
        p: Float[Array, "batch parameters"] | None = None,
        key: Key[Array, " batch"] | None = None,
    ) -> OutputFields:
        return self._converted().batched(u.astype(self.dtype), **_given(x, y, p), key=key).astype(u.dtype)

    def _converted(self) -> Any:
        weights, rest = eqx.partition(self.model, trainable(self.model))
        return eqx.combine(jax.tree.map(lambda w: w.astype(_like(w, self.dtype)), weights), rest)


def _like(weight: Array, dtype: DTypeLike) -> DTypeLike:
    """`dtype` for real weights; complex ones, of which there are no short ones, stay."""
    return weight.dtype if jnp.iscomplexobj(weight) else dtype


def _given(x: Any, y: Any, p: Any) -> dict[str, Any]:
    return {name: value for name, value in (("x", x), ("y", y), ("p", p)) if value is not None}
