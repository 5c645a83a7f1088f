"""The certificate of operators that keep, miss and deny a claim, with differences that are known."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from neuralop_jax.data import Sample
from neuralop_jax.errors import ConfigError, DataError
from neuralop_jax.evaluation import certificate_grids, certify
from neuralop_jax.evaluation._resampling import band_limited, interpolated
from neuralop_jax.grids import Grid
from neuralop_jax.kernels import derivative
from neuralop_jax.models import FNO, AbstractOperator, DeepONet, MgNO, ResolutionClaim

SQUARE = Grid((16, 12), ((0.0, 2.0), (0.0, 1.0)), ("periodic", "periodic"))
LINEAR = {"activation": "identity", "channel_mlp": False, "coordinates": False}


class Slope(AbstractOperator):
    """The derivative along the first axis: spectral, or by the difference of neighbors, which is 2 i sin(k h/2)/h of it."""

    spectral: bool = eqx.field(static=True, default=True)
    in_channels: int = eqx.field(static=True, default=1)
    out_channels: int = eqx.field(static=True, default=1)
    width: int = eqx.field(static=True, default=1)
    claim: str = eqx.field(static=True, default="exact")

    @property
    def resolution(self):
        return ResolutionClaim(self.claim, "a derivative of a band-limited function")

    def __call__(self, u, *, x=None, y=None, p=None, key=None):
        return derivative(u, 0) if self.spectral else (jnp.roll(u, -1, 1) - jnp.roll(u, 1, 1)) * (u.shape[1] / 2)


def waves(grid, k):
    x = grid.coordinates()[0].reshape(-1, *[1] * (grid.num_dims - 1))
    left, right = grid.extent[0]
    shifts = np.arange(3).reshape(3, *[1] * (grid.num_dims + 1))
    return np.broadcast_to(np.sin(2 * np.pi * k * (x - left) / (right - left) + shifts), (3, 1, *grid.shape))


def rows_of(found):
    return {tuple(row["grid"]): row for row in found["grids"]}


def test_grids_of_a_certificate():
    assert certificate_grids(SQUARE) == [(8, 6), (11, 9), (16, 12), (17, 13), (32, 12), (32, 24), (64, 48)]
    assert certificate_grids(Grid((17,))) == [(9,), (11,), (17,), (19,), (33,), (65,)]
    assert certificate_grids(Grid((16,) * 3, boundary=("periodic",) * 3), max_points=5000) == [
        (8,) * 3,
        (11,) * 3,
        (16,) * 3,
        (17,) * 3,
    ]


@pytest.mark.parametrize("grid", [Grid((16,), boundary=("periodic",)), Grid((17,)), Grid((16,), centered=(True,))])
def test_band_limited_samples_are_the_same_functions_on_every_grid(grid):
    k = 1.5 if grid.boundary[0] == "open" else 2  # half waves along axes that do not wrap
    cosine = lambda g: np.cos(2 * np.pi * k * g.coordinates()[0])[None, None]
    for points in (9, 16, 40):
        other = grid.with_shape((points,))
        np.testing.assert_allclose(band_limited(cosine(grid), grid, other, (2,)), cosine(other), atol=1e-12)
    np.testing.assert_allclose(band_limited(cosine(grid) * 0 + 3, grid, grid.with_shape((5,)), (1,)), 3, rtol=1e-12)


def test_interpolation_is_exact_for_its_polynomials_and_around_the_circle():
    line = Grid((9,), ((1.0, 2.0),))
    other = line.with_shape((23,))
    cubic = lambda g: (g.coordinates()[0] ** 3)[None, None]
    np.testing.assert_allclose(interpolated(cubic(line), line, other, points=4, wraps=False), cubic(other), rtol=1e-12)
    circle = Grid((64,), boundary=("periodic",))
    wave = lambda g: np.sin(2 * np.pi * g.coordinates()[0] + 1)[None, None]
    moved = interpolated(wave(circle), circle, circle.with_shape((150,)), points=10, wraps=True)
    np.testing.assert_allclose(moved, wave(circle.with_shape((150,))), atol=1e-11)
    square = Grid((4, 6), boundary=("periodic", "open"))
    u = np.random.default_rng(0).normal(size=(2, 3, 4, 6))
    np.testing.assert_allclose(
        interpolated(u, square, square.with_shape((8, 11)), points=4, wraps=True)[..., ::2, ::2], u, atol=1e-12
    )


@pytest.mark.parametrize("spectral", [True, False])
def test_a_derivative_commutes_and_a_difference_of_neighbors_does_not(spectral):
    """On n points the difference has sin(2 pi k/n) n/(2 pi k) of the slope of k waves: known on every grid."""
    k, u = 1, waves(SQUARE, 1)
    found = certify(Slope(spectral), Sample({"u": u}, u), grid=SQUARE)
    rows = rows_of(found)
    assert found["claim"] == "exact" and found["waves"] == [2, 1] and list(rows) == certificate_grids(SQUARE)
    gain = lambda n: np.sinc(2 * k / n)
    for shape, row in rows.items():
        coarse, fine = sorted([shape, tuple(row["against"])], key=np.prod)
        if spectral:
            assert row["verdict"] == "exact" and row["difference"] < 1e-13
        else:
            assert row["verdict"] == "fails"
            np.testing.assert_allclose(row["difference"], 1 - gain(coarse[0]) / gain(fine[0]), rtol=1e-8)
    assert rows[64, 48]["against"] == [32, 24] and rows[17, 13]["against"] == [64, 48]
    json.dumps(found)


def test_a_claim_to_converge_holds_to_the_tolerance():
    u = waves(SQUARE, 1)
    rows = rows_of(certify(Slope(False, claim="converges"), Sample({"u": u}, u), grid=SQUARE, tolerance=0.05))
    gain = lambda n: np.sinc(2 / n)
    for n, shape in ((8, (8, 6)), (16, (16, 12)), (17, (17, 13))):
        difference = 1 - gain(n) / gain(64)
        np.testing.assert_allclose(rows[shape]["difference"], difference, rtol=1e-5)
        assert rows[shape]["verdict"] == ("agrees" if difference <= 0.05 else "differs")
    assert [rows[8, 6]["verdict"], rows[16, 12]["verdict"]] == ["differs", "agrees"]


def test_errors_are_those_of_the_data_and_tails_those_of_their_spectra():
    """Half of the energy has 6 waves: it is beyond 8 points, not beyond 16. The target is 2 pi times the slope."""
    grid = Grid((32,), boundary=("periodic",))
    u = waves(grid, 1) + waves(grid, 6)
    model = Slope(True)
    exact = np.asarray(jax.vmap(model)(jnp.asarray(u)))
    rows = rows_of(certify(model, Sample({"u": u}, 1.25 * exact), grid=grid, trained_on=(16,)))
    for n in (16, 32):
        np.testing.assert_allclose(rows[n,]["error"], 0.2, rtol=1e-10)
        assert not rows[n,]["interpolated"]
    assert rows[17,]["interpolated"] and rows[64,]["interpolated"] and abs(rows[64,]["error"] - 0.2) < 0.03
    np.testing.assert_allclose([rows[8,]["input_tail"], rows[16,]["input_tail"]], [0.5, 0], atol=1e-12)
    np.testing.assert_allclose(rows[8,]["output_tail"], 36 / 37, rtol=1e-10)
    assert rows[64,]["input_tail"] is None and rows[64,]["output_tail"] is None


@pytest.mark.parametrize(
    ("options", "claim"),
    [
        (LINEAR, "exact"),
        (LINEAR | {"activation": "gelu"}, "converges"),
        (LINEAR | {"coordinates": True}, "converges"),
        (LINEAR | {"padding": 0.25}, "converges"),
        (LINEAR | {"bypass": "convolution"}, "none"),
        (LINEAR | {"output_scaling": (2, 0.5)}, "none"),
    ],
)
def test_what_an_fno_claims_follows_from_its_options(options, claim):
    model = eqx.filter_eval_shape(
        FNO, in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=2, **options, key=jax.random.key(0)
    )
    assert model.resolution.kind == claim


def test_a_linear_fno_is_exact_and_one_with_gelu_converges(getkey):
    """Where modes do not fit, the verdict says so, and points on both ends make another box of every grid."""
    grid = Grid((16,), boundary=("periodic",))
    u = np.asarray(jax.random.normal(getkey(), (3, 1, 16)))
    options = {"in_channels": 1, "out_channels": 1, "n_modes": (10,), "width": 6, "depth": 2, "key": getkey()}
    linear = certify(FNO(**LINEAR | options), Sample({"u": u}, u), grid=grid, shapes=[(8,), (11,), (16,), (32,)])
    assert [row["verdict"] for row in linear["grids"]] == ["modes cut off", "exact", "exact", "exact"]
    assert all(row["difference"] < 1e-13 for row in linear["grids"]) and linear["grids"][0]["modes"] == [8]
    gelu = FNO(**LINEAR | options | {"activation": "gelu"})
    bent = certify(gelu, Sample({"u": u}, u), grid=grid, shapes=[(8,), (32,), (64,)])
    rows = rows_of(bent)
    assert rows[8,]["difference"] > 1e-6 > rows[32,]["difference"] and bent["claim"] == "converges"
    closed = certify(FNO(**LINEAR | options), Sample({"u": u}, u), grid=Grid((16,)), shapes=[(16,), (31,)])
    assert closed["claim"] == "converges" and rows_of(closed)[16,]["difference"] > 1e-3


def test_operators_that_claim_nothing_or_refuse(getkey):
    grid = Grid((16,))
    u = np.asarray(jax.random.normal(getkey(), (2, 1, 16)))
    shapes = [(8,), (16,), (32,)]
    mgno = MgNO(in_channels=1, out_channels=1, width=4, depth=1, smoothing=((1, 1), (2, 0)), num_dims=1, key=getkey())
    found = certify(mgno, Sample({"u": u}, u), grid=grid, shapes=shapes)
    assert {row["verdict"] for row in found["grids"]} == {"not claimed"}
    assert all(row["difference"] > 0 and "cover points" in row["reason"] for row in found["grids"])
    sensors = DeepONet(in_channels=1, out_channels=1, sensors=(16,), width=8, num_basis=4, key=getkey())
    found = rows_of(certify(sensors, Sample({"u": u}, u), grid=grid, shapes=shapes))
    assert [found[shape]["verdict"] for shape in shapes] == ["refused", "not claimed", "refused"]
    assert found[8,]["reason"] == "DeepONet reads its input at 16 fixed sensors, not on 8 points"
    assert found[8,]["error"] is None and found[16,]["error"] > 0
    with pytest.raises(ConfigError, match="certify found no grid for this operator: DeepONet reads"):
        certify(sensors, Sample({"u": u}, u), grid=grid, shapes=[(8,)])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_samples": 0}, "num_samples must be >= 1, got 0."),
        ({"shapes": [16]}, "every entry of shapes must be a list of integers, got 16."),
        ({"shapes": 16}, "shapes must be a list or null, got 16."),
        ({"trained_on": 16}, "trained_on must be a list of integers or null, got 16."),
        ({"tolerance": -1}, "tolerance must be finite and >= 0, got -1.0."),
    ],
)
def test_arguments_out_of_range_are_one_line(options, said, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no check of types
    u = waves(SQUARE, 1)
    with pytest.raises(ConfigError) as error:
        certify(Slope(), Sample({"u": u}, u), grid=SQUARE, **options)
    assert str(error.value) == said


def test_no_operator_is_blamed_for_its_data(getkey):
    u = np.array(waves(SQUARE, 1))
    bad = u.copy()
    bad[1, 0, 3, 2] = np.nan
    for name, data in (("inputs", Sample({"u": bad}, u)), ("targets", Sample({"u": u}, bad))):
        with pytest.raises(DataError) as error:
            certify(Slope(), data)
        assert str(error.value) == (
            f"certify needs finite data, but 1 of 3 {name} hold NaN or infinity, the first is sample 1. Leave such samples out."
        )
    with pytest.raises(DataError, match=r"needs targets on the points of the inputs \(16, 12\), got \(8, 12\). Resample the"):
        certify(Slope(), Sample({"u": u}, u[:, :, ::2]))
    model = FNO(in_channels=2, out_channels=1, n_modes=(4, 4), width=4, depth=1, key=getkey())
    with pytest.raises(ConfigError, match=r"axis 1, got 1 in shape .*\). Check in_channels. Give shapes that it takes.$"):
        certify(model, Sample({"u": u}, u), grid=SQUARE)
