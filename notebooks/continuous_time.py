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
# # Continuous time: neural differential equations
#
# A network that steps from one frame to the next has the clock of its data built in. Two kinds of problems need another clock:
# states that are wanted *between* the times of the training data, and measurements that come at *irregular* times, partly missing.
# Both are answered by networks that stand on the right-hand side of a differential equation:
#
# - a **neural ODE**, here a partial differential equation by the method of lines, $\dot u = N_\theta(u)$ with a Fourier neural operator
#   $N_\theta$; its solution has a state at every time;
# - a **neural CDE**, $\mathrm dz = f_\theta(z)\,\mathrm dX$, driven by a path $X$ through the measurements, whenever they were made.
#
# The solver chooses its own steps. What a state costs is the number of evaluations of the network, which we count.

# %%
import os
import tempfile
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from neuralop_jax import apply_batched, equations
from neuralop_jax.config import load_config
from neuralop_jax.data import HDF5Dataset, generate
from neuralop_jax.data.generators import Spirals
from neuralop_jax.kernels import resample
from neuralop_jax.layers import NeuralODE, OperatorField, control
from neuralop_jax.models import at_times, count_parameters
from neuralop_jax.solvers import ETDRK, integrate
from neuralop_jax.training import prepare
from neuralop_jax.viz import Label, animate, plot_curves

# %matplotlib inline
# %config InlineBackend.figure_format = "retina"

QUICK = os.environ.get("NEURALOP_JAX_QUICK") == "1"  # a few steps, to see that everything runs
BURGERS_STEPS, SERIES_STEPS, SERIES, TESTED, DEPTH = (20, 20, 100, 20, 1) if QUICK else (1200, 1000, 2000, 500, 3)

here, folder = Path.cwd(), Path(tempfile.mkdtemp())
root = next(place for place in (here, *here.parents) if (place / "configs").is_dir())


def train(name, path, steps, *overrides):
    """The operator that a configuration describes, trained, in physical units, and the seconds that it took."""
    began = time.perf_counter()
    lengths = ["--training.steps", str(steps), "--optimizer.warmup-steps", str(steps // 20)]
    experiment = prepare(load_config(root / f"configs/{name}.toml", ["--data.path", str(path), *lengths, *overrides]))
    state, _ = experiment.interval(experiment.initial(), steps)
    return state.operator(), time.perf_counter() - began


# %% [markdown]
# ## A flow between the frames
#
# The data are 800 trajectories of the viscous Burgers equation $\partial_t u + u\,\partial_x u = \nu\,\partial_{xx} u$, $\nu = 0.01$,
# on the circle $(0, 1)$: 17 frames, 0.06 units of time apart, on 16 points (`datasets/burgers_small`, from the `neuraloperator`
# package). Two models see the frames 0, 2, 4, ... and never one between. They hold the same kind of Fourier operator $G_\theta$:
#
# - `autoregressive`: $u_{n+1} = u_n + G_\theta(u_n)$, a step of two frames; between two steps one can only draw a line.
# - `continuous_time`: $\dot u = G_\theta(u)$, solved by Diffrax; in training with the method of Bogacki and Shampine and a step of two
#   frames. Each step evaluates $G_\theta$ three times, so that training costs several times as much.

# %%
path = root / "datasets/burgers_small/burgers_small.h5"
models, seconds = {}, {}
for name in ("autoregressive", "continuous_time"):
    models[name], seconds[name] = train(f"burgers_small/{name}", path, BURGERS_STEPS, "--model.operator.depth", str(DEPTH))
    print(f"{name}: {count_parameters(models[name]):,} parameters, {BURGERS_STEPS} steps in {seconds[name]:.0f} s")

# %% [markdown]
# `at_times` asks a trained model for other times than those of its training. First all 17 frames, of 400 trajectories that were not
# trained on:

# %%
test = HDF5Dataset(path, "test_16", "velocity", "velocity", input_time="first", target_time="1:")
held_out = test.read_all()
u0, frames = jnp.asarray(held_out.inputs["u"]), held_out.target
times = test.times


@eqx.filter_jit
def trajectories(model, u0, times):
    return apply_batched(at_times(model, times), u0)


def error(prediction, target):
    return np.linalg.norm(prediction - target, axis=-1) / np.linalg.norm(target, axis=-1)


errors = {name: error(np.asarray(trajectories(model, u0, times)), frames).mean(0) for name, model in models.items()}
print(f"{'relative L2':<18}{'trained frames':>16}{'between them':>16}{'training':>12}")
for name, e in errors.items():
    print(f"{name:<18}{e[1::2].mean():>16.4f}{e[::2].mean():>16.4f}{seconds[name]:>10.0f} s")
plot_curves({name: (times, e) for name, e in errors.items()}, "relative L2", over="time")

# %% [markdown]
# The line of `autoregressive` goes up and down: good at the frames of its training, which are every second one, and worse between.
# That of `continuous_time` does not know which frames were given.
#
# ## Slow motion
#
# Any time may be asked for. The reference comes from a solver of the equation, started from frame 0 (the data agree with it to about
# 3e-4), and the trajectory is the one on which the two models differ most: look at the errors between the steps.

# %%
count = 9 if QUICK else 33
fine = tuple(np.linspace(0, 0.96, count)[1:].tolist())
line, flow = (error(np.asarray(trajectories(model, u0, times)), frames)[:, ::2].mean(1) for model in models.values())
worst = u0[int(np.argmax(line - flow))]
step = ETDRK(equations.Burgers(viscosity=0.01), test.grid.with_shape((128,)), dt=0.96 / (count - 1) / 10)
exact = integrate(step, resample(worst, (128,)), 10 * (count - 1), save_every=10).values[:, 0, ::8]
shown = {name: np.asarray(trajectories(model, worst[None], fine))[0] for name, model in models.items()}
shown = {name: np.concatenate([worst, values]) for name, values in shown.items()}
differences = {f"{name} − solver": values - np.asarray(exact) for name, values in shown.items()}
animate({"solver": exact, **shown}, test.grid, (0.0, *fine), label=Label("velocity"), errors=differences)

# %% [markdown]
# ## What a state costs
#
# The vector field is trained; who solves it is free. `OperatorField` makes the right-hand side of the operator inside, `NeuralODE`
# solves with steps that an error estimate chooses. The table has the mean over the test trajectories, solved until $t = 0.96$, each
# with steps of its own: the evaluations of the network, the difference from a solve at a tolerance of $10^{-7}$, and the error of the
# answer. Beyond some tolerance only the difference falls: what is left is the error of the network, and steps spent below it are
# wasted.

# %%
flow = models["continuous_time"]
ends = jnp.asarray([0.0, 0.96])
starts, last = u0[: 10 if QUICK else 100], frames[: 10 if QUICK else 100, -1]


@eqx.filter_jit
def solve(flow, solver, tolerance):
    ode = NeuralODE(OperatorField(flow.model.inner), solver=solver, rtol=tolerance, atol=tolerance, only_end=True)
    solutions = jax.vmap(lambda u: ode(flow.input.normalize(u), ends))(starts)
    return jax.vmap(flow.input.denormalize)(solutions.values)[:, 0], solutions.num_evaluations


finest, _ = solve(flow, "tsit5", 1e-7)
print(f"{'solver':<8}{'tolerance':>10}{'evaluations':>13}{'from the finest':>17}{'error':>9}")
for solver in ("bosh3",) if QUICK else ("bosh3", "tsit5"):
    for tolerance in (1e-2, 1e-5) if QUICK else (1e-2, 1e-3, 1e-4, 1e-5):
        end, cost = solve(flow, solver, tolerance)
        apart, wrong = error(np.asarray(end), np.asarray(finest)).mean(), error(np.asarray(end), last).mean()
        print(f"{solver:<8}{tolerance:>10.0e}{np.mean(cost):>13.1f}{apart:>17.1e}{wrong:>9.4f}")

# %% [markdown]
# ## Irregular, incomplete series
#
# A point moves on a shrinking spiral, clockwise or counterclockwise, and is seen 64 times between $t = 0$ and 1, at gaps that are
# random, with noise. Each coordinate of each observation is missing with probability 0.3. Which way does the point turn?
#
# A recurrent network would need equal steps and complete rows. A neural CDE integrates $\mathrm dz = f_\theta(z)\,\mathrm dX$ along a
# smooth path $X(t)$ through what was measured, $t$ itself being one of its channels (Kidger et al., arXiv 2005.08926): a gap is a long
# piece of the path. The path is made of Hermite cubics with slopes taken from the past.
#
# What stands for a missing number? Where the whole series lies there, one may interpolate between the neighbors. Here we want an answer
# *while* the point moves, so nothing may look ahead: `fill="forward"` keeps the last number seen. With interpolation, the answers
# behind early observations would know what comes later, and the more is missing, the better they would look.

# %%
data = {}
for missing in (0.0, 0.3, 0.5, 0.7):
    name, splits = folder / f"spirals_{missing}.h5", {"train": SERIES if missing == 0.3 else 0, "test": TESTED}
    generate(Spirals(missing=missing), name, num_samples=sum(splits.values()), splits=splits, seed=int(10 * missing))
    data[missing] = HDF5Dataset(name, "test", ("time", "position", "observed"), "class")

with plt.rc_context({"font.size": 9, "axes.titlesize": 9}):
    figure, places = plt.subplots(1, 4, figsize=(10, 2.6), layout="constrained", sharex=True, sharey=True)
    for index, place in enumerate(places):
        t, x, y, has_x, has_y = data[0.3][index].inputs["u"]
        both = (has_x > 0) & (has_y > 0)
        dots = place.scatter(x[both], y[both], c=t[both], s=12, cmap="viridis", vmin=0, vmax=1)
        place.set(title=("clockwise", "counterclockwise")[int(data[0.3][index].target[1, 0])], xlabel="x", aspect="equal")
    places[0].set_ylabel("y")
    figure.colorbar(dots, ax=places, label="time", shrink=0.9)

# %% [markdown]
# Shown are the observations of four series that have both coordinates. The others are used, too.
#
# We train the configuration `configs/spirals/neural_cde.toml`, with two changes: that filling, and the answer is read behind *every*
# observation instead of the last, so that we can watch it being formed.

# %%
watching = ("--model.readout", "all", "--model.fill", "forward")
classifier, took = train("spirals/neural_cde", folder / "spirals_0.3.h5", SERIES_STEPS, *watching)
print(f"{count_parameters(classifier):,} parameters, {SERIES_STEPS} steps in {took:.0f} s")


@eqx.filter_jit
def logits(model, u):
    return apply_batched(model, u)


right = {}
for missing, dataset in data.items():
    series = dataset.read_all()
    chosen = np.asarray(logits(classifier, jnp.asarray(series.inputs["u"]))).argmax(1)
    right[f"{100 * missing:.0f} % missing"] = (chosen == series.target.argmax(1)).mean(0)
for name, accuracy in right.items():
    print(
        f"{name:>12}: accuracy {accuracy[3]:.3f} after 4 observations, {accuracy[15]:.3f} after 16, {accuracy[63]:.3f} after all 64"
    )
plot_curves({name: (1 + np.arange(64), accuracy) for name, accuracy in right.items()}, "accuracy", over="observations", log=False)

# %% [markdown]
# Trained on series with 30 % missing, the same weights read complete ones and ones that are nearly empty: nothing in the model counts
# observations. After one observation there is no direction yet, and the accuracy is that of a coin.
#
# Three things hold exactly, whatever the weights: what is missing is not read, what comes later changes no earlier answer, and the cost
# is known. Each piece of path between two observations is a solve of its own, here one step of Heun's method of two evaluations.

# %%
u = jnp.asarray(data[0.3][0].inputs["u"])
answer = classifier(u)
nonsense = u.at[1:3].set(jnp.where(u[3:5] > 0, u[1:3], 1e6))
print("missing values are not read:", bool((classifier(nonsense) == answer).all()))
changed = u.at[1:3, 40:].multiply(-2.0)
print("the future changes no earlier answer:", bool((classifier(changed)[:, :40] == answer[:, :40]).all()))

inner = classifier.model
observed = jnp.where(u[3:5] > 0, u[1:3], jnp.nan)
solution = inner.cde(control(u[0], observed.T, kind=inner.control, fill=inner.fill))
print(f"evaluations of the vector field along {u.shape[1]} observations: {solution.num_evaluations}")
