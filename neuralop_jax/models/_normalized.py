"""An operator from physical units to physical units."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from neuralop_jax._typing import Field, Fields, OutputField, OutputFields, Params, Points, PRNGKey, QueryPoints
from neuralop_jax.models._base import AbstractOperator
from neuralop_jax.models._resolution import ResolutionClaim
from neuralop_jax.normalizers import AbstractNormalizer


class Normalized(AbstractOperator):
    """`output.denormalize(model(input.normalize(u)))`: training, evaluation and serving then see the same units.

    **Arguments:**

    - `model`: an operator on normalized fields.
    - `input`, `output`: normalizers fitted on the training split; `models.trainable` leaves them out of training.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.models import FNO, Normalized
        from neuralop_jax.normalizers import GaussianNormalizer, IdentityNormalizer

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        kelvin = GaussianNormalizer(mean=jnp.array([293.0]), std=jnp.array([5.0]))
        u = jnp.ones((1, 16))
        assert jnp.allclose(Normalized(model, IdentityNormalizer(), kelvin)(u), 293 + 5 * model(u))
        ```
    """

    model: AbstractOperator
    input: AbstractNormalizer
    output: AbstractNormalizer
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    width: int = eqx.field(static=True)

    def __init__(self, model: AbstractOperator, input: AbstractNormalizer, output: AbstractNormalizer):
        self.model, self.input, self.output = model, input, output
        self.in_channels, self.out_channels, self.width = model.in_channels, model.out_channels, model.width

    @property
    def resolution(self) -> ResolutionClaim:
        """That of the operator inside: affine maps of the channels mix no wavenumbers."""
        return self.model.resolution

    def check(self, u: Any, x: Any, y: Any, p: Any, *, batched: bool) -> None:
        """As the operator inside: normalizing would hide integers, and name the wrong culprit."""
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
        """The output in physical units for an input in physical units."""
        self.check(u, x, y, p, batched=False)
        return self.output.denormalize(self.model(self.input.normalize(u), x=x, y=y, p=p, key=key))

    def batched(
        self,
        u: Fields,
        *,
        x: Array | None = None,
        y: Array | None = None,
        p: Float[Array, "batch parameters"] | None = None,
        key: Key[Array, " batch"] | None = None,
    ) -> OutputFields:
        """The outputs for many inputs, in physical units."""
        self.check(u, x, y, p, batched=True)
        output = self.model.batched(jax.vmap(self.input.normalize)(u), x=x, y=y, p=p, key=key)
        return jax.vmap(self.output.denormalize)(output)
