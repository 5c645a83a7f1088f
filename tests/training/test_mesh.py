"""Trainings on simulated devices: measured in one process of their own, because the number of devices is fixed at its start."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAIN = ("plain", "portions", "accumulated", "rematerialized")
PROGRAM = Path(__file__).with_name("mesh_figures.py")


@pytest.fixture(scope="module")
def figures():
    flags = {"JAX_NUM_CPU_DEVICES": "8", "JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1", "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, PROGRAM], env={**os.environ, **flags}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", [*PLAIN, "batch_norm"])
def test_four_devices_give_the_steps_of_one(figures, name):
    """Weights, averages and optimizer after two steps with augmentation and clipping."""
    assert figures["parallel"][name]["state"] < 1e-9 and figures["parallel"][name]["loss"] < 1e-12


@pytest.mark.parametrize("name", PLAIN)
def test_one_message_a_step_and_no_field_in_it(figures, name):
    counts = {"all-reduce": 1, "all-gather": 0, "reduce-scatter": 0, "all-to-all": 0, "collective-permute": 0}
    assert figures["parallel"][name]["counts"] == counts


def test_batch_norm_sends_statistics_alone(figures):
    counts = figures["parallel"]["batch_norm"]["counts"]
    assert counts["all-reduce"] > 1 and sum(counts.values()) == counts["all-reduce"]


def test_every_sample_has_its_key(figures):
    assert figures["each"]["state"] < 1e-12


def test_large_weights_are_cut_up(figures):
    found = figures["parallel"]["sharded"]
    assert found["state"] < 1e-9 and found["loss"] < 1e-12
    assert found["cut"] > 0.75 * found["whole"]
    assert found["here"] == found["whole"] - found["cut"] * 7 // 8
    assert abs(found["arguments"] - found["here"]) < 500  # the indices, a key, and paddings


def test_what_is_gathered_are_weights(figures):
    found = figures["parallel"]["sharded"]
    assert sorted(map(tuple, found["gathered"])) == sorted(map(tuple, found["weights"]))
    assert found["counts"]["all-to-all"] == found["counts"]["collective-permute"] == 0


def test_the_domain_is_divided(figures):
    found = figures["domain"]
    assert found["state"] < 1e-12 and found["loss"] < 1e-10 and found["counts"]["all-gather"] == 0
    assert found["refusal"].startswith("the loss is not the same on all devices along mesh.space: it has to be summed")


def test_a_plan_counts_what_a_compiled_step_exchanges(figures):
    """To the byte, beside the largest value and both norms of every sample that the loss sums."""
    found = figures["exchanged"]
    assert found["found"] == found["planned"] + found["loss"]


@pytest.mark.parametrize("name", ["step", "batch_norm"])
def test_patches_are_divided(figures, name):
    """A batch norm inside them has the statistics of all patches of the batch. Edges and coarser views travel, no fields."""
    found = figures["patches"][name]
    assert found["state"] < 1e-9 and found["loss"] < 1e-12
    counts = found["counts"]
    assert counts["all-gather"] == counts["all-to-all"] == counts["reduce-scatter"] == 0 < counts["collective-permute"]


def test_a_run_in_patches(figures):
    assert figures["patches"]["run"] < 1e-6
    assert figures["patches"]["refusal"].startswith(
        "MultigridPatches: 2 rows of patches cannot be divided evenly among 4 devices."
    )


def test_products_in_bfloat16_of_weights_in_single_precision(figures):
    found = figures["precision"]
    assert found["types"] == ["float32"] and found["products"] > 0
    assert 1e-5 < found["gradient"] < 3e-2


def test_a_rematerialized_gradient_is_the_same(figures):
    assert figures["precision"]["rematerialized"] < 1e-6


def test_a_rematerialized_gradient_remembers_less(figures):
    whole, less = figures["remembered"]
    assert less < 0.5 * whole


def test_a_run_goes_on_on_any_number_of_devices(figures):
    """F11."""
    found = figures["resumed"]
    assert found["saved"] and found["kept"] == [True] * 3
    assert max(found["losses"].values()) < 1e-6 and set(found["losses"]) == {"1", "2", "8"}


def test_what_cannot_be_divided_is_refused(figures):
    devices, batch, grid = figures["refused"]
    assert devices.startswith("mesh.data 4 x mesh.space 3 needs 12 devices, found 8 devices (cpu). Lower --mesh.data")
    assert batch == "data.batch_size 20 cannot be divided evenly among mesh.data 8 devices. Use --data.batch-size 16."
    assert grid.startswith("the first of (12, 16) points cannot be divided evenly among mesh.space 8 devices.")
