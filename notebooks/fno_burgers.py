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
# # Burgers: one Fourier neural operator for six grids
#
# The velocity $u$ of a one-dimensional fluid without pressure carries itself and is smoothed by viscosity. On a circle of length
# $2\pi$,
#
# $$\partial_t u + \partial_x \tfrac{u^2}{2} = \nu\, \partial_{xx} u, \qquad u(\cdot, 0) = u_0, \qquad \nu = 0.1,$$
#
# with lengths, times and velocities that have no units. What moves fast overtakes what is slow, slopes steepen, and viscosity stops
# them at fronts whose width is of the order of $\nu$ over the jump. We learn the map $u_0 \mapsto u(\cdot, 1)$ for random smooth
# starts, $u_0 \sim \mathcal N(0, 625(-\Delta + 25)^{-2})$. It is the first experiment of the paper that introduced the Fourier
# neural operator (Li et al., arXiv 2010.08895), whose claim we test: the error does not depend on the resolution. The paper trains a
# network for each resolution; we train a single one on 256 points and ask it on up to 8192.

# %%
import os
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from neuralop_jax import FNO, apply_batched, equations
from neuralop_jax.config import load_config
from neuralop_jax.data import HDF5Dataset, Sample, generate
from neuralop_jax.data.generators import Burgers
from neuralop_jax.evaluation import evaluate, sample_errors
from neuralop_jax.metrics import energy_spectrum
from neuralop_jax.models import count_parameters
from neuralop_jax.solvers import ETDRK, integrate
from neuralop_jax.training import prepare
from neuralop_jax.viz import Label, animate, plot_curves, plot_sample, plot_spectra

# %matplotlib inline
# %config InlineBackend.figure_format = "retina"

QUICK = os.environ.get("NEURALOP_JAX_QUICK") == "1"  # a few steps of a small network, to see that everything runs
SAMPLES, TESTED, FINEST, WIDTH, DEPTH, STEPS = (40, 10, 512, 8, 1, 20) if QUICK else (1000, 100, 8192, 32, 4, 3000)

# %% [markdown]
# ## Data
#
# Nothing is downloaded. `generate` draws the starts and solves the equation with exponential time steps of fourth order on at least
# 1024 points, and keeps every $n$-th. The same key means the same function on every grid, so the test set is stored once, on the
# finest grid, and its points are thinned out for the others.

# %%
folder = Path(tempfile.mkdtemp())
began = time.perf_counter()
generate(Burgers(), folder / "train.h5", num_samples=SAMPLES, resolution=256, splits={"train": SAMPLES})
generate(Burgers(), folder / "test.h5", num_samples=TESTED, resolution=FINEST, seed=1, splits={"test": TESTED})
print(f"{SAMPLES} training samples of 256 points, {TESTED} test samples of {FINEST}: {time.perf_counter() - began:.0f} s")

ends = {"input_time": "first", "target_time": "last"}
test = HDF5Dataset(folder / "test.h5", "test", "velocity", "velocity", **ends)
whole = test.read_all()
start, target = whole.inputs["u"], whole.target

# %% [markdown]
# Is the target right? The substitution of Cole and Hopf, $u = -2\nu\, \partial_x \log\theta$, turns the equation into the heat
# equation for $\theta$, whose solution is an integral. Besides, the mean velocity cannot change, and the energy can only fall.

# %%
grid = Burgers().grid(256)
fields, _ = jax.jit(lambda key: Burgers(solver_resolution=256).simulate(256, key=key))(jax.random.key(2))
first, last = fields["velocity"]
exact = equations.Burgers(viscosity=0.1).cole_hopf(first, 1.0, grid)
print(f"largest difference from the exact solution: {jnp.abs(exact - last).max():.1e}")
print(f"largest change of a mean velocity: {np.abs((target - start).mean(-1)).max():.1e}")
print(f"energy left at t = 1: {100 * (target**2).mean() / (start**2).mean():.0f} %")
unchanged = np.linalg.norm(target - start, axis=-1) / np.linalg.norm(target, axis=-1)
print(f"relative L2 error of the answer that nothing changes: {unchanged.mean():.2f}")

# %% [markdown]
# ## Training
#
# The configuration is that of `configs/burgers/fno.toml`: four Fourier blocks, the relative $L^2$ error as loss, AdamW with a cosine
# schedule. Here the network is smaller. In a terminal the same would be
# `python -m neuralop_jax train configs/burgers/fno.toml --data.path ... --model.width 32 ...`.

# %%
here = Path.cwd()
root = next(place for place in (here, *here.parents) if (place / "configs").is_dir())
overrides = ["--data.path", str(folder / "train.h5"), "--model.width", str(WIDTH), "--model.depth", str(DEPTH)]
overrides += ["--training.steps", str(STEPS), "--optimizer.warmup-steps", str(STEPS // 20)]
experiment = prepare(load_config(root / "configs/burgers/fno.toml", overrides))

began = time.perf_counter()
state, steps, loss = experiment.initial(), [], []
for done in range(STEPS // 20, STEPS + 1, STEPS // 20):
    state, history = experiment.interval(state, STEPS // 20)
    steps.append(done)
    loss.append(float(history["loss"].mean()))
operator, seconds = state.operator(), time.perf_counter() - began
print(f"{count_parameters(operator):,} parameters, {STEPS} steps of 20 samples in {seconds:.0f} s")
plot_curves({"training loss": (steps, loss)}, "relative L2")

# %% [markdown]
# ## The error on six grids
#
# One network, trained on 256 points, beside the published ones, each of which was trained on the grid on which it was tested, with
# 1000 samples and 500 epochs (25,000 steps), width 64. The first row is Table 1 of Li et al. 2021, whose blocks have batch norm; the
# second is that of the extended paper, Kovachki et al., J. Mach. Learn. Res. 24(89), 2023, without it. The two papers state different
# intervals, $(0, 1)$ and $(0, 2\pi)$. The released file was made with other parameters than either states, so the rows are to be
# compared in their shape, not digit by digit.

# %%
published = {
    "FNO, Li et al. 2021": (0.0149, 0.0158, 0.0160, 0.0146, 0.0142, 0.0139),
    "FNO, Kovachki et al. 2023": (0.0018, 0.0018, 0.0018, 0.0019, 0.0020, 0.0019),
}
points = [256 * 2**n for n in range(6)]
ours = {}
for n in points:
    if n <= FINEST:
        thin = slice(None, None, FINEST // n)
        ours[n] = evaluate(operator, Sample({"u": start[..., thin]}, target[..., thin]), grid=Burgers().grid(n))

print("points                    ", *(f"{n:>6}" for n in points), "  setting")
for name, row in published.items():
    print(f"{name:<26}", *(f"{value:6.4f}" for value in row), "  a network for each grid, 25,000 steps")
cells = (f"{ours[n]['relative_l2']:6.4f}" if n in ours else "     –" for n in points)
print(f"{'ours, trained on 256':<26}", *cells, f"  one network, {SAMPLES} samples, width {WIDTH}, {STEPS} steps, {seconds:.0f} s")
errors = [e["relative_l2"] for e in ours.values()]
print(f"largest error over smallest: {max(errors) / min(errors):.3f}")

# %%
curves = {name: (points, row) for name, row in published.items()}
plot_curves({"ours": (list(ours), errors), **curves}, "relative L2", over="points", log_over=True)

# %% [markdown]
# ## A picture
#
# The test sample with the median error, on 1024 points.

# %%
shown = min(1024, FINEST)
thin, fine = slice(None, None, FINEST // shown), Burgers().grid(shown)
order = np.argsort(sample_errors(operator, Sample({"u": start[..., thin]}, target[..., thin]), grid=fine)["relative_l2"])
median, worst, velocity = int(order[len(order) // 2]), int(order[-1]), [Label("velocity")]
u, v = start[median, :, thin], target[median, :, thin]
plot_sample(u, v, operator(jnp.asarray(u)), fine, input=velocity, output=velocity)

# %% [markdown]
# ## From the start to the answer
#
# The operator jumps over the whole evolution; a solver goes through it. The gray band is the solver's, for the sample with the
# largest error; the line is where it will be at $t = 1$ according to the operator.

# %%
u0 = jnp.asarray(start[worst, :, :: FINEST // 256])
step = ETDRK(equations.Burgers(viscosity=0.1), grid, dt=0.005)
solution = integrate(step, u0, 200, save_every=50 if QUICK else 10)
answer = np.broadcast_to(np.asarray(operator(u0)), solution.values[:, 0].shape)
animate({"solver": solution.values[:, 0], "operator, t = 1": answer}, grid, solution.times, label=Label("velocity"))

# %% [markdown]
# ## Which scales are wrong?
#
# The energy of the error by wavenumber, as a share of the energy of the target, on 1024 points. A start is rough: its modes decay
# like $k^{-2}$, and the training grid shows them up to $k = 128$. The spectral convolutions act on wavenumbers up to 16; what lies
# beyond is made by the activations and the layers between. Viscosity has removed most of it from the target, which is why the error
# does not grow with the resolution: on a finer grid there is nothing new to be wrong about.

# %%
u, v = (jnp.asarray(values[..., thin]) for values in (start, target))
prediction = jax.jit(apply_batched)(operator, u)
spectrum = jax.jit(jax.vmap(lambda w: energy_spectrum(w, fine)[0]))
wanted, predicted, error = (np.asarray(spectrum(w)) for w in (v, prediction, prediction - v))
total = wanted.sum(axis=1, keepdims=True)
wanted, predicted, error = ((w / total).mean(axis=0) for w in (wanted, predicted, error))
marks = {"kept modes": 16, "training grid": 128}
plot_spectra(wanted, predicted, error, limit=shown // 2, marks=marks, label="share of the target's energy")

# %% [markdown]
# ## What holds exactly, and what does not
#
# A Fourier layer commutes with shifts of the circle, and so does everything between; but the network also reads the coordinate $x$,
# so it has to learn that no place is special. The equation keeps the mean velocity exactly; the network was not told. Both can be
# measured without a target. Shifts by whole points of the training grid:

# %%
moved = jax.jit(apply_batched)(operator, jnp.roll(u, shown // 4, axis=-1))
apart = jnp.linalg.norm(moved - jnp.roll(prediction, shown // 4, axis=-1), axis=-1) / jnp.linalg.norm(prediction, axis=-1)
print(f"a shifted start does not give the shifted answer: relative difference {apart.mean():.4f}")
print(f"the mean velocity is missed by {jnp.abs(prediction.mean(-1) - u.mean(-1)).mean():.4f}")

free = FNO(in_channels=1, out_channels=1, n_modes=(32,), width=8, coordinates=False, key=jax.random.key(0))
before, after = free(jnp.roll(u[0], shown // 4, axis=-1)), jnp.roll(free(u[0]), shown // 4, axis=-1)
print(f"without the coordinate, before any training: {jnp.abs(before - after).max() / jnp.abs(after).max():.1e}")
