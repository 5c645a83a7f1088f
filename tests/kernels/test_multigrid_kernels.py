import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.kernels._galerkin import galerkin
from neuralop_jax.kernels._grid_transfer import (
    AxisNodes,
    cell_average,
    cubic_interpolate,
    half_weighting,
    interpolate,
    restrict,
)
from neuralop_jax.kernels._multigrid import cycle
from neuralop_jax.kernels._smoothers import Chebyshev, GaussSeidel, Jacobi, largest_eigenvalue
from neuralop_jax.kernels._stencil import Stencil, diffusion_stencil

BOUNDARIES = ("dirichlet", "neumann", "periodic")
MIXED = [
    [AxisNodes(6, "dirichlet"), AxisNodes(7, "periodic"), AxisNodes(5, "neumann")],
    [AxisNodes(6, "periodic"), None, AxisNodes(8, "neumann")],
    [AxisNodes(9, "dirichlet"), AxisNodes(8, "dirichlet")],
]


def draw(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def sizes(nodes):
    return tuple(5 if line is None else line.size for line in nodes)


def kept_sizes(nodes):
    return tuple(5 if line is None else line.num_kept for line in nodes)


def matrix(function, shape):
    """The dense matrix of a linear map of fields."""
    size = math.prod(shape)
    return np.asarray(jax.jit(jax.vmap(lambda u: function(u).ravel()))(np.eye(size).reshape(size, *shape))).T


def random_stencil(shape, periodic, seed=0):
    offsets = tuple(sorted(itertools.product((-1, 0, 1), repeat=len(shape)), key=lambda o: (any(o), o)))
    return Stencil(tuple(draw((len(offsets), *shape), seed)), offsets, periodic)


def laplacian(n, dims=2):
    return diffusion_stencil([jnp.full((1,) * dims, (n + 1.0) ** 2)] * dims, periodic=(False,) * dims)


@pytest.mark.parametrize("periodic", [(False, False), (True, False), (True, True)])
def test_stencil_is_the_sum_over_neighbors(periodic, compiled):
    shape = (5, 4)
    stencil, u = random_stencil(shape, periodic), draw(shape, 1)
    expected = np.zeros(shape)
    for offset, a in zip(stencil.offsets, stencil.coefficients):
        for i in itertools.product(*map(range, shape)):
            j = [k + o for k, o in zip(i, offset)]
            if all(wraps or 0 <= k < n for k, n, wraps in zip(j, shape, periodic)):
                expected[i] += a[i] * u[tuple(k % n for k, n in zip(j, shape))]
    found, rest, dense = compiled(lambda u: (stencil(u), stencil.residual(u, u), stencil.matrix(shape)), u)
    np.testing.assert_allclose(found, expected, atol=1e-14)
    np.testing.assert_allclose(rest, u - expected, atol=1e-14)
    np.testing.assert_allclose(dense @ np.ravel(u), expected.ravel(), atol=1e-14)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_constant_diffusion_has_the_eigenvalues_of_the_laplacian(dims, compiled):
    n, h = 7, 1 / 8
    x = np.arange(1, n + 1) * h
    modes = [1, 3, 2][:dims]
    factors = [np.expand_dims(np.sin(np.pi * k * x), [j for j in range(dims) if j != i]) for i, k in enumerate(modes)]
    u = math.prod(factors[1:], start=factors[0])
    eigenvalue = sum(4 / h**2 * np.sin(np.pi * k * h / 2) ** 2 for k in modes)
    faces = [jnp.full([n + (i == j) for i in range(dims)], 1 / h**2) for j in range(dims)]
    shifted = lambda u: diffusion_stencil(faces, jnp.full((n,) * dims, 2.0), periodic=(False,) * dims)(u)
    found = compiled(lambda u: (laplacian(n, dims)(u), shifted(u)), jnp.asarray(u))
    np.testing.assert_allclose(found[0], eigenvalue * u, atol=1e-11)
    np.testing.assert_allclose(found[1], (eigenvalue + 2) * u, atol=1e-11)


@pytest.mark.parametrize("nodes", MIXED)
def test_restriction_is_the_scaled_transpose_of_interpolation(nodes):
    prolongation = matrix(lambda u: interpolate(u, nodes), kept_sizes(nodes))
    restriction = matrix(lambda r: restrict(r, nodes), sizes(nodes))
    coarsened = sum(line is not None for line in nodes)
    np.testing.assert_allclose(restriction, prolongation.T / 2**coarsened, atol=1e-15)


def test_full_weighting_and_bilinear_interpolation_are_the_textbook_stencils(compiled):
    nodes = [AxisNodes(7, "dirichlet")] * 2
    v, w = draw((7, 7)), draw((3, 3), 1)
    full = np.outer([1, 2, 1], [1, 2, 1]) / 16
    half = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 8
    maps = lambda v, w: (restrict(v, nodes), half_weighting(v, nodes), interpolate(w, nodes))
    restricted, halved, interpolated = compiled(maps, v, w)
    v, w = np.asarray(v), np.asarray(w)
    blocks = np.stack([[v[2 * i : 2 * i + 3, 2 * j : 2 * j + 3] for j in range(3)] for i in range(3)])
    np.testing.assert_allclose(restricted, np.sum(full * blocks, (2, 3)), atol=1e-15)
    np.testing.assert_allclose(halved, np.sum(half * blocks, (2, 3)), atol=1e-15)
    assert abs(np.vdot(restricted, w) - np.vdot(v, interpolated) / 4) < 1e-14


@pytest.mark.parametrize("n", [4, 7, 82, 83, 139, 419])
def test_interpolation_by_distance_is_exact_for_linear_functions(n, compiled):
    """Down to the coarsest grid, also where the last interval became short."""
    line, x = AxisNodes(n, "dirichlet"), np.arange(1.0, n + 1)
    end = n + 1.0
    while line.size > 3:
        hat = lambda x: np.minimum(x, 2 * (end - x))  # zero at both ends, linear on both sides of 2/3 of the axis
        kept = x[1::2]
        fine = np.asarray(compiled(lambda u: interpolate(u, [line]), hat(kept)))  # noqa: B023
        smooth = (np.append(x[1:], end) <= 2 * end / 3) | (np.insert(x[:-1], 0, 0.0) >= 2 * end / 3)
        np.testing.assert_allclose(fine[smooth], hat(x)[smooth], rtol=1e-13)
        assert abs(line.last * line.spacing - (end - x[-1])) < 1e-12
        line, x = line.coarse(), kept


@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
@pytest.mark.parametrize("n", [5, 6, 7, 50])
def test_interpolation_keeps_constants(boundary, n, compiled):
    line = AxisNodes(n, boundary, last=0.25)
    kept = compiled(lambda u: interpolate(u, [line]), np.ones(line.num_kept))
    np.testing.assert_allclose(kept, np.ones(n), rtol=1e-15)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("n", [3, 4, 5, 6, 9, 12])
def test_galerkin_is_the_triple_product(boundary, n, compiled):
    for last in (1.0, 0.3):
        line = AxisNodes(n, boundary, last=last)
        stencil = random_stencil((n,), (line.wraps,))
        p = matrix(lambda u: interpolate(u, [line]), (line.num_kept,))  # noqa: B023
        fine, coarse = compiled(lambda: (stencil.matrix((n,)), galerkin(stencil, [line]).matrix((line.num_kept,))))  # noqa: B023
        np.testing.assert_allclose(coarse, p.T / 2 @ np.asarray(fine) @ p, atol=1e-14)


@pytest.mark.parametrize("nodes", MIXED)
def test_galerkin_on_several_axes(nodes, compiled):
    stencil = random_stencil(sizes(nodes), tuple(line is not None and line.wraps for line in nodes))
    p = matrix(lambda u: interpolate(u, nodes), kept_sizes(nodes))
    fine, coarse = compiled(lambda: (stencil.matrix(sizes(nodes)), galerkin(stencil, nodes).matrix(kept_sizes(nodes))))
    expected = p.T @ np.asarray(fine) @ p / 2 ** sum(line is not None for line in nodes)
    np.testing.assert_allclose(coarse, expected, atol=1e-14)


def test_galerkin_of_a_symmetric_operator_is_symmetric(compiled):
    faces = [jnp.exp(draw(shape)) for shape in ((9, 8), (8, 9))]
    stencil, nodes = diffusion_stencil(faces, periodic=(False, False)), [AxisNodes(8, "dirichlet")] * 2
    coarse = [line.coarse() for line in nodes]
    coarsest = [line.coarse() for line in coarse]

    def matrices():
        once = galerkin(stencil, nodes)
        twice = galerkin(once, coarse)
        return [level.matrix([line.size for line in lines]) for level, lines in ((once, coarse), (twice, coarsest))]

    for dense in compiled(matrices):
        np.testing.assert_allclose(dense, dense.T, atol=1e-14)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_cubic_interpolation_is_of_fourth_order(boundary, compiled):
    errors = []
    for n in (31, 63, 127) if boundary == "dirichlet" else (32, 64, 128):
        line = AxisNodes(n, boundary)
        x = {"dirichlet": np.arange(1, n + 1) / (n + 1), "neumann": (np.arange(n) + 0.5) / n, "periodic": np.arange(n) / n}[
            boundary
        ]
        wave = {
            "dirichlet": np.sin(np.pi * x) * (1 + x),
            "neumann": np.cos(2 * np.pi * x),
            "periodic": np.sin(2 * np.pi * x + 1),
        }[boundary]
        fine = compiled(lambda u: cubic_interpolate(u, [line]), wave[0 if line.wraps else 1 :: 2])  # noqa: B023
        errors.append(np.abs(fine - wave).max())
    rates = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(np.abs(rates - 4) < 0.2), rates
    assert cubic_interpolate(jnp.ones(9, jnp.float32), [AxisNodes(18, boundary)]).dtype == jnp.float32


def test_cell_average_is_the_scaled_transpose_of_repetition():
    u, c = draw((4, 6)), draw((2, 3), 1)
    repeated = jnp.repeat(jnp.repeat(c, 2, 0), 2, 1)
    assert abs(jnp.vdot(cell_average(u), c) - jnp.vdot(u, repeated) / 4) < 1e-14


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_jacobi_damps_a_mode_by_its_symbol(dims):
    n, k = 7, 5
    x = jnp.arange(1, n + 1) / (n + 1)
    u = math.prod(
        [jnp.expand_dims(jnp.sin(jnp.pi * k * x), [j for j in range(dims) if j != i]) for i in range(1, dims)],
        start=jnp.expand_dims(jnp.sin(jnp.pi * k * x), tuple(range(1, dims))),
    )
    weight = {1: 2 / 3, 2: 4 / 5, 3: 6 / 7}[dims]
    factor = 1 - weight * (1 - np.cos(np.pi * k / (n + 1)))
    np.testing.assert_allclose(Jacobi()(laplacian(n, dims), u, jnp.zeros_like(u)), factor * u, atol=1e-14)


@pytest.mark.parametrize("first", ["red", "black"])
def test_red_black_relaxation_point_by_point(first, compiled):
    shape = (5, 4)
    stencil, u, f = (
        diffusion_stencil([jnp.exp(draw(s)) for s in ((6, 4), (5, 5))], periodic=(False, False)),
        draw(shape, 1),
        draw(shape, 2),
    )
    dense, found = compiled(lambda u, f: (stencil.matrix(shape), GaussSeidel(first)(stencil, u, f)), u, f)
    expected = np.array(u).ravel()
    points = list(np.ndindex(shape))
    for color in (0, 1) if first == "red" else (1, 0):
        for row, (i, j) in enumerate(points):
            if (i + j) % 2 == color:
                expected[row] += (np.ravel(f)[row] - dense[row] @ expected) / dense[row, row]
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-14)


def test_four_colors_where_corners_couple(compiled):
    shape = (6, 5)
    faces = [jnp.exp(draw(s)) for s in ((14, 11), (13, 12))]
    nodes = [AxisNodes(13, "dirichlet"), AxisNodes(11, "dirichlet")]
    u, f = draw(shape, 1), draw(shape, 2)

    def relaxed(u, f):
        stencil = galerkin(diffusion_stencil(faces, periodic=(False, False)), nodes)
        return stencil.matrix(shape), GaussSeidel()(stencil, u, f)

    dense, found = compiled(relaxed, u, f)
    expected = np.array(u).ravel()
    order = sorted(range(30), key=lambda row: (1 - row // 5 % 2) + 2 * (1 - row % 5 % 2))
    for row in order:
        expected[row] += (np.ravel(f)[row] - dense[row] @ expected) / dense[row, row]
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-13)


def test_chebyshev_is_the_scaled_chebyshev_polynomial():
    n = 9
    stencil = laplacian(n, 1)
    scaled = np.asarray(stencil.matrix((n,))) / np.asarray(stencil.diagonal)
    eigenvalues, vectors = np.linalg.eigh(scaled)
    for degree in (1, 2, 3, 5):
        polynomial = np.polynomial.chebyshev.Chebyshev.basis(degree)
        expected = polynomial((1.25 - eigenvalues) / 0.75) / polynomial(1.25 / 0.75)
        error = jax.vmap(lambda u: Chebyshev(degree)(stencil, u, jnp.zeros(n)))(jnp.asarray(vectors.T))  # noqa: B023
        np.testing.assert_allclose(error, expected[:, None] * vectors.T, atol=1e-14)


@pytest.mark.parametrize(
    "smoother", [Jacobi(), GaussSeidel(), GaussSeidel("black"), Chebyshev(3)], ids=["jacobi", "red", "black", "chebyshev"]
)
def test_smoothers_start_from_zero_and_have_an_adjoint(smoother):
    shape = (4, 5)
    stencil = diffusion_stencil([jnp.exp(draw(s)) for s in ((5, 5), (4, 6))], periodic=(False, False))
    f = draw(shape, 1)
    np.testing.assert_allclose(smoother(stencil, None, f), smoother(stencil, jnp.zeros(shape), f), atol=1e-15)
    forward = matrix(lambda f: smoother(stencil, None, f), shape)
    backward = matrix(lambda f: smoother(stencil, None, f, reverse=True), shape)
    np.testing.assert_allclose(backward, forward.T, atol=1e-14)


def test_power_iteration_finds_the_largest_eigenvalue(compiled):
    faces = [jnp.exp(draw(s)) for s in ((13, 12), (12, 13))]
    stencil = diffusion_stencil(faces, periodic=(False, False))
    root = np.sqrt(np.asarray(stencil.diagonal)).ravel()

    def estimates(stencil):
        few, many = largest_eigenvalue(stencil, (12, 12)), largest_eigenvalue(stencil, (12, 12), num_steps=2000)
        return stencil.matrix((12, 12)), few, many

    dense, few, many = compiled(estimates, stencil)
    exact = np.linalg.eigvalsh(dense / np.outer(root, root))[-1]
    assert 0.93 * exact < few < exact
    assert abs(many - exact) < 1e-6


class Counting:
    """A level whose iterate is the number of visits to the coarsest one."""

    pre_smooth = post_smooth = lambda self, u, f: u
    descend = lambda self, u, f: (u, f)
    ascend = lambda self, u, coarse: coarse
    solve = lambda self, u, f: u + 1


@pytest.mark.parametrize("kind, visits", [("V", [1, 1, 1, 1]), ("W", [1, 2, 4, 8]), ("F", [1, 2, 3, 4])])
def test_visits_of_the_coarsest_level(kind, visits):
    found = [cycle([Counting()] * levels, jnp.zeros(()), jnp.zeros(()), kind=kind) for levels in (2, 3, 4, 5)]
    assert found == visits


def test_a_level_may_pass_on_an_iterate_and_any_right_hand_side():
    """The form of a learned cycle: right-hand sides and iterates restricted, the coarse iterate added."""

    class Learned(Counting):
        pre_smooth = lambda self, u, f: (jnp.zeros_like(f) if u is None else u) + 0.5 * f
        descend = lambda self, u, f: (u[::2], 3 * f[::2])
        ascend = lambda self, u, coarse: u + jnp.repeat(coarse, 2)
        solve = lambda self, u, f: u + f

    f = jnp.asarray([1.0, 2.0, 4.0, 8.0])
    np.testing.assert_allclose(cycle([Learned(), Learned()], f), 0.5 * f + np.repeat(3.5 * f[::2], 2))
