import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neuralop_jax.kernels import cut, make_patches, stitch, window_points

patches_of = jax.jit(make_patches, static_argnums=(1, 2, 3))
stitched = jax.jit(stitch, static_argnums=(1, 2))


def windows_by_the_rule(u, levels, padding):
    """One sample of a periodic field, patch by patch and point by point, as the rule of the windows says."""
    dims, patches = u.ndim - 1, 2**levels
    size = [n // patches for n in u.shape[1:]]
    found = []
    for patch in np.ndindex(*(patches,) * dims):
        views = []
        for level in range(levels + 1):
            stride = 2**level
            at = []
            for i, h, q, n in zip(patch, size, padding, u.shape[1:]):
                start = i * h // stride - int(np.ceil(h / 2 - h / (2 * stride))) - q
                at.append((np.arange(start, start + h + 2 * q) % (n // stride)) * stride)
            views.append(u[(slice(None), *np.ix_(*at))])
        found.append(np.concatenate(views))
    return np.stack(found)


@pytest.mark.parametrize(
    ("shape", "levels", "padding"),
    [
        ((12,), 1, (2,)),
        ((32,), 2, (3,)),
        ((8, 12), 1, (1, 3)),
        ((16, 32), 2, (0, 2)),
        ((4, 8, 12), 1, (1, 0, 2)),
        ((4,), 1, (5,)),
    ],
)
def test_windows_are_those_of_the_rule_and_stitching_undoes_them(getkey, shape, levels, padding):
    """Acceptance 8: the round trip is exact, for several samples and channels, in one, two and three dimensions."""
    u = jax.random.normal(getkey(), (2, 3, *shape))
    found = patches_of(u, levels, padding, ("periodic",) * len(shape))
    wanted = np.concatenate([windows_by_the_rule(np.asarray(u[:, b]), levels, padding) for b in range(3)])
    np.testing.assert_array_equal(jnp.moveaxis(found, 1, 0), wanted)
    np.testing.assert_array_equal(stitched(found[:2], 2**levels, padding), u)
    for rule in ("reflect", "replicate", "zeros"):
        found = patches_of(u, levels, padding, (rule,) * len(shape))
        np.testing.assert_array_equal(stitched(found[:2], 2**levels, padding), u)


def test_table_made_by_hand():
    """Acceptance 8: sixteen points, four patches of four, one point around; the start is (4 i)/2^l - (2 - 2/2^l) - 1, rounded down."""
    fine, middle, coarse = window_points(16, 2, 1, "periodic")
    assert window_points(8, 1, 2, "replicate")[0].tolist() == [[0, 0, 0, 1, 2, 3, 4, 5], [2, 3, 4, 5, 6, 7, 7, 7]]
    assert fine[1].tolist() == [3, 4, 5, 6, 7, 8]
    assert (middle[0] // 2).tolist() == [6, 7, 0, 1, 2, 3] and (middle[3] // 2).tolist() == [4, 5, 6, 7, 0, 1]
    assert (coarse[:, 0] // 4).tolist() == [1, 2, 3, 0] and (coarse[2] // 4).tolist() == [3, 0, 1, 2, 3, 0]


@pytest.mark.parametrize(("levels", "patches", "window"), [(0, 1, 128), (1, 4, 90), (2, 16, 58)])
def test_shapes_of_the_published_example(levels, patches, window):
    """Acceptance 8: a 128 x 128 field with a tenth of it around every patch."""
    padding = (round(0.1 * 128) if levels else 0,) * 2
    found = jax.eval_shape(
        functools.partial(make_patches, levels=levels, padding=padding, boundary=("periodic",) * 2), jnp.ones((1, 3, 128, 128))
    )
    assert found.shape == (1 + levels, 3 * patches, window, window)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_shift_by_a_patch_permutes_the_patches(getkey, axis):
    """Acceptance 8."""
    u = jax.random.normal(getkey(), (1, 1, 16, 32))
    options = (2, (2, 3), ("periodic", "periodic"))
    patches = patches_of(u, *options).reshape(3, 4, 4, 8, 14)
    shifted = patches_of(jnp.roll(u, u.shape[2 + axis] // 4, 2 + axis), *options).reshape(3, 4, 4, 8, 14)
    np.testing.assert_array_equal(shifted, jnp.roll(patches, 1, 1 + axis))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_views_are_the_field_at_the_coordinates_of_the_rule(dims):
    """Acceptance 9: cos(2 pi k x) at x = 2^l (start + t)/N, and the views of a patch have one center, to half a coarse cell."""
    levels, points, q = (2 if dims < 3 else 1), (32 if dims < 3 else 8), 3
    patches, k = 2**levels, (3, 2, 1)[:dims]
    grid = np.stack(np.meshgrid(*[np.arange(points) / points] * dims, indexing="ij"))
    f = lambda x: np.cos(2 * np.pi * sum(ki * xi for ki, xi in zip(k, x)))
    found = patches_of(jnp.asarray(f(grid))[None, None], levels, (q,) * dims, ("periodic",) * dims)
    h = points // patches
    for level in range(levels + 1):
        start = np.arange(patches) * h / 2**level - (h / 2 - h / 2 ** (level + 1)) - q
        np.testing.assert_array_less(np.abs(np.floor(start) - start), 0.51)
        center = 2**level * (np.floor(start) + h / 2 + q) / points
        assert np.abs(center - (np.arange(patches) + 0.5) / patches).max() <= 2**level / (2 * points) + 1e-12
        axis = 2**level * (np.floor(start)[:, None] + np.arange(h + 2 * q)) / points
        for number, patch in enumerate(np.ndindex(*(patches,) * dims)):
            x = np.meshgrid(*[axis[i] for i in patch], indexing="ij")
            np.testing.assert_allclose(found[level, number], f(x), atol=1e-12)


def test_edges_that_are_not_periodic():
    """A field mirrored at its end points or extended by zeros, seen by a window that reaches beyond on both sides."""
    u = 10.0 + jnp.arange(8.0)
    mirrored, cut_off = (np.asarray(patches_of(u[None, None], 1, (3,), (rule,))) for rule in ("reflect", "zeros"))
    assert mirrored[0, 0].tolist() == [13, 12, 11, 10, 11, 12, 13, 14, 15, 16]
    assert mirrored[1, 0].tolist() == [16, 16, 14, 12, 10, 12, 14, 16, 16, 14]  # 10 + |2 t|, mirrored at 17 too
    assert cut_off[0, 1].tolist() == [11, 12, 13, 14, 15, 16, 17, 0, 0, 0]
    assert cut_off[1, 1].tolist() == [0, 0, 10, 12, 14, 16, 0, 0, 0, 0]


def test_gradient_and_types(getkey):
    u = jax.random.normal(getkey(), (1, 2, 4, 8))
    patches = lambda u: patches_of(u, 1, (1, 2), ("reflect", "zeros"))
    check_grads(lambda u: jnp.sum(jnp.sin(patches(u))), (u,), order=1, modes=("rev",), rtol=1e-6)
    for dtype in (jnp.bfloat16, jnp.float32, jnp.complex64):
        assert patches(u.astype(dtype)).dtype == dtype
        np.testing.assert_array_equal(patches(u.astype(dtype)), patches(u).astype(dtype))


def test_cut_is_the_finest_view_without_padding(getkey):
    u = jax.random.normal(getkey(), (2, 3, 8, 16))
    np.testing.assert_array_equal(cut(u, 2), patches_of(u, 1, (0, 0), ("periodic",) * 2)[:2])
    np.testing.assert_array_equal(stitch(cut(u, 4), 4, (0, 0)), u)


def test_windows_that_would_move_by_part_of_a_point():
    with pytest.raises(
        ValueError, match=r"levels=2 need a multiple of 16 points on every axis, got 24: .*\. Resample the field to 32 points, or"
    ):
        make_patches(jnp.ones((1, 1, 16, 24)), 2, (1, 1), ("periodic",) * 2)
    with pytest.raises(ValueError, match=r"\(16, 18\) points cannot be cut into 4 equal patches"):
        cut(jnp.ones((1, 1, 16, 18)), 4)
