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
# # A Fourier neural operator for Darcy flow
#
# Water seeps through a square of two materials. Given the permeability $a$, the pressure $p$ solves
#
# $$-\nabla \cdot (a \nabla p) = f \ \text{ in } (0, 1)^2, \qquad p = 0 \ \text{ on the boundary.}$$
#
# We learn the map $a \mapsto p$ from 1000 pairs on 16 × 16 points, and then apply it on 32 × 32 points, a grid that it has never
# seen. `make demo` walks the same path from a configuration file; here every step is a call of its own.

# %%
import functools
import os
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from neuralop_jax import FNO, Normalized, apply_batched, checkpoint, losses
from neuralop_jax.config import OptimizerConfig
from neuralop_jax.data import DeviceData, HDF5Dataset, augment
from neuralop_jax.evaluation import evaluate, sample_errors
from neuralop_jax.kernels import resample
from neuralop_jax.metrics import energy_spectrum
from neuralop_jax.models import automatic_micro_batch, count_parameters
from neuralop_jax.normalizers import fit_normalizer
from neuralop_jax.training import DeviceInterval, TrainState, make_optimizer, make_step, supervised
from neuralop_jax.viz import Label, plot_curves, plot_resolutions, plot_sample, plot_spectra

# %matplotlib inline
# %config InlineBackend.figure_format = "retina"

QUICK = os.environ.get("NEURALOP_JAX_QUICK") == "1"  # a few steps of a small network, to see that everything runs
STEPS, LOG_EVERY = (20, 10) if QUICK else (1500, 50)

# %% [markdown]
# ## Load
#
# A split of an HDF5 file is a sequence of samples: the input function `u` and the target, both channels first, in the units of the
# file. Opening it reads every value once, so a damaged file is found now. The file also knows its grid.

# %%
here = Path.cwd()
root = next(folder for folder in (here, *here.parents) if (folder / "datasets").is_dir())
path = root / "datasets/darcy_small/darcy_small.h5"

train, test_16, test_32 = (HDF5Dataset(path, name, "permeability", "pressure") for name in ("train", "test_16", "test_32"))
print(train.info.title)
for split in (train, test_16, test_32):
    print(f"{split.split}: {len(split)} samples on {split.grid.shape} points, spacing {split.grid.spacing}")

# %% [markdown]
# ## Look
#
# How large is a typical pressure, and what would be a poor answer? The mean of the training pressures, predicted for every
# permeability, is a baseline that any network has to beat.

# %%
whole = train.read_all()
mean = whole.target.mean(0)
target_16 = test_16.read_all().target
baseline = np.mean([np.linalg.norm(v - mean) / np.linalg.norm(v) for v in target_16])
print(f"permeability: values {np.unique(whole.inputs['u'])}")
print(f"pressure: mean {whole.target.mean():.3f}, standard deviation {whole.target.std():.3f}")
print(f"relative L2 error of the mean pressure: {baseline:.3f}")

sample = test_16[0]
names = {"input": [Label("permeability")], "output": [Label("pressure")]}
plot_sample(sample.inputs["u"], sample.target, mean, test_16.grid, **names)

# %% [markdown]
# The "prediction" above is that mean.
#
# ## Build
#
# An operator acts on one sample, `(channels, *space)`. It keeps 12 wavenumbers per axis, and because the pressure is not periodic,
# each field is padded with zeros by a quarter of its points on every side. `Normalized` puts the statistics of the training split
# around it: physical units in, physical units out, in training as in use.

# %%
init_key, data_key, noise_key = jax.random.split(jax.random.key(0), 3)
network = FNO(in_channels=1, out_channels=1, n_modes=(12, 12), width=8 if QUICK else 24, depth=4, padding=0.25, key=init_key)
operator = Normalized(
    network,
    input=fit_normalizer("gaussian", [whole.inputs["u"]]),
    output=fit_normalizer("gaussian", [whole.target]),
)
print(f"{count_parameters(operator):,} parameters")
print(operator(jnp.asarray(sample.inputs["u"])).shape)

# %% [markdown]
# ## Train
#
# A training step is a pure function of a state, a batch and a key. `DeviceInterval` compiles many of them into one program that
# draws its batches from device memory. The Darcy problem does not change when both axes are exchanged, so each pair is transposed
# with probability 1/2. The loss is the relative $L^2$ error, in physical units.

# %%
batch_size = 20
optimizer = make_optimizer(OptimizerConfig(learning_rate=4e-3, warmup_steps=STEPS // 15), STEPS)  # AdamW, cosine decay
step = make_step(
    supervised(losses.relative_l2),
    optimizer,
    micro_batch=automatic_micro_batch(operator, train.grid.shape, batch_size),
    augment=functools.partial(augment, ("transpose",)),
)
interval = DeviceInterval(step, DeviceData.load(train), batch_size, data_key, noise_key)

state = TrainState.create(operator, optimizer)
steps, loss, tested = [], [], []
for done in range(LOG_EVERY, STEPS + 1, LOG_EVERY):
    state, history = interval(state, LOG_EVERY)
    steps.append(done)
    loss.append(float(history["loss"].mean()))
    tested.append(evaluate(state.operator(), test_16)["relative_l2"])
operator = state.operator()

plot_curves({"training loss": (steps, loss), "test_16": (steps, tested)}, "relative L2")

# %% [markdown]
# ## Errors at both resolutions
#
# The weights belong to wavenumbers, not to points, so the same operator takes fields on 32 × 32 points. None of that grid was
# trained on.

# %%
errors = {split.split: evaluate(operator, split) for split in (test_16, test_32)}
for name, e in errors.items():
    print(f"{name}: relative L2 {e['relative_l2']:.4f} ± {e['spread']['relative_l2']:.4f}, relative H1 {e['relative_h1']:.4f}")

bars = {name: (e["grid"], e["relative_l2"], e["spread"]["relative_l2"]) for name, e in errors.items()}
plot_resolutions(bars, "relative L2", trained_on=train.grid.shape)

# %% [markdown]
# ## Pictures
#
# The sample with the median error on the fine grid, and the one with the largest.

# %%
order = np.argsort(sample_errors(operator, test_32)["relative_l2"])


def show(index):
    u, target = test_32[index].inputs["u"], test_32[index].target
    return plot_sample(u, target, np.asarray(operator(jnp.asarray(u))), test_32.grid, **names)


show(int(order[len(order) // 2]))

# %%
show(int(order[-1]))

# %% [markdown]
# ## Which scales are wrong?
#
# The energy of the error by wavenumber, as a share of the energy of the target, averaged over the 50 samples. To the right of the
# mark are scales that the training grid cannot show.

# %%
fine = test_32.read_all()
prediction = jax.jit(apply_batched)(operator, jnp.asarray(fine.inputs["u"]))
spectrum = jax.jit(jax.vmap(lambda v: energy_spectrum(v, test_32.grid)[0]))
target, predicted, error = (np.asarray(spectrum(v)) for v in (fine.target, prediction, prediction - fine.target))
total = target.sum(axis=1, keepdims=True)
target, predicted, error = ((v / total).mean(axis=0) for v in (target, predicted, error))
plot_spectra(target, predicted, error, limit=16, marks={"training grid": 8}, label="share of the target's energy")

# %% [markdown]
# ## What changing the grid does, and does not do
#
# A spectral convolution is the same map on every grid that resolves its wavenumbers. Carry a field from 20 × 20 to 48 × 33 points
# before or after the convolution: the results agree to round-off.

# %%
conv = operator.model.blocks[0].conv
v = jax.random.normal(jax.random.key(1), (operator.width, 20, 20))
before, after = conv(resample(v, (48, 33))), resample(conv(v), (48, 33))
print(f"largest relative difference: {jnp.abs(before - after).max() / jnp.abs(after).max():.1e}")

# %% [markdown]
# The whole operator is not exact in this sense, and no FNO is: activations act on points, and the edges of the permeability fall on
# other points on another grid. The test fields are the same on both grids, `test_16` being every second point of `test_32`, so we
# can ask how far the two answers are apart where both are given. After a full training that is as much as the error itself: for
# fields with edges, to change the grid is no small thing.

# %%
coarse = jax.jit(apply_batched)(operator, jnp.asarray(test_16.read_all().inputs["u"]))
common = prediction[:, :, ::2, ::2]
apart = jnp.linalg.norm((common - coarse).reshape(50, -1), axis=1) / jnp.linalg.norm(coarse.reshape(50, -1), axis=1)
print(f"answers on the two grids differ by {apart.mean():.4f}; the error at 16 x 16 is {errors['test_16']['relative_l2']:.4f}")

# %% [markdown]
# ## Keep it
#
# A saved operator is built again from its files alone, normalizers and grid included.

# %%
with tempfile.TemporaryDirectory() as folder:
    checkpoint.save_model(f"{folder}/darcy", operator, train.info)
    loaded = checkpoint.load(f"{folder}/darcy")
u = jnp.asarray(sample.inputs["u"])
print("same numbers:", bool((loaded(u) == operator(u)).all()))
