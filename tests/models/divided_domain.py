"""Cases for `test_divided_domain.py`, which runs this file in a process with eight devices: a divided domain against one device."""

import json
import math
import re
import traceback

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from neuralop_jax import losses, metrics
from neuralop_jax.errors import NeuralOpError
from neuralop_jax.grids import Grid
from neuralop_jax.kernels import AxisNodes, diffusion_stencil
from neuralop_jax.models import FNO, LSM, TFNO, Autoregressive, ClassicFNO, MgNO, MultigridPatches
from neuralop_jax.solvers import Multigrid

BLOCKS = PartitionSpec("data", None, "space")
SMALL = {"channel_mlp": False, "lifting_ratio": 0}
NARROW = {"width": 2, "depth": 1, **SMALL}
CASES, REFUSALS = {}, {}


def case(function):
    CASES[function.__name__] = function


def refusal(message):
    """The error of a case must be a single line with this text."""
    return lambda function: REFUSALS.__setitem__(function.__name__, (function, message))


def build(kind, **options):
    """A model with random weights, biases and scales; drawn by NumPy, nothing has to be compiled."""
    make = lambda key: kind(in_channels=1, out_channels=1, key=key, **options)
    draw = np.random.default_rng(1).normal
    weights, rest = eqx.partition(eqx.filter_eval_shape(make, jax.random.key(0)), lambda x: isinstance(x, jax.ShapeDtypeStruct))
    return eqx.combine(jax.tree.map(lambda x: 0.5 * draw(size=x.shape), weights), rest)


def mesh(data, space):
    return Mesh(np.array(jax.devices()[: data * space]).reshape(data, space), ("data", "space"))


def field(*shape):
    return np.random.default_rng(0).normal(size=shape)


def distance(found, wanted):
    """The largest difference of two trees, leaf by leaf relative to the largest number; but gradients may vanish, as before norms."""
    pairs = list(zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True))
    least = 1e-3 * max(float(np.abs(b).max()) for _, b in pairs)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max() / max(np.abs(b).max(), least)) for a, b in pairs)


def programs(model, devices, loss=None, *, mapped=False):
    """Loss, prediction and gradient on one device, and divided; or without a loss the prediction alone."""
    weights, rest = eqx.partition(model, eqx.is_inexact_array)

    def predict(weights, u):
        model = eqx.combine(weights, rest)
        return jax.vmap(model)(u) if mapped else model.batched(u)

    def mean_loss(weights, u, y):
        v = predict(weights, u)
        return jnp.mean(jax.vmap(loss)(v, y)), v

    def step(weights, u, y):
        (value, v), gradient = jax.value_and_grad(mean_loss, has_aux=True)(weights, u, y)
        return value, v, gradient

    def divided(weights, u, y):  # the gradient by what all devices share is the sum over both axes of the mesh
        value, v, gradient = step(weights, u, y)
        return jax.lax.pmean(value, "data"), v, jax.tree.map(lambda g: g / jax.lax.axis_size("data"), gradient)

    everywhere, mesh_ = PartitionSpec(), mesh(*devices)
    if loss is None:
        return weights, predict, jax.shard_map(predict, mesh=mesh_, in_specs=(everywhere, BLOCKS), out_specs=BLOCKS)
    specs = {"in_specs": (everywhere, BLOCKS, BLOCKS), "out_specs": (everywhere, BLOCKS, everywhere)}
    return weights, step, jax.shard_map(divided, mesh=mesh_, **specs)


def difference(model, shape, devices, loss=None, *, out=None, mapped=False):
    """How far the divided program is from that of one device."""
    weights, alone, divided = programs(model, devices, loss, mapped=mapped)
    batch = 2 * devices[0]
    arguments = (weights, field(batch, model.in_channels, *shape).astype(model_type(model)))
    if loss is not None:
        arguments += (field(batch, 1, *(out or shape))[:, ::-1] + 0.5,)
    return distance(jax.jit(divided)(*arguments), jax.jit(alone)(*arguments))


def model_type(model):
    return complex if getattr(model, "complex_data", False) else float


@case
def fno_of_one_axis():
    return difference(build(FNO, n_modes=(5,), width=3, depth=1), (40,), (1, 8), losses.relative_l2, mapped=True)


@case
def fno_of_one_axis_by_pencils():
    return difference(build(FNO, n_modes=(7,), width=3, depth=1, transform="fft"), (12,), (2, 2), losses.relative_l2)


@case
def fno_padded_on_a_mixed_mesh():
    model = build(FNO, n_modes=(5, 6), width=3, depth=1, padding=0.25, norm="instance", **SMALL)
    torus = Grid((24, 10), boundary=("periodic", "open"))
    return difference(model, (24, 10), (2, 4), lambda v, y: losses.relative_h1(v, y, torus))


@case
def fno_of_three_axes():
    return difference(build(FNO, n_modes=(5, 3, 4), width=3, depth=1, **SMALL), (12, 6, 5), (1, 2), losses.relative_l2)


@case
def tfno_on_a_coarser_grid():
    options = {"norm": "group", "bypass": "convolution", "output_scaling": ((0.5, 1.0),), **SMALL}
    model = build(TFNO, n_modes=(5, 6), width=4, depth=1, **options)
    return difference(model, (24, 10), (1, 4), losses.truncated_h1, out=(12, 10))


@case
def classic_fno_padded_at_one_end():
    return difference(build(ClassicFNO, n_modes=(5, 6), width=3, depth=1, padding=(8, 3)), (16, 10), (1, 8))


@case
def periodic_mgno_whose_coarsest_level_is_gathered():
    options = {"coarse_rhs": "residual", "boundary": "periodic", "norm": "cycle", "norm_affine": "all", "norm_grid": (16,)}
    model = build(MgNO, num_dims=1, width=2, depth=1, smoothing=((1, 0), (1, 1), (1, 0)), **options)
    return difference(model, (16,), (1, 8), losses.relative_l2)


@case
def mgno_with_zeros_on_a_mixed_mesh():
    model = build(MgNO, num_dims=2, width=2, depth=1, smoothing=((1, 0), (1, 0)), bias="function")
    return difference(model, (16, 9), (2, 4), losses.relative_l2)


@case
def mgno_reflected_or_replicated():
    """Down to blocks of a single point, which cannot be reflected by themselves."""
    smoothing = ((1, 0), (1, 0), (2, 0))
    models = (build(MgNO, num_dims=1, width=2, depth=1, smoothing=smoothing, boundary=b) for b in ("reflect", "replicate"))
    return max(difference(model, (16,), (1, 4)) for model in models)


@case
def patches_of_one_axis():
    """With so much around each that it reaches over several blocks and is reflected more than once."""
    options = {"levels": 2, "padding": 0.75, "boundary": "reflect", "coordinates": True, "num_dims": 1}
    model = build(MultigridPatches, operator={"kind": "fno", "n_modes": (3,), **NARROW}, **options)
    return difference(model, (32,), (2, 4), losses.relative_l2)


@case
def patches_of_two_axes_on_a_mixed_mesh():
    inner = {"kind": "fno", "n_modes": (3, 3), "norm": "instance", **NARROW}
    model = build(MultigridPatches, operator=inner, levels=1, padding=0.125, boundary=("replicate", "zeros"))
    return difference(model, (16, 12), (4, 2), lambda v, y: losses.relative_h1(v, y, Grid((16, 12))))


@case
def patches_of_three_axes():
    inner = {"kind": "fno", "n_modes": (3, 3, 2), **NARROW}
    model = build(MultigridPatches, operator=inner, levels=1, padding=0.125)
    return difference(model, (8, 8, 4), (1, 2), losses.relative_l2)


@case
def steps_in_patches():
    """Two steps, so that the second reads what the first made of other blocks."""
    inner = {"kind": "multigrid_patches", "operator": {"kind": "fno", "n_modes": (2,), **NARROW}, "padding": 0.125}
    model = build(Autoregressive, operator=inner, times=(2.0,), time_step=1.0, num_dims=1)
    return difference(model, (16,), (1, 2), losses.mse)


@case
def loss_of_patches():
    """A patch is compared by the device that has it; those of an FNO, whose layers see the whole domain."""
    model, torus = build(FNO, n_modes=(5, 4), width=3, depth=1, **SMALL), Grid((16, 8), boundary=("periodic", "open"))
    compare = losses.per_patch(losses.relative_h1, 2)
    return difference(model, (16, 8), (2, 2), lambda v, y: compare(v, y, torus))


@case
def every_loss_and_metric():
    """As functions of one sample, with and without a periodic axis; one-sided differences also on blocks of two points."""
    parts, pair = PartitionSpec(None, "space"), lambda points: (field(2, points, 6), field(2, points, 6)[::-1] ** 2 + 1)
    (v, y), small = pair(20), pair(8)
    classes = np.stack([y[0] > 1.5, y[0] <= 1.5]).astype(float)

    def everything(v, y, classes, small):
        torus = Grid((20, 6), boundary=("periodic", "open"))
        numbers = [jnp.sum(f(v, y, torus)) for f in (metrics.normalized_rmse, metrics.max_error, *losses.LOSSES.values())]
        numbers += [jnp.sum(metrics.relative_h1(v, y, torus, spectral=False))]
        numbers += [jnp.sum(metrics.relative_h1(*fields)) for fields in ((v, y), small)]
        return jnp.stack([*numbers, metrics.accuracy(v, classes), metrics.accuracy(v, y - y)])

    divided = jax.shard_map(everything, mesh=mesh(1, 4), in_specs=parts, out_specs=PartitionSpec())
    *found, nan = jax.jit(divided)(v, y, classes, small)
    *wanted, _ = jax.jit(everything)(v, y, classes, small)
    assert jnp.isnan(nan)
    return distance(found, wanted)


@case
def an_axis_of_one_device_divides_nothing():
    """Operators that need the whole domain have it; this traces only."""
    weights, _, divided = programs(build(LSM, num_dims=2, width=8), (2, 1), losses.mse)
    jax.eval_shape(divided, weights, *(field(4, 1, 32, 32),) * 2)
    return 0.0


@refusal("LSM.batched needs the whole domain, which is divided among 4 devices. Use a mesh with one device along 'space'")
def model_that_needs_the_whole_domain():
    difference(build(LSM, num_dims=2, width=8), (32, 32), (1, 4))


@refusal("padding makes 22 points of 16 on the first space axis, which 4 devices cannot share evenly. Choose a padding that adds")
def padding_that_cannot_be_shared():
    difference(build(FNO, n_modes=(5, 6), width=4, depth=1, padding=0.2), (16, 10), (1, 4))


@refusal("onto 10 points of the first space axis, which 4 devices cannot share evenly. Choose output_scaling so that")
def scaling_that_cannot_be_shared():
    difference(build(FNO, n_modes=(5, 6), width=4, depth=1, output_scaling=(1.25,)), (8, 10), (1, 4))


@refusal("level 1 of a learned V-cycle has 6 points of 12 on the first space axis, of which 4 devices cannot have half of their")
def levels_that_cannot_be_shared():
    difference(build(MgNO, num_dims=1, width=3, depth=1, smoothing=((1, 0), (1, 0))), (12,), (1, 4))


@refusal("Multigrid needs the whole domain, which is divided among 2 devices. Solve outside of the shard_map")
def classical_multigrid():
    laplacian, rows = diffusion_stencil([jnp.ones((1, 1))] * 2, periodic=(True, True)), PartitionSpec("space")
    solve = lambda f: Multigrid(laplacian, [AxisNodes(16, "periodic")] * 2, singular=True)(f)
    jax.shard_map(solve, mesh=mesh(1, 2), in_specs=rows, out_specs=rows)(field(16, 16))


@refusal("a spectrum needs the whole field, which is divided among 2 devices. Take it outside of the shard_map.")
def spectrum():
    parts = PartitionSpec(None, "space")
    jax.shard_map(metrics.energy_spectrum, mesh=mesh(1, 2), in_specs=parts, out_specs=PartitionSpec())(field(1, 16))


@refusal("MultigridPatches: 2 rows of patches cannot be divided evenly among 4 devices. Use a number of devices that divides 2")
def rows_of_patches_that_cannot_be_shared():
    difference(build(MultigridPatches, operator={"kind": "fno", "n_modes": (3,), **NARROW}, levels=1), (16,), (1, 4))


@refusal("MultigridPatches.batched needs the whole domain, which is divided among 2 devices.")
def no_patches():
    difference(build(MultigridPatches, operator={"kind": "fno", "n_modes": (3,), **NARROW}, levels=0), (16,), (1, 2))


def collectives(program, *arguments):
    """The numbers in the results of each kind of collective of a compiled program, one entry for each that has several devices."""
    text, found = jax.jit(program).lower(*arguments).compile().as_text(), {}
    kinds = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
    for shapes, kind, rest in re.findall(rf"= (.*?) ({kinds})(?:-start)?\((.*)", text):
        if re.search(r"replica_groups=(\{\{\d+\}|\[\d+,1\])", rest):
            continue
        sizes = (math.prod(map(int, filter(None, size.split(",")))) for size in re.findall(r"[a-z]\d+\[([\d,]*)\]", shapes))
        found.setdefault(kind, []).append(sum(sizes))
    return {kind: sorted(numbers) for kind, numbers in found.items()}


def moved_numbers():
    """What a training step of an FNO, by sums and by pencils, and predictions of an MgNO and of patches move between four devices."""
    found = {}
    for name, options in {"sums": {}, "pencils": {"transform": "fft"}}.items():
        model = build(FNO, n_modes=(6, 6), width=5, depth=2, **options)
        weights, _, step = programs(model, (1, 4), losses.relative_l2)
        found[name] = collectives(step, weights, field(3, 1, 32, 16), field(3, 1, 32, 16))
        spectral = [part for block in model.blocks for part in block.conv.weight]
        found["other weights"] = sum(w.size for w in jax.tree.leaves(weights)) - sum(part.size for part in spectral)
    model = build(MgNO, num_dims=2, width=5, depth=1, smoothing=((1, 0), (1, 0)))
    weights, _, predict = programs(model, (1, 4))
    found["multigrid, prediction"] = collectives(predict, weights, field(3, 1, 32, 16))
    model = build(MultigridPatches, operator={"kind": "fno", "n_modes": (3, 3), **NARROW}, levels=2, padding=0.03125)
    weights, _, predict = programs(model, (1, 4))
    found["patches, prediction"] = collectives(predict, weights, field(3, 1, 32, 16))
    return found


def outcome(function):
    try:
        return function()
    except NeuralOpError as error:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return traceback.format_exc()


if __name__ == "__main__":
    functions = {**CASES, **{name: function for name, (function, _) in REFUSALS.items()}, "moved_numbers": moved_numbers}
    print(json.dumps({name: outcome(function) for name, function in functions.items()}))
