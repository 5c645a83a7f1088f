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
# # Your own data, your own model
#
# A ring of copper, one meter around, is heated unevenly and then left alone. Its temperature $T(x, t)$, in kelvin above that of the
# room, solves the heat equation
#
# $$\partial_t T = \kappa\, \partial_x^2 T, \qquad x \in [0\,\mathrm{m}, 1\,\mathrm{m}) \text{ periodic}, \qquad
# \kappa = 1.16 \cdot 10^{-4}\ \mathrm{m^2/s}.$$
#
# We learn the map from the temperature now to the temperature ten seconds later. The solution is known: a wave
# $e^{2\pi i k x}$ is multiplied by $e^{-\kappa (2\pi k)^2 t}$. So in the end we can read off what was learned.
#
# The path is the one of your own project: arrays → file → model → training → prediction → a file for those who only predict.

# %%
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from neuralop_jax import Grid, apply_batched, checkpoint
from neuralop_jax.config import load_config
from neuralop_jax.data import HDF5Dataset, write_hdf5
from neuralop_jax.errors import NeuralOpError
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo
from neuralop_jax.kernels import forward_transform, inverse_transform, kept_modes
from neuralop_jax.models import REGISTRY, AbstractOperator
from neuralop_jax.serving import Predictor, export_operator, load_run
from neuralop_jax.training import fit
from neuralop_jax.viz import Label, plot_sample, plot_spectra

# %matplotlib inline
# %config InlineBackend.figure_format = "retina"

QUICK = os.environ.get("NEURALOP_JAX_QUICK") == "1"  # a few steps, to see that everything runs
STEPS = 100 if QUICK else 2000
work = tempfile.TemporaryDirectory()
os.chdir(work.name)  # what this notebook writes goes with it

# %% [markdown]
# ## Arrays that you have
#
# Here they come from a formula of two lines: random waves $k = 1 \dots 20$, at any time and on any number of points.

# %%
KAPPA, SECONDS, waves = 1.16e-4, 10.0, 2 * np.pi * np.arange(1, 21)
rng = np.random.default_rng(0)


def temperature(amplitudes, points, time):
    ring = np.exp(1j * waves[:, None] * np.arange(points) / points)
    return ((amplitudes * np.exp(-KAPPA * waves**2 * time)) @ ring).real.astype(np.float32)


def amplitudes(samples):
    return 30 / np.arange(2, 22) * (rng.standard_normal((samples, 20)) + 1j * rng.standard_normal((samples, 20)))


# %% [markdown]
# ## Your own HDF5 in 15 lines
#
# A split is a group of samples on one grid. The splits need not share a grid: `test_fine` has four times the points. What the file
# knows beside the numbers, names, units, the grid and what happens at its ends, comes back wherever the data are used.

# %%
arrays, splits = {}, {}
for name, samples, points in (("train", 256, 64), ("test", 64, 64), ("test_fine", 64, 256)):
    a = amplitudes(samples)
    arrays[name] = {"before": temperature(a, points, 0.0), "after": temperature(a, points, SECONDS)}
    splits[name] = SplitInfo(samples, Grid((points,), boundary=("periodic",), unit="m"))
info = DatasetInfo(
    name="ring",
    title="Temperature of a copper ring above that of the room, and ten seconds later",
    fields=(FieldInfo("before", unit="K"), FieldInfo("after", unit="K")),
    splits=splits,
    parameters={"diffusivity": KAPPA, "seconds": SECONDS},
)
write_hdf5("ring.h5", info, arrays)
test = HDF5Dataset("ring.h5", "test", "before", "after")
print(len(test), "samples on", test.grid)

# %% [markdown]
# The file appears when it is whole, and every number in it is under a checksum. On the command line, `python -m neuralop_jax data
# info ring.h5` shows what is in it. An HDF5 file that you have needs none of this: groups `train`, `test` with datasets inside are
# read as they are, only without units and grid.
#
# ## Your own model
#
# An operator is an Equinox module on one sample, `(channels, *space)`. This one says what we know of the physics, that every wave is
# multiplied by a factor of its own, and leaves the factors to the data. The arguments of the constructor become the options of a
# configuration. `width` tells the library how many channels there are inside.


# %%
class WaveFactors(AbstractOperator):
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    n_modes: tuple[int, ...] = eqx.field(static=True)
    factors: jax.Array

    def __init__(self, *, in_channels: int, out_channels: int, n_modes: tuple[int, ...], key: jax.Array):
        self.in_channels, self.out_channels, self.width, self.n_modes = in_channels, out_channels, in_channels, n_modes
        self.factors = jax.random.uniform(key, (n_modes[0] // 2 + 1,))

    def __call__(self, u, *, x=None, y=None, p=None, key=None):
        kept = kept_modes(self.n_modes, u.shape[1:], real=True)
        spectrum = forward_transform(u, kept) * self.factors[: kept[0], None]
        return inverse_transform(spectrum, u.shape[1:], real=True)


REGISTRY["wave_factors"] = WaveFactors

# %% [markdown]
# ## Train
#
# The experiment is a file, too. With the class in `my_models.py`, `python -m neuralop_jax train ring.toml --import my_models` does
# what the next cell does, and `--model.n-modes 32` would change an option. `fit` fills in the channels from the data, fits the
# normalizers, trains, measures the error on all other splits, and leaves everything in a directory.
#
# An FNO is trained beside it, by the same file with other options.

# %%
Path("ring.toml").write_text(f"""
[data]
path = "ring.h5"
input = ["before"]
target = ["after"]
batch_size = 32

[model]
kind = "wave_factors"
n_modes = [40]

[optimizer]
learning_rate = 2e-2
weight_decay = 0.0

[training]
steps = {STEPS}
log_every = 50
save_every = {STEPS}
""")
fno = ["--model.kind=fno", f"--model.depth={1 if QUICK else 4}", "--model.width=16", "--optimizer.learning-rate=4e-3"]
outcomes = {
    name: fit(load_config("ring.toml", options), run_dir=f"runs/{name}", console=Console(quiet=True)).results
    for name, options in {"wave_factors": [], "fno": fno}.items()
}
print(f"{'relative L2 error':20}{'test':>11}{'test_fine':>11}{'parameters':>12}{'seconds':>9}")
for name, found in outcomes.items():
    errors = [found["splits"][split]["relative_l2"] for split in ("test", "test_fine")]
    print(f"{name:20}{errors[0]:11.1e}{errors[1]:11.1e}{found['parameters']:12,}{found['train_seconds']:9.1f}")

# %% [markdown]
# On `test_fine`, a grid that was not trained on, `wave_factors` is the same map, because a factor belongs to a wave and not to a
# point. It needs no more numbers than there are waves, because we told it what kind of map it is; the FNO had to find that out.
#
# ## Load and predict
#
# The run directory is enough to have the operator again, in physical units: kelvin in, kelvin out.

# %%
operator = checkpoint.load("runs/wave_factors")
fine = HDF5Dataset("ring.h5", "test_fine", "before", "after")
u, target = fine[0].inputs["u"], fine[0].target
prediction = np.asarray(operator(jnp.asarray(u)))
print(
    f"largest error: {np.abs(prediction - target).max():.2g} K, where the temperature is up to {np.abs(target).max():.2g} K from that of the room"
)
plot_sample(u, target, prediction, fine.grid, input=[Label("before", "K")], output=[Label("after", "K")])

# %% [markdown]
# ## What was learned?
#
# We ask the operator what it does with one wave: its answer to a wave of 1 K, less its answer to a ring as warm as the room. Any
# operator can be asked. "target" is $e^{-\kappa (2\pi k)^2 t}$, "prediction" is the operator.

# %%
ring = np.arange(64) / 64
numbers = np.arange(21)
wave = np.cos(2 * np.pi * numbers[:, None] * ring)[:, None].astype(np.float32)
flat = jnp.zeros((1, 64))


def answers(operator):
    difference = jax.vmap(lambda v: operator(flat + v) - operator(flat))(jnp.asarray(wave))
    return 2 * np.mean(np.asarray(difference)[:, 0] * wave[:, 0], axis=-1)


exact = np.exp(-KAPPA * (2 * np.pi * numbers) ** 2 * SECONDS)
learned = answers(operator)
plot_spectra(exact, np.abs(learned), np.abs(learned - exact), limit=20, label="factor of the wave after 10 s")

# %% [markdown]
# The loss sees what is left after ten seconds: of a wave of which less is left than the error shown, the factor is known to be small,
# and not how small. From the slow waves we get the diffusivity of copper:

# %%
kappa = -np.log(np.abs(learned[1:5])) / (2 * np.pi * numbers[1:5]) ** 2 / SECONDS
print(f"diffusivity by the waves 1 to 4: {', '.join(f'{k:.3e}' for k in kappa)} m^2/s; put in: {KAPPA:.3e}")

# %% [markdown]
# ## For those who only predict
#
# `export_operator`, or `python -m neuralop_jax export runs/wave_factors served`, writes a program (StableHLO, for CPU, CUDA and
# TPU), the weights, and a card. A fresh process predicts with it; it knows nothing of the class above, and loads no training code.

# %%
card = export_operator("served", *load_run("runs/wave_factors"))
print("files:", ", ".join(sorted(path.name for path in Path("served").iterdir())))
print("grids:", "that of the training" if card.smallest_grid is None else f"{card.smallest_grid[0]} points and more")

np.save("u.npy", fine.read_all().inputs["u"])
script = """
import sys, warnings
import numpy as np
from neuralop_jax.serving import Predictor

warnings.simplefilter("ignore")  # it says that 256 points are not the 64 of the training
np.save("v.npy", Predictor.load("served")(np.load("u.npy"), units={"before": "K"}))
print("training code loaded:", "neuralop_jax.training" in sys.modules)
"""
print(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.strip())
live = np.asarray(jax.jit(apply_batched)(operator, jnp.asarray(np.load("u.npy"))))
print(f"largest difference from the live operator: {np.abs(np.load('v.npy') - live).max() / np.abs(live).max():.1e}")

# %% [markdown]
# The card also says what must not go in. Each of these is one line, and no number comes out:

# %%
predictor = Predictor.load("served")
field = test.read_all().inputs["u"]
for wrong, more in (
    (1000 * field, {"units": {"before": "mK"}}),
    (field, {"grid": Grid((64,), extent=((0.0, 2.0),), boundary=("periodic",), unit="m")}),
    (np.where(field > 0, np.nan, field), {}),
):
    try:
        predictor(wrong, **more)
    except NeuralOpError as error:
        print(f"{type(error).__name__}: {error}")
