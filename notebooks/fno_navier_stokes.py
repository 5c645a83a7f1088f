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
# # Navier-Stokes: a Fourier neural operator that steps in time
#
# The vorticity $w$ of an incompressible fluid on the unit torus, stirred by a fixed force $f$:
#
# $$\partial_t w + u\cdot\nabla w = \nu\,\Delta w + f, \qquad \nabla\cdot u = 0,\quad \nabla\times u = w, \qquad
# f = 0.1\,\big(\sin 2\pi(x + y) + \cos 2\pi(x + y)\big).$$
#
# Lengths and times have no units; $\nu = 10^{-3}$. A start is a random field, $w_0 \sim \mathcal N(0, 7^3(-\Delta + 49)^{-2.5})$, that
# the force turns into large vortices within ten units of time. Given the vorticity at the times 1, ..., 10, what will it be until
# $t = 20$? This is FNO-2D of Li et al., arXiv 2010.08895, section 5.3: a network sees ten frames and predicts the next one, which enters
# its input, and so on; training differentiates through the whole rollout.

# %%
import os
import tempfile
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from neuralop_jax import FNO
from neuralop_jax.config import OptimizerConfig
from neuralop_jax.data import DeviceData, HDF5Dataset, generate
from neuralop_jax.data.generators import NavierStokes
from neuralop_jax.losses import relative_l2
from neuralop_jax.metrics import energy_spectrum
from neuralop_jax.models import count_parameters
from neuralop_jax.rollout import window_rollout
from neuralop_jax.training import DeviceInterval, TrainState, make_optimizer, make_step
from neuralop_jax.viz import Label, animate, plot_curves, plot_spectra

# %matplotlib inline
# %config InlineBackend.figure_format = "retina"

QUICK = os.environ.get("NEURALOP_JAX_QUICK") == "1"  # a few steps of a small network, to see that everything runs
SAMPLES, TESTED, FUTURE, WIDTH, DEPTH, STEPS, LOG_EVERY = (4, 2, 2, 4, 1, 4, 2) if QUICK else (200, 20, 10, 20, 4, 1200, 40)
PAST = 10

# %% [markdown]
# ## Data
#
# The published set has 200 training samples in its study of resolutions, solved on 256 × 256 points with 200,000 steps of first order.
# With exponential steps of fourth order, 400 are enough, and 64 × 64 points resolve this viscosity.
# We train on 32 × 32 points. The test samples are stored on 64 × 64, of which every second point is the same field on the training grid.

# %%
generator = NavierStokes(viscosity=1e-3, final_time=float(PAST + FUTURE), solver_resolution=64, max_step=0.05)
folder = Path(tempfile.mkdtemp())
began = time.perf_counter()
generate(generator, folder / "train.h5", num_samples=SAMPLES, resolution=32, splits={"train": SAMPLES})
generate(generator, folder / "test.h5", num_samples=TESTED, resolution=64, splits={"test": TESTED}, seed=1)
per_sample = (time.perf_counter() - began) / (SAMPLES + TESTED)
print(f"{SAMPLES} + {TESTED} samples, {1000 * per_sample:.0f} ms each")

train = HDF5Dataset(folder / "train.h5", "train", "vorticity", "vorticity").read_all().target[:, 1:]  # without the start
test_64 = HDF5Dataset(folder / "test.h5", "test", "vorticity", "vorticity").read_all().target[:, 1:]
test_32 = test_64[..., ::2, ::2]
print(f"vorticity: standard deviation {train[:, 0].std():.2f} at t = 1, {train[:, -1].std():.2f} at t = {PAST + FUTURE}")
print(f"largest mean vorticity of a frame, which the equation keeps at 0: {np.abs(train.mean((2, 3))).max():.1e}")

# %% [markdown]
# ## Training through the rollout
#
# The loss is the sum of the relative $L^2$ errors of the predicted frames, each made from the ones before. A training loss in this
# library takes a model and a batch and returns the loss of every sample; `model.batched` predicts all of them together, and `scan` makes
# the rollout one compiled loop.


# %%
def rollout_errors(model, batch, keys):
    def advance(window, target):
        frame = model.batched(window)
        return jnp.concatenate([window[:, 1:], frame], axis=1), jax.vmap(relative_l2)(frame, target[:, None])

    _, errors = jax.lax.scan(advance, batch.inputs["u"], jnp.moveaxis(batch.target, 1, 0))
    return errors.sum(axis=0)


init_key, data_key, noise_key = jax.random.split(jax.random.key(0), 3)
model = FNO(in_channels=PAST, out_channels=1, n_modes=(24, 24), width=WIDTH, depth=DEPTH, key=init_key)
print(f"{count_parameters(model):,} parameters")

optimizer = make_optimizer(OptimizerConfig(learning_rate=3e-3, warmup_steps=STEPS // 20, clip=1.0), STEPS)
data = DeviceData({"u": jnp.asarray(train[:, :PAST])}, jnp.asarray(train[:, PAST:]))
interval = DeviceInterval(make_step(rollout_errors, optimizer), data, 4 if QUICK else 10, data_key, noise_key)

began = time.perf_counter()
state, steps, loss = TrainState.create(model, optimizer), [], []
for done in range(LOG_EVERY, STEPS + 1, LOG_EVERY):
    state, history = interval(state, LOG_EVERY)
    steps.append(done)
    loss.append(float(history["loss"].mean()) / FUTURE)
model, seconds = state.operator(), time.perf_counter() - began
print(f"{STEPS} steps in {seconds:.0f} s")
plot_curves({"training loss": (steps, loss)}, "relative L2 of a frame")

# %% [markdown]
# ## Errors, and the published ones
#
# The published figure is the relative $L^2$ error of all predicted frames of a sample together. The published networks have been
# trained on the grid on which they are tested; ours is tested on a grid that it has not seen, too.

# %%
roll = eqx.filter_jit(lambda model, u: jax.vmap(lambda w: window_rollout(model, w[:, None], FUTURE)[:, 0])(u))
targets = {32: test_32[:, PAST:], 64: test_64[:, PAST:]}
predictions = {32: np.asarray(roll(model, test_32[:, :PAST])), 64: np.asarray(roll(model, test_64[:, :PAST]))}


def relative(prediction, target, axes):
    return np.linalg.norm((prediction - target).reshape(*target.shape[:axes], -1), axis=-1) / np.linalg.norm(
        target.reshape(*target.shape[:axes], -1), axis=-1
    )


unchanged = np.broadcast_to(test_32[:, PAST - 1 : PAST], targets[32].shape)
whole = {n: relative(predictions[n], targets[n], 1).mean() for n in targets}
print(f"{'relative L2 of t = 11 ... 20':<30} {'32²':>7} {'64²':>7} {'128²':>7} {'256²':>7}   setting")
for name, row in {
    "FNO-2D, Li et al. 2021": (0.0129, 0.0128, 0.0126),
    "FNO-3D": (0.0098, 0.0101, 0.0106),
    "U-Net": (0.0253, 0.0289, 0.0344),
    "TF-Net": (0.0277, 0.0278, 0.0301),
}.items():
    print(f"{name:<30} {'–':>7}", *(f"{value:7.4f}" for value in row), "  200 samples, 500 epochs, a network for each grid")
setting = f"{SAMPLES} samples, {STEPS * interval.batch_size // SAMPLES} epochs, trained on 32², {seconds:.0f} s"
print(f"{'ours' if not QUICK else 'ours, quick mode':<30} {whole[32]:7.4f} {whole[64]:7.4f} {'–':>7} {'–':>7}   {setting}")
print(f"{'nothing changes':<30} {relative(unchanged, targets[32], 1).mean():7.4f}")

# %% [markdown]
# The published rows are those of the study of resolutions ($\nu = 10^{-3}$, 200 samples, $T = 20$). 128² and 256² points are not run
# here: on two cores they would take hours.
#
# Errors grow along a rollout, because each frame is made from wrong ones:

# %%
times = np.arange(PAST + 1, PAST + FUTURE + 1)
curves = {f"FNO on {n} × {n}": (times, relative(predictions[n], targets[n], 2).mean(0)) for n in targets}
curves["nothing changes"] = (times, relative(unchanged, targets[32], 2).mean(0))
plot_curves(curves, "relative L2 of a frame", over="time")

# %% [markdown]
# ## The flow
#
# The ten given frames are the past of the picture; it starts where the model goes on alone, on 64 × 64 points. The sample is the one
# with the median error.

# %%
each = relative(predictions[64], targets[64], 1)
median = int(np.argsort(each)[len(each) // 2])
truth, predicted = targets[64][median], predictions[64][median]
grid = generator.grid(64)
animate(
    {"solver": truth, "FNO": predicted}, grid, times, label=Label("vorticity"), errors={"error": predicted - truth},
    frames_per_second=4,
)  # fmt: skip

# %% [markdown]
# ## Spectra
#
# Enstrophy $\tfrac12 w^2$ by wavenumber at the last time, averaged over the test samples. The energy $\tfrac12 |u|^2$ is the same
# divided by $(2\pi k)^2$. Most of both is in a few large waves; the weights of the network act on wavenumbers up to 12, what it says
# beyond comes from the activations.

# %%
spectrum = jax.jit(lambda w: jax.vmap(lambda w: 0.5 * energy_spectrum(w[None], grid)[0])(w).mean(0))
last = {"solver": targets[64][:, -1], "FNO": predictions[64][:, -1]}
last["error"] = last["FNO"] - last["solver"]
enstrophy = {name: np.asarray(spectrum(jnp.asarray(w))) for name, w in last.items()}
k = np.arange(len(enstrophy["solver"]))
for name, z in enstrophy.items():
    energy = (z[1:] / (2 * np.pi * k[1:]) ** 2).sum()
    print(f"{name:<8} enstrophy {z.sum():.2e}, of which beyond k = 12 {z[13:].sum() / z.sum():.1e}; energy {energy:.2e}")
marks = {"kept modes": 12, "training grid": 16}
plot_spectra(*enstrophy.values(), limit=32, marks=marks, label=f"enstrophy at t = {PAST + FUTURE}")

# %% [markdown]
# ## What it costs
#
# A forecast of all frames on 64 × 64 points, beside the solver that made the data. The paper compares with its own solver on a finer
# grid and with much shorter steps; next to a solver that takes long steps of high order, where 64² points are enough, the advantage of
# a network is smaller than that, if there is any. It pays where the viscosity is low and the solver needs a finer grid than the answer.

# %%
roll(model, test_64[:, :PAST]).block_until_ready()
began = time.perf_counter()
roll(model, test_64[:, :PAST]).block_until_ready()
print(f"FNO: {1000 * (time.perf_counter() - began) / TESTED:.1f} ms per sample for t = {PAST + 1} ... {PAST + FUTURE}")
print(f"solver, the whole sample with compilation and writing: {1000 * per_sample:.1f} ms")
