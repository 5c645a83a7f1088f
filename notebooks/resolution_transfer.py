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
# # What changing the grid does
#
# The weights of a Fourier neural operator belong to wavenumbers, so it takes a field on any number of points. Is the answer then the
# same function? This notebook takes the question apart:
#
# 1. a problem where the answer is the same to round-off, on odd and unequal grids, too;
# 2. what goes wrong when coefficients are matched by position instead of by wavenumber;
# 3. what activations do, which act on points;
# 4. the certificate of a network trained on Darcy flow at 16 × 16 points and asked on other grids.

# %%
import os
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console
from scipy.special import erf

from neuralop_jax import FNO, Grid, apply_batched, checkpoint
from neuralop_jax.config import load_config
from neuralop_jax.data import HDF5Dataset, Sample
from neuralop_jax.evaluation import certify
from neuralop_jax.interop import functional, with_parameters
from neuralop_jax.kernels import resample
from neuralop_jax.training import fit
from neuralop_jax.viz import Label, plot_certificate, plot_curves, plot_sample, plot_spectra

# %matplotlib inline
# %config InlineBackend.figure_format = "retina"

QUICK = os.environ.get("NEURALOP_JAX_QUICK") == "1"  # a few steps of small networks on fewer grids, to see that everything runs
SHAPES = (
    [(8, 8), (16, 16), (17, 17), (32, 16), (32, 32)] if QUICK else None
)  # None: half to four times the points, odd and unequal ones
here = Path.cwd()
root = next(folder for folder in (here, *here.parents) if (folder / "datasets").is_dir())
os.chdir(root)

# %% [markdown]
# ## 1. Where the transfer is exact
#
# A thin periodic plate is heated by $f$ and loses heat to the air. Its temperature $p$ solves
#
# $$-\ell^2 \Delta p + p = f, \qquad \hat p_k = \frac{\hat f_k}{1 + \ell^2 |2\pi k|^2}.$$
#
# The sources have at most five waves per axis, with random amplitudes, and the solution is a formula on any grid.

# %%
LENGTH = 0.1
k = np.arange(-5, 6)
decay = 1 + (2 * np.pi * LENGTH) ** 2 * (k[:, None] ** 2 + k**2)


def plate(shape, samples=64):
    """Sources and temperatures on a grid: the same functions whatever the grid."""
    rng = np.random.default_rng(0)
    amplitudes = rng.standard_normal((samples, 11, 11)) + 1j * rng.standard_normal((samples, 11, 11))
    x, y = (np.exp(2j * np.pi * k[:, None] * np.arange(n) / n) for n in shape)
    field = lambda c: (x.T @ c @ y).real.astype(np.float32)[:, None]
    return field(amplitudes), field(amplitudes / decay)


# %% [markdown]
# The operator is linear: one block, no activation, no coordinates. It learns on 16 × 16 points, by an Optax loop of a few lines; `functional`
# gives its weights as a dictionary.

# %%
linear = {"activation": "identity", "channel_mlp": False, "coordinates": False, "depth": 1}
model = FNO(in_channels=1, out_channels=1, n_modes=(12, 12), width=8, **linear, key=jax.random.key(0))
init, apply = functional(model)
source, temperature = map(jnp.asarray, plate((16, 16)))


def relative(wanted, found):
    norm = lambda v: jnp.linalg.norm(v.reshape(len(v), -1), axis=1)
    return jnp.mean(norm(found - wanted) / norm(wanted))


optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, 20 if QUICK else 120))


def step(state, _):
    weights, moments = state
    loss, gradient = jax.value_and_grad(lambda w: relative(temperature, apply(w, source)))(weights)
    updates, moments = optimizer.update(gradient, moments)
    return (optax.apply_updates(weights, updates), moments), loss


(weights, _), losses = jax.lax.scan(step, (init(), optimizer.init(init())), length=20 if QUICK else 120)
model = with_parameters(model, weights)
print(f"claim: {model.resolution.kind}, because {model.resolution.reason}")
plot_curves({"training": (np.arange(1, len(losses) + 1), losses)}, "relative L2")

# %% [markdown]
# How good is it on grids that it was not trained on? The learned operator has an error, and it is the *same* error on every grid that
# holds its functions: odd, coarser than the training grid, finer, or with unequal sides. The last column is how far the answer is
# from the one on 16 × 16 points, carried over by wavenumber.

# %%
apply_compiled = jax.jit(apply_batched)
answer = apply_compiled(model, source)
print(f"{'grid':>10}  {'error':>10}  {'from 16 x 16':>12}")
for shape in (
    ((16, 16), (13, 32), (17, 17), (64, 24)) if QUICK else ((16, 16), (13, 13), (15, 17), (17, 17), (13, 32), (64, 24), (64, 64))
):
    f, p = map(jnp.asarray, plate(shape))
    found = apply_compiled(model, f)
    carried = jax.jit(jax.vmap(lambda v, shape=shape: resample(v, shape)))(answer)
    print(f"{shape[0]:>5} x {shape[1]:<3} {relative(p, found):11.6f}  {relative(carried, found):12.1e}")

# %% [markdown]
# `certify` asks this of any operator: the same input on every grid, half to four times the points, odd and unequal ones, the outputs
# compared as functions. An operator that claims to be exact is held to round-off.

# %%
square = Grid((16, 16), boundary=("periodic", "periodic"))


def show(certificate):
    print(f"{'grid':>9} {'modes':>9} {'difference':>11} {'error on the data':>18}  verdict")
    for row in certificate["grids"]:
        grid, kept = ("x".join(map(str, row[name])) for name in ("grid", "modes"))
        error = "" if row["error"] is None else f"{row['error']:.4f}{'*' if row['interpolated'] else ' '}"
        print(f"{grid:>9} {kept:>9} {row['difference']:11.1e} {error:>18}  {row['verdict']}")


certificate = certify(model, Sample({"u": np.asarray(source)}, np.asarray(temperature)), grid=square, shapes=SHAPES)
show(certificate)

# %% [markdown]
# On grids with fewer points than the operator has modes something must be left out, and the verdict says so. The stars mark data that
# had to be interpolated to the grid: their error contains that of the interpolation, which is why a certificate tells the two apart.
#
# ## 2. Where coefficients are put in the wrong place
#
# In a discrete spectrum of $N$ numbers, the negative wavenumber $-k$ stands at place $N - k$. Go to another $N$ by adding zeros at the
# end, as the argument `s` of `irfft2` does, and $-k$ becomes $N - k$: a fast wave instead of a slow one. The axis of a real
# transform that is halved has no negative wavenumbers, so nothing of this shows in one dimension, nor for waves along the last axis.
# neuraloperator 2.0.0 does this when a block changes the resolution. Here is the temperature of a plate on 16 × 16 points,
# brought to 32 × 32: target and "prediction", which is that shortcut.

# %%
fine = square.with_shape((32, 32))
coarse_p, fine_p = plate((16, 16), 1)[1][0], plate((32, 32), 1)[1][0]
by_position = np.fft.irfft2(np.fft.rfft2(coarse_p, norm="forward"), s=(32, 32), norm="forward")
by_wavenumber = np.asarray(resample(jnp.asarray(coarse_p), (32, 32)))
for name, v in (("by position", by_position), ("by wavenumber", by_wavenumber)):
    print(f"{name:14} relative error {np.linalg.norm(v - fine_p) / np.linalg.norm(fine_p):.1e}")
plot_sample(coarse_p, fine_p, by_position, fine, input=[Label("16 × 16 points")], output=[Label("temperature")])

# %% [markdown]
# The second misplacement needs no change of resolution. To cut out the middle of a spectrum one shifts it (`fftshift`), and back.
# On an even number of points the shift undoes itself; on an odd one only `ifftshift` does. neuraloperator 2.0.0 shifts twice in
# the same direction: on axes of odd length every result lands one wavenumber too low. `convert` says so of the weights that it reads, and
# `neuralop_jax.interop` gives either result.

# %%
for n in (16, 17):
    v = plate((n, n), 1)[1][0].astype(np.float64)
    coefficients = np.fft.fft2(v)
    twice = np.fft.fftshift(np.fft.fftshift(coefficients, axes=1), axes=1)
    back = np.fft.ifftshift(np.fft.fftshift(coefficients, axes=1), axes=1)
    error = [np.linalg.norm(np.fft.ifft2(c).real - v) / np.linalg.norm(v) for c in (twice, back)]
    print(f"{n} x {n}: shifted twice {error[0]:.1e}, shifted back {error[1]:.1e}")

# %% [markdown]
# ## 3. What activations do
#
# An activation is applied at points. It makes waves out of waves: a function with $k$ waves gets $2k, 3k, \dots$, and what the grid cannot
# resolve appears as something slower: on $N$ points the wave $m$ looks like $m - N$. This is the reason that no network with
# activations is exact. How much is it? One spectral layer follows an activation, with the coefficients up to eight waves kept, and
# is compared with itself on 16,384 points.

# %%
rng = np.random.default_rng(1)
amplitudes = (rng.standard_normal(5) + 1j * rng.standard_normal(5)) / 4
activations = {"relu": lambda v: np.maximum(v, 0), "gelu": lambda v: v * (1 + erf(v / 2**0.5)) / 2, "tanh": np.tanh}


def spectrum(name, n):
    """Fourier coefficients of the activated function, sampled at n points."""
    v = (amplitudes @ np.exp(2j * np.pi * np.arange(1, 6)[:, None] * np.arange(n) / n)).real
    return np.fft.rfft(activations[name](v), norm="forward")


points = (18, 24, 32, 48, 64, 96, 128, 192, 256)
curves = {}
for name in activations:
    truth = spectrum(name, 2**14)[:9]
    curves[name] = points, [np.linalg.norm(spectrum(name, n)[:9] - truth) / np.linalg.norm(truth) for n in points]
plot_curves(curves, "relative difference", over="points", log_over=True)

# %% [markdown]
# The smoother the activation, the sooner the difference is gone: the kink of ReLU makes waves of every length, so that it falls by
# the square of the spacing only; the others fall faster than any power until round-off. The energy that is folded back is that
# of the waves beyond the grid. Here is the spectrum of GELU on 24 points, which
# show waves up to 12, beside that on 16,384:

# %%
few, many = (np.abs(spectrum("gelu", n)[:13]) ** 2 for n in (24, 2**14))
difference = np.abs(spectrum("gelu", 24)[:13] - spectrum("gelu", 2**14)[:13]) ** 2
plot_spectra(many, few, difference, limit=12, label="energy")

# %% [markdown]
# "target" is the spectrum on many points, "prediction" that on 24.
#
# ## 4. A network for Darcy flow
#
# Now the case of practice: `configs/darcy_small/fno.toml`, trained on 16 × 16 points of permeabilities that jump, with coordinates and
# padding. The same test fields exist on 32 × 32 points.

# %%
short = ["--training.steps=20", "--training.log-every=20", "--training.save-every=20", "--training.evaluate-every=0",
         "--optimizer.warmup-steps=5", "--model.width=8", "--model.depth=1"] if QUICK else []  # fmt: skip
folder = Path(tempfile.mkdtemp())


def trained(name, *options):
    result = fit(
        load_config("configs/darcy_small/fno.toml", [*options, *short]), run_dir=folder / name, console=Console(quiet=True)
    )
    for split, errors in result.results["splits"].items():
        print(f"{split}: relative L2 {errors['relative_l2']:.4f}")
    print(f"{result.results['steps']} steps")
    return checkpoint.load(folder / name)


darcy = trained("darcy")

# %% [markdown]
# The certificate, measured on the fields of 32 × 32 points, which are the finest at hand.

# %%
test = HDF5Dataset("datasets/darcy_small/darcy_small.h5", "test_32", "permeability", "pressure")
certificate = certify(darcy, test, trained_on=(16, 16), shapes=SHAPES)
print(
    f"It claims that answers {'converge' if certificate['claim'] == 'converges' else 'are exact'} as grids become finer. What lets them differ:"
)
print("-", certificate["reason"].replace("; ", "\n- "))
print(f"Inputs of the commuting test: at most {certificate['waves'][0]} waves per axis.\n")
show(certificate)
plot_certificate(certificate)

# %% [markdown]
# Two things are told apart here that one error on a finer grid mixes up. The *difference* is about the operator: for smooth inputs, how far is
# its answer on this grid from its answer on the finest? (Of the finest itself: from that on the next.) The *error* is about the
# operator and the data: the permeabilities have
# edges, which a coarser grid puts elsewhere, and no operator can know where between two points an edge was. How much of the energy
# lies beyond what each grid shows:

# %%
tail = lambda value: "–" if value is None else f"{100 * value:.1f} %"
for row in certificate["grids"]:
    print(f"{row['grid'][0]:>4} x {row['grid'][1]:<3} input {tail(row['input_tail']):>7}, output {tail(row['output_tail']):>7}")

# %% [markdown]
# Which of the named causes makes the difference? The same network without anything that marks the edge of the box: no coordinates, no
# padding, only activations. It cannot know where the pressure is zero, so it is a poor operator for this problem. But is it the same
# one on other grids?

# %%
edgeless = trained(
    "edgeless", "--model.coordinates=false", "--model.padding=0", "--training.steps=500", "--training.evaluate-every=0"
)
without = certify(edgeless, test, trained_on=(16, 16), shapes=SHAPES)
print("What lets its answers differ:", without["reason"], "\n")
print(f"{'grid':>9} {'difference':>11} {'without edges':>14}")
for row, other in zip(certificate["grids"], without["grids"], strict=True):
    print(f"{'x'.join(map(str, row['grid'])):>9} {row['difference']:11.1e} {other['difference']:14.1e}")

# %% [markdown]
# ## What follows
#
# - A transfer to other grids can be right to round-off, and then a test should ask for round-off: it would have found both
#   misplacements of part 2.
# - Smooth activations of functions that a grid resolves well cost next to nothing; hidden fields with edges are not such functions.
# - An error on a finer grid says little by itself. Its parts can be told apart: the operator that changes (the difference), the modes that do not
#   fit, and the data that a grid does not show. `python -m neuralop_jax evaluate RUN --certify` makes the table and the picture for any run.
# - Odd and unequal numbers of points are nothing special.
