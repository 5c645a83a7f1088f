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
# # MgNO, the network that is multigrid
#
# Multigrid solves Poisson's equation $-\Delta u = f$ in the unit square, $u = 0$ on its boundary, at a cost proportional to the
# number of points: a few steps of a smoother, the residual on a grid with half the points per axis, the same there, and back (the
# notebook `multigrid` takes it apart). Every part of it is a small stencil, so it can be read as a convolutional network, and the
# multigrid neural operator (MgNO, He, Liu and Xu 2023, arXiv:2310.19809) is that network with learned stencils. We put the numbers
# of multigrid into an MgNO, which then *is* multigrid, look at what its options mean, and train one for Darcy's equation,
# $-\nabla \cdot (a \nabla p) = f$. All quantities are dimensionless.

# %%
import dataclasses
import json
import os
import tempfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console

from neuralop_jax import apply_batched
from neuralop_jax.config import load_config
from neuralop_jax.data import HDF5Dataset
from neuralop_jax.grids import Grid
from neuralop_jax.kernels import AxisNodes, Jacobi, convolve, diffusion_stencil
from neuralop_jax.layers import MultigridConv
from neuralop_jax.models import MgNO
from neuralop_jax.solvers import FlexibleConjugateGradient, Multigrid, darcy_stencil
from neuralop_jax.training import fit
from neuralop_jax.viz import Label, plot_sample

# %matplotlib inline
# %config InlineBackend.figure_format = "retina"

QUICK = os.environ.get("NEURALOP_JAX_QUICK") == "1"  # small grids and few steps, to see that everything runs
SIZES = (15,) if QUICK else (15, 31, 63, 127)
STEPS = 4 if QUICK else 500
here = Path.cwd()
root = next(folder for folder in (here, *here.parents) if (folder / "datasets").is_dir())
os.chdir(root)
jax.config.update("jax_enable_x64", True)  # for residuals of 1e-8

# %% [markdown]
# ## The V-cycle to compare with
#
# The five-point stencil on $n \times n$ interior points, discretized anew on every level down to a single point, and Jacobi's
# smoother, $u \leftarrow u + \tfrac45 D^{-1}(f - Au)$ with the diagonal $D$ of $A$, once before and once after the coarser levels.


# %%
def laplacian(n):
    return diffusion_stencil([jnp.full((1, 1), (n + 1.0) ** 2)] * 2, periodic=(False, False))


def poisson(n):
    coarse = [laplacian((n + 1 >> level) - 1) for level in range(1, depths[n])]
    return Multigrid(laplacian(n), [AxisNodes(n, "dirichlet")] * 2, coarse=coarse, smoother=Jacobi(), coarsest=1)


depths = {n: (n + 1).bit_length() - 1 for n in SIZES}
forces = {n: jax.random.normal(jax.random.key(2), (n, n)) for n in SIZES}
norm = lambda u: jnp.sqrt(jnp.sum(u**2, (-2, -1)))

# %% [markdown]
# ## Every part is a convolution
#
# Multiply the equation by $h^2$. On every level, the parts of this V-cycle are then the same four kernels of 3 × 3 points,
#
# | part | multigrid | MgNO |
# | --- | --- | --- |
# | $A$ | $\begin{pmatrix} & -1 & \\ -1 & 4 & -1 \\ & -1 & \end{pmatrix}$ | a convolution |
# | $S$, a smoothing step $u \leftarrow u + S(f - Au)$ | $\tfrac45 \cdot \tfrac14$ at the center | a convolution |
# | $R$, the restriction | $\tfrac14 \begin{pmatrix} 1 & 2 & 1 \\ 2 & 4 & 2 \\ 1 & 2 & 1 \end{pmatrix}$, at every other point | a convolution of stride 2 |
# | $P$, the interpolation | the transpose of $R$ | a transposed convolution of stride 2 |
#
# where $R$ is four times the average, since the coarse equation is multiplied by $(2h)^2$. In an MgNO $f$ and $u$ have many
# channels, kernels are learned, and an activation follows the V-cycle, $v \leftarrow \sigma(Wv + Lv)$. With one channel and
# nothing around it, `depth=0, head="multigrid"`, the model is the V-cycle $W$. We put the numbers of the table in; the one point
# of the coarsest level gets $S = \tfrac14$, which solves it.


# %%
cross = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0.0]])
center, hat = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0.0]]), np.outer([0.5, 1, 0.5], [0.5, 1, 0.5])


def v_cycle(num_levels, **options):
    """An MgNO that is one V(1,1)-cycle on interior points, with random kernels."""
    textbook = {"coarse_rhs": "residual", "coarse_init": "zero", "prolongation_size": 3, "restriction_padding": 0}
    model = {"in_channels": 1, "out_channels": 1, "num_dims": 2, "depth": 0, "head": "multigrid"}
    smoothing = ((1, 1),) * (num_levels - 1) + ((1, 0),)
    return MgNO(**model, **{"smoothing": smoothing, **textbook, **options}, key=jax.random.key(0))


def with_kernels(model, *, solves_coarsest=True, iterate=hat):
    """The model with the kernels of the table."""

    def put(part, values):
        return None if part is None else eqx.tree_at(lambda p: p.weight, part, jnp.asarray(values)[None, None])

    def filled(kernels, smoother):
        return dataclasses.replace(
            kernels,
            operators=tuple(put(part, cross) for part in kernels.operators),
            smoothers=tuple(put(part, smoother) for part in kernels.smoothers),
            restrict_right=put(kernels.restrict_right, hat),
            restrict_iterate=put(kernels.restrict_iterate, iterate),
            prolong=put(kernels.prolong, hat),
        )

    *finer, coarsest = model.projection[0].kernels
    kernels = *(filled(level, center / 5) for level in finer), filled(coarsest, center / 4 if solves_coarsest else center / 5)
    return eqx.tree_at(lambda m: m.projection[0].kernels, model, kernels)


apply = eqx.filter_jit(lambda model, f: model(f[None])[0])
learned = {n: with_kernels(v_cycle(depths[n], sharing="per_level")) for n in SIZES}
for n, f in forces.items():
    classical, found = eqx.filter_jit(lambda m, f: m(f))(poisson(n), f), apply(learned[n], f / (n + 1) ** 2)
    difference = jnp.abs(found - classical).max() / jnp.abs(classical).max()
    print(f"{n} x {n}, {depths[n]} levels: MgNO is the V-cycle to {difference:.0e}")

# %% [markdown]
# ## What the released models compute
#
# The published code restricts $f$ itself, not the residual $f - Au$, smooths only on the way down, and starts a coarser level
# from a restricted iterate $\Pi u$; this is the default here. Is that still multigrid? With the numbers of the table and $\Pi=0$
# every level smooths the restricted $f$ on its own, and what they find is added up,
#
# $$W = \sum_l P^l S R^l ,$$
#
# which is the additive multigrid of Bramble, Pasciak and Xu (Math. Comp. 55, 1990). Levels correct the error without knowing of
# each other, which takes more steps than a V-cycle, and still few. Iterations of conjugate gradients with either form:


# %%
class Preconditioner(eqx.Module):
    """An operator on `(channels, *space)` for fields `(*space)`, of an equation multiplied by h^2."""

    model: MgNO

    def __call__(self, r):
        return self.model(r[None])[0] / (r.shape[-1] + 1) ** 2


def released(n):
    smoothing = ((1, 0),) * depths[n]
    model = v_cycle(depths[n], smoothing=smoothing, coarse_rhs="rhs", coarse_init="restrict")
    return with_kernels(model, iterate=0 * hat)


@eqx.filter_jit
def num_steps(f, **options):
    """The iterations of conjugate gradients for Poisson's equation, to a residual of 1e-8 of its start."""
    operator = lx.FunctionLinearOperator(laplacian(len(f)), f, lx.positive_semidefinite_tag)
    solver = FlexibleConjugateGradient(rtol=1e-8, max_steps=5000)
    return lx.linear_solve(operator, f, solver, options=options).stats["num_steps"]


preconditioners = {
    "no preconditioner": lambda n: {},
    "V-cycle": lambda n: {"preconditioner": poisson(n)},
    "MgNO, textbook form": lambda n: {"preconditioner": Preconditioner(learned[n])},
    "MgNO, released form": lambda n: {"preconditioner": Preconditioner(released(n))},
}
print(f"{'conjugate gradients, steps':32}", *(f"{f'{n} x {n}':>11}" for n in SIZES))
for name, options in preconditioners.items():
    print(f"{name:32}", *(f"{int(num_steps(f, **options(n))):11,}" for n, f in forces.items()))

# %% [markdown]
# ## Other grids
#
# The same kernels on all levels, `sharing="all_levels"`: four kernels for any grid. `with_smoothing` gives the same weights more
# levels. By how much does the error shrink per cycle if the levels are kept, and if the grid's doubling adds one?

# %%
few = with_kernels(v_cycle(depths[SIZES[0]], sharing="all_levels"), solves_coarsest=False)


@eqx.filter_jit
def learned_contraction(model, n):
    """The mean factor of the error's norm over the last four steps u <- u - W A u."""

    def step(u, _):
        u = u - model(laplacian(n)(u)[None])[0] / (n + 1) ** 2
        return u / norm(u), norm(u)

    start = jax.random.normal(jax.random.key(1), (n, n))
    return jnp.exp(jnp.mean(jnp.log(jax.lax.scan(step, start / norm(start), length=40)[1][-4:])))


print(f"weights: {sum(part.size for part in jax.tree.leaves(few))}")
print(f"{'error factor per cycle':32}", *(f"{f'{n} x {n}':>11}" for n in SIZES))
for name, levels in {"levels of the first grid": {n: depths[SIZES[0]] for n in SIZES}, "one more for each": depths}.items():
    models = {n: few.with_smoothing(((1, 1),) * (levels[n] - 1) + ((1, 0),)) for n in SIZES}
    print(f"{name:32}", *(f"{float(learned_contraction(model, n)):11.4f}" for n, model in models.items()))

# %% [markdown]
# Two things tie a multigrid network to its grid. Its levels reach only so far. And kernels count points: here lengths entered
# through the factor $h^2$, which we gave; with the $h^2$ of a grid of twice the spacing the answer would be four times as large.
# A trained network has no such factor to be changed. `MgNO.resolution` claims nothing of other grids.
#
# ## Boundary conditions
#
# What a convolution reads beyond the edge *is* the boundary condition. The kernel $(-1, 2, -1)$ then has waves that it only
# multiplies by a number, sines or cosines at certain points. How far is each rule from doing that with each wave?

# %%
n, j = 16, np.arange(16)
eigenwaves = {
    "u = 0, one point beyond": np.sin(3 * np.pi * (j + 1) / (n + 1)),
    "u' = 0, at the last point": np.cos(3 * np.pi * j / (n - 1)),
    "u' = 0, half a point beyond": np.cos(3 * np.pi * (j + 0.5) / n),
    "periodic": np.cos(6 * np.pi * j / n + 1),
}
rules = ("zeros", "reflect", "replicate", "periodic")
print(f"{'':29}", *(f"{rule:>10}" for rule in rules))
for name, wave in eigenwaves.items():
    found = []
    for rule in rules:
        image = convolve(jnp.asarray(wave)[None], jnp.asarray([[[-1.0, 2, -1]]]), padding=1, boundary=rule)[0]
        multiple = image[n // 2] / wave[n // 2]
        found.append(float(jnp.abs(image - multiple * wave).max()))
    print(f"{name:29}", *(f"{'exact' if apart < 1e-12 else f'{apart:.2f}':>10}" for apart in found))

# %% [markdown]
# All convolutions of a V-cycle follow its rule, prolongation too, with any weights. A periodic one commutes with shifts, if the
# shift is one of the coarsest grid. The released models pad prolongations with zeros always; `zero_padded_prolongation=True` does
# so, for their weights.

# %%
smoothing = ((1, 0), (2, 0))
u = jax.random.normal(jax.random.key(3), (1, 32, 32))
moved = lambda v: jnp.roll(v, (2, -4), (-2, -1))
for name, options in {"periodic": {}, "periodic, prolongation with zeros": {"zero_padded_prolongation": True}}.items():
    W = eqx.filter_jit(MultigridConv(2, 1, 1, smoothing=smoothing, boundary="periodic", **options, key=jax.random.key(4)))
    v, w = moved(W(u)), W(moved(u))
    print(f"{name + ':':35} shift before or after, difference {jnp.abs(v - w).max() / jnp.abs(v).max():.0e}")

# %% [markdown]
# ## Learned V-cycles
#
# Now kernels are learned, from 1000 permeabilities and pressures on 16 × 16 points. `configs/darcy_small/mgno.toml` is four
# layers of four levels, 24 channels wide, in the released form; trained here for fewer steps than there, once as it is, and once
# in textbook form, with residuals and corrections from zero. The first row is the published setting most like it; it takes 500
# epochs on 256 × 256 points, which could not be run here. Its figure is given as other authors transcribe it.
# `configs/darcy/mgno.toml` is on 85 × 85 points; that and the long training on 16 × 16 points, with three seeds, are those of the
# data sets' pages, and took the time given there. Seconds are wall time, other work on the machine included.

# %%
jax.config.update("jax_enable_x64", False)
short = [f"--training.steps={STEPS}", f"--training.log-every={min(STEPS, 50)}", f"--training.save-every={STEPS}",
         "--training.evaluate-every=0", f"--optimizer.warmup-steps={STEPS // 15}"]  # fmt: skip
small = ["--model.width=4", "--model.depth=1", "--model.smoothing=[[1, 0], [2, 0]]"] if QUICK else []
forms = {"released form": [], "textbook form": ["--model.coarse-rhs=residual", "--model.coarse-init=zero"]}
folder = Path(tempfile.mkdtemp())
found = {}
for name, options in list(forms.items())[: 1 if QUICK else 2]:
    config = load_config("configs/darcy_small/mgno.toml", [*short, *small, *options])
    found[name] = fit(config, run_dir=folder / name.replace(" ", "_"), console=Console(quiet=True))


def row(name, grid, parameters, steps, error, seconds):
    print(f"{name:36}{grid:>11}{parameters:>12}{steps:>13}{error:>10}{seconds:>9}")


def of_page(dataset, split):
    """The mean over seeds of the results on the page of a data set."""
    runs = [run for run in json.loads(Path(f"datasets/{dataset}/results.json").read_text()) if run["model"] == "mgno"]
    mean = lambda values: sum(values) / len(runs)
    error, seconds = mean([run["splits"][split]["relative_l2"] for run in runs]), mean([run["seconds"] for run in runs])
    return f"{runs[0]['parameters']:,}", f"{runs[0]['steps']:,}", f"{error:.4f}", f"{seconds:.0f}"


row("", "grid", "parameters", "steps", "rel. L2", "seconds")
row("MgNO, He et al. 2023, Darcy rough", "256 x 256", "572,661", "500 epochs", f"{0.00339:.4f}", "")
row("configs/darcy/mgno.toml", "85 x 85", *of_page("darcy", "test"))
row("configs/darcy_small/mgno.toml", "16 x 16", *of_page("darcy_small", "test_16"))
for name, result in found.items():
    error, parameters = result.results["splits"]["test_16"]["relative_l2"], result.results["parameters"]
    row(f"here, {name}", "16 x 16", f"{parameters:,}", f"{STEPS:,}", f"{error:.4f}", f"{result.results['train_seconds']:.0f}")

# %% [markdown]
# The sample with the median error:

# %%
operator = found["released form"].operator
file = "datasets/darcy_small/darcy_small.h5"
test_16, test_32 = (HDF5Dataset(file, split, "permeability", "pressure") for split in ("test_16", "test_32"))
data_16, data_32 = (split.read_all() for split in (test_16, test_32))
answers = eqx.filter_jit(apply_batched)
relative = lambda v, target: np.linalg.norm(np.asarray(v - target), axis=(-2, -1)) / np.linalg.norm(target, axis=(-2, -1))

predicted_16 = answers(operator, jnp.asarray(data_16.inputs["u"]))
errors_16 = relative(predicted_16, data_16.target)[:, 0]
median = int(np.argsort(errors_16)[len(errors_16) // 2])
names = {"input": [Label("permeability")], "output": [Label("pressure")]}
plot_sample(data_16.inputs["u"][median], data_16.target[median], predicted_16[median], test_16.grid, **names)

# %% [markdown]
# Which level does what? The same sample, with all coarser levels cut off in every layer, by prolongations of zero. The network
# was not trained so: this is a look inside, not a smaller model.

# %%
num_levels = len(operator.model.smoothing)


def cut(level):
    """The operator without what comes from below a level."""
    prolongations = lambda m: [part.kernels[level].prolong.weight for part in m.model.cycles]
    return operator if level == num_levels - 1 else eqx.tree_at(prolongations, operator, replace_fn=jnp.zeros_like)


figure, axes = plt.subplots(1, num_levels, figsize=(2.5 * num_levels, 2.6), layout="constrained", squeeze=False)
for level, place in enumerate(axes[0]):
    answer = answers(cut(level), jnp.asarray(data_16.inputs["u"]))
    place.imshow(answer[median, 0].T, origin="lower", cmap="viridis", extent=(0, 1, 0, 1))
    place.set_title(f"{level + 1} of {num_levels} levels", fontsize=9)
    place.set_xticks([])
    place.set_yticks([])
    print(f"{level + 1} of {num_levels} levels: relative L2 {relative(answer, data_16.target).mean():.3f} over the test samples")
plt.show()

# %% [markdown]
# Without the coarser levels the answer follows the permeability around each point. The pressure is a matter of the whole square,
# and comes from the coarse levels. (Each picture has its own range of color.)
#
# ## A trained network on another grid
#
# `test_32` holds the same fields with twice as many points per axis. Is the answer there that of an equation which takes $h$ for
# twice what it is? That of a linear V-cycle with levels enough would be, and right after multiplication by 1/4.

# %%
predicted_32 = answers(operator, jnp.asarray(data_32.inputs["u"]))
for name, v, target in (("16 x 16", predicted_16, data_16.target), ("32 x 32", predicted_32, data_32.target)):
    factor = float(jnp.sum(v * target) / jnp.sum(v * v))
    print(
        f"{name}: relative L2 {relative(v, target).mean():.3f}; times {factor:.2f}, the best factor: {relative(factor * v, target).mean():.3f}"
    )

# %% [markdown]
# A factor repairs a part at most: activations are not homogeneous, the normalizers are those of the data and not of $h$, and the
# levels end at twice as many points. Train an MgNO on the grid of use.
#
# ## How many V-cycles is the network worth?
#
# The error of the network is that of how many cycles? The page of the data set (`datasets/darcy_small/README.md`) estimates what
# the files do not say: permeabilities of ratio 19, $f / a = 50$ in the lower one. With these, from zero, the error after each
# cycle against the converged solution on the points of `test_32`, as a mean over the test samples; beside it the difference from
# the pressure in the file.


# %%
@jax.jit
@jax.vmap
def first_cycles(permeability):
    """The pressure at interior points after each of ten V-cycles."""
    closed = jnp.pad(permeability[0], ((0, 1), (0, 1)), mode="edge")  # the file leaves out the last row and column
    stencil, nodes = darcy_stencil(jnp.where(closed > 0.5, 19.0, 1.0), Grid(closed.shape, boundary=("dirichlet",) * 2))
    multigrid, f = Multigrid(stencil, nodes), jnp.full([line.size for line in nodes], 50.0)

    def step(u, _):
        u = u + multigrid(f - stencil(u))
        return u, u

    return jax.lax.scan(step, jnp.zeros_like(f), length=10)[1]


data, n = (data_16, 16) if QUICK else (data_32, 32)
iterates = np.asarray(first_cycles(jnp.asarray(data.inputs["u"])))
stored = data.target[:, 0, 1:, 1:]
print(f"MgNO on 16 x 16 points, released form, against the file: {errors_16.mean():.4f}")
print(f"V-cycles on {n} x {n} points")
print(f"{'number':>8}{'against the solution':>22}{'against the file':>18}")
for count in range(1, 6):
    u = iterates[:, count - 1]
    print(f"{count:8}{relative(u, iterates[:, -1]).mean():22.4f}{relative(u, stored).mean():18.4f}")

# %% [markdown]
# Where the equation is known and linear, a few cycles of a method that needs no data do what the network does, and a few more
# what it cannot. What MgNO takes from multigrid is the shape: long and short waves each on a grid of their own, at a cost
# proportional to the points, with the boundary condition in every layer. It pays where there is no stencil to start from: only
# data, an equation that is nonlinear or not known, or fields that are not those of the equation's unknowns.
