# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The multigrid kit
#
# The pressure $p$ of a fluid in a porous square of permeability $a$ solves Darcy's equation
#
# $$-\nabla \cdot (a \nabla p) = f \ \text{ in } (0, 1)^2, \qquad p = 0 \ \text{ on the boundary,}$$
#
# which is Poisson's for $a = 1$; all quantities are dimensionless. On a grid of spacing $h$ it is a linear system $Au = f$.
# Multigrid solves it at a cost proportional to the number of points. We take it apart: what smoothing does and what it leaves, the
# cycle, its steps on finer and finer grids, and permeabilities that jump. That all its parts are small stencils makes it a
# convolutional network, too: the notebook `mgno` goes on from here.

# %%
import math
import os
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import matplotlib.pyplot as plt
import numpy as np

from neuralop_jax.data import GaussianRandomField
from neuralop_jax.grids import Grid
from neuralop_jax.kernels import AxisNodes, Chebyshev, GaussSeidel, Jacobi, cycle, diffusion_stencil
from neuralop_jax.solvers import FlexibleConjugateGradient, Multigrid, darcy_stencil, rediscretized
from neuralop_jax.viz import Label, animate

# %matplotlib inline
# %config InlineBackend.figure_format = "retina"

QUICK = os.environ.get("NEURALOP_JAX_QUICK") == "1"  # small grids, to see that everything runs
SIZES = (15,) if QUICK else (15, 31, 63, 127)
jax.config.update("jax_enable_x64", True)  # for residuals of 1e-8

# %% [markdown]
# ## Smoothing, and what it leaves
#
# `Multigrid` takes a stencil and sets up levels of grids with half the points per axis each. A level has a stencil, a smoother
# and transfers to the next one. The smoother here is Jacobi's, $u \leftarrow u + \tfrac45 D^{-1}(f - Au)$ with the diagonal $D$
# of $A$. We look at the error: for $f = 0$ the solution is $0$, and $u$ itself is the error. It starts as one long wave and
# noise.


# %%
def laplacian(n):
    """The five-point stencil on n x n interior points."""
    return diffusion_stencil([jnp.full((1, 1), (n + 1.0) ** 2)] * 2, periodic=(False, False))


@eqx.filter_jit
def poisson(n, smoother, *, coarsest=1, **options):
    """Multigrid for it, discretized anew on every level."""
    sizes = [n]
    while sizes[-1] ** 2 > coarsest:
        sizes.append(sizes[-1] // 2)
    coarse, nodes = [laplacian(m) for m in sizes[1:]], [AxisNodes(n, "dirichlet")] * 2
    return Multigrid(laplacian(n), nodes, coarse=coarse, smoother=smoother, coarsest=coarsest, **options)


def correct(multigrid, u, f):
    """The coarse correction alone: restrict the residual, solve on the coarser grid, interpolate and add."""
    finest, *coarser = multigrid.levels
    start, right = finest.descend(u, f)
    return finest.ascend(u, cycle(coarser, right, start))


n = 15 if QUICK else 31
two_grids = poisson(n, Jacobi(), coarsest=(n // 2) ** 2)
finest = two_grids.levels[0]
x = jnp.arange(1, n + 1) / (n + 1)
wave = jnp.sin(jnp.pi * x)[:, None] * jnp.sin(2 * jnp.pi * x)
zero = jnp.zeros((n, n))


@jax.jit
def stages(u):
    after = {"start": u, "2 smoothing steps": finest.pre_smooth(finest.pre_smooth(u, zero), zero)}
    after["coarse correction"] = correct(two_grids, after["2 smoothing steps"], zero)
    after["2 smoothing steps more"] = finest.post_smooth(finest.post_smooth(after["coarse correction"], zero), zero)
    return after


after = stages(wave + 0.5 * jax.random.normal(jax.random.key(0), (n, n)))
figure, axes = plt.subplots(1, 4, figsize=(11, 2.9), layout="constrained")
for place, name in zip(axes, ("start", "2 smoothing steps", "coarse correction", "2 smoothing steps more"), strict=True):
    largest = float(jnp.abs(after[name]).max())
    image = place.imshow(after[name].T, origin="lower", cmap="RdBu_r", vmin=-largest, vmax=largest, extent=(0, 1, 0, 1))
    place.set_title(name, fontsize=9)
    place.set_xticks([0, 1])
    place.set_yticks([0, 1])
    figure.colorbar(image, ax=place, fraction=0.046, pad=0.03)
plt.show()

# %% [markdown]
# Smoothing removes the noise and hardly touches the wave. The wave looks the same on the coarser grid, where it is found for a
# quarter of the work. What the coarse grid cannot show, and what interpolation adds, is rough, and smoothing removes it.
#
# The same for every wave $\sin(j \pi x) \sin(k \pi y)$ of the grid: the factor by which its norm changes.

# %%
sines = jnp.sin(jnp.pi * jnp.arange(1, n + 1)[:, None] * x)
waves = (sines[:, None, :, None] * sines[None, :, None, :]).reshape(n * n, n, n)
norm = lambda u: jnp.sqrt(jnp.sum(u**2, (-2, -1)))
parts = {
    "one smoothing step": lambda u: finest.pre_smooth(u, zero),
    "coarse correction": lambda u: correct(two_grids, u, zero),
    "both: smooth, correct, smooth": lambda u: cycle(two_grids.levels, zero, u),
}
factors = {name: (jax.jit(jax.vmap(part))(waves), norm(waves)) for name, part in parts.items()}
factors = {name: np.asarray(norm(v) / before).reshape(n, n) for name, (v, before) in factors.items()}

figure, axes = plt.subplots(1, 3, figsize=(9.5, 3), layout="constrained", sharey=True)
for place, (name, factor) in zip(axes, factors.items(), strict=True):
    image = place.imshow(factor.T, origin="lower", cmap="magma", vmin=0, vmax=1, extent=(0.5, n + 0.5, 0.5, n + 0.5))
    place.set_title(name, fontsize=9)
    place.set_xlabel("j")
    place.axvline((n + 1) / 2, color="white", linewidth=0.7, linestyle=":")
    place.axhline((n + 1) / 2, color="white", linewidth=0.7, linestyle=":")
axes[0].set_ylabel("k")
figure.colorbar(image, ax=axes, label="norm after / before", fraction=0.02, pad=0.01)
plt.show()

rough = np.add.outer(*(2 * [np.arange(1, n + 1) >= (n + 1) / 2])) > 0
for name, factor in factors.items():
    print(f"{name:30} largest factor of long waves {factor[~rough].max():6.3f}, of the others {factor[rough].max():6.3f}")

# %% [markdown]
# Long waves are those below the dotted lines, which the coarser grid can show. In theory a smoothing step multiplies the others
# by at most 0.6, and the two-grid cycle multiplies any error by about 0.36 in the long run (Trottenberg, Oosterlee, Schüller,
# *Multigrid*, 2001).
#
# ## The V-cycle, on every grid
#
# The coarse equation is solved in the same way, and so on down to one point: that is the V-cycle. By how much does the error
# shrink per cycle, and per smoothing step if there is nothing else? Measured after a few cycles from noise; of the smoother the
# largest of the factors above, $1 - \tfrac45 (1 - \cos \pi h)$.


# %%
@eqx.filter_jit
def contraction(multigrid, steps=12):
    """The mean factor of the error's norm over the last four cycles."""

    def step(u, _):
        u = cycle(multigrid.levels, jnp.zeros_like(u), u)
        return u / norm(u), norm(u)

    start = jax.random.normal(jax.random.key(1), multigrid.shape)
    return jnp.exp(jnp.mean(jnp.log(jax.lax.scan(step, start / norm(start), length=steps)[1][-4:])))


kinds = {
    "V-cycle, Jacobi": (Jacobi(), True),
    "V-cycle, red-black Gauss-Seidel": (GaussSeidel(), False),
    "V-cycle, Chebyshev of degree 2": (Chebyshev(2), True),
}
kinds = dict(list(kinds.items())[: 1 if QUICK else 3])
contractions = {
    name: [float(contraction(poisson(n, smoother, symmetric=symmetric))) for n in SIZES]
    for name, (smoother, symmetric) in kinds.items()
}
contractions = {"Jacobi alone": [1 - 0.8 * (1 - math.cos(math.pi / (n + 1))) for n in SIZES], **contractions}
print(f"{'error factor per cycle':32}", *(f"{f'{n} x {n}':>11}" for n in SIZES))
for name, found in contractions.items():
    print(f"{name:32}", *(f"{factor:11.4f}" for factor in found))

# %% [markdown]
# The smoother alone comes to a halt on fine grids, the V-cycle does not notice them. In iterations, to a residual of $10^{-8}$ of
# its start, for a random $f$. Conjugate gradients are the method to compare with. With the V-cycle as preconditioner they take
# the fewest iterations, and that is what `solvers.solve_darcy` does. Seconds are those of the finest grid, compilation left out.


# %%
def smoother_alone(multigrid, f):
    finest = multigrid.levels[0]
    unfinished = lambda carry: norm(f - multigrid.operator(carry[0])) > 1e-8 * norm(f)
    step = lambda carry: (finest.smoother(finest.stencil, carry[0], f), carry[1] + 1)
    return jax.lax.while_loop(unfinished, step, (jnp.zeros_like(f), 0))[1]


def v_cycles(multigrid, f):
    return multigrid.solve(f, rtol=1e-8).num_steps


def conjugate_gradients(multigrid, f, **options):
    operator = lx.FunctionLinearOperator(multigrid.operator, f, lx.positive_semidefinite_tag)
    solver = FlexibleConjugateGradient(rtol=1e-8, max_steps=5000)
    return lx.linear_solve(operator, f, solver, options=options).stats["num_steps"]


def preconditioned(multigrid, f):
    return conjugate_gradients(multigrid, f, preconditioner=multigrid)


def steps_of(method, *arguments):
    """The iterations that a method takes, and the seconds without its compilation."""
    compiled = eqx.filter_jit(method).lower(*arguments).compile()
    start = time.perf_counter()
    return int(compiled(*arguments)), time.perf_counter() - start


methods = {
    "Jacobi alone": smoother_alone,
    "conjugate gradients": conjugate_gradients,
    "V-cycles": v_cycles,
    "both": preconditioned,
}
forces = {n: jax.random.normal(jax.random.key(2), (n, n)) for n in SIZES}
print(f"{'iterations':32}", *(f"{f'{n} x {n}':>11}" for n in SIZES), f"{'seconds':>9}")
for name, method in methods.items():
    found = [steps_of(method, poisson(n, Jacobi()), f) for n, f in forces.items()]
    print(f"{name:32}", *(f"{count:11,}" for count, _ in found), f"{found[-1][1]:9.4f}")

# %% [markdown]
# The error of a Poisson problem as it goes, $\log_{10}|e|$: V-cycles, and Jacobi steps at the same cost. A cycle counts as four
# steps: it applies $A$ three times on every level, and all coarser levels together have a third of the points of the finest.

# %%
n = 15 if QUICK else 63
multigrid = poisson(n, Jacobi())
finest = multigrid.levels[0]


@jax.jit
def course(u):
    """The error before every V-cycle, and before every fourth smoothing step."""
    zero = jnp.zeros_like(u)
    cycled = jax.lax.scan(lambda u, _: (cycle(multigrid.levels, zero, u), u), u, length=13)[1]
    four = lambda u: jax.lax.fori_loop(0, 4, lambda _, u: finest.pre_smooth(u, zero), u)
    return cycled, jax.lax.scan(lambda u, _: (four(u), u), u, length=13)[1]


h = 1 / (n + 1)
x = h * jnp.arange(1, n + 1)
wave = jnp.sin(jnp.pi * x)[:, None] * jnp.sin(2 * jnp.pi * x)
cycled, jacobi = course(wave + 0.5 * jax.random.normal(jax.random.key(0), (n, n)))
logarithm = lambda u: np.log10(np.abs(np.asarray(u)) + 1e-16)
animate(
    {"V-cycles": np.clip(logarithm(cycled), -8, 0), "Jacobi steps of the same cost": np.clip(logarithm(jacobi), -8, 0)},
    Grid((n, n), extent=((h, 1 - h),) * 2), range(13), label=Label("log10 |error|"), over="V-cycles",
    frames_per_second=2,
)  # fmt: skip

# %% [markdown]
# ## Permeabilities that jump
#
# For Darcy's equation `darcy_stencil` makes the stencil. Two materials, as in the Darcy data sets, with a ratio of permeabilities
# from 4, that of the FNO paper, to 10,000. The coarse equations can be discretized anew, with the permeability at the points that
# are left, or be the Galerkin products $RAP$ of the finer stencil with restriction and interpolation, which is what `Multigrid`
# does by itself.

# %%
n = 16 if QUICK else 64
grid = Grid((n + 1, n + 1), boundary=("dirichlet", "dirichlet"))
blobs = GaussianRandomField(3.0, 3.0, 2.0, boundary="neumann").sample(grid, key=jax.random.key(0))[0] > 0


@jax.jit
def darcy_steps(permeability):
    """Iterations to a residual of 1e-8, and the result code, which is 0 for a solution."""
    stencil, nodes = darcy_stencil(permeability, grid)
    anew = Multigrid(stencil, nodes, coarse=rediscretized(permeability, grid, weighting="injected"))
    galerkin = Multigrid(stencil, nodes)
    one = jnp.ones((n - 1, n - 1))
    operator = lx.FunctionLinearOperator(stencil, one, lx.positive_semidefinite_tag)
    ends = {
        name: m.solve(one, throw=False)
        for name, m in {"V-cycles, discretized anew": anew, "V-cycles, Galerkin": galerkin}.items()
    }
    ends = {name: (end.num_steps, end.result) for name, end in ends.items()}
    for name, options in {"conjugate gradients": {}, "both, Galerkin": {"preconditioner": galerkin}}.items():
        solver = FlexibleConjugateGradient(rtol=1e-8, max_steps=10_000)
        stats = lx.linear_solve(operator, one, solver, options=options, throw=False).stats
        ends[name] = stats["num_steps"], stats["result"]
    return ends


ratios = (4, 100, 10_000)
ends = [darcy_steps(jnp.where(blobs, float(ratio), 1.0)) for ratio in ratios]
said = {0: "", 1: "+", 3: " diverged"}
print(f"{f'iterations on {n - 1} x {n - 1} points':32}", *(f"{f'1 : {ratio:,}':>13}" for ratio in ratios))
for name in ("V-cycles, discretized anew", "V-cycles, Galerkin", "conjugate gradients", "both, Galerkin"):
    print(f"{name:32}", *(f"{f'{int(end[name][0])}{said[int(end[name][1])]}':>13}" for end in ends))
print("+: stopped there")

# %% [markdown]
# Which cycle is used matters here, and a cycle that converges slowly is still a good preconditioner.
