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
# # Kolmogorov flow: rollouts of a FactFormer
#
# A fluid on a doubly periodic square is driven by a force that varies like a sine across it. Its vorticity $w$ obeys
#
# $$\partial_t w + u\cdot\nabla w = \nu\,\Delta w - n\cos(n y), \qquad \nabla\cdot u = 0,\quad \nabla\times u = w \quad \text{on } (0, 2\pi)^2,$$
#
# in units in which the box is $2\pi$ long and the force has the amplitude 1. At $n = 4$ and $\nu = 1/40$ the laminar flow of eight bands
# is unstable: vortices form, drift and merge for ever, and two states that are nearly equal part. Nobody can predict such a flow for
# long. A surrogate is good if it follows the true one *for a while*, and afterwards still looks like one: with the right spectrum.
#
# The surrogate is a FactFormer (Li, Shu, Barati Farimani, NeurIPS 2023, arXiv 2305.17560). Attention over all $N^2$ points costs $N^4$;
# it is factorized here into one kernel matrix per axis, made of the field's projection on that axis, at a cost of $N^3$. A call sees
# four frames and emits the next four, which it marches in a latent space; a rollout feeds them back.

# %%
import os
import tempfile
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from neuralop_jax import Normalized
from neuralop_jax.config import OptimizerConfig
from neuralop_jax.data import DeviceData, HDF5Dataset, generate
from neuralop_jax.data.generators import Kolmogorov
from neuralop_jax.kernels import resample
from neuralop_jax.losses import push_forward_loss, relative_l2
from neuralop_jax.metrics import correlation_time, energy_spectrum
from neuralop_jax.models import FactFormer, count_parameters
from neuralop_jax.normalizers import fit_normalizer
from neuralop_jax.rollout import window_rollout
from neuralop_jax.training import DeviceInterval, TrainState, make_optimizer, make_step
from neuralop_jax.viz import Label, animate, plot_curves, plot_spectra

# %matplotlib inline
# %config InlineBackend.figure_format = "retina"

QUICK = os.environ.get("NEURALOP_JAX_QUICK") == "1"  # a few steps of a small network, to see that everything runs
TRAJECTORIES, TESTED, FRAMES, BURN_IN = (2, 2, 10, 0.25) if QUICK else (48, 12, 49, 20.0)
WIDTH, DEPTH, WARM_UP, REST = (8, 1, 4, 6) if QUICK else (48, 2, 800, 400)
INTERVAL, PAST, EMITTED = (0.25, 2, 2) if QUICK else (0.25, 4, 4)

# %% [markdown]
# ## Data
#
# A solver with exponential time steps of fourth order on 64 × 64 points, of which every second is kept: that is enough, because the
# viscosity leaves little beyond the wavenumber 16. The first 20 units of time are thrown away, in which the flow forgets its random
# start. Then a frame is stored every quarter of a unit.

# %%
generator = Kolmogorov(
    viscosity=1 / 40, burn_in=BURN_IN, interval=INTERVAL, num_frames=FRAMES, solver_resolution=64, max_step=0.025
)
path = Path(tempfile.mkdtemp()) / "kolmogorov.h5"
began = time.perf_counter()
splits = {"train": TRAJECTORIES, "test": TESTED}
generate(generator, path, num_samples=TRAJECTORIES + TESTED, resolution=32, splits=splits)
print(f"{TRAJECTORIES} + {TESTED} trajectories of {FRAMES} frames in {time.perf_counter() - began:.0f} s")

train, test = (HDF5Dataset(path, split, "vorticity", "vorticity").read_all().target for split in ("train", "test"))
grid = generator.grid(32)
print(
    f"vorticity: standard deviation {train.std():.2f}; its mean, which the equation keeps: {np.abs(train.mean((2, 3))).max():.1e}"
)


def relative(prediction, target):
    return np.linalg.norm(prediction - target, axis=(-2, -1)) / np.linalg.norm(target, axis=(-2, -1))


# %% [markdown]
# ## Model and loss
#
# The published network for this flow has 3,463,489 parameters (width 128, depth 4) and was trained on 100 trajectories at
# $\nu = 10^{-3}$, solved on 2048² and learned on 128² points, for 50 epochs. Ours is a small one that sees each sample a few times. Its positions are periodic: on any grid it is the same
# function, up to what the grid cannot show.
#
# A training sample is twelve frames, four to read and eight for two calls. In *ordinary* training the loss is the relative $L^2$ error
# of the first call. In a *push-forward* step the model is called without gradient, its own four frames enter the window, and the loss is
# that of the second call: it learns to go on from states with its own errors in them (Brandstetter, Worrall, Welling, arXiv 2202.03376).

# %%
calls = 2
length = PAST + calls * EMITTED
windows = np.stack([train[:, start : start + length] for start in range(FRAMES - length + 1)], axis=1).reshape(-1, length, 32, 32)
data = DeviceData({"u": jnp.asarray(windows[:, :PAST])}, jnp.asarray(windows[:, PAST:]))

init_key, data_key, noise_key = jax.random.split(jax.random.key(0), 3)
network = FactFormer(
    in_channels=PAST, out_channels=EMITTED, latent_steps=EMITTED, width=WIDTH, depth=DEPTH, heads=4, head_width=16,
    extent=2 * np.pi, periodic=True, feature_scale=1, key=init_key,
)  # fmt: skip
operator = Normalized(
    network,
    input=fit_normalizer("gaussian", [windows[:, :PAST]]),
    output=fit_normalizer("gaussian", [windows[:, PAST : PAST + EMITTED]]),
)
print(f"{len(windows)} training samples, {count_parameters(operator):,} parameters")


def loss_of(calls):
    """The loss of every sample; their windows lie side by side in one, so that a call predicts the whole batch."""

    def loss(model, batch, keys):
        step = lambda window: jnp.swapaxes(model.batched(jnp.swapaxes(window, 0, 1)), 0, 1)
        window, targets = (jnp.swapaxes(frames, 0, 1)[:, None] for frames in (batch.inputs["u"], batch.target))
        return push_forward_loss(step, window, targets, calls=calls, loss=jax.vmap(relative_l2, in_axes=2))

    return loss


# %% [markdown]
# ## Training
#
# All models share a beginning of ordinary training. Then it goes on in two ways, with equally many steps: ordinary steps only, or every
# third pair of steps a push-forward.

# %%
rate = OptimizerConfig(learning_rate=2e-3, schedule="one_cycle", clip=1.0)
optimizer = make_optimizer(rate, WARM_UP + REST)
ordinary, pushed = (DeviceInterval(make_step(loss_of(calls), optimizer), data, 4, data_key, noise_key) for calls in (0, 1))


def copied(state):
    return jax.tree.map(lambda leaf: leaf.copy() if eqx.is_array(leaf) else leaf, state)  # an interval uses its state up


def trained(state, number, turns):
    """The state after so many steps, two of each interval in turn, and the losses of those that are ordinary."""
    steps, losses = [], []
    for done in range(0, number, 2):
        interval = turns[done // 2 % len(turns)]
        state, history = interval(state, 2)
        if interval is ordinary:
            steps.append(int(state.step))
            losses.append(float(history["loss"].mean()))
    return state, (np.asarray(steps), np.asarray(losses))


began = time.perf_counter()
beginning, first = trained(TrainState.create(operator, optimizer), WARM_UP, [ordinary])
shared = time.perf_counter() - began
models, seconds, curves = {}, {}, {"shared": first}
for name, turns in {"ordinary": [ordinary], "push-forward": [ordinary, ordinary, pushed]}.items():
    began = time.perf_counter()
    end, curves[name] = trained(copied(beginning), REST, turns)
    models[name], seconds[name] = end.operator(), shared + time.perf_counter() - began
smooth = {name: [values[: len(values) // 10 * 10].reshape(-1, 10).mean(1) for values in curve] for name, curve in curves.items()}
plot_curves(curves if QUICK else smooth, "relative L2 of one call")

# %% [markdown]
# ## Rollouts
#
# From four frames of each test trajectory, the model alone. The *correlation time* is the last time up to which the predicted and the
# true vorticity correlate by at least 0.8, averaged over the test trajectories. *Persistence* answers that nothing changes.

# %%
num_steps = (FRAMES - PAST) // EMITTED * EMITTED
times = INTERVAL * (1 + np.arange(num_steps))
window, target = jnp.asarray(test[:, :PAST, None]), test[:, PAST : PAST + num_steps]
roll = eqx.filter_jit(lambda model, w: jax.vmap(lambda w: window_rollout(model, w, num_steps, frames=EMITTED))(w))
rollouts = {name: np.asarray(roll(model, window))[:, :, 0] for name, model in models.items()}
rollouts["persistence"] = np.broadcast_to(test[:, PAST - 1 : PAST], target.shape)

followed = jax.vmap(lambda p, t: correlation_time(p[:, None], t[:, None], jnp.asarray(times)))
errors = {name: relative(prediction, target).mean(0) for name, prediction in rollouts.items()}
early = min(15, num_steps - 1)
print(
    f"{'':<14}{'error at t =':>13} {times[0]:<6.2f} {times[early]:<6.2f} {times[-1]:<6.2f} {'correlation time':>17} {'training':>10}"
)
for name, prediction in rollouts.items():
    e, reach = errors[name], float(followed(jnp.asarray(prediction), jnp.asarray(target)).mean())
    cost = f"{seconds[name]:>8.0f} s" if name in seconds else ""
    print(f"{name:<28}{e[0]:<6.3f} {e[early]:<6.3f} {e[-1]:<6.3f} {reach:>17.2f} {cost:>10}")
plot_curves({name: (times, e) for name, e in errors.items()}, "relative L2", over="time", log=False)

# %% [markdown]
# Two states that have nothing to do with each other are a relative error of about $\sqrt 2$ apart, a little less where they share a mean
# flow. In a chaotic flow every error grows until it is as large as that. The published figures are for a flow at $\nu = 10^{-3}$ that
# two cores cannot compute in minutes; none is set beside ours, because another flow has another horizon.
#
# ## The flow, its prediction, and what is between them
#
# The test trajectory that is followed for the median time, by the model with push-forward.

# %%
reach = np.asarray(followed(jnp.asarray(rollouts["push-forward"]), jnp.asarray(target)))
median = int(np.argsort(reach)[len(reach) // 2])
frames = slice(0, 4) if QUICK else slice(0, 36, 2)
truth, predicted = target[median, frames], rollouts["push-forward"][median, frames]
animate(
    {"solver": truth, "FactFormer": predicted}, grid, times[frames], label=Label("vorticity"), errors={"error": predicted - truth},
    frames_per_second=5,
)  # fmt: skip

# %% [markdown]
# ## Does it still look like the flow?
#
# The enstrophy $\tfrac12 w^2$ by wavenumber, averaged over the second half of all rollouts, when no vortex is at its place any more. The
# energy has the same shape divided by $k^2$. The force acts at $k = 4$. Whatever a rollout loses to the bands of the forcing, or adds at
# small scales, shows here and not in an error that is large anyway.

# %%
late = slice(num_steps // 2, None)
spectrum = jax.jit(lambda w: jax.vmap(lambda w: 0.5 * energy_spectrum(w[None], grid)[0])(w.reshape(-1, 32, 32)).mean(0))
enstrophy = {name: np.asarray(spectrum(jnp.asarray(w[:, late]))) for name, w in (("solver", target), *rollouts.items())}
k = np.arange(len(enstrophy["solver"]))
print(f"{'late half':<14} {'enstrophy':>10} {'energy':>8} {'enstrophy at k > 8':>19}")
for name in ("solver", "ordinary", "push-forward"):
    z = enstrophy[name]
    print(f"{name:<14} {z.sum():>10.2f} {(z[1:] / k[1:] ** 2).sum():>8.3f} {z[9:].sum():>19.3f}")
difference = np.asarray(spectrum(jnp.asarray(rollouts["push-forward"][:, late] - target[:, late])))
plot_spectra(enstrophy["solver"], enstrophy["push-forward"], difference, limit=16, label="enstrophy, late half")

# %% [markdown]
# In a full run of this notebook the network, small and trained for minutes, does what many surrogates do: where it has lost the
# vortices, it returns to a nearly steady flow of bands, with too little between them and too much at the smallest scales. Push-forward
# training lowers the error of all later frames; it does not cure this.
#
# ## One weight for all grids
#
# Where positions are periodic, a projection on an axis is a mean that a coarse grid takes as exactly as a fine one. The same states on
# finer grids, by interpolation of their waves, give the same answer up to what the activations fold back: they make waves that the
# coarse grid takes for slower ones. Finer grids show more of these, and the difference falls:

# %%
model, points = models["push-forward"], window.shape[-1]
on_grids = {}
for n in (points, 2 * points, 4 * points):
    every = n // points
    on_grids[n] = np.asarray(jax.vmap(model)(resample(window[:, :, 0], (n, n)))[..., ::every, ::every])
for n in (points, 2 * points):
    print(f"{n}² and {2 * n}² points, difference between the two grids: {relative(on_grids[2 * n], on_grids[n]).mean():.1e}")
