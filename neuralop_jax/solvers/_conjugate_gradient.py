"""Conjugate gradients with a fixed, or with any, preconditioner, as Lineax solvers that recompute the residual in every step."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from neuralop_jax._result import DIVERGED, MAX_STEPS, NONFINITE, NOT_POSITIVE, RUNNING, SUCCESS
from neuralop_jax.errors import ConfigError

Options = dict[str, Any]
Map = Callable[[PyTree], PyTree]


class _AbstractConjugateGradient(lx.AbstractLinearSolver[lx.AbstractLinearOperator]):
    """What Lineax asks of both methods; the state is the operator."""

    rtol: eqx.AbstractVar[float]
    atol: eqx.AbstractVar[float]
    truncation: eqx.AbstractVar[int]
    max_steps: eqx.AbstractVar[int]

    def init(self, operator: lx.AbstractLinearOperator, options: Options) -> lx.AbstractLinearOperator:
        if lx.is_positive_semidefinite(operator):
            return operator
        raise ConfigError(
            "Conjugate gradients need a symmetric positive definite operator; tag it with lineax.positive_semidefinite_tag if it "
            "is one, or take lineax.GMRES."
        )

    def compute(
        self, state: lx.AbstractLinearOperator, vector: PyTree[Array], options: Options
    ) -> tuple[PyTree[Array], lx.RESULTS, Options]:
        precondition = options.get("preconditioner", lambda r: r)
        if isinstance(precondition, lx.AbstractLinearOperator):
            precondition = precondition.mv
        return _solve(state.mv, precondition, vector, options, self.rtol, self.atol, self.truncation, self.max_steps)

    def transpose(self, state: lx.AbstractLinearOperator, options: Options) -> tuple[lx.AbstractLinearOperator, Options]:
        return state, _without_start(options)

    def conj(self, state: lx.AbstractLinearOperator, options: Options) -> tuple[lx.AbstractLinearOperator, Options]:
        return state, _without_start(options)

    def assume_full_rank(self) -> bool:
        return True


class FlexibleConjugateGradient(_AbstractConjugateGradient):
    r"""Conjugate gradients for $Ax = b$, $A$ symmetric positive definite, with any preconditioner, also a nonlinear one.

    The direction $p = M(r)$, made $A$-orthogonal to the last directions, is followed to the minimum of the $A$-norm of the error,
    which therefore never grows, however bad $M$ is; with a fixed linear $M$ and truncation 1 this is the method of conjugate
    gradients. The residual is recomputed as $b - Ax$ in every step.

    Options of `lineax.linear_solve`: `preconditioner`, an Equinox module `r -> M(r)` or a Lineax operator, by default the
    identity; `y0`, the start; `diagonal`, that of $A$: then a residual below its own round-off, $\varepsilon\|Dx\|_2$, counts as
    converged. In `stats` stand `result` (a code of `LinearSolution`), `num_steps` and `relative_residual`.

    **Arguments:**

    - `rtol`, `atol`: converged if $\|r\|_2 \le \max(\text{rtol}\,\|b\|_2, \text{atol})$.
    - `truncation`: number of directions to be orthogonal to. More than 1 helps only if $M$ is strongly nonlinear.
    - `max_steps`: iterations at most.

    **Raises:** `ConfigError` if the operator is not tagged `lineax.positive_semidefinite_tag`.

    **Source:** Notay, SIAM J. Sci. Comput. 22 (2000), doi:10.1137/S1064827599362314.

    !!! example

        ```python
        import jax.numpy as jnp
        import lineax as lx
        from neuralop_jax.solvers import FlexibleConjugateGradient

        operator = lx.MatrixLinearOperator(jnp.diag(jnp.arange(1.0, 5.0)), lx.positive_semidefinite_tag)
        solution = lx.linear_solve(operator, jnp.ones(4), FlexibleConjugateGradient(rtol=1e-5))
        assert jnp.allclose(solution.value, 1 / jnp.arange(1.0, 5.0), atol=1e-5) and solution.stats["num_steps"] == 4
        ```
    """

    rtol: float = 1e-8
    atol: float = 0.0
    truncation: int = eqx.field(default=1, static=True)
    max_steps: int = 200

    def __check_init__(self):
        if self.truncation < 1:
            raise ConfigError(f"FlexibleConjugateGradient.truncation must be at least 1, got {self.truncation}.")


class ConjugateGradient(_AbstractConjugateGradient):
    r"""Conjugate gradients for $Ax = b$ with a fixed preconditioner, both symmetric positive definite.

    In the $A$-norm the error after $n$ steps is at most $2\big(\tfrac{\sqrt\kappa-1}{\sqrt\kappa+1}\big)^n$ of its start, with
    $\kappa$ the condition number of $MA$. Options and statistics as in
    `FlexibleConjugateGradient`, which takes what is refused here.

    **Arguments:** `rtol`, `atol`, `max_steps` as there.

    **Raises:** `ConfigError` if operator or preconditioner are not Lineax operators tagged `lineax.positive_semidefinite_tag`.

    !!! example

        ```python
        import jax.numpy as jnp
        import lineax as lx
        from neuralop_jax.solvers import ConjugateGradient

        matrix = lx.MatrixLinearOperator(jnp.diag(jnp.asarray([1.0, 4.0])), lx.positive_semidefinite_tag)
        assert jnp.allclose(lx.linear_solve(matrix, jnp.ones(2), ConjugateGradient(rtol=1e-6)).value, jnp.asarray([1, 0.25]))
        ```
    """

    rtol: float = 1e-8
    atol: float = 0.0
    max_steps: int = 200
    truncation: ClassVar[int] = 1

    def init(self, operator: lx.AbstractLinearOperator, options: Options) -> lx.AbstractLinearOperator:
        preconditioner = options.get("preconditioner")
        if preconditioner is not None and not (
            isinstance(preconditioner, lx.AbstractLinearOperator) and lx.is_positive_semidefinite(preconditioner)
        ):
            raise ConfigError(
                "ConjugateGradient needs a preconditioner that is a Lineax operator tagged positive_semidefinite_tag, got "
                f"{type(preconditioner).__name__}. Any other map belongs into FlexibleConjugateGradient."
            )
        return super().init(operator, options)


def _without_start(options: Options) -> Options:
    """The options for another right-hand side."""
    return {name: value for name, value in options.items() if name != "y0"}


def _solve(
    operator: Map,
    precondition: Map,
    b: PyTree,
    options: Options,
    rtol: float | Array,
    atol: float | Array,
    truncation: int,
    max_steps: int | Array,
) -> tuple[PyTree[Array], lx.RESULTS, Options]:
    """The iteration. A step that is not finite or meets a direction of nonpositive energy is not made, and ends it."""
    largest = jax.tree.reduce(jnp.maximum, jax.tree.map(lambda leaf: jnp.max(jnp.abs(leaf), initial=0), b))
    unit = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)  # squares of tiny and huge numbers leave the range
    b = jax.tree.map(lambda leaf: leaf / unit, b)
    scale, atol = _norm(b), atol / unit
    zero = jax.tree.map(jnp.zeros_like, b)
    start = jax.tree.map(lambda leaf: leaf / unit, options["y0"]) if "y0" in options else zero
    residual = lambda x: jax.tree.map(jnp.subtract, b, operator(x))

    def target(x: PyTree) -> Float[Array, ""]:
        wanted = jnp.maximum(rtol * scale, atol)
        if "diagonal" not in options:
            return wanted
        return jnp.maximum(wanted, jnp.finfo(scale.dtype).eps * _norm(jax.tree.map(jnp.multiply, options["diagonal"], x)))

    def step(carry: tuple) -> tuple:
        x, r, norm, history, count, _ = carry
        p = precondition(r)
        for direction, image, energy in history:
            p = _axpy(-_dot(p, image) / energy, direction, p)
        image = operator(p)
        energy = _dot(p, image)
        new = _axpy(_dot(p, r) / jnp.where(energy > 0, energy, jnp.inf), p, x)
        r_new = residual(new)
        norm_new = _norm(r_new)
        finite = jnp.isfinite(norm_new) & jnp.isfinite(energy)
        going = jnp.where(norm_new <= target(new), SUCCESS, jnp.where(count + 1 < max_steps, RUNNING, MAX_STEPS))
        code = jnp.where(finite, jnp.where(energy > 0, going, NOT_POSITIVE), DIVERGED)
        x, r, norm = jax.tree.map(lambda a, b: jnp.where(finite, a, b), (new, r_new, norm_new), (x, r, norm))
        return x, r, norm, ((p, image, energy), *history)[:truncation], count + 1, code

    r = residual(start)
    norm = _norm(r)
    history = ((zero, zero, jnp.ones_like(scale)),) * truncation
    code = jnp.where(jnp.isfinite(norm), jnp.where(norm <= target(start), SUCCESS, RUNNING), NONFINITE)
    carry = (start, r, norm, history, jnp.zeros((), code.dtype), code)
    x, _, norm, _, count, code = jax.lax.while_loop(lambda carry: carry[-1] == RUNNING, step, carry)
    relative = norm / jnp.where(scale > 0, scale, 1)
    x = jax.tree.map(lambda leaf: leaf * unit, x)
    return x, _lineax_result(code), {"num_steps": count, "result": code, "relative_residual": relative}


def _lineax_result(code: Array) -> lx.RESULTS:
    """The nearest of Lineax' own results."""
    result = lx.RESULTS.successful
    for ours, theirs in (
        (MAX_STEPS, lx.RESULTS.max_steps_reached),
        (DIVERGED, lx.RESULTS.breakdown),
        (NOT_POSITIVE, lx.RESULTS.singular),
        (NONFINITE, lx.RESULTS.nonfinite_input),
    ):
        result = lx.RESULTS.where(code == ours, theirs, result)
    return result


def _dot(a: PyTree, b: PyTree) -> Float[Array, ""]:
    return jax.tree.reduce(jnp.add, jax.tree.map(jnp.vdot, a, b))


def _norm(a: PyTree) -> Float[Array, ""]:
    return jnp.sqrt(_dot(a, a))


def _axpy(factor: Array, a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: factor * a + b, a, b)
