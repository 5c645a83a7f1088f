"""Predicted efficiencies against numbers worked out by hand."""

import jax
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.evaluation import Collective
from neuralop_jax.models import FNO, MultigridPatches
from neuralop_jax.training import Network, mesh_exchanges, predicted_efficiency


def test_efficiency_inside_and_between_nodes():
    """Two devices send 1 GB each: 0.1 s at 10 GB/s in a node; 16 devices 15/8 GB: 1.875 s at 1 GB/s, and 8 messages of 1 ms."""
    network = Network(bandwidth=1e9, node_bandwidth=1e10, node_size=8, latency=1e-3)
    found = predicted_efficiency([Collective("all_reduce", 1e9)], 0.898, network, [1, 2, 16])
    assert found[1] == 1.0
    assert found[2] == pytest.approx(0.898 / (0.898 + 0.1 + 0.002))
    assert found[16] == pytest.approx(0.898 / (0.898 + 1.875 + 0.008))


def test_efficiency_falls_with_the_number_of_devices_and_rises_with_the_work():
    exchange = [Collective("all_reduce", 4e8)]
    short, long = (list(predicted_efficiency(exchange, seconds, Network()).values()) for seconds in (0.01, 0.1))
    assert short == sorted(short, reverse=True) and long == sorted(long, reverse=True)
    assert all(a < b for a, b in zip(short[1:], long[1:]))


def test_exchanges_of_a_fourier_operator():
    """Width 6, modes 4 x 4 of real data: 4 x 3 coefficients of 8 bytes in each of two layers, summed forward and backward."""
    model = FNO(in_channels=1, out_channels=1, n_modes=(4, 4), width=6, depth=2, key=jax.random.key(0))
    found = mesh_exchanges(model, 1000.0, 5, (32, 32))
    assert found["data"] == (Collective("all_reduce", 1000.0),)
    assert sum(each.sent(64) for each in found["data, sharded weights"]) == found["data"][0].sent(64)
    assert found["space"] == (*[Collective("all_reduce", 8.0 * 5 * 6 * 12, 2.0)] * 2, Collective("all_reduce", 1000.0))
    assert mesh_exchanges(model, 1000.0, 5, (512, 512))["space"] == found["space"]
    assert "space" not in mesh_exchanges(model.lifting, 1000.0, 5, (32, 32))


def test_exchanges_of_patches():
    """32 x 16 points in 4 x 4 patches of 8 x 4, one more row around each; in float32, with 3 samples, a row of patches per device.

    Of the finest view a neighbor on each side sends one row of 16 points. Of every second point, 3 of 4 rows of 8; of every fourth
    all others their 2 rows of 4.
    """
    inner = {"kind": "fno", "n_modes": (4, 4), "width": 4, "depth": 1}
    options = {"operator": inner, "levels": 2, "padding": (0.03125, 0.0), "boundary": "periodic"}
    model = MultigridPatches(in_channels=1, out_channels=1, **options, key=jax.random.key(0))
    found = mesh_exchanges(model, 1000.0, 3, (32, 16))["space"]
    fine, wide, widest = (Collective("permute", 4.0 * 3 * n, calls) for n, calls in ((1 * 16, 2.0), (3 * 8, 2.0), (2 * 4, 3.0)))
    assert set(found) == {fine, wide, widest, Collective("all_reduce", 1000.0)}
    halves = mesh_exchanges(model, 1000.0, 3, (32, 16), space=2)["space"]
    assert sum(each.message * each.calls for each in halves[:-1]) == 4.0 * 3 * (2 * 16 + 6 * 8 + 4 * 4)


@pytest.mark.parametrize("given", [{"bandwidth": 0.0}, {"node_bandwidth": float("nan")}, {"node_size": 0}, {"latency": -1.0}])
def test_networks_that_cannot_be(given):
    with pytest.raises(ConfigError, match=f"^{next(iter(given))} must be finite"):
        Network(**given)
