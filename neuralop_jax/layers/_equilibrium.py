"""Layers of infinite depth: the output is where a network, applied again and again, comes to rest."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit import AbstractFixedPointMethod, FixedPoint, Richardson, fixed_point


class Equilibrium(eqx.Module):
    r"""The deep equilibrium layer $x \mapsto z^*$ with $z^* = f(z^*, x)$, differentiated without its iterations:

    $$\nabla_\theta = \Big(\frac{\partial f}{\partial\theta}\Big)^{\!T} u, \qquad (I - J^T)\,u = \nabla_{z^*}, \quad
    J = \frac{\partial f}{\partial z}(z^*, x).$$

    The backward pass sees $J$ through its products with vectors only; memory does not depend on the number of iterations.

    **Arguments:**

    - `f`: any module, called `f(z, x)`; it returns the structure of `z`.
    - `start`: any module, called `start(x)`, that returns where the iteration begins, such as `lambda x: jnp.zeros(8)`. A learned
      one makes the layer a *skip* equilibrium: add `skip_penalty` to the loss, for nothing else trains it.
    - `first_step`: begin at $f(\text{start}(x), x)$, with its derivative: with a start of zeros and `skip_penalty`, the
      *skip-regularized* equilibrium, which needs no further parameters.
    - `method`: `implicit.Anderson()` if `None`, `Broyden`, `Picard`; or `SteadyState`, the continuous equilibrium: the steady
      state of $\dot z = f(z, x) - z$ under Diffrax.
    - `gradient`: `"implicit"` as above; or `"phantom"`, free of Jacobians: the derivative of `phantom_steps` steps
      $z \mapsto (1 - d) z + d f(z, x)$ from $z^*$, $d$ being `phantom_damping`. For contractions a direction of
      descent, for one backward pass each; one step of damping 1 replaces $(I - J^T)^{-1}$ by $I$.
    - `linear_solver`: of the backward pass, any Lineax solver; `implicit.Richardson(rtol=rtol, accept=accept)`, Anderson steps
      on products with $J^T$, if `None`. *Good values*: `lineax.GMRES` where $f$ is far from contracting.
    - `rtol`, `atol`, `max_steps`, `accept`, `throw`: as in `implicit.fixed_point`. *Good values*: in training `rtol` 1e-3, 32
      steps, and `accept` 0.1 or `inf`: published models take what 32 steps give.
    - `axis`: the axis of $z$ along which samples stand, if `f` computes many at once; each then has a solve of its own.

    **Raises:** `ConfigError` for options that do not fit; with `throw`, an error at run time if a solve fails.

    **Source:** Bai, Kolter, Koltun 2019, arXiv:1909.01377; continuous and skip forms: Pal, Edelman, Rackauckas 2022,
    arXiv:2201.12240; phantom gradient: Geng et al. 2021, arXiv:2111.05177.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.layers import Equilibrium, Pointwise

        affine = Pointwise(6, 4, key=jax.random.key(0))
        layer = Equilibrium(lambda z, x: jnp.tanh(affine(jnp.concatenate([0.5 * z, x]))), start=lambda x: jnp.zeros(4))
        assert layer(jnp.ones(2)).shape == (4,)
        ```
    """

    f: Callable[..., PyTree[Array]]
    start: Callable[..., PyTree[Array]]
    method: AbstractFixedPointMethod | None
    linear_solver: lx.AbstractLinearSolver
    first_step: bool = eqx.field(static=True)
    gradient: str = eqx.field(static=True)
    phantom_steps: int = eqx.field(static=True)
    phantom_damping: float = eqx.field(static=True)
    rtol: float = eqx.field(static=True)
    atol: float = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    accept: float = eqx.field(static=True)
    axis: int | None = eqx.field(static=True)
    throw: bool = eqx.field(static=True)

    def __init__(
        self,
        f: Callable[..., PyTree[Array]],
        *,
        start: Callable[..., PyTree[Array]],
        first_step: bool = False,
        method: AbstractFixedPointMethod | None = None,
        gradient: str = "implicit",
        phantom_steps: int = 1,
        phantom_damping: float | int = 1.0,
        linear_solver: lx.AbstractLinearSolver | None = None,
        rtol: float | int = 1e-4,
        atol: float | int = 1e-12,
        max_steps: int = 64,
        accept: float | int = 0.0,
        axis: int | None = None,
        throw: bool = True,
    ):
        one_of("gradient", gradient, ("implicit", "phantom"), ConfigError)
        if method is not None and not isinstance(method, AbstractFixedPointMethod):
            raise ConfigError(f"Equilibrium needs a method such as implicit.Anderson() or implicit.Picard(), got {method!r}.")
        if phantom_steps < 1 or not 0 < phantom_damping <= 1:
            raise ConfigError(
                "Equilibrium needs phantom_steps of at least 1 and a phantom_damping above 0 and at most 1, got "
                f"{phantom_steps} and {phantom_damping}."
            )
        self.f, self.start, self.method, self.first_step = f, start, method, first_step
        self.gradient, self.phantom_steps, self.phantom_damping = gradient, phantom_steps, float(phantom_damping)
        self.rtol, self.atol, self.max_steps = float(rtol), float(atol), max_steps
        self.accept, self.axis, self.throw = float(accept), axis, throw
        self.linear_solver = (
            Richardson(rtol=self.rtol, max_steps=max_steps, accept=self.accept) if linear_solver is None else linear_solver
        )

    def __call__(self, x: PyTree[Any]) -> PyTree[Array]:
        """The equilibrium for the input `x`, any tree."""
        return self.solve(x)[0].value

    def solve(self, x: PyTree[Any]) -> tuple[FixedPoint, PyTree[Array]]:
        """The equilibrium with its result code, steps and residual; and where the iteration began, for `skip_penalty`."""
        begin = self.start(x)
        if self.first_step:
            begin = self.f(begin, x)
        solution = fixed_point(
            self.f,
            begin,
            x,
            method=self.method,
            rtol=self.rtol,
            atol=self.atol,
            max_steps=self.max_steps,
            accept=self.accept,
            axis=self.axis,
            linear_solver=self.linear_solver,
            throw=self.throw,
        )
        if self.gradient == "phantom":
            solution = eqx.tree_at(lambda s: s.value, solution, self._phantom(solution.value, x))
        return solution, begin

    def _phantom(self, z: PyTree[Array], x: PyTree[Any]) -> PyTree[Array]:
        """`z` to the bit, with the derivative of some steps from it."""
        fixed, damping = jax.tree.map(jax.lax.stop_gradient, z), self.phantom_damping
        moved = fixed
        for _ in range(self.phantom_steps):
            moved = jax.tree.map(lambda a, b: (1 - damping) * a + damping * b, moved, self.f(moved, x))
        return jax.tree.map(lambda z, m: z + (m - jax.lax.stop_gradient(m)), fixed, moved)


def skip_penalty(solution: FixedPoint, begin: PyTree[Array]) -> Float[Array, ""]:
    r"""$\tfrac1n\|z^* - z_0\|_1$ of what `Equilibrium.solve` returns: times a weight and added to the loss, it trains the start.

    *Good values* of the weight: 0.01 to 0.1. **Source:** Pal, Edelman, Rackauckas 2022, arXiv:2201.12240.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.implicit import fixed_point
        from neuralop_jax.layers import skip_penalty

        solution = fixed_point(lambda z: 0.5 * z + 1, jnp.zeros(3))  # z = 2
        assert jnp.allclose(skip_penalty(solution, jnp.zeros(3)), 2, atol=1e-4)
        ```
    """
    differences = jax.tree.map(lambda a, b: jnp.sum(jnp.abs(a - b)), solution.value, begin)
    return jax.tree.reduce(jnp.add, differences) / sum(leaf.size for leaf in jax.tree.leaves(begin))


def jacobian_norm(
    f: Callable[..., PyTree[Array]], z: PyTree[Array], x: PyTree[Any], *, samples: int = 1, key: PRNGKey
) -> Float[Array, ""]:
    r"""An unbiased estimate of $\|J\|_F^2$, $J = \partial_z f(z, x)$: the mean of $\|J\epsilon\|^2$ over random signs $\epsilon$.

    Times a weight over the number of unknowns and added to the loss, it keeps an equilibrium layer contracting, and so its number
    of iterations low.

    **Arguments:**

    - `f`: called `f(z, x)`.
    - `z`, `x`: usually the equilibrium and the input of a layer.
    - `samples`: directions to average over.
    - `key`: draws them.

    **Source:** Bai, Koltun, Kolter 2021, arXiv:2106.14342. Differs: products with $J$, not $J^T$, and signs, not
    normal numbers: the variance is smaller, and zero for diagonal $J$.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.layers import jacobian_norm

        assert jnp.allclose(jacobian_norm(lambda z, x: 3 * z + x, jnp.ones(4), jnp.ones(4), key=jax.random.key(0)), 36)
        ```
    """
    push = jax.linearize(lambda z: f(z, x), z)[1]

    def once(key: PRNGKey) -> Float[Array, ""]:
        leaves, structure = jax.tree.flatten(z)
        keys = jax.random.split(key, len(leaves))
        signs = [jax.random.rademacher(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves, strict=True)]
        image = push(jax.tree.unflatten(structure, signs))
        return jax.tree.reduce(jnp.add, jax.tree.map(lambda a: jnp.sum(a**2), image))

    return jnp.mean(jax.vmap(once)(jax.random.split(key, samples)))
