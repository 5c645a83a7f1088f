"""Derivatives of solutions by the implicit function theorem, whatever found the solution."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, ArrayLike, PyTree

from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit._arguments import arrays, floating, kinds, stopped
from neuralop_jax.implicit._linear_solve import solve_linear


def custom_root(
    residual: Callable[..., PyTree[Array]],
    *,
    linear_solver: lx.AbstractLinearSolver | None = None,
    tags: object | frozenset[object] = frozenset(),
    has_aux: bool = False,
    host: bool = False,
    throw: bool = True,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    r"""Decorates a solver with derivatives: `solve(start, *arguments)` returns $x$ with $F(x, \theta) = 0$, and then

    $$\partial_x F\,\dot x = -\partial_\theta F\,\dot\theta.$$

    The solver is not differentiated, and may be anything that finds $x$. Forward mode takes one linear solve with
    $\partial_x F$, reverse mode one with its transpose; both see $\partial_x F$ only through its products with vectors.
    Derivatives of any order and of both modes compose, and `jax.vmap` works. An error $e$ of the solution makes an error of
    order $e$ in the derivatives.

    **Arguments:**

    - `residual`: $F$, called `residual(x, *arguments)`; it returns the structure of `x`. What it captures by closure is
        differentiated, too.
    - `linear_solver`: a Lineax solver for the derivatives; `GCR`, which is GMRES truncated, if `None`. *Good values*:
        `lineax.CG(1e-10, 1e-10)` for minimizers, with its tag; `lineax.LU()` for a handful of unknowns; `Neumann` for
        contractions; `lineax.BiCGStab` or `lineax.GMRES` where memory is scarce or a longer basis is needed;
        `lineax.Normal(lineax.CG(...))`, which squares the condition number, where these fail.
    - `tags`: Lineax tags of $\partial_x F$, such as `lineax.positive_semidefinite_tag`.
    - `has_aux`: whether the solver returns `(x, aux)`; nothing is differentiated through `aux`.
    - `host`: whether the solver is a NumPy function, called outside of compiled code (through `jax.pure_callback`, sample by
        sample under `jax.vmap`); $x$ then has the shapes and types of the start.
    - `throw`: raise if the linear system of a derivative has no solution; otherwise the derivative is NaN.

    **Returns:** a decorator. The solver that it returns is called `solve(start, *arguments, **keywords)`. Keywords that
    `residual` knows by name are parameters like the others; the rest are options, which reach the solver alone. The start and
    the options have no derivatives.

    **Raises:** `ConfigError` if the solution is not one of real floating arrays, or `residual` does not return its structure.

    **Source:** Blondel et al. 2022, arXiv:2105.15183, section 2.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.implicit import custom_root

        @custom_root(lambda x, a: x**2 - a)
        def square_root(start, a):
            return jax.lax.fori_loop(0, 20, lambda _, x: (x + a / x) / 2, start)

        assert abs(jax.grad(square_root, argnums=1)(1.0, 4.0) - 0.25) < 1e-6
        ```
    """
    if host and has_aux:
        raise ConfigError("custom_root cannot take aux from a solver on the host. Set has_aux=False, or return it as part of x.")

    is_parameter = _keywords(residual)
    called = lambda x, arguments, named: residual(x, *arguments, **named)

    def decorate(solve: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(solve)
        def solved(start: PyTree, *arguments: Any, **keywords: Any) -> Any:
            named = {name: value for name, value in keywords.items() if is_parameter(name)}
            options = {name: value for name, value in keywords.items() if name not in named}
            given, known = stopped(arrays(((start, *arguments), named))), stopped(options)
            found = _on_host(solve, given[0], given[1], known) if host else solve(*given[0], **given[1], **known)
            x, aux = stopped(found) if has_aux else (found, None)
            x = implicit_root(called, x, arguments, named, linear_solver=linear_solver, tags=tags, throw=throw)
            return (x, aux) if has_aux else x

        return solved

    return decorate


def custom_fixed_point(
    step: Callable[..., PyTree[Array]],
    *,
    linear_solver: lx.AbstractLinearSolver | None = None,
    tags: object | frozenset[object] = frozenset(),
    has_aux: bool = False,
    host: bool = False,
    throw: bool = True,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    r"""Decorates a solver of $x = T(x, \theta)$ with derivatives: `custom_root` with $F(x, \theta) = x - T(x, \theta)$, so that

    $$(I - \partial_x T)\,\dot x = \partial_\theta T\,\dot\theta.$$

    **Arguments:** `step` is $T$, called `step(x, *arguments)`, also with keywords that it knows; `tags` are those of
    $I - \partial_x T$; the others as in `custom_root`.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.implicit import custom_fixed_point

        step = lambda x, a: jnp.cos(a * x)

        @custom_fixed_point(step)
        def solve(start, a):
            return jax.lax.fori_loop(0, 100, lambda _, x: step(x, a), start)

        x, slope = jax.value_and_grad(solve, argnums=1)(0.5, 1.0)
        assert abs(slope + x * jnp.sin(x) / (1 + jnp.sin(x))) < 1e-5
        ```
    """

    @functools.wraps(step)  # custom_root asks for its signature
    def residual(x: PyTree[Array], *arguments: Any, **named: Any) -> PyTree[Array]:
        return jax.tree.map(jnp.subtract, x, step(x, *arguments, **named))

    return custom_root(
        residual,
        linear_solver=linear_solver,
        tags=tags,
        has_aux=has_aux,
        host=host,
        throw=throw,
    )


def implicit_root(
    residual: Callable[..., PyTree[Array]],
    x: PyTree[ArrayLike],
    *arguments: Any,
    linear_solver: lx.AbstractLinearSolver | None = None,
    tags: object | frozenset[object] = frozenset(),
    throw: bool = True,
) -> PyTree[Array]:
    r"""`x` itself, with the derivatives that it has as the solution of `residual(x, *arguments)` $= 0$.

    What `custom_root` does to a solution that is already there; arguments as for it.

    **Raises:** `ConfigError` as there.
    """
    x, arguments = stopped(floating("implicit_root needs a solution", x)), arrays(arguments)
    found, wanted = (kinds(tree) for tree in (eqx.filter_eval_shape(residual, x, *arguments), x))
    if found != wanted:
        raise ConfigError(
            f"The residual of an implicit solution must have the structure and types of the solution, {wanted}, got {found}. "
            "Return one number for each unknown."
        )
    hoisted = eqx.filter_closure_convert(residual, x, *arguments)  # so that what it captures is differentiated
    return _rooted(x, hoisted, arguments, solve=functools.partial(solve_linear, solver=linear_solver, tags=tags, throw=throw))


@eqx.filter_custom_jvp
def _rooted(x, residual, arguments, *, solve):
    return x


@_rooted.def_jvp
def _rooted_jvp(primals, tangents, *, solve):
    is_none = lambda t: t is None
    still = jax.tree.map(is_none, tangents[1:], is_leaf=is_none)
    fixed, moved = eqx.partition(primals[1:], still, is_leaf=is_none)
    x, residual, arguments = _rooted(*primals, solve=solve), *primals[1:]  # so that x moves in further derivatives

    def at_solution(moved: Any) -> PyTree[Array]:
        residual, arguments = eqx.combine(moved, fixed)
        return residual(x, *arguments)

    pushed = jax.jvp(at_solution, (moved,), (tangents[1:],))[1]
    product = jax.linearize(lambda x: residual(x, *arguments), x)[1]
    return x, solve(product, jax.tree.map(jnp.negative, pushed))


def _keywords(residual: Callable[..., Any]) -> Callable[[str], bool]:
    """Whether a function knows a keyword by name."""
    try:
        parameters = inspect.signature(residual).parameters
    except ValueError:  # of some builtins nothing is known
        return lambda name: False
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return lambda name: name in parameters and parameters[name].kind in named


def _on_host(solve: Callable[..., Any], arguments: tuple, named: dict[str, Any], options: dict[str, Any]) -> PyTree[Array]:
    """The solution by a NumPy function, of the shapes and types of the start."""
    start = floating("a solver on the host needs a start", arguments[0])
    like = jax.eval_shape(lambda: start)
    moving, fixed = eqx.partition(((start, *arguments[1:]), named), eqx.is_array)

    def call(moving: PyTree) -> PyTree[np.ndarray]:
        given, parameters = eqx.combine(jax.tree.map(np.array, moving), fixed)  # copies, which may be written to
        found = jax.tree.map(np.asarray, solve(*given, **parameters, **options))
        fits = jax.tree.structure(found) == jax.tree.structure(like) and all(
            a.shape == b.shape and np.can_cast(a.dtype, float) for a, b in zip(*map(jax.tree.leaves, (found, like)), strict=True)
        )
        if not fits:
            raise ConfigError(
                f"A solver on the host must return real numbers in the structure of its start, {kinds(like)}, got {kinds(found)}."
            )
        return jax.tree.map(lambda x, a: x.astype(a.dtype), found, like)

    return jax.pure_callback(call, like, moving, vmap_method="sequential")
