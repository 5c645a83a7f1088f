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
# # Training over several devices
#
# What several GPUs or TPUs do can be tried on one CPU, which JAX divides into simulated devices. They are no faster, but they run the
# same program: what each holds, what they exchange, and whether the numbers agree with those of one device is all there to see.
#
# The number of simulated devices is read when JAX starts, so it is set first. (`JAX_NUM_CPU_DEVICES=8` in front of a command does the
# same; older versions of JAX read `XLA_FLAGS=--xla_force_host_platform_device_count=8`.)

# %%
import os

os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "8"}  # before JAX is imported; leave this out where there are GPUs

# %%
import json
import tempfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console

from neuralop_jax import FNO, checkpoint, losses
from neuralop_jax.config import load_config
from neuralop_jax.data import HDF5Dataset, Sample
from neuralop_jax.training import DeviceMesh, Network, TrainState, fit, make_step, plan, predicted_efficiency, supervised
from neuralop_jax.viz import plot_curves

# %matplotlib inline
# %config InlineBackend.figure_format = "retina"

QUICK = os.environ.get("NEURALOP_JAX_QUICK") == "1"  # fewer meshes, a smaller network, a few steps
here = Path.cwd()
root = next(folder for folder in (here, *here.parents) if (folder / "datasets").is_dir())
os.chdir(root)
print(f"{jax.device_count()} devices: {', '.join(map(str, jax.devices()))}")

# %% [markdown]
# ## Two ways to share a step
#
# The problem is Darcy flow on 16 × 16 points; a batch has 24 samples.
#
# - Along **data**, devices share the samples: each computes the loss and the gradient of its own, then gradients are averaged. All
#   models can do that.
# - Along **space**, devices share the domain of each sample, in blocks of its first axis. Points far apart must then talk in every
#   layer. A Fourier layer needs little: every device sums its part of the few kept coefficients, and these are added up.
#
# `DeviceMesh` is a rectangle of both. What does each device hold of the batch?

# %%
file = "datasets/darcy_small/darcy_small.h5"
train = HDF5Dataset(file, "train", "permeability", "pressure").read_all()
batch = Sample({"u": train.inputs["u"][:24]}, train.target[:24])

mesh = DeviceMesh.create(data=4, space=2)
placed = mesh.place_batch(batch, leading=1)
for shard in placed.inputs["u"].addressable_shards:
    samples, _, rows, columns = shard.index
    span = lambda part, n: "{:>2} to {:>2}".format(*part.indices(n)[:2])
    print(f"{shard.device}: samples {span(samples, 24)}, rows {span(rows, 16)}, columns {span(columns, 16)}")

# %% [markdown]
# ## The same loss, the same gradient
#
# One step on meshes of several shapes, from the same weights and with the same batch. To see the gradient itself, the optimizer is one that
# keeps it (`optax.trace` without decay).

# %%
network = FNO(
    in_channels=1,
    out_channels=1,
    n_modes=(12, 12),
    width=8 if QUICK else 24,
    depth=1 if QUICK else 4,
    padding=0.25,
    key=jax.random.key(0),
)
keeping = optax.chain(optax.trace(decay=0.0), optax.scale(-1e-3))


def loss_and_gradient(mesh):
    step = make_step(supervised(losses.relative_l2), keeping, mesh=mesh)
    state = mesh.place_state(TrainState.create(network, keeping))
    state, metrics = eqx.filter_jit(step)(state, mesh.place_batch(batch, leading=1), jax.random.key(1))
    return float(metrics["loss"]), np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.opt_state)])


shapes = [(8, 1), (2, 4)] if QUICK else [(2, 1), (4, 1), (8, 1), (4, 2), (2, 4), (1, 8)]
alone_loss, alone = loss_and_gradient(DeviceMesh.create())
print("data x space    loss        loss differs by    gradient differs by")
worst = 0.0
for shape in shapes:
    loss, gradient = loss_and_gradient(DeviceMesh.create(*shape))
    apart = [abs(loss - alone_loss) / alone_loss, np.linalg.norm(gradient - alone) / np.linalg.norm(alone)]
    worst = max(worst, *apart)
    print(f"{shape[0]:>4} x {shape[1]:<5}    {loss:.7f}     {apart[0]:.1e}            {apart[1]:.1e}")
print(f"largest relative difference: {worst:.1e}; round-off of a single operation: {np.finfo(np.float32).eps:.1e}")

# %% [markdown]
# Sums in another order are rounded in another way; there is no other difference.
#
# ## What do they tell each other?
#
# `plan` says it before there are weights or data; on the command line,
# `python -m neuralop_jax plan CONFIG --devices 8`. In an all-reduce of $M$ bytes among $n$ devices each sends $2M(n-1)/n$.

# %%
options = ["--data.batch-size=24", "--data.augment=[]", *(["--model.width=8", "--model.depth=1"] if QUICK else [])]
planned = plan(load_config("configs/darcy_small/fno.toml", options), devices=8)
print(f"{planned.parameters:,} parameters, {planned.samples} samples on each of {planned.devices} devices\n")
for kind, exchanges in planned.exchanges.items():
    print(f"{kind}: {sum(each.sent(8) for each in exchanges):,.0f} bytes sent by each device in a step")
    for each in exchanges:
        print(f"    {each.calls:g} x {each.kind} of {each.message:,.0f} bytes")

# %% [markdown]
# (Transposing samples at random, as the file has it, is left out: devices that share a domain have no whole sample to turn.)
#
# Along data it is one sum of the gradient, four bytes per parameter, however many samples there are. Along space it is the kept coefficients
# of every layer, there and back: they do not grow with the grid. In the README is what the compiled program moves: along data this
# and the loss, along space the loss as well, and the edges of blocks, which the padding of this network needs.
#
# What that costs depends on the links: here nodes of eight devices with 450 GB/s inside and 50 GB/s between them, or 5 GB/s everywhere. Every
# device has as much work as one alone, a step of 2 ms:

# %%
fast, slow = Network(), Network(bandwidth=5e9, node_bandwidth=5e9)
devices = (1, 2, 4, 8, 16, 64, 256, 1024, 4096)
curves = {}
for name, kind, links in (("data", "data", fast), ("space", "space", fast), ("data, 5 GB/s", "data", slow)):
    curves[name] = (devices, list(predicted_efficiency(planned.exchanges[kind], 2e-3, links, devices).values()))
plot_curves(curves, "part of the time computing", over="devices", log=False, log_over=True)

# %% [markdown]
# ## The same training, and resumed elsewhere
#
# In a configuration the devices are two numbers, `mesh.data` and `mesh.space`; nothing else changes. A training on one device, and one that
# begins on eight devices, is stopped half way, and goes on with four that share the domain in pairs:
#
# ```bash
# JAX_NUM_CPU_DEVICES=8 python -m neuralop_jax train CONFIG --out RUN --training.steps 60 --mesh.data 8
# JAX_NUM_CPU_DEVICES=8 python -m neuralop_jax train CONFIG --out RUN --training.steps 120 --mesh.data 2 --mesh.space 2 --resume
# ```
#
# (The learning rate is constant, so that half of a training is the first half of the whole.)

# %%
HALF = 4 if QUICK else 60
folder = Path(tempfile.mkdtemp())
options += ["--optimizer.schedule=constant", "--optimizer.learning-rate=1e-3", "--optimizer.warmup-steps=0", "--training.evaluate-every=0",
            f"--training.log-every={HALF // 2}", f"--training.save-every={HALF // 2}"]  # fmt: skip


def trained(name, steps, *mesh, resume=False):
    config = load_config("configs/darcy_small/fno.toml", [*options, f"--training.steps={steps}", *mesh])
    fit(config, run_dir=folder / name, resume=resume, console=Console(quiet=True))
    lines = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


one = trained("one", 2 * HALF)
trained("several", HALF, "--mesh.data=8")
several = trained("several", 2 * HALF, "--mesh.data=2", "--mesh.space=2", resume=True)
print("step    one device    8, then 2 x 2    relative difference")
for number, loss in one.items():
    print(f"{number:>4}    {loss:.7f}     {several[number]:.7f}       {abs(several[number] - loss) / loss:.1e}")

u = jnp.asarray(train.inputs["u"][:24])
first, second = (np.asarray(eqx.filter_jit(checkpoint.load(folder / name).batched)(u)) for name in ("one", "several"))
print(f"outputs of the two operators differ by {np.linalg.norm(second - first) / np.linalg.norm(first):.1e}")

# %% [markdown]
# On the same devices a resumed run has the same numbers to the bit. On others the first steps agree to round-off; how fast that grows
# afterwards is a property of the training, not of the devices: it is the same with another order of the sums on one.
#
# ## When weights do not fit
#
# With `mesh.shard_parameters_above` larger weights, their averages and their part of the optimizer state are cut into `mesh.data`
# pieces; a device gathers a whole weight while it computes, and keeps its piece alone. The bytes of the state that a device holds:

# %%
adam = optax.adam(1e-3)
for shard_above in (0, 1000):
    mesh = DeviceMesh.create(data=8, shard_above=shard_above)
    state = mesh.place_state(TrainState.create(network, adam))
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(eqx.filter(state, eqx.is_array)))
    print(f"shard_above = {shard_above:>4}: {held:,} bytes on each of 8 devices")

# %% [markdown]
# ## On real machines
#
# ```bash
# python -m neuralop_jax train CONFIG --mesh.data 8                  # eight GPUs of one machine
# srun --nodes 16 --ntasks-per-node 8 --gpus-per-node 8 python -m neuralop_jax train CONFIG --mesh.data 128 --out runs/NAME
# ```
#
# Processes find each other under SLURM and MPI, and on TPUs that name their machines; elsewhere `--coordinator` says where the first one is.
# The README's section "From one CPU to a pod" has the rest: which models divide their domain, micro-batches, precision, and what is measured.
