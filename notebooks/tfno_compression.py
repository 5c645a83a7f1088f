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
# # How far can a Fourier neural operator be compressed?
#
# Nearly all numbers of an FNO are in its spectral weights: for every kept wavenumber a matrix over the channels, together a tensor
# $W$ of shape (channels read, channels written, modes, modes) per block. A tensorized FNO (Kossaifi et al. 2024, arXiv:2310.00120)
# holds $W$ in factors and never forms it:
#
# | form | $W$ | numbers |
# |---|---|---|
# | Tucker | $G \times_1 U_1 \times_2 U_2 \times_3 U_3 \times_4 U_4$ | $\prod r_k + \sum I_k r_k$ |
# | CP | $\sum_r \lambda_r\, a_r \circ b_r \circ c_r \circ d_r$ | $R\,(1 + \sum I_k)$ |
# | tensor train (TT) | $G_1(i_1)\, G_2(i_2)\, G_3(i_3)\, G_4(i_4)$ | $\sum r_{k-1} I_k r_k$ |
#
# with sizes $I_k$ and ranks $r_k$, $R$; all are complex. Two questions: what error does a network have that is *trained* in such a form,
# and what does it cost to *compress* a dense network that is trained already? The problem is Darcy flow, permeability to pressure, 1000
# samples of 16 × 16 points.

# %%
import functools
import os
import tempfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from neuralop_jax import apply_batched, losses
from neuralop_jax.config import OptimizerConfig, load_config
from neuralop_jax.data import DeviceData, HDF5Dataset, augment
from neuralop_jax.evaluation import evaluate
from neuralop_jax.models import count_parameters, decompose
from neuralop_jax.training import DeviceInterval, TrainState, fit, make_optimizer, make_step, supervised
from neuralop_jax.viz import plot_curves

# %matplotlib inline
# %config InlineBackend.figure_format = "retina"

QUICK = os.environ.get("NEURALOP_JAX_QUICK") == "1"  # a few steps of tiny networks, to see that everything runs
RANKS = (0.1,) if QUICK else (0.3, 0.1, 0.02)
FORMS = ("tucker",) if QUICK else ("tucker", "cp", "tt")
STEPS, TUNING, WIDTH, DEPTH = (10, 10, 8, 1) if QUICK else (400, 100, 24, 4)
here = Path.cwd()
root = next(folder for folder in (here, *here.parents) if (folder / "datasets").is_dir())
os.chdir(root)
runs = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Trained in factors
#
# `rank=0.1` as a float asks for a tenth of the numbers of the dense weights; the ranks follow from it. All trainings have the same
# steps, batches, learning rate and seed. On the command line this is a sweep:
#
# ```bash
# python -m neuralop_jax sweep configs/darcy_small/fno.toml --out runs/ranks \
#     --over model.factorization=tucker,cp,tt --over model.rank=0.3,0.1,0.02
# ```

# %%
short = [f"--training.steps={STEPS}", f"--training.log-every={min(STEPS, 50)}", f"--training.save-every={STEPS}",
         "--training.evaluate-every=0", f"--optimizer.warmup-steps={STEPS // 15}", f"--model.width={WIDTH}", f"--model.depth={DEPTH}"]  # fmt: skip


def train(name, *options):
    config = load_config("configs/darcy_small/fno.toml", [*short, *options])
    return fit(config, run_dir=runs / name, console=Console(quiet=True))


dense = train("dense")
found = {"dense": [(1.0, dense)]}
for form in FORMS:
    found[form] = [(rank, train(f"{form}_{rank}", f"--model.factorization={form}", f"--model.rank={rank}")) for rank in RANKS]

print(f"{'form':8}{'rank':>6}{'parameters':>12}{'of dense':>10}{'test_16':>9}{'test_32':>9}{'seconds':>9}")
for form, each in found.items():
    for rank, result in each:
        all_numbers, errors = result.results["parameters"], result.results["splits"]
        share = all_numbers / dense.results["parameters"]
        test_16, test_32 = (errors[split]["relative_l2"] for split in ("test_16", "test_32"))
        print(f"{form:8}{rank:6}{all_numbers:12,}{share:10.3f}{test_16:9.4f}{test_32:9.4f}{result.results['train_seconds']:9.1f}")

# %%
error_of = lambda result: result.results["splits"]["test_16"]["relative_l2"]
curves = {form: ([r.results["parameters"] for _, r in each], [error_of(r) for _, r in each]) for form, each in found.items()}
plot_curves(curves, "relative L2, test_16", over="parameters", log_over=True)

# %% [markdown]
# The training is short, and in a short training every number that can be moved helps. After the whole trainings of the configurations it
# is not so: in the README's table of models `tfno.toml`, which holds a twentieth of the spectral weights at a width of 32, has a smaller
# error after 2,000 steps than `fno.toml` after 1,500, with three seeds each.
#
# Beside what was published:
#
# | | problem | dense | in factors |
# |---|---|---|---|
# | Kossaifi et al. 2024, abstract | turbulent Navier–Stokes | error of an FNO | less than half of it, with over 150 times fewer parameters |
# | their first version, 2022, abstract | turbulent Navier–Stokes | error of an FNO | the same, with up to 400 times fewer parameters |
# | here | Darcy, 16 × 16, 1000 samples | the first row above | the rows below it |
#
# Their figures could not be run here: thousands of samples of 128 × 128 points, for 500 epochs on GPUs. Nor can a 150th part of the parameters be left
# of so small a network, because what is not spectral weights is already more.
#
# ## What is in a trained dense weight?
#
# Whether a weight can be cut is seen in the singular values of its unfoldings: $W$ as a matrix with one of its modes as rows. A form of rank
# $r$ keeps $r$ of them.

# %%
operator = dense.operator
weight = [np.asarray(part) for part in operator.model.blocks[0].conv.weight]  # (*modes, in, out), real and imaginary part
tensor = weight[0] + 1j * weight[1]
unfolded = lambda axis: np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)
singular = {name: np.linalg.svd(unfolded(axis), compute_uv=False) for name, axis in
            {"channels read": 2, "channels written": 3, "first modes": 0, "second modes": 1}.items()}  # fmt: skip
curves = {name: (np.arange(1, len(values) + 1), values / values[0]) for name, values in singular.items()}
plot_curves(curves, "singular value over the largest", over="number", log=False)

# %% [markdown]
# A weight that starts as independent random numbers has singular values of about one size, and a training makes some of its directions
# larger without making the others small. What a low rank leaves out is, by the norm, most of the weight; but it is the part that
# the training has made the least use of.
#
# ## A trained network, compressed
#
# `decompose` replaces the weights of a trained operator by their best approximation of a given rank (HOSVD for Tucker, alternating least
# squares for CP, TT-SVD for trains), and says how far each is from its weight. At full rank nothing is lost:

# %%
test = HDF5Dataset("datasets/darcy_small/darcy_small.h5", "test_16", "permeability", "pressure")
u = jnp.asarray(test.read_all().inputs["u"])
apply = eqx.filter_jit(apply_batched)
full = [WIDTH, WIDTH, *tensor.shape[:2]]
same, errors = decompose(operator, full)
before, after = apply(operator, u), apply(same, u)
print(f"full rank: weights differ by {max(errors):.0e}, outputs by {jnp.abs(after - before).max() / jnp.abs(before).max():.0e}")

# %% [markdown]
# At a lower rank something is. How much of it do a few more steps bring back? The training is that of `fno_darcy`, a compiled interval of
# a pure step, with half the learning rate.

# %%
train_split = HDF5Dataset("datasets/darcy_small/darcy_small.h5", "train", "permeability", "pressure")
data = DeviceData.load(train_split)


def tuned(operator):
    optimizer = make_optimizer(OptimizerConfig(learning_rate=2e-3), TUNING)
    step = make_step(supervised(losses.relative_l2), optimizer, augment=functools.partial(augment, ("transpose",)))
    interval = DeviceInterval(step, data, 20, jax.random.key(1), jax.random.key(2))
    own = jax.tree.map(
        lambda leaf: jnp.copy(leaf) if eqx.is_array(leaf) else leaf, operator
    )  # an interval uses up the arrays that it gets
    return interval(TrainState.create(own, optimizer), TUNING)[0].operator()


error = lambda operator: evaluate(operator, test)["relative_l2"]
rows = []
for rank in RANKS:
    smaller, weight_errors = decompose(operator, rank)
    rows.append((rank, count_parameters(smaller), np.mean(weight_errors), error(smaller), error(tuned(smaller))))
print(f"dense: relative L2 {error(operator):.4f}\n")
print(f"{'Tucker rank':>11}{'parameters':>12}{'weight error':>14}{'cut':>9}{'tuned':>9}{'trained in this form':>22}")
for (rank, number, far, cut, back), (_, trained) in zip(rows, found["tucker"], strict=True):
    print(f"{rank:11}{number:12,}{far:14.2f}{cut:9.4f}{back:9.4f}{error_of(trained):22.4f}")

# %%
ranks, numbers, _, cut, back = zip(*rows, strict=True)
plot_curves(
    {
        "dense, cut": (numbers, cut),
        f"cut, {TUNING} steps more": (numbers, back),
        f"trained in factors, {STEPS} steps": (numbers, [error_of(r) for _, r in found["tucker"]]),
    },
    "relative L2, test_16",
    over="parameters",
    log_over=True,
)

# %% [markdown]
# ## What follows
#
# - The error of the weight says little of the error of the network: compare the columns "weight error" and "cut".
# - A network that is cut needs the steps after it. With them it stands beside one that was trained in this form from the beginning (the
#   last two columns; it has had the dense training before).
# - `joint=True` holds the weights of all blocks in one tensor, and `tensor_dropout` leaves out ranks at random in training; both are
#   options of `FNO`.
