"""Spectral weights of low rank: CP, Tucker and tensor-train factors with one interface."""

import abc
import math
from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels import (
    contract_cp,
    contract_tt,
    contract_tucker,
    cp_rank,
    dense_cp,
    dense_tt,
    dense_tucker,
    tt_rank,
    tucker_rank,
)
from neuralop_jax.kernels._low_rank import Pair, product

Rank = int | float | Sequence[int]
"""A ratio of the dense tensor's numbers (float, at most 1), one rank for all modes (int), or every rank."""


class AbstractSpectralWeight(eqx.Module):
    r"""A complex tensor $(i, o, k_1, \dots, k_d)$ of low rank, the weight of a spectral convolution, in pairs of real arrays.

    A separable one is $(c, k_1, \dots, k_d)$; a joint one has the layers as its first mode and is read by `layer`.
    """

    factors: eqx.AbstractVar[tuple[Pair, ...]]
    separable: eqx.AbstractVar[bool]

    mode_axis: eqx.AbstractClassVar[int]
    """The axis of a factor that runs over the tensor's mode."""

    @property
    def modes(self) -> tuple[int, ...]:
        """How many wavenumbers per axis the factors have rows for."""
        return tuple(real.shape[self.mode_axis] for real, _ in self.factors[1 if self.separable else 2 :])

    def rows(self, place: Sequence[slice], dtype: jnp.dtype) -> "AbstractSpectralWeight":
        """The weight of the wavenumbers at `place` of every axis, in the precision `dtype`."""
        weight = jax.tree.map(lambda part: part.astype(dtype), self)
        before, index = (slice(None),) * self.mode_axis, len(self.factors) - len(place)
        modal = tuple(
            (real[*before, cut], imaginary[*before, cut])
            for (real, imaginary), cut in zip(weight.factors[index:], place, strict=True)
        )
        return eqx.tree_at(lambda w: w.factors, weight, (*weight.factors[:index], *modal))

    @abc.abstractmethod
    def layer(self, index: int) -> "AbstractSpectralWeight":
        """The weight of one layer of a joint tensor, whose first mode are the layers."""

    @abc.abstractmethod
    def dropped(self, probability: float, *, min_rank: int = 4, rescale: bool = False, key: PRNGKey) -> "AbstractSpectralWeight":
        """The weight without a random choice of its ranks: tensor dropout.

        **Arguments:**

        - `probability`: with which each index of each rank is left out; one at least is kept.
        - `min_rank`: smaller ranks are left whole.
        - `rescale`: divide by $1 - p$ for every rank that indices are left out of, so that the mean over all choices is the
          weight itself (but for the choices that would leave nothing).
        - `key`: the choice.
        """

    @abc.abstractmethod
    def contract(self, c: Float[Array, "2 *modes_batch in"]) -> Float[Array, "2 *modes_batch out"]:
        """The product with coefficients, factor by factor; the weight must not be separable."""

    @abc.abstractmethod
    def to_dense(self) -> Pair:
        """The weight `(*modes, in, out)`, or `(*modes, channels)`, in full."""


class CPWeight(AbstractSpectralWeight):
    r"""$W = \sum_r \lambda_r\, a^{(1)}_r \circ \dots \circ a^{(N)}_r$: `scales` $\lambda$ and `factors` `(size, R)`.

    **Arguments:** for this and the other two

    - `shape`: of the tensor.
    - `rank`: a float is the ratio of the dense tensor's numbers to hold, at most 1; integers are ranks.
    - `deviation`: standard deviation of the tensor's entries at the start.
    - `separable`: whether there is one mode of channels instead of two.
    - `key`: draws the factors.
    """

    scales: Pair
    factors: tuple[Pair, ...]
    separable: bool = eqx.field(static=True)
    mode_axis: ClassVar[int] = 0

    def __init__(self, shape: Sequence[int], rank: Rank, *, deviation: float, separable: bool = False, key: PRNGKey):
        number = cp_rank(shape, rank) if isinstance(rank, float) else _given_ranks("cp", rank, 1)[0]
        spread = (deviation / math.sqrt(number)) ** (1 / len(shape))
        self.scales = jnp.ones(number), jnp.zeros(number)
        self.factors = _normal([(size, number) for size in shape], spread, key)
        self.separable = separable

    def layer(self, index: int) -> "CPWeight":
        """The weight of one layer of a joint tensor."""
        (real, imaginary), *factors = self.factors
        scales = product("r,r->r", self.scales, (real[index], imaginary[index]))
        return eqx.tree_at(lambda w: (w.scales, w.factors), self, (scales, tuple(factors)))

    def dropped(self, probability: float, *, min_rank: int = 4, rescale: bool = False, key: PRNGKey) -> "CPWeight":
        """The weight without a random choice of its terms."""
        mask = _mask(len(self.scales[0]), probability, min_rank, rescale, key)
        return eqx.tree_at(lambda w: w.scales, self, _masked(self.scales, mask, 0))

    def contract(self, c: Float[Array, "2 *modes_batch in"]) -> Float[Array, "2 *modes_batch out"]:
        """The product with coefficients."""
        return contract_cp(c, self.scales, self.factors)

    def to_dense(self) -> Pair:
        """The weight in full."""
        return dense_cp(self.scales, self.factors, separable=self.separable)


class TuckerWeight(AbstractSpectralWeight):
    r"""$W = G \times_1 U_1 \cdots \times_N U_N$: `core` $G$ of the ranks and `factors` $U_k$ `(size, rank)`.

    **Arguments:** as `CPWeight`, and `fixed_rank_modes`: modes that keep their full size as rank. No rank may exceed the size of
    its mode: a factor of more columns than rows goes into the core, which then holds no more than before.

    **Raises:** `ConfigError` for ranks or `fixed_rank_modes` that do not fit.

    !!! example

        ```python
        import jax
        from neuralop_jax.layers import CPWeight, TTWeight, TuckerWeight

        shape = (4, 4, 6)  # channels read, channels written, modes
        for kind, rank in ((TuckerWeight, (2, 2, 3)), (CPWeight, 5), (TTWeight, (1, 3, 3, 1))):
            real, _ = jax.eval_shape(lambda: kind(shape, rank, deviation=1.0, key=jax.random.key(0)).to_dense())
            assert real.shape == (6, 4, 4)  # as a dense weight: modes first
        ```
    """

    core: Pair
    factors: tuple[Pair, ...]
    separable: bool = eqx.field(static=True)
    mode_axis: ClassVar[int] = 0

    def __init__(
        self,
        shape: Sequence[int],
        rank: Rank,
        *,
        fixed_rank_modes: Sequence[int] = (),
        deviation: float,
        separable: bool = False,
        key: PRNGKey,
    ):
        if not all(0 <= mode < len(shape) for mode in fixed_rank_modes):
            raise ConfigError(
                f"fixed_rank_modes must be numbers from 0 to {len(shape) - 1}, modes of a tensor {tuple(shape)}, "
                f"got {tuple(fixed_rank_modes)}."
            )
        if isinstance(rank, float):
            ranks = tucker_rank(shape, rank, fixed_rank_modes)
        else:
            given = _given_ranks("tucker", rank, len(shape))
            ranks = tuple(size if i in fixed_rank_modes else r for i, (size, r) in enumerate(zip(shape, given, strict=True)))
            if any(r > size for r, size in zip(ranks, shape, strict=True)):
                raise ConfigError(
                    f"rank {rank} of tucker makes ranks {ranks}, which exceed the sizes {tuple(shape)} of the tensor. "
                    "Lower rank, or give one per mode."
                )
        spread = (deviation / math.sqrt(math.prod(ranks))) ** (1 / (len(shape) + 1))
        self.core, *factors = _normal([ranks, *zip(shape, ranks, strict=True)], spread, key)
        self.factors, self.separable = tuple(factors), separable

    def layer(self, index: int) -> "TuckerWeight":
        """The weight of one layer of a joint tensor: its core is contracted once."""
        (real, imaginary), *factors = self.factors
        core = product("r,r...->...", (real[index], imaginary[index]), self.core)
        return eqx.tree_at(lambda w: (w.core, w.factors), self, (core, tuple(factors)))

    def dropped(self, probability: float, *, min_rank: int = 4, rescale: bool = False, key: PRNGKey) -> "TuckerWeight":
        """The weight without a random choice of the slices of its core."""
        core, ranks = self.core, self.core[0].shape
        for axis, (rank, own) in enumerate(zip(ranks, jax.random.split(key, len(ranks)), strict=True)):
            mask = _mask(rank, probability, min_rank, rescale, own)
            core = _masked(core, mask, axis)
        return eqx.tree_at(lambda w: w.core, self, core)

    def contract(self, c: Float[Array, "2 *modes_batch in"]) -> Float[Array, "2 *modes_batch out"]:
        """The product with coefficients."""
        return contract_tucker(c, self.core, self.factors)

    def to_dense(self) -> Pair:
        """The weight in full."""
        return dense_tucker(self.core, self.factors, separable=self.separable)


class TTWeight(AbstractSpectralWeight):
    r"""$W_{i_1 \dots i_N} = G_1(i_1) \cdots G_N(i_N)$: `factors` $G_k$ `(rank before, size, rank after)`, 1 at both ends.

    **Arguments:** as `CPWeight`; ranks given one by one are the $N + 1$ of the train, 1 at both ends.

    **Raises:** `ConfigError` for ranks that do not fit.
    """

    factors: tuple[Pair, ...]
    separable: bool = eqx.field(static=True)
    mode_axis: ClassVar[int] = 1

    def __init__(self, shape: Sequence[int], rank: Rank, *, deviation: float, separable: bool = False, key: PRNGKey):
        if isinstance(rank, float):
            ranks = tt_rank(shape, rank)
        else:
            ranks = _given_ranks("tt", rank, len(shape) + 1)
            ranks = (1, *ranks[1:-1], 1) if isinstance(rank, int) else ranks
            if ranks[0] != 1 or ranks[-1] != 1:
                raise ConfigError(f"rank of a tensor train must begin and end with 1, got {ranks}.")
        spread = (deviation / math.sqrt(math.prod(ranks))) ** (1 / len(shape))
        self.factors = _normal(list(zip(ranks, shape, ranks[1:], strict=False)), spread, key)
        self.separable = separable

    def layer(self, index: int) -> "TTWeight":
        """The weight of one layer of a joint tensor: its core goes into the next one."""
        (real, imaginary), second, *factors = self.factors
        first = product("lr,rks->lks", (real[:, index], imaginary[:, index]), second)
        return eqx.tree_at(lambda w: w.factors, self, (first, *factors))

    def dropped(self, probability: float, *, min_rank: int = 4, rescale: bool = False, key: PRNGKey) -> "TTWeight":
        """The weight without a random choice of the indices between its cores."""
        keys = jax.random.split(key, len(self.factors))
        masks = [_mask(f[0].shape[-1], probability, min_rank, rescale, k) for f, k in zip(self.factors, keys, strict=True)]
        factors = tuple(_masked(factor, mask, 2) for factor, mask in zip(self.factors, masks, strict=True))
        return eqx.tree_at(lambda w: w.factors, self, factors)

    def contract(self, c: Float[Array, "2 *modes_batch in"]) -> Float[Array, "2 *modes_batch out"]:
        """The product with coefficients."""
        return contract_tt(c, self.factors)

    def to_dense(self) -> Pair:
        """The weight in full."""
        return dense_tt(self.factors, separable=self.separable)


FACTORIZATIONS: dict[str, type[CPWeight | TuckerWeight | TTWeight]] = {"cp": CPWeight, "tucker": TuckerWeight, "tt": TTWeight}
"""Low-rank weights by the name of their form."""


def spectral_weight(
    factorization: str,
    shape: Sequence[int],
    rank: Rank,
    *,
    fixed_rank_modes: Sequence[int] = (),
    deviation: float,
    separable: bool = False,
    key: PRNGKey,
) -> AbstractSpectralWeight:
    """The low-rank weight of that form: `CPWeight`, `TuckerWeight` or `TTWeight`.

    **Raises:** `ConfigError` for another form, a ratio above 1, ranks that do not fit, or fixed ranks in a form that has none.
    """
    one_of("factorization", factorization, (None, *FACTORIZATIONS), ConfigError)
    if isinstance(rank, float) and not 0 < rank <= 1:
        raise ConfigError(f"rank must be a ratio above 0 and at most 1, or one or more integers, got {rank}.")
    if factorization == "tucker":
        return TuckerWeight(shape, rank, fixed_rank_modes=fixed_rank_modes, deviation=deviation, separable=separable, key=key)
    if fixed_rank_modes:
        raise ConfigError(f"fixed_rank_modes is for factorization='tucker', not {factorization!r}. Leave it out.")
    return FACTORIZATIONS[factorization](shape, rank, deviation=deviation, separable=separable, key=key)


def _given_ranks(name: str, rank: int | Sequence[int], number: int) -> tuple[int, ...]:
    """`number` ranks from one or all of them; `ConfigError` for anything else."""
    ranks = tuple(rank) if isinstance(rank, Sequence) else (rank,) * number
    if len(ranks) != number or not all(isinstance(r, int) and not isinstance(r, bool) and r >= 1 for r in ranks):
        several = f", or {number} of them" if number > 1 else ""
        raise ConfigError(f"rank of {name} must be a ratio up to 1, one positive integer{several}, got {rank!r}.")
    return ranks


def _normal(shapes: Sequence[tuple[int, ...]], deviation: float, key: PRNGKey) -> tuple[Pair, ...]:
    """Complex normal arrays, half of the variance in each part."""
    drawn = [jax.random.normal(k, (2, *s)) for k, s in zip(jax.random.split(key, len(shapes)), shapes, strict=True)]
    return tuple((deviation * 0.5**0.5 * real, deviation * 0.5**0.5 * imaginary) for real, imaginary in drawn)


def _mask(rank: int, probability: float, min_rank: int, rescale: bool, key: PRNGKey) -> Float[Array, " rank"]:
    """Ones where an index of a rank is kept, zeros elsewhere; masks keep shapes, so nothing is compiled anew."""
    if rank < min_rank:
        return jnp.ones(rank)
    chance_key, last_key = jax.random.split(key)
    kept = jax.random.bernoulli(chance_key, 1 - probability, (rank,))
    kept = jnp.where(kept.any(), kept, jnp.arange(rank) == jax.random.randint(last_key, (), 0, rank))
    return kept / (1 - probability) if rescale else kept.astype(float)


def _masked(pair: Pair, mask: Array, axis: int) -> Pair:
    others = [k for k in range(pair[0].ndim) if k != axis]
    real, imaginary = (part * jnp.expand_dims(mask, others).astype(part.dtype) for part in pair)
    return real, imaginary
