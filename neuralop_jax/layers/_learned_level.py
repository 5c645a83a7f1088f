"""One level of a learned V-cycle: which kernels it needs, and what the cycle asks of it."""

import dataclasses
from collections.abc import Sequence

import equinox as eqx
from jaxtyping import Array

from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels import gathered, own_part
from neuralop_jax.layers._convolution import Convolution
from neuralop_jax.layers._field_norm import FieldNorm
from neuralop_jax.layers._prolongation import Prolongation


@dataclasses.dataclass(frozen=True)
class LevelPlan:
    """What happens on a level: smoothing steps, and which transfers to the next coarser one are of any use.

    **Arguments:**

    - `num_pre`, `num_post`: smoothing steps before and after the coarse correction.
    - `from_zero`: whether the first of them starts from zero, so that it needs no operator.
    - `residual`: whether the next level's right-hand side is that of a residual.
    - `right`, `iterate`: whether right-hand side and iterate are restricted.
    """

    num_pre: int
    num_post: int
    from_zero: bool
    residual: bool
    right: bool
    iterate: bool

    @property
    def num_operators(self) -> int:
        """How often the level applies its operator."""
        return self.num_pre - self.from_zero + self.num_post + self.residual

    @property
    def num_smoothers(self) -> int:
        """How often the level applies its smoother."""
        return self.num_pre + self.num_post


def plan_levels(smoothing: Sequence[Sequence[int]], coarse_rhs: str, coarse_init: str) -> tuple[LevelPlan, ...]:
    """The plan of each level, from fine to coarse.

    **Raises:** `ConfigError` if `smoothing` is not one pair of step numbers per level that leads to a solution.
    """
    whole = lambda n: isinstance(n, int) and not isinstance(n, bool) and n >= 0  # noqa: E731
    pairs = smoothing if isinstance(smoothing, Sequence) else ()
    if not pairs or not all(isinstance(pair, Sequence) and len(pair) == 2 and all(map(whole, pair)) for pair in pairs):
        raise ConfigError(f"smoothing must be one pair of step numbers (before, after) per level, got {smoothing!r}.")
    if smoothing[-1][1]:
        raise ConfigError(f"smoothing {smoothing!r} ends with steps after a coarser level that is not there. End it with (n, 0).")
    plans, zero = [], True
    for index, (pre, post) in enumerate(smoothing):
        coarser, still_zero = smoothing[index + 1 :], zero and pre == 0
        right = any(sum(pair) for pair in coarser)
        iterate = bool(coarser) and coarse_init == "restrict" and not still_zero
        residual = right and coarse_rhs == "residual" and not still_zero
        plans.append(LevelPlan(pre, post, zero and pre > 0, residual, right, iterate))
        zero = not iterate
    if still_zero:
        raise ConfigError(
            f"smoothing {smoothing!r} takes no step on the coarsest level, which starts from zero. End it with (1, 0)."
        )
    return tuple(plans)


class LevelKernels(eqx.Module):
    """The learned parts of a level. Operators and smoothers serve one step each, the last ones all further steps."""

    operators: tuple[Convolution, ...]
    smoothers: tuple[Convolution, ...]
    restrict_right: Convolution | None
    restrict_iterate: Convolution | None
    prolong: Prolongation | None
    norm: FieldNorm | None


@dataclasses.dataclass(frozen=True)
class LearnedLevel:
    r"""A level for `kernels.cycle`: a smoothing step is $u \leftarrow u + S(f - Au)$, from zero $u = Sf$.

    **Arguments:**

    - `plan`, `kernels`: what is done, and with which parts.
    - `shape`: the grid, the whole one where devices share the domain.
    - `divided`: whether its fields are blocks where devices share the domain. On a level with fewer points than devices every
        device has the whole fields.
    - `gathers`: whether the next level is the first of these.
    """

    plan: LevelPlan
    kernels: LevelKernels
    shape: tuple[int, ...]
    divided: bool = True
    gathers: bool = False

    def pre_smooth(self, u: Array | None, f: Array) -> Array | None:
        """The first steps."""
        for step in range(self.plan.num_pre):
            u = self._smooth(u, f, step)
        return u

    def descend(self, u: Array | None, f: Array) -> tuple[Array | None, Array]:
        """The restricted iterate, `None` for zero, and the right-hand side of the next level."""
        right, restrict, start = f, self.kernels.restrict_right, self.kernels.restrict_iterate
        if self.plan.residual and u is not None:
            right = f - self.kernels.operators[-1](u, divided=self.divided)
        coarse = self._restrict(start, u) if self.plan.iterate and start is not None and u is not None else None
        return coarse, right if restrict is None else self._restrict(restrict, right)

    def ascend(self, u: Array | None, coarse: Array) -> Array:
        """The iterate with the prolonged coarse one added, and normalized if the level has a norm."""
        prolong, norm = self.kernels.prolong, self.kernels.norm
        if prolong is None:
            raise ValueError("the coarsest level has no prolongation. Use solve.")
        correction = prolong(coarse, self.shape, divided=self.divided and not self.gathers)
        if self.gathers:
            correction = own_part(correction, self._first_axis(correction))
        corrected = correction if u is None else u + correction
        return corrected if norm is None else norm(corrected, divided=self.divided)

    def post_smooth(self, u: Array, f: Array) -> Array:
        """The last steps."""
        for step in range(self.plan.num_pre, self.plan.num_smoothers):
            u = self._smooth(u, f, step)
        return u

    def solve(self, u: Array | None, f: Array) -> Array | None:
        """On the coarsest level smoothing is all there is."""
        return self.pre_smooth(u, f)

    def _smooth(self, u: Array | None, f: Array, step: int) -> Array:
        smoother = _one_of_or_last(self.kernels.smoothers, step)
        if u is None:
            return smoother(f, divided=self.divided)
        operator = _one_of_or_last(self.kernels.operators, step - self.plan.from_zero)
        return u + smoother(f - operator(u, divided=self.divided), divided=self.divided)

    def _restrict(self, transfer: Convolution, v: Array) -> Array:
        v = gathered(v, self._first_axis(v)) if self.gathers else v
        return transfer(v, divided=self.divided and not self.gathers)

    def _first_axis(self, v: Array) -> int:
        return v.ndim - len(self.shape)


def _one_of_or_last(kernels: tuple[Convolution, ...], step: int) -> Convolution:
    return kernels[min(step, len(kernels) - 1)]
