import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels import AxisNodes, Jacobi, cycle, diffusion_stencil
from neuralop_jax.layers import MultigridConv
from neuralop_jax.solvers._levels import CoarsestLevel, GridLevel

KEY = jax.random.key(0)
run = eqx.filter_jit(lambda layer, u: layer(u))
STEPS = ((1, 0), (1, 1), (2, 0))


def layer(*, dims=2, into=2, out=3, smoothing=STEPS, **options):
    return MultigridConv(dims, into, out, smoothing=smoothing, **options, key=KEY)


def draw(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("points", [31, 63, 127])
def test_with_the_kernels_of_multigrid_it_is_multigrid(points):
    """Acceptance 2: one V(1,1)-cycle for the five-point Laplacian, down to one point, which one step solves."""
    sizes = [points]
    while sizes[-1] > 1:
        sizes.append(sizes[-1] // 2)
    laplacian = lambda n: diffusion_stencil([jnp.asarray([[(n + 1.0) ** 2]])] * 2, periodic=(False, False))
    levels = [GridLevel(laplacian(n), Jacobi(0.8), (AxisNodes(n, "dirichlet"),) * 2, 1, 1, True, "full") for n in sizes[:-1]]
    levels.append(CoarsestLevel.of(laplacian(1), (1, 1), singular=False))

    smoothing = ((1, 1),) * (len(sizes) - 1) + ((1, 0),)
    options = {"coarse_rhs": "residual", "coarse_init": "zero", "sharing": "per_level", "restriction_padding": 0}
    learned = layer(into=1, out=1, smoothing=smoothing, prolongation_size=3, **options)
    cross, delta = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0.0]]), np.zeros((3, 3))
    delta[1, 1], hat = 1, np.array([0.5, 1, 0.5])
    for index, n in enumerate(sizes):
        kernels, last = learned.kernels[index], index == len(sizes) - 1
        weight = (1 if last else 0.8) / 4 / (n + 1) ** 2
        values = [weight * delta] * len(kernels.smoothers) + [cross * (n + 1) ** 2] * len(kernels.operators)
        values += [] if last else [np.outer(hat, hat) / 4, np.outer(hat, hat)]
        counts = len(kernels.smoothers), len(kernels.operators)
        where = lambda m, i=index, counts=counts, last=last: [
            *(m.kernels[i].smoothers[k].weight for k in range(counts[0])),
            *(m.kernels[i].operators[k].weight for k in range(counts[1])),
            *([] if last else [m.kernels[i].restrict_right.weight, m.kernels[i].prolong.weight]),
        ]
        learned = eqx.tree_at(where, learned, [jnp.asarray(v)[None, None] for v in values])
    f = jnp.asarray(draw(points, points))
    wanted, found = np.asarray(eqx.filter_jit(cycle)(levels, f)), np.asarray(run(learned, f[None]))
    assert abs(found[0] - wanted).max() < 1e-12 * abs(wanted).max()


@pytest.mark.parametrize(
    ("sharing", "right", "start"),
    [("distinct", "rhs", "restrict"), ("per_level", "residual", "zero"), ("all_levels", "residual", "restrict")],
)
def test_it_is_linear_but_for_its_value_at_zero_which_is_the_bias_function(sharing, right, start):
    """Acceptance 3."""
    learned = layer(sharing=sharing, coarse_rhs=right, coarse_init=start, bias="function", bias_points=3)
    learned = eqx.tree_at(lambda m: m.bias_function.values, learned, jnp.asarray(draw(3, 3, 3, seed=4)))
    f, g = draw(2, 8, 9), draw(2, 8, 9, seed=2)
    u = np.asarray(run(learned, jnp.asarray(np.stack([2 * f - 3 * g, f, g, 0 * f], 1))))
    bias = np.asarray(run(learned.bias_function, jnp.asarray(np.zeros((3, 8, 9)))))
    assert abs(bias).max() > 0.1 and abs(bias[:, 0]).max() == 0
    np.testing.assert_allclose(u[:, 3], bias, atol=1e-12)
    np.testing.assert_allclose(u[:, 0] - bias, 2 * (u[:, 1] - bias) - 3 * (u[:, 2] - bias), atol=1e-12)


@pytest.mark.parametrize("zero_padded", [False, True])
def test_periodic_operators_commute_with_shifts_unless_prolongation_reads_zeros(zero_padded):
    """Acceptance 4."""
    learned = layer(boundary="periodic", zero_padded_prolongation=zero_padded, norm=True)
    f = draw(2, 16, 8)
    shift = lambda u: np.roll(u, (4, -4), (-2, -1))
    u = np.asarray(run(learned, jnp.asarray(np.stack([f, shift(f)], 1))))
    v, w = shift(u[:, 0]), u[:, 1]
    assert (abs(v - w).max() < 1e-12) != zero_padded
    assert not zero_padded or abs(v - w).max() > 1e-2


@pytest.mark.parametrize(("boundary", "padding"), [("zeros", 1), ("reflect", 1), ("reflect", 0)])
def test_operators_with_symmetric_kernels_commute_with_flips(boundary, padding):
    """Acceptance 5, on grids whose coarser ones are symmetric too."""
    learned = layer(boundary=boundary, restriction_padding=padding, prolongation_size=3, bias="scalar")
    flips = ((), (-1,), (-2,), (-1, -2))
    even = lambda w: jnp.asarray(sum(np.flip(w, axes) for axes in flips) / 4) if eqx.is_array(w) and w.ndim == 4 else w
    learned = jax.tree.map(even, learned)
    f = draw(2, 9, 17) if padding else draw(2, 15, 15)
    u = np.asarray(run(learned, jnp.asarray(np.stack([np.flip(f, axes) for axes in flips], 1))))
    for index, axes in enumerate(flips):
        np.testing.assert_allclose(u[:, index], np.flip(u[:, 0], axes), atol=1e-12)


@pytest.mark.parametrize("dims", [1, 3])
def test_samples_behind_the_channels_pass_on_their_own(dims):
    options = {"boundary": "reflect", "coarse_rhs": "residual", "bias": "function", "norm": True}
    learned = layer(dims=dims, smoothing=((1, 1), (1, 0)), **options)
    f = jnp.asarray(draw(2, 3, *(5, 4, 3)[:dims]))
    v, w = eqx.filter_jit(lambda f: (learned(f), jax.vmap(learned, 1, 1)(f)))(f)
    assert v.shape == (3, *f.shape[1:])
    np.testing.assert_allclose(v, w, atol=1e-12)


def test_shared_kernels_are_the_same_kernels_everywhere():
    options = {"coarse_rhs": "residual", "smoothing": ((2, 1), (1, 1), (2, 0))}
    shared, distinct = layer(sharing="all_levels", **options), layer(**options)
    one = shared.kernels[0]
    copies = [
        dataclasses.replace(
            kernels,
            operators=one.operators * len(kernels.operators),
            smoothers=one.smoothers * len(kernels.smoothers),
            **{name: getattr(one, name) for name in ("restrict_right", "restrict_iterate", "prolong") if index < 2},
        )
        for index, kernels in enumerate(distinct.kernels)
    ]
    distinct = eqx.tree_at(lambda m: m.kernels, distinct, tuple(copies))
    v, w = eqx.filter_jit(lambda f: (shared(f), distinct(f)))(jnp.asarray(draw(2, 8, 12)))
    np.testing.assert_allclose(v, w, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"smoothing": ()}, "one pair"),
        ({"smoothing": ((1, 0), (1, -1))}, "one pair"),
        ({"smoothing": ((1, 0), (1, 1))}, "End it with"),
        ({"smoothing": ((1, 0), (0, 0)), "coarse_init": "zero"}, "no step on the coarsest"),
        ({"sharing": "per-level"}, "Did you mean 'per_level'"),
        ({"boundary": "circular"}, "boundary"),
        ({"prolongation_size": (3, 4, 3)}, "each of 2 transfers"),
        ({"prolongation_size": 2}, "3 or 4"),
        ({"sharing": "all_levels", "growing": True}, "alike"),
        ({"norm": True, "norm_affine": "all"}, "norm_grid"),
        ({"restriction_padding": 2}, "restriction_padding"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, said):
    with pytest.raises(ConfigError) as caught:
        layer(**options)
    assert said in str(caught.value) and "\n" not in str(caught.value)
