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
# # DeepONet and MultiONet: an operator as a sum of products
#
# A deep operator network separates the input function $u$ from the point $y$ at which the output is wanted:
#
# $$G(u)(y) = \sum_{k=1}^p b_k(u)\, t_k(y) + b_0.$$
#
# The *branch* $b$ reads $u$ at fixed sensors, the *trunk* $t$ is $p$ functions of the point. So it is a linear expansion in learned
# functions, with nonlinear coefficients. That makes it easy to ask at any point, to train on points that differ from function to
# function, and to say how good it can become at best: no better than the best $p$ functions.
#
# The example is the Burgers equation of the comparison by Lu et al. (arXiv 2111.05512): the velocity of a fluid on a circle of length
# $2\pi$, from random smooth starts $u_0 \sim \mathcal N(0, 625(-\Delta + 25)^{-2})$ (no units),
#
# $$\partial_t v + \partial_x \tfrac{v^2}{2} = \nu\, \partial_{xx} v, \qquad v(\cdot, 0) = u_0, \quad \nu = 0.1, \qquad
# G: u_0 \mapsto v(\cdot, 1).$$

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

from neuralop_jax import apply_batched, losses
from neuralop_jax.config import OptimizerConfig
from neuralop_jax.data import DeviceData, HDF5Dataset, generate
from neuralop_jax.data.generators import Burgers
from neuralop_jax.errors import ModelInputError
from neuralop_jax.layers import periodic_features
from neuralop_jax.models import DeepONet, MultiONet, PODDeepONet, count_parameters, pod_modes
from neuralop_jax.training import DeviceInterval, TrainState, make_optimizer, make_step, supervised
from neuralop_jax.viz import Label, animate, plot_curves, plot_sample

# %matplotlib inline
# %config InlineBackend.figure_format = "retina"

QUICK = os.environ.get("NEURALOP_JAX_QUICK") == "1"  # a few steps, to see that everything runs
TRAINED, TESTED, FRAMES, STEPS, SHORT = (60, 20, 5, 20, 20) if QUICK else (1000, 200, 21, 20000, 5000)
BASIS, SUMMED = ((4,), (2,)) if QUICK else ((2, 4, 8, 16, 64), (1, 4))

# %% [markdown]
# ## Data
#
# 128 sensors, as many points of output, and frames between start and end for later.

# %%
folder = Path(tempfile.mkdtemp())
splits = {"train": TRAINED, "test": TESTED}
generate(Burgers(num_frames=FRAMES), folder / "burgers.h5", num_samples=TRAINED + TESTED, resolution=128, splits=splits)
sets = {name: HDF5Dataset(folder / "burgers.h5", name, "velocity", "velocity", input_time="first") for name in splits}
grid, times = sets["test"].grid, np.linspace(0, 1, FRAMES)
starts, flows = {}, {}  # (samples, 1, 128) and (samples, frames, 128)
for name, dataset in sets.items():
    whole = dataset.read_all()
    starts[name] = jnp.asarray(whole.inputs["u"])
    flows[name] = jnp.asarray(whole.target)
ends = {name: flow[:, -1:] for name, flow in flows.items()}


def errors(prediction, target):
    """The relative L2 error of each sample."""
    return np.linalg.norm(prediction - target, axis=-1) / np.linalg.norm(target, axis=-1)


mean = ends["train"].mean(0)
print(f"{TRAINED} functions to train on, {TESTED} to test, {grid.shape[0]} sensors")
print(f"relative L2 error of the mean of the training outputs: {errors(mean[None], ends['test']).mean():.3f}")
print(f"of the answer that nothing changes: {errors(starts['test'], ends['test']).mean():.3f}")

# %% [markdown]
# ## A DeepONet
#
# The networks of the comparison: four layers for the branch, three for the trunk, 128 wide, $p = 128$; the trunk sees
# $\cos 2\pi k y, \sin 2\pi k y$, $k = 1, 2$, instead of $y$ (in units of the box), so that the output is periodic.


# %%
def train(model, inputs, target, steps, rate=1e-3):
    """The trained operator, its losses, and the seconds that it took once it was compiled."""
    began = time.perf_counter()
    optimizer = make_optimizer(OptimizerConfig(learning_rate=rate, warmup_steps=steps // 20), steps)  # AdamW, cosine decay
    step = make_step(supervised(losses.relative_l2), optimizer)
    interval = DeviceInterval(step, DeviceData(inputs, target), 20, jax.random.key(1), jax.random.key(2))
    state, history = interval(TrainState.create(model, optimizer), steps)
    loss = np.asarray(history["loss"])
    return state.operator(), loss, time.perf_counter() - began - interval.compile_seconds


@eqx.filter_jit
def apply(model, u, y=None):
    """The outputs for many functions, on the grid or at the points y."""
    return apply_batched(model, u) if y is None else model.batched(u, y=y)


def tested(model, split="test"):
    return errors(apply(model, starts[split]), ends[split]).mean()


common = {"in_channels": 1, "out_channels": 1, "sensors": (128,), "key": jax.random.key(0)}
onet, loss, seconds = train(DeepONet(periodic_features=2, **common), {"u": starts["train"]}, ends["train"], STEPS)
table = [("DeepONet", onet, STEPS, seconds)]
print(f"{count_parameters(onet):,} parameters, {STEPS} steps in {seconds:.0f} s")
print(f"error on the training functions {tested(onet, 'train'):.4f}, on the others {tested(onet):.4f}")
every = max(1, STEPS // 100)
plot_curves({"training loss": (np.arange(STEPS)[::every], loss.reshape(-1, every).mean(1))}, "relative L2")

# %% [markdown]
# After a full training there is a wide gap between the two: 1000 examples say little about what a network should make of 128 numbers,
# when it does not know that neighboring sensors are neighbors. We shall see that this, and not the basis, is where the error comes from.
#
# The test function on which it does worst, and what a sensor means: the output can be had anywhere, the input cannot.

# %%
worst = int(np.argmax(errors(apply(onet, starts["test"]), ends["test"])))
u = starts["test"][worst]
anywhere = apply(onet, u[None], jnp.asarray([[0.0], [0.123], [0.5], [0.987]]))[0]
print("velocities at y = 0, 0.123, 0.5 and 0.987:", " ".join(f"{value:.3f}" for value in anywhere[0]))
try:
    onet(u[:, ::2])
except ModelInputError as refusal:
    print(f"ModelInputError: {refusal}")
velocity = [Label("velocity")]
plot_sample(u, ends["test"][worst], apply(onet, u[None])[0], grid, input=velocity, output=velocity)

# %% [markdown]
# ## The trunk is a basis
#
# Whatever function comes in, the output (less $b_0$) lies in the span of the $p$ trunk functions. The single $t_k$ mean little: any
# invertible mixture of them, with the inverse mixture of the $b_k$, is the same operator. What can be compared is their span, and the
# directions in it that are used: the singular vectors of the matrix of all predictions, functions by points.
#
# On the other side stands the best basis there is, by the proper orthogonal decomposition (POD): $K$ functions that leave the smallest
# mean square error of the training outputs. The equation and the law of the starts do not change when the circle is turned, so
# that the POD modes must come as pairs of a cosine and a sine of the same wavenumber, at any angle.

# %%
sites = jnp.arange(128)[:, None] / 128
functions = np.asarray(onet.trunks[0](periodic_features(sites.T, 2), jnp.float32))  # (p, points)
predicted = np.asarray(apply(onet, starts["train"]))[:, 0]
used = np.linalg.svd(predicted - predicted.mean(0), full_matrices=False)[2] * np.sqrt(128)
mean, modes = pod_modes(ends["train"], min(64, TRAINED))
modes = modes[0]

figure, axes = plt.subplots(1, 3, figsize=(9.6, 2.5), layout="constrained", sharex=True)
panels = {
    "four of the trunk's functions": functions,
    "what the predictions use most": used,
    "POD modes of the training outputs": modes,
}
x = np.asarray(grid.coordinates()[0])
for place, (title, values) in zip(axes, panels.items(), strict=True):
    for number, color in enumerate(plt.colormaps["viridis"](np.linspace(0, 0.85, 4))):
        place.plot(x, values[number], color=color, linewidth=1.3, label=f"{number + 1}")
    place.set_title(title, fontsize=9)
    place.set_xlabel("x")
    place.spines[["top", "right"]].set_visible(False)
figure.legend(*axes[2].get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside right center")
plt.show()

# %%
for count in (2, 4, 8, 16):
    cosine = np.linalg.svd(used[:count] @ modes[:count].T / 128)[1].min()
    print(f"the {count:>2} leading directions of predictions and of data: cosine of the largest angle {cosine:.4f}")
spectrum = lambda a: np.linalg.svd(a - a.mean(0), compute_uv=False)
found, true = spectrum(predicted), spectrum(np.asarray(ends["train"])[:, 0])
places = np.arange(1, min(64, TRAINED) + 1)
plot_curves(
    {
        name: (places, values[: len(places)] / true[0])
        for name, values in {"training outputs": true, "predictions": found}.items()
    },
    "singular value / largest",
    over="number",
)

# %% [markdown]
# After a full training the leading directions are the same, and come in pairs in both. Of the 128 that are at hand the predictions use a
# few; what is small in the data on average is not learned at all.
#
# ## How many functions?
#
# A POD-DeepONet takes the mean and the POD modes of the training outputs and learns the coefficients alone. Its error cannot be less
# than that of the projection on the modes, on any sample. Whatever a DeepONet learns instead, its $p$ functions are at best slightly
# better on average than as many POD modes.

# %%
published = PODDeepONet(num_modes=min(32, TRAINED), **common).fit_outputs([np.asarray(ends["train"])])
pod, _, seconds = train(published, {"u": starts["train"]}, ends["train"], STEPS, rate=3e-4)
table.append(("POD-DeepONet, 32 modes", pod, STEPS, seconds))


def projection(count):
    """The closest sums of POD modes to the test outputs."""
    apart = np.asarray(ends["test"])[:, 0] - mean[0]
    return mean[0] + apart @ modes[:count].T / 128 @ modes[:count]


curves = {"projection on POD modes": [], "POD-DeepONet": [], "DeepONet": []}
better = 0
print(f"{'functions':>9}{'projection':>12}{'POD-DeepONet':>14}{'DeepONet':>10}")
for count in BASIS:
    model = PODDeepONet(num_modes=count, scaling="none", **common).fit_outputs([np.asarray(ends["train"])])
    with_modes, *_ = train(model, {"u": starts["train"]}, ends["train"], SHORT)
    model = DeepONet(num_basis=count, periodic_features=2, **common)
    learned, *_ = train(model, {"u": starts["train"]}, ends["train"], SHORT)
    least = errors(projection(count)[:, None], ends["test"])
    better += int((errors(apply(with_modes, starts["test"]), ends["test"]) < least - 1e-6).sum())
    row = least.mean(), tested(with_modes), tested(learned)
    for name, error in zip(curves, row, strict=True):
        curves[name].append(error)
    print(f"{count:>9}{row[0]:>12.5f}{row[1]:>14.4f}{row[2]:>10.4f}")
print(f"samples on which a POD-DeepONet was closer than the projection: {better}")
plot_curves({name: (BASIS, values) for name, values in curves.items()}, "relative L2", over="functions", log_over=True)

# %% [markdown]
# Two regimes. With few functions the basis is what is missing. With many, the basis is as good as perfect, and the coefficients are what is
# hard. More modes then do not help; more data or a better branch would.
#
# ## Points of one's own
#
# There are three ways to lay out functions and points. *Cartesian*: all functions at the same points, the trunk is evaluated once.
# *Aligned*: pairs of one function and one point. *Unaligned*: every function at points of its own. They are one formula, so they
# give the same numbers.

# %%
few = starts["test"][:20]
cartesian = apply(onet, few, sites)[:, 0]
aligned = apply(onet, jnp.repeat(few, 128, 0), jnp.tile(sites, (20, 1))[:, None])[:, 0, 0].reshape(20, 128)
own = jnp.stack([jax.random.permutation(key, 128) for key in jax.random.split(jax.random.key(3), 20)])
unaligned = apply(onet, few, sites[own])[:, 0]
print(f"aligned against Cartesian: largest difference {jnp.abs(aligned - cartesian).max():.1e}")
print(f"unaligned against Cartesian: {jnp.abs(unaligned - jnp.take_along_axis(cartesian, own, 1)).max():.1e}")

# %% [markdown]
# For the training the layout is not the same at all. Suppose that each function is measured at 8 points only, 16 times less than above. They
# may be evenly spaced, or where chance would have them; and in the latter case the same for all functions, so that nobody ever sees what
# is between, or other ones for every function, so that the trunk sees the whole circle though no function was ever seen whole. A POD
# would have nothing to start from.


# %%
def eight(key):
    return jax.random.choice(key, 128, (8,), replace=False)


keys = jax.random.split(jax.random.key(4), TRAINED)
chosen = {
    "evenly spaced": jnp.tile(jnp.arange(0, 128, 16), (TRAINED, 1)),
    "random, the same for all functions": jnp.tile(eight(keys[0]), (TRAINED, 1)),
    "random, each function its own": jax.vmap(eight)(keys),
}
if QUICK:
    chosen = dict([chosen.popitem()])
print(f"{'8 points of each function':<40}{'error on all 128 points':>24}")
for name, index in chosen.items():
    inputs = {"u": starts["train"], "y": sites[index]}
    target = jnp.take_along_axis(ends["train"], index[:, None], 2)
    sparse, *_ = train(DeepONet(periodic_features=2, **common), inputs, target, SHORT)
    print(f"{name:<40}{tested(sparse):>24.4f}")

# %% [markdown]
# ## Time is a coordinate, too
#
# The point may be an instant as well: $y = (x, t)$, and the output is the whole flow, at any time, without steps. Each function is given
# at 100 random points of space and time. The trunk's features are periodic in both coordinates; scaled to half a period, time is not
# bent into a circle.

# %%
number = 20 if QUICK else 100
frame, place = jax.random.randint(jax.random.key(5), (2, TRAINED, number), 0, jnp.asarray([FRAMES, 128]).reshape(2, 1, 1))
instants = jnp.stack([place / 128, jnp.asarray(times)[frame] / 2], -1)
seen = flows["train"][jnp.arange(TRAINED)[:, None], frame, place][:, None]
flow, _, seconds = train(DeepONet(num_dims=2, periodic_features=2, **common), {"u": starts["train"], "y": instants}, seen, SHORT)
table.append(("DeepONet of space and time, at t = 1", flow, SHORT, seconds))
lattice = jnp.stack([jnp.tile(sites[:, 0], FRAMES), jnp.repeat(jnp.asarray(times) / 2, 128)], -1)
predictions = np.asarray(apply(flow, starts["test"], lattice)).reshape(TESTED, FRAMES, 128)
over_time = errors(predictions, flows["test"])
print(
    f"{SHORT} steps in {seconds:.0f} s; relative L2 at the start {over_time[:, 0].mean():.4f}, at the end {over_time[:, -1].mean():.4f}"
)
middle = int(np.argsort(over_time.mean(1))[TESTED // 2])
target = np.asarray(flows["test"][middle])
animate(
    {"equation": target, "DeepONet": predictions[middle]},
    grid,
    times,
    label=Label("velocity"),
    errors={"DeepONet": predictions[middle] - target},
    frames_per_second=6,
)

# %% [markdown]
# The error is largest at the start, where the operator would have to be the identity: rough functions need more basis functions than
# smooth ones, and viscosity smooths.
#
# ## MultiONet
#
# A DeepONet uses what comes out of the last layers. Zang and Koutsourelakis (arXiv 2502.06250) let branch and trunk have equal layers
# and average the products of the last $l$,
#
# $$G(u)(y) = \frac1l \sum_{k=n-l+1}^n \omega_k \langle t_k(y), b_k(u) \rangle + b,$$
#
# at the price of $l$ more numbers. With $l = 1$ it is a DeepONet. In the published code all $\omega_k$ begin at zero: the untrained operator
# is zero, and the first step moves nothing but $\omega$ and $b$. A second form, `channelwise`, reads each input channel by itself
# and mixes the products at the end.

# %%
options = {"width": 100, "depth": 6, **common}
silent = MultiONet(sum_layers=5, omega_init=0.0, **options)
print(f"largest output with omega = 0: {jnp.abs(apply(silent, u[None])).max():.1f}")
gradient = eqx.filter_jit(eqx.filter_grad(lambda model: jnp.mean((model(u) - 1) ** 2)))(silent)
moved = {
    part: max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(getattr(gradient, part)))
    for part in ("branches", "trunks", "head")
}
print("largest gradient of the first step: " + ", ".join(f"{part} {value:.2g}" for part, value in moved.items()))
two = MultiONet(sum_layers=5, channelwise=True, **(options | {"in_channels": 2}))
print("channelwise, of two input channels:", apply(two, jnp.concatenate([u, -u])[None])[0].shape)

print(f"{'averaged layers':>15}{'parameters':>12}{'error':>9}")
for summed in SUMMED:
    multi, _, seconds = train(MultiONet(sum_layers=summed, **options), {"u": starts["train"]}, ends["train"], SHORT)
    print(f"{summed:>15}{count_parameters(multi):>12,}{tested(multi):>9.4f}")
table.append((f"MultiONet, {summed} of 6 layers", multi, SHORT, seconds))

# %% [markdown]
# ## Published and ours
#
# The published errors are those of Lu et al. (arXiv 2111.05512): 1000 functions to train on, 200 to test, 128 points, means over seeds.
# They made 500,000 steps on the whole training set at once; we make the steps of the table, on 20 functions each, and did not go on
# for as long. Their data are the file of the authors of the FNO, whose two papers name different intervals. On $(0, 1)$ viscosity leaves
# little but the longest waves, so that few numbers of the start matter; on $(0, 2\pi)$, where we were until now, many do. Ours are
# drawn anew on both: compare sizes, not digits. For MultiONet there is no
# published figure on this problem: its paper has another Burgers equation (viscosity $0.1/\pi$ on $(-1, 1)$, in space and time).

# %%
figures = {"DeepONet": "2.15 ± 0.09", "POD-DeepONet, 32 modes": "1.94 ± 0.07"}


def on_unit_interval():
    """The errors of the same models, trained and tested on the other interval."""
    generate(Burgers(domain="unit"), folder / "unit.h5", num_samples=TRAINED + TESTED, resolution=128, splits=splits)
    ends_only = {"input_time": "first", "target_time": "last"}
    unit = {name: HDF5Dataset(folder / "unit.h5", name, "velocity", "velocity", **ends_only).read_all() for name in splits}
    first, last = {"u": jnp.asarray(unit["train"].inputs["u"])}, jnp.asarray(unit["train"].target)
    with_modes = PODDeepONet(num_modes=32, **common).fit_outputs([unit["train"].target])
    easier = {
        "DeepONet": train(DeepONet(periodic_features=2, **common), first, last, STEPS)[0],
        "POD-DeepONet, 32 modes": train(with_modes, first, last, STEPS, rate=3e-4)[0],
        "MultiONet, 4 of 6 layers": train(MultiONet(sum_layers=4, **options), first, last, SHORT)[0],
    }
    return {name: errors(apply(model, unit["test"].inputs["u"]), unit["test"].target).mean() for name, model in easier.items()}


easier = {} if QUICK else on_unit_interval()
print(
    f"{'relative L2 in percent':<36}{'published':>13}{'(0, 1)':>8}{'(0, 2 pi)':>11}{'parameters':>12}{'steps':>8}{'seconds':>9}"
)
for name, model, steps, seconds in table:
    ours = over_time[:, -1].mean() if model is flow else tested(model)
    alike = f"{100 * easier[name]:.2f}" if name in easier else "-"
    print(
        f"{name:<36}{figures.get(name, '-'):>13}{alike:>8}{100 * ours:>11.2f}{count_parameters(model):>12,}{steps:>8,}{seconds:>9.0f}"
    )
print(f"{'FNO, for comparison':<36}{'1.93 ± 0.04':>13}   see the notebook fno_burgers")
