"""Normalizers: per-channel affine maps between physical units and numbers of order one, fitted in one pass in float64."""

import abc
import dataclasses
from collections.abc import Iterable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of, shown
from neuralop_jax._typing import RealField
from neuralop_jax.errors import ConfigError, DataError, ModelInputError

Statistics = Float[Array, " channels"]


class AbstractNormalizer(eqx.Module):
    r"""An affine map per channel, $\hat u_c = (u_c - m_c)/s_c$, and its inverse.

    Statistics belong to channels, not to points, so a normalizer serves every grid. They are kept in the default float type and
    cast to the type of the field, which the result has. They are not trainable: leave normalizers out of what is optimized.
    """

    kind: ClassVar[str]

    @abc.abstractmethod
    def shift_and_scale(self) -> tuple[Array, Array]:
        """The shift $m$ and the scale $s > 0$ in physical units, `(channels,)` each, or `()` if they are those of any channel."""

    def normalize(self, u: RealField) -> RealField:
        """From physical units: $(u - m)/s$ on one sample, `(channels, *space)`."""
        shift, scale = self._beside(u)
        return (u - shift) / scale

    def denormalize(self, u: RealField) -> RealField:
        """To physical units: $u s + m$ on one sample, `(channels, *space)`."""
        shift, scale = self._beside(u)
        return u * scale + shift

    def repeated(self, count: int) -> "AbstractNormalizer":
        """The normalizer of `count` fields like this one's, stacked along the channels."""
        return jax.tree.map(lambda value: jnp.tile(value, count) if value.ndim else value, self)

    def to_json(self) -> dict[str, Any]:
        """The kind and the statistics in JSON types, from which `normalizer_from_json` makes an equal normalizer."""
        return {"kind": self.kind, **{name: np.asarray(value).tolist() for name, value in vars(self).items()}}

    def _beside(self, u: RealField) -> tuple[Array, Array]:
        """Shift and scale in the type of `u`, shaped to broadcast over its space axes."""
        shift, scale = (value.astype(u.dtype) for value in self.shift_and_scale())
        if shift.ndim == 0:
            return shift, scale
        if u.ndim == 0 or u.shape[0] != shift.shape[0]:
            raise ModelInputError(
                f"{type(self).__name__} has statistics of {shift.shape[0]} channels, got a field of shape {u.shape}. "
                "Give one sample, channels first; map a batch with jax.vmap."
            )
        shape = (-1, *[1] * (u.ndim - 1))
        return shift.reshape(shape), scale.reshape(shape)


class GaussianNormalizer(AbstractNormalizer):
    r"""To mean zero and variance one: $\hat u_c = (u_c - \mu_c)/s_c$ with $s_c = \max(\sigma_c, \varepsilon |\mu_c|)$.

    The floor is relative, so the result does not depend on the physical unit: a permeability of $10^{-12}$ m² is normalized like
    one of 1 darcy. A channel that is constant in the training data is only shifted and gets its small floor as scale, or 1 if it
    is zero everywhere.

    **Arguments:**

    - `mean`: $\mu$, `(channels,)`, in physical units.
    - `std`: $\sigma \ge 0$, the population standard deviation, `(channels,)`.
    - `eps`: $\varepsilon$, the smallest standard deviation relative to the mean that is taken seriously; $10^{-5}$ is a hundred
        roundings of float32.

    !!! example

        ```python
        import jax.numpy as jnp

        from neuralop_jax.normalizers import GaussianNormalizer

        normalizer = GaussianNormalizer(mean=jnp.array([2.0]), std=jnp.array([4.0]))
        assert normalizer.normalize(jnp.array([[6.0, 2.0]])).tolist() == [[1.0, 0.0]]
        ```
    """

    kind: ClassVar[str] = "gaussian"
    mean: Statistics = eqx.field(converter=jnp.asarray)
    std: Statistics = eqx.field(converter=jnp.asarray)
    eps: float = eqx.field(static=True, default=1e-5)

    def shift_and_scale(self) -> tuple[Array, Array]:
        """The shift and the scale, `(channels,)` each."""
        return self.mean, _floored(self.std, self.eps * jnp.abs(self.mean))


class RangeNormalizer(AbstractNormalizer):
    r"""From the interval $[l_c, h_c]$ to $[-1, 1]$: $\hat u_c = (2 u_c - l_c - h_c)/(h_c - l_c)$.

    A channel that is constant in the training data is only shifted. *Good for* bounded fields, such as a two-valued coefficient;
    one outlier compresses all other values.

    **Arguments:**

    - `low`, `high`: $l \le h$, `(channels,)`, in physical units.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.normalizers import RangeNormalizer

        normalizer = RangeNormalizer(low=jnp.array([3.0]), high=jnp.array([12.0]))
        assert normalizer.normalize(jnp.array([[3.0, 12.0, 7.5]])).tolist() == [[-1, 1, 0]]
        ```
    """

    kind: ClassVar[str] = "range"
    low: Statistics = eqx.field(converter=jnp.asarray)
    high: Statistics = eqx.field(converter=jnp.asarray)

    def shift_and_scale(self) -> tuple[Array, Array]:
        """The shift and the scale, `(channels,)` each."""
        middle = (self.low + self.high) / 2
        return middle, _floored((self.high - self.low) / 2, 1e-5 * jnp.abs(middle))


class RMSNormalizer(AbstractNormalizer):
    r"""To mean square one, with no shift: $\hat u_c = u_c/\sqrt{\langle u_c^2 \rangle}$.

    *Good for* linear operators and for fields whose zero means something (velocities, sources): zero stays zero.

    **Arguments:**

    - `rms`: the root mean square, `(channels,)`, in physical units; a channel that is zero everywhere keeps its values.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.normalizers import RMSNormalizer, normalizer_from_json

        normalizer = RMSNormalizer(rms=jnp.array([4.0]))
        again = normalizer_from_json(normalizer.to_json())
        assert again.normalize(jnp.array([[0.0, 8.0]])).tolist() == [[0, 2]]
        ```
    """

    kind: ClassVar[str] = "rms"
    rms: Statistics = eqx.field(converter=jnp.asarray)

    def shift_and_scale(self) -> tuple[Array, Array]:
        """The shift and the scale, `(channels,)` each."""
        return jnp.zeros_like(self.rms), _floored(self.rms, jnp.zeros_like(self.rms))


class IdentityNormalizer(AbstractNormalizer):
    """Leaves physical units as they are, on any number of channels."""

    kind: ClassVar[str] = "identity"

    def shift_and_scale(self) -> tuple[Array, Array]:
        """Zero and one, `()` each."""
        return jnp.zeros(()), jnp.ones(())


NORMALIZERS: dict[str, type[AbstractNormalizer]] = {
    "gaussian": GaussianNormalizer,
    "range": RangeNormalizer,
    "rms": RMSNormalizer,
    "identity": IdentityNormalizer,
}


def fit_normalizer(kind: str, batches: Iterable[np.ndarray]) -> AbstractNormalizer:
    """The normalizer of one kind whose statistics are those of all the batches together, in one pass and in float64.

    Means and variances of the batches are merged exactly (Chan, Golub, LeVeque), so the result does not depend on how the data
    are cut: streaming agrees with NumPy on the whole array to rounding. Give it training data only.

    **Arguments:**

    - `kind`: `"gaussian"`, `"range"`, `"rms"` or `"identity"`.
    - `batches`: arrays of shape `(samples, channels, *space)`; the sizes of batches and grids may differ.

    **Returns:** a normalizer. Standard deviations are those of the population (no factor $n/(n-1)$).

    **Raises:** `ConfigError` for an unknown kind; `DataError` without a batch, with other channels in other batches, or where
    values are not finite.

    **Source:** Chan, Golub, LeVeque 1983, *Algorithms for computing the sample variance*, equation 2.1,
    [doi:10.1080/00031305.1983.10483115](https://doi.org/10.1080/00031305.1983.10483115).

    !!! example

        ```python
        import numpy as np

        from neuralop_jax.normalizers import fit_normalizer

        fields = np.random.rand(100, 2, 16, 16)
        normalizer = fit_normalizer("gaussian", (fields[i : i + 20] for i in range(0, 100, 20)))
        assert np.allclose(normalizer.mean, fields.mean((0, 2, 3)))
        ```
    """
    one_of("normalizer", kind, NORMALIZERS, ConfigError)
    if kind == "identity":
        return IdentityNormalizer()
    count, mean, squares, low, high = 0, 0.0, 0.0, np.inf, -np.inf
    for batch in batches:
        values = _by_channel(batch, channels=np.size(mean) if count else None)
        number, middle = values.shape[1], values.mean(axis=1)
        shift = middle - mean
        squares = squares + ((values - middle[:, None]) ** 2).sum(axis=1) + shift**2 * (count * number / (count + number))
        mean = mean + shift * (number / (count + number))
        low, high = np.minimum(low, values.min(axis=1)), np.maximum(high, values.max(axis=1))
        count += number
    if not count:
        raise DataError("a normalizer cannot be fitted without data: there was no batch. Give it the training samples.")
    if kind == "range":
        return RangeNormalizer(low, high)
    if kind == "rms":
        return RMSNormalizer(np.sqrt(squares / count + mean**2))
    return GaussianNormalizer(mean, np.sqrt(squares / count))


def normalizer_from_json(data: dict[str, Any]) -> AbstractNormalizer:
    """The normalizer that `AbstractNormalizer.to_json` described; `ConfigError` if it described none."""
    one_of("normalizer", data.get("kind"), NORMALIZERS, ConfigError)
    wanted = {"kind", *(field.name for field in dataclasses.fields(NORMALIZERS[data["kind"]]))}
    if data.keys() != wanted:
        raise ConfigError(f"normalizer {data['kind']!r} has {', '.join(sorted(wanted))}, got {shown(sorted(data))}.")
    statistics: dict[str, Any] = {
        name: value if name == "eps" else np.asarray(value) for name, value in data.items() if name != "kind"
    }
    return NORMALIZERS[data["kind"]](**statistics)


def _by_channel(batch: np.ndarray, channels: int | None) -> np.ndarray:
    """`(samples, channels, *space)` to float64 `(channels, samples * points)`."""
    batch = np.asarray(batch, np.float64)
    if batch.ndim < 2 or batch.size == 0 or (channels is not None and batch.shape[1] != channels):
        wanted = "channels" if channels is None else channels
        raise DataError(f"a normalizer is fitted on batches (samples, {wanted}, *space), got shape {batch.shape}.")
    if not np.isfinite(batch).all():
        raise DataError(f"a normalizer cannot be fitted on {(~np.isfinite(batch)).sum()} non-finite values. Drop these samples.")
    return np.moveaxis(batch, 1, 0).reshape(batch.shape[1], -1)


def _floored(value: Array, floor: Array) -> Array:
    """The larger of both, and 1 where both are zero."""
    scale = jnp.maximum(value, floor)
    return jnp.where(scale > 0, scale, 1)
