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
# # Latent spectral models
#
# Spectral methods write the solution of a differential equation in a few basis functions of *space*. A latent spectral model (LSM, Wu et
# al. 2023, arXiv:2301.12664) writes a step of the solution in a few basis functions of *values*: the field of each patch is summed up in a
# few latent tokens, a sum of sines and cosines maps every number of a token to another one,
#
# $$\hat t = t + \sum_{k} w^s_k \sin(\omega_k t) + w^c_k \cos(\omega_k t), \qquad \omega_k = \frac{\pi k}{N},$$
#
# and the points of the patch read the result. A U-shaped convolutional network does this at several scales. We train one on
# Darcy flow, from a permeability of two values to the pressure on 16 × 16 points, look inside, and ask what the basis does.

# %%
import os
import tempfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console

from neuralop_jax import apply_batched
from neuralop_jax.config import load_config
from neuralop_jax.data import HDF5Dataset
from neuralop_jax.evaluation import evaluate
from neuralop_jax.kernels import max_pool
from neuralop_jax.layers import append_coordinates, patch_and_padding, patchify, trigonometric_step, unpatchify
from neuralop_jax.training import fit
from neuralop_jax.viz import Label, plot_curves, plot_sample

# %matplotlib inline
# %config InlineBackend.figure_format = "retina"

QUICK = os.environ.get("NEURALOP_JAX_QUICK") == "1"  # a few steps of small networks, to see that everything runs
STEPS = 10 if QUICK else 500
here = Path.cwd()
root = next(folder for folder in (here, *here.parents) if (folder / "datasets").is_dir())
os.chdir(root)

# %% [markdown]
# ## What can sines and cosines of values do?
#
# With weights $w$ of its own, every channel of a token goes through a function of one variable. How well can such a sum be a given
# function on $[-2, 2]$, by least squares? The frequencies are those of the published code, $\pi k / N$ with $k = 0 \dots N - 1$.

# %%
t = np.linspace(-2, 2, 401)
wanted = {"tanh": np.tanh(t), "square": t**2, "absolute value": np.abs(t)}
sizes = np.arange(2, 21, 2)


def fitted(values, size):
    """The best weights of the basis for a function of t, sines and cosines."""
    waves = np.pi * np.arange(size) / size * t[:, None]
    weights = np.linalg.lstsq(np.hstack([np.sin(waves), np.cos(waves)]), values - t, rcond=1e-7)[0]
    return weights[:size, None], weights[size:, None]


def solved(sines, cosines):
    return np.asarray(trigonometric_step(jnp.asarray(t, jnp.float32)[:, None], jnp.asarray(sines, jnp.float32), jnp.asarray(cosines, jnp.float32), "released"))[:, 0]  # fmt: skip


curves = {name: (sizes, [np.abs(solved(*fitted(v, size)) - v).max() for size in sizes]) for name, v in wanted.items()}
print("12 sines and cosines, as published:", ", ".join(f"{name} {curves[name][1][5]:.1e}" for name in curves))
plot_curves(curves, "largest error on [-2, 2]", over="sines, and as many cosines")

# %% [markdown]
# Smooth functions come out well with six or eight. More are not faster ones: $\omega_k < \pi$ however many there are, they only come closer
# to each other, until single precision cannot tell them apart. A kink would need fast ones, and stays.
#
# ## Train
#
# `configs/darcy_small/lsm.toml`, shorter than there; an FNO of about as many parameters, with as many steps; and the same LSM with one
# basis function, $k = 0$, which is a constant: no sines and cosines of tokens from the beginning.

# %%
short = [f"--training.steps={STEPS}", f"--training.log-every={min(STEPS, 50)}", f"--training.save-every={STEPS}",
         "--training.evaluate-every=0", f"--optimizer.warmup-steps={STEPS // 15}"]  # fmt: skip
small = ["--model.width=8", "--model.num-scales=2"] if QUICK else []
trainings = {
    "LSM": ("lsm", small),
    "LSM, a constant as basis": ("lsm", [*small, "--model.num-basis=1"]),
    "FNO": ("fno", []),
}
folder = Path(tempfile.mkdtemp())
found = {}
for name, (file, more) in list(trainings.items())[: 1 if QUICK else 3]:
    config = load_config(f"configs/darcy_small/{file}.toml", [*short, *more])
    found[name] = fit(config, run_dir=folder / name.replace(" ", "_"), console=Console(quiet=True))

# %% [markdown]
# The published row is that of a network of 19 million parameters, 501 epochs on 85 × 85 points on a GPU; it could not be run here. Three
# seeds of the whole training on 16 × 16 points are in the README's table of models. The rows here are one seed each, so that differences in
# the third digit say nothing.

# %%
print(f"{'':28}{'grid':>9}{'parameters':>12}{'relative L2':>13}{'seconds':>9}")
print(f"{'LSM, Wu et al. 2023':28}{'85 x 85':>9}{19_187_457:12,}{0.0065:13.4f}{'':>9}")
print(f"{'FNO, in the same table':28}{'85 x 85':>9}{'':>12}{0.0108:13.4f}{'':>9}")
for name, result in found.items():
    error, numbers = result.results["splits"]["test_16"]["relative_l2"], result.results["parameters"]
    print(f"{name:28}{'16 x 16':>9}{numbers:12,}{error:13.4f}{result.results['train_seconds']:9.0f}")
print(f"trained for {STEPS} steps")

# %%
operator = found["LSM"].operator
test = HDF5Dataset("datasets/darcy_small/darcy_small.h5", "test_16", "permeability", "pressure")
u, target = test[0].inputs["u"], test[0].target
plot_sample(u, target, np.asarray(operator(jnp.asarray(u))), test.grid, input=[Label("permeability")], output=[Label("pressure")])

# %% [markdown]
# ## Inside: from points to tokens and back
#
# The field that reaches the block of a scale is what the layers before it make of the permeability. A block, written out: queries
# $T_0$, which are learned, collect tokens from the points of a patch by attention; the basis maps them; every point reads from them.

# %%
lsm = operator.model
patch, _ = patch_and_padding((16, 16), lsm.num_scales)
print(
    f"{lsm.num_scales} scales; a patch has {patch[0]} x {patch[1]} points on each; {lsm.num_heads} heads of {lsm.num_tokens} tokens"
)


@jax.jit
def fields_of(v):
    """What stands before the block of every scale, finest first."""
    v = lsm.lifting(append_coordinates(operator.input.normalize(v), 2, endpoint=True))
    fields = [lsm.network.down[0](v)]
    for step in lsm.network.down[1:]:
        fields.append(step(max_pool(fields[-1], 2)))
    return fields


def heads(v, block):
    """(patches, width, points) -> (patches, heads, channels of a head, points)"""
    return v.reshape(len(v), block.queries.shape[0], -1, v.shape[-1])


def collect(block, field):
    keys, values = (heads(v, block) for v in jnp.split(patchify(block.encode(field), patch), 2, axis=1))
    attention = jax.nn.softmax(jnp.einsum("hmc,phcn->phmn", block.queries, keys), axis=-1)
    return attention, block.queries + jnp.einsum("phmn,phcn->phmc", attention, values)


def read(block, field, tokens):
    scores = jnp.einsum("phcn,phmc->phmn", heads(patchify(block.decode(field), patch), block), tokens)
    values = jnp.einsum("phmn,phmc->phcn", jax.nn.softmax(scores, axis=2), tokens)
    return field + unpatchify(values.reshape(len(values), -1, values.shape[-1]), field.shape, patch)


fields = fields_of(jnp.asarray(u))
for scale, (block, field) in enumerate(zip(lsm.network.across, fields, strict=True)):
    attention, tokens = collect(block, field)
    written_out, called = read(block, field, block.solve(tokens)), block(field, patch)
    difference = jnp.abs(written_out - called).max() / jnp.abs(called).max()
    print(
        f"scale {scale}: {field.shape[1]} x {field.shape[2]} points, {len(tokens)} patches; written out as the block to {difference:.0e}"
    )

# %% [markdown]
# Where do the tokens of the finest scale come from? If all points of a patch had the same share in a token, it would be an average. For two
# of the heads, the share of every point in the four tokens over that of an average, less 1, beside the permeability:

# %%
attention, _ = collect(lsm.network.across[0], fields[0])
shares = [unpatchify(attention[:, head], (lsm.num_tokens, 16, 16), patch) for head in (0, 1)]
excess = [np.asarray(share) * patch[0] * patch[1] - 1 for share in shares]
figure, axes = plt.subplots(2, 1 + lsm.num_tokens, figsize=(10, 4), layout="constrained")
for row, values in zip(axes, excess, strict=True):
    row[0].imshow(u[0].T, origin="lower", cmap="cividis")
    limit = np.abs(values).max()
    for place, token in zip(row[1:], values, strict=True):
        image = place.imshow(token.T, origin="lower", cmap="RdBu_r", vmin=-limit, vmax=limit)
    figure.colorbar(image, ax=row, label="excess share", fraction=0.03, pad=0.01)
for number, row in enumerate(axes):
    row[0].set_ylabel(f"head {number}")
    for place, title in zip(row, ("permeability", *(f"token {m}" for m in range(lsm.num_tokens))), strict=True):
        place.set_title(title, fontsize=9)
        place.set_xticks([])
        place.set_yticks([])
plt.show()

# %% [markdown]
# ## Inside: what the basis does to a token
#
# For three channels of the finest and of the coarsest scale, those whose correction varies most: the correction $\hat t - t$ over the values that tokens
# take on the test data; thick where nine tenths of them are.

# %%
fields = jax.vmap(fields_of)(jnp.asarray(test.read_all().inputs["u"][:20]))
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for axis, scale in zip(axes, (0, lsm.num_scales - 1), strict=True):
    block = lsm.network.across[scale]
    _, tokens = jax.vmap(lambda field, block=block: collect(block, field))(fields[scale])
    values = jnp.moveaxis(tokens, -2, 0).reshape(-1, block.sines.shape[1])  # every token of every patch, by channel
    change = jnp.std(trigonometric_step(values, block.sines, block.cosines, lsm.frequencies) - values, axis=0)
    for color, channel in zip(("#0072b2", "#d55e00", "#009e73"), np.argsort(change)[::-1][:3], strict=True):
        own = values[:, channel]
        weights = block.sines[:, [channel]], block.cosines[:, [channel]]
        for low, high, width, label in ((0, 1, 1.2, f"channel {channel}"), (0.05, 0.95, 3.5, None)):
            line = jnp.linspace(*np.quantile(own, [low, high]), 200)
            after = trigonometric_step(line[:, None], *weights, lsm.frequencies)[:, 0]
            axis.plot(line, after - line, color=color, linewidth=width, label=label)
    axis.set_title(f"scale {scale}, {fields[scale].shape[-1]} × {fields[scale].shape[-1]} points", fontsize=9)
    axis.locator_params(axis="x", nbins=5)
    axis.set_xlabel("value of a token, t")
    axis.set_ylabel("correction")
    axis.legend(frameon=False, fontsize=8)
    axis.grid(color="#e3e3e3")
plt.show()

# %% [markdown]
# Over the values that tokens take, the corrections are smooth curves. Which frequencies matter for the pressure? One of them is taken out of all blocks at a
# time, and the change of the output is measured.

# %%
inputs = jnp.asarray(test.read_all().inputs["u"])
apply = eqx.filter_jit(apply_batched)
whole = apply(operator, inputs)
blocks = lambda m: m.model.network.across
weights_of = lambda m: [part for block in blocks(m) for part in (block.sines, block.cosines)]


def without(frequency):
    """The operator without a frequency of the basis; `slice(None)` takes out all."""
    return eqx.tree_at(weights_of, operator, [part.at[frequency].set(0) for part in weights_of(operator)])


norm = lambda v: jnp.linalg.norm(v.reshape(len(v), -1), axis=1)
changes = [float(jnp.mean(norm(apply(without(k), inputs) - whole) / norm(whole))) for k in range(lsm.num_basis)]
plot_curves({"change of the pressure": (range(lsm.num_basis), changes)}, "relative L2", log=False, over="frequency k")

# %% [markdown]
# $k = 0$ is a constant that is added to the tokens. Last, without any basis, and without any blocks, where the field of a scale passes as
# it is. The network was not trained so; the row "LSM, a constant as basis" of the table above was.

# %%
tokens = collect(lsm.network.across[0], fields_of(inputs[0])[0])[1]
same = blocks(without(slice(None)))[0].solve(tokens)
print(f"without a basis tokens stay as they are: {bool((same == tokens).all())}")


class Passed(eqx.Module):
    """A block that changes nothing."""

    def __call__(self, field, patch):
        return field


unblocked = eqx.tree_at(blocks, operator, tuple(Passed() for _ in blocks(operator)))
for name, changed in {"as trained": operator, "basis taken out": without(slice(None)), "blocks taken out": unblocked}.items():
    print(f"{name:18} relative L2 {evaluate(changed, test)['relative_l2']:.4f}")

# %% [markdown]
# ## Other grids, other shapes
#
# The convolutions and pools of an LSM cover points, not lengths: `operator.resolution` claims nothing of other grids, and the README's
# table shows what becomes of it at 32 × 32. `models.IrregularLSM` puts the same network between scattered points of the plane, by
# Fourier sums over points that a small network deforms; it needs points as input, which the fields here are not.

# %%
print(f"claim on other grids: {operator.resolution.kind}, {operator.resolution.reason}")
