"""The loop that all fixed-point iterations share: one verdict per sample, one copy of the map in the compiled program."""

import abc
import functools
from collections.abc import Callable
from typing import Any, Final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from neuralop_jax._result import EXPANDING, MAX_STEPS, NONFINITE, RUNNING, SUCCESS
from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit._arguments import unit_of

_GROWTH: Final = 1e4
"""A residual that has grown by this factor, and is larger than the map's value, will not come back."""

_MOST_GROWTH: Final = 1e12
"""Nor will one that has grown by this factor, however large the map's value is."""

Map = Callable[[Array], Array]


class Ended(eqx.Module):
    """Where a method came to: every entry but `value` has one number per sample, with the summed axes left as ones."""

    value: Float[Array, "..."]
    result: Int[Array, "..."]
    num_steps: Int[Array, "..."]
    relative_residual: Float[Array, "..."]


class AbstractFixedPointMethod(eqx.Module):
    """A way to solve $z = T(z)$ for one array, or for samples along one of its axes. To write one, define `run`."""

    @abc.abstractmethod
    def run(
        self, step: Map, start: Array, axes: tuple[int, ...], *, rtol: float | int, atol: float | int, max_steps: int
    ) -> Ended:
        r"""Solves until $\|T(z) - z\|_2 \le \max(\text{rtol}\,\|T(z)\|_2, \text{atol})$, norms over `axes`."""


class AbstractIteration(AbstractFixedPointMethod):
    """A method that makes one step from each value of the map. To write one, define `begin` and `move`."""

    @abc.abstractmethod
    def begin(self, z: Array, axes: tuple[int, ...]) -> PyTree[Array]:
        """What is remembered before the first step, in arrays."""

    @abc.abstractmethod
    def move(
        self, memory: PyTree[Array], z: Array, residual: Array, count: Int[Array, ""], axes: tuple[int, ...]
    ) -> tuple[Array, PyTree[Array]]:
        """The next point, and what is then remembered, from the residual $T(z) - z$ at the point number `count`."""

    def run(
        self, step: Map, start: Array, axes: tuple[int, ...], *, rtol: float | int, atol: float | int, max_steps: int
    ) -> Ended:
        """Iterates until every sample has ended; the value is the last where it converged, else that of the least residual."""
        rtol = reachable(rtol, start)
        size = norm(start, axes)
        ended = Ended(start, jnp.full(size.shape, RUNNING), jnp.zeros(size.shape, int), jnp.full_like(size, jnp.inf))

        def body(carry: tuple) -> tuple:
            # A sample that has ended stays where it is, so that it ends again, in the same way, whatever the others do.
            count, z, memory, first, least, ended = carry
            residual, size, relative, reached = judge(step, z, axes, rtol=rtol, atol=atol)
            first = jnp.where(count == 0, size, first)
            spent = jnp.where(size > first, EXPANDING, MAX_STEPS)
            code = jnp.where(ended.num_steps < max_steps, RUNNING, spent)
            code = jnp.where(grown(size, first, relative, atol), EXPANDING, code)
            code = jnp.where(reached, SUCCESS, jnp.where(jnp.isfinite(size), code, NONFINITE))
            better, running = (size < least) | reached, code == RUNNING
            moved, memory = self.move(memory, z, residual, count, axes)
            value, least, relative = (
                jnp.where(better, new, old) for new, old in ((z, ended.value), (size, least), (relative, ended.relative_residual))
            )
            ended = Ended(value, code, ended.num_steps + running, relative)
            return count + 1, jnp.where(running, moved, z), memory, first, least, ended

        begin = (jnp.zeros((), int), start, self.begin(start, axes), size, ended.relative_residual, ended)
        return jax.lax.while_loop(lambda carry: (carry[-1].result == RUNNING).any(), body, begin)[-1]


class Picard(AbstractIteration):
    r"""$z_{k+1} = z_k + d\,(T(z_k) - z_k)$: converges for contractions, as fast as they contract.

    **Arguments:**

    - `damping`: $d$. 1 is the plain iteration; less also converges where $T$ overshoots, that is, where the eigenvalues of its
      derivative are below $-1$ but not above $1$.
    """

    damping: float = eqx.field(static=True)

    def __init__(self, damping: float | int = 1.0):
        check_range("Picard.damping", damping, 0, 1)
        self.damping = float(damping)

    def begin(self, z: Array, axes: tuple[int, ...]) -> PyTree[Array]:
        """Nothing."""
        return ()

    def move(
        self, memory: PyTree[Array], z: Array, residual: Array, count: Int[Array, ""], axes: tuple[int, ...]
    ) -> tuple[Array, PyTree[Array]]:
        """The damped step."""
        return z + self.damping * residual, memory


def judge(
    step: Map, z: Array, axes: tuple[int, ...], *, rtol: float | int, atol: float | int
) -> tuple[Array, Array, Array, Array]:
    """The residual at `z`, its norm, the same relative to the map's value, and whether it is small enough."""
    value = step(z)
    residual = value - z
    size, scale = norm(residual, axes), norm(value, axes)
    reached = (size <= jnp.maximum(rtol * scale, atol)) & jnp.isfinite(size)  # infinity is as large as infinity
    return residual, size, size / jnp.where(scale > 0, scale, 1), reached


def grown(size: Array, first: Array, relative: Array, atol: float | int) -> Array:
    """Whether a residual has become so much larger than the first that the map must be expanding.

    A start close to a fixed point that repels has a small residual, which grows until the state has reached its size.
    """
    return size > jnp.where(relative > 1, _GROWTH, _MOST_GROWTH) * jnp.maximum(first, atol)


def reachable(rtol: float | int, like: Array | jnp.dtype) -> float:
    """The tolerance, or ten rounding errors if that is more."""
    return max(float(rtol), 10 * float(jnp.finfo(like).eps))


def norm(a: Array, axes: tuple[int, ...] | None = None) -> Array:
    """The 2-norm over `axes`, which stay as ones, or of all; in single precision at least, without squares out of range."""
    a = jnp.abs(a.astype(jnp.promote_types(a.dtype, jnp.float32)))
    keep = axes is not None
    unit = unit_of(a, axes, keepdims=keep)
    scaled = a / unit if keep else a / unit.reshape((1,) * a.ndim)
    return unit * jnp.sqrt(jnp.sum(scaled**2, axes, keepdims=keep))


def dot(a: Array, b: Array, axes: tuple[int, ...]) -> Array:
    """The inner product over `axes`, which stay as ones, in single precision at least; `a` may be several, stacked."""
    exact = jnp.promote_types(a.dtype, jnp.float32)
    product = a * (b if a.ndim == b.ndim else b[None])
    return jnp.sum(product.astype(exact), axes, keepdims=True)


def combine(weights: Array, rows: Array) -> Array:
    """The sum of the rows times their weights. Not a sum over the leading axis, which takes XLA on CPU ages."""
    return functools.reduce(jnp.add, [weights[i] * rows[i] for i in range(len(rows))])


def check_range(name: str, value: float | int, above: float | int, most: float | int) -> None:
    """Raises `ConfigError` unless `value` is larger than `above` and at most `most`."""
    if not above < value <= most:
        raise ConfigError(f"{name} must be above {above:g} and at most {most:g}, got {value!r}.")


def check_history(name: str, history: Any) -> None:
    """Raises `ConfigError` unless `history` is a positive integer."""
    if not isinstance(history, int) or isinstance(history, bool) or history < 1:
        raise ConfigError(f"{name}.history must be an integer of at least 1, got {history!r}. Picard has none.")
