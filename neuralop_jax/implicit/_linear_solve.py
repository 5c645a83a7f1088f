"""Linear systems inside derivatives: matrix-free, differentiable, judged by the true residual, never wrong in silence."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from neuralop_jax._result import EXPANDING, SINGULAR, meaning
from neuralop_jax.implicit._gcr import GCR
from neuralop_jax.implicit._iteration import norm
from neuralop_jax.implicit._neumann import Neumann

Map = Callable[[PyTree[Array]], PyTree[Array]]


def solve_linear(
    product: Map,
    b: PyTree[Array],
    solver: lx.AbstractLinearSolver | None = None,
    *,
    tags: object | frozenset[object] = frozenset(),
    throw: bool = True,
) -> PyTree[Array]:
    r"""The solution of $Ax = b$, $A$ square and known by its products with vectors; NaN, or an error, where it is not believed.

    It is believed if the solver says that it succeeded and it is finite, or if $\|b - Ax\|_2 \le \sqrt\varepsilon\,\|b\|_2$: a
    tolerance below round-off is no failure. In half precision, where $\varepsilon$ is that of the products, the solver works in
    single precision. The derivatives are again linear solves, with $A$ or its transpose; unlike those of
    `lineax.linear_solve` they follow `throw`, too, so that one sample of a batch may fail.

    **Arguments:**

    - `product`: $v \mapsto Av$, linear; what it captures is differentiated.
    - `b`: the right-hand side, any tree of real arrays.
    - `solver`: a Lineax solver, for right-hand sides of norm one; `GCR` to a hundred rounding errors if `None`.
    - `tags`: Lineax tags of $A$.
    - `throw`: raise a run-time error instead of returning NaN.
    """
    tags = tags if isinstance(tags, frozenset) else frozenset((tags,))
    flat, unravel = ravel_pytree(b)  # one array: JAX transposes a solve only if all parts of b move
    own, exact = flat.dtype, jnp.promote_types(flat.dtype, jnp.float32)
    structure = jax.ShapeDtypeStruct(flat.shape, exact)
    solver = GCR(rtol=100 * float(jnp.finfo(exact).eps)) if solver is None else solver

    def solve(tags: frozenset[object], product: Map, b: Array) -> Array:
        scale = norm(b)
        scale = jnp.where((scale > 0) & jnp.isfinite(scale), scale, 1)
        b = b.astype(exact) / scale
        multiply = lambda v: product(v.astype(own)).astype(exact)
        operator = lx.FunctionLinearOperator(multiply, structure, tags)
        x, result, stats = solver.compute(solver.init(operator, {}), b, {})
        missed = stats["relative_residual"] if isinstance(solver, GCR) else norm(b - multiply(x))
        claimed = (result == lx.RESULTS.successful) & jnp.isfinite(missed)
        believed = claimed | (missed <= jnp.sqrt(jnp.finfo(own).eps).astype(exact))
        x = jnp.where(believed, x * scale, jnp.nan).astype(own)
        failure = EXPANDING if isinstance(solver, Neumann) else SINGULAR
        return eqx.error_if(x, ~believed, meaning(failure)) if throw else x

    transposed = lx.transpose_tags(tags)
    x = jax.lax.custom_linear_solve(
        lambda v: ravel_pytree(product(unravel(v)))[0],
        flat,
        lambda product, b: solve(tags, product, b),
        lambda product, b: solve(transposed, product, b),
    )
    return unravel(x)
