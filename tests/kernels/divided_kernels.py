"""Cases for `test_space.py`, which runs this file in a process with eight devices: blocks against the whole field."""

import json
import traceback

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from neuralop_jax.kernels import (
    BOUNDARY_RULES,
    Chebyshev,
    GaussSeidel,
    beyond,
    convolve,
    derivative,
    diffusion_stencil,
    forward_transform,
    inverse_transform,
    largest_eigenvalue,
    on_lines,
    redivided,
    resample,
    space_max,
    window,
)

CASES = {}
SAME, SPACE = PartitionSpec(), PartitionSpec(None, "space")


def case(function):
    CASES[function.__name__] = function


def on_devices(size, function, *arguments, specs=None, out=SPACE):
    """`function` of fields `(channels, *space)` divided among so many devices."""
    mesh = Mesh(np.array(jax.devices()[:size]), ("space",))
    specs = (SPACE,) * len(arguments) if specs is None else specs
    return jax.jit(jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=out))(*arguments)


def distance(found, wanted):
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


def field(*shape):
    return np.random.default_rng(0).normal(size=shape)


@case
def points_beyond_the_ends():
    """Every rule, one neighbor and several away, against NumPy's padding."""
    modes = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "periodic": "wrap"}
    widths, u = ((1, 2), (3, 0), (5, 4)), field(2, 16)

    def everything(u):
        return [[jnp.concatenate(beyond(u, 1, a, b, rule), 1) for a, b in widths] for rule in BOUNDARY_RULES]

    found, worst = on_devices(8, everything, u), 0.0
    for rule, parts in zip(BOUNDARY_RULES, found, strict=True):
        for (a, b), part in zip(widths, parts, strict=True):
            wide = np.pad(u, ((0, 0), (a, b)), mode=modes[rule])
            blocks = [np.delete(wide[:, 2 * i : 2 * i + a + 2 + b], [a, a + 1], 1) for i in range(8)]
            worst = max(worst, distance(part, np.concatenate(blocks, 1)))
    return worst


@case
def windows_of_the_axis():
    """Windows that do not move with the blocks: padded and cropped anew, and every third point with what is around it."""
    u = field(2, 16)
    results = lambda u: (redivided(u, 1, 5, 3), redivided(u, 1, -5, -3), window(u, 1, -1, 5, step=5, boundary="periodic"))
    longer, shorter, windows = on_devices(8, results, u)
    wanted = np.pad(u, ((0, 0), (5, 3))), u[:, 5:-3], u[:, np.arange(-1, 39) % 16]
    return distance((longer, shorter, windows), wanted)


@case
def lines_along_the_axis():
    """Also where lines cannot be shared evenly."""
    u = field(3, 8, 5)
    return distance(on_devices(4, lambda u: on_lines(jnp.cumsum, u, 1), u), np.cumsum(u, 1))


@case
def truncated_transforms():
    """Forward and inverse, onto other grids, even and odd, real and complex, by sums and by pencils."""
    worst = 0.0
    for shape, kept, other in (((16,), (5,), (12,)), ((12, 7), (12, 4), (8, 9)), ((8, 6, 5), (3, 6, 2), (8, 6, 5))):
        u = field(2, 3, *shape)

        def everything(u, v, names, kept=kept, other=other):
            found = []
            for real, part in ((True, u), (False, v)):
                for name in names:
                    c = forward_transform(part, kept, transform=name)
                    found.append((c, inverse_transform(c, other, real=real, transform=name)))
            return found

        divided, fields = PartitionSpec(None, None, "space"), (u, u + 1j * u[:, ::-1])
        program = lambda u, v: everything(u, v, ("auto", "fft"))  # noqa: B023
        found = on_devices(4, program, *fields, specs=(divided,) * 2, out=[(SAME, divided)] * 4)
        real, cplx = everything(*map(jnp.asarray, fields), ("fft",))
        worst = max(worst, distance(found, [real, real, cplx, cplx]))
    return worst


@case
def derivatives_and_resampling():
    u = field(2, 12, 5)
    v = u + 1j * u[:, ::-1]
    results = lambda u, v: (derivative(v, 0, order=1), derivative(u, 1), resample(v, (8, 5)), resample(u, (16, 10)))
    return distance(on_devices(4, results, u, v), results(jnp.asarray(u), jnp.asarray(v)))


@case
def strided_and_uneven_convolutions():
    u, odd, even = field(2, 16, 9), field(3, 2, 3, 3), field(3, 2, 4, 2)

    def results(u, odd, even):
        strided = [convolve(u, odd, stride=2, padding=1, boundary=rule) for rule in BOUNDARY_RULES]
        wider = convolve(u, odd, padding=((5, 5), (0, 0)))  # 24 points of 16
        return [*strided, convolve(u, even, padding=((1, 2), (0, 1)), boundary="periodic"), wider]

    found = on_devices(8, results, u, odd, even, specs=(SPACE, SAME, SAME))
    return distance(found, results(*map(jnp.asarray, (u, odd, even))))


@case
def stencils_and_smoothers():
    """The operator, red-black relaxation of odd blocks, and Chebyshev steps."""
    u, f = field(12, 6), field(12, 6)[::-1]
    stencils = [diffusion_stencil([jnp.full((1, 1), k) for k in (2.0, 3.0)], periodic=(p, not p)) for p in (True, False)]

    def results(u, f):
        smooth = [s(stencil, u, f) for stencil in stencils for s in (GaussSeidel(), Chebyshev())]
        return [*smooth, *(stencil(u) for stencil in stencils)]

    rows = PartitionSpec("space")
    return distance(on_devices(4, results, u, f, specs=(rows, rows), out=rows), results(*map(jnp.asarray, (u, f))))


@case
def largest_eigenvalue_of_a_periodic_laplacian():
    """It is 2, that of the checkerboard."""
    laplacian = diffusion_stencil([jnp.ones((1, 1))] * 2, periodic=(True, True))
    estimate = lambda u: largest_eigenvalue(laplacian, u.shape, num_steps=300)
    return distance(on_devices(4, estimate, field(8, 6), specs=(PartitionSpec("space"),), out=SAME), 2.0)


@case
def largest_eigenvalue_of_coefficients_in_blocks():
    """On one device, on four, and within each of a mesh that shares samples: that of the whole field."""
    c = np.abs(field(8, 6))

    def estimate(c):
        reacting = diffusion_stencil([jnp.ones((1, 1))] * 2, c, periodic=(True, True))
        return largest_eigenvalue(reacting, c.shape, num_steps=3000)

    whole, rows = jax.jit(estimate)(jnp.asarray(c)), PartitionSpec("space")
    found = [on_devices(size, estimate, c, specs=(rows,), out=SAME) for size in (1, 4)]
    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))
    each = jax.shard_map(
        lambda c: estimate(c[0])[None], mesh=mesh, in_specs=PartitionSpec("data"), out_specs=PartitionSpec("data")
    )
    return distance((*found, jax.jit(each)(np.stack([c, c]))), (whole, whole, jnp.stack([whole, whole])))


@case
def largest_value():
    return distance(on_devices(8, lambda u: space_max(u.max(1)), field(2, 16), out=SAME), field(2, 16).max(1))


def outcome(function):
    try:
        return function()
    except Exception:
        return traceback.format_exc()


if __name__ == "__main__":
    print(json.dumps({name: outcome(function) for name, function in CASES.items()}))
