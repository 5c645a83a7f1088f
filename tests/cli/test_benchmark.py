import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.cli import _benchmark_cases, main
from neuralop_jax.cli._benchmark_cases import fno_case
from neuralop_jax.cli._benchmark_models import measure
from neuralop_jax.errors import NeuralOpError
from neuralop_jax.evaluation import ModelPeer
from neuralop_jax.interop import from_torch
from neuralop_jax.models import count_parameters

CASE = fno_case(2, 8, 2, 4)


class Peer(ModelPeer):
    """Stands for the process of the original: the same weights everywhere, and seconds as told."""

    versions = {"torch": "none"}

    def __init__(self, *, parameters=0, factor=1.0):
        self.parameters, self.factor = parameters, factor

    def build(self, family, config, inputs, file):
        shape = inputs["x"]
        random = np.random.default_rng(0)
        shapes = {"lifting": [(4, 3), (2, 4)], "projection": [(4, 2), (1, 4)]}
        shapes |= {f"fno_blocks.channel_mlp.{i}": [(1, 2), (2, 1)] for i in range(4)}
        state = {}
        for name, layers in shapes.items():
            for i, (out, channels) in enumerate(layers):
                state[f"{name}.fcs.{i}.weight"] = random.normal(size=(out, channels, 1)).astype(np.float32)
                state[f"{name}.fcs.{i}.bias"] = random.normal(size=out).astype(np.float32)
        for i in range(4):
            state[f"fno_blocks.convs.{i}.weight.tensor"] = random.normal(size=(2, 2, 4, 3)).astype(np.complex64)
            state[f"fno_blocks.convs.{i}.bias"] = np.zeros((2, 1, 1), np.float32)
            state[f"fno_blocks.fno_skips.{i}.conv.weight"] = random.normal(size=(2, 2, 1)).astype(np.float32)
            state[f"fno_blocks.channel_mlp_skips.{i}.weight"] = np.ones((1, 2, 1, 1), np.float32)
        x = random.normal(size=shape).astype(np.float32)
        ported = from_torch("neuraloperator_fno", config, state)
        np.savez(file, **state, **{"in:x": x, "out:y": self.factor * np.asarray(ported(x=jnp.asarray(x)))})
        return self.parameters or count_parameters(ported.model)

    def seconds(self, what, count=1):
        return {"forward": 3.0, "step": 5.0}[what]


def test_row_holds_both_sides_and_their_ratio():
    row = json.loads(json.dumps(measure(CASE, repeats=2, peer=Peer())))
    assert row["case"] == "batch 2, 8x8, width 2, n_modes 4"
    assert row["peer"]["forward_s"] == 3.0 and row["peer"]["step"] == {"min": 5.0, "max": 5.0}
    for what, seconds in (("forward", 3.0), ("step", 5.0)):
        assert row["ratio"][what] == seconds / row["ours"][f"{what}_s"]
        assert row["ours"][what]["min"] <= row["ours"][f"{what}_s"] <= row["ours"][what]["max"]
    assert row["output_difference"] < 1e-5
    # spectral 2*4*12*4, biases 4*2, bypasses 4*4, channel MLPs 4*(4+3), gates 4*2, lifting 16+10, projection 12+5
    assert row["parameters"] == 384 + 8 + 16 + 28 + 8 + 26 + 17


@pytest.mark.parametrize(
    ("peer", "said"), [(Peer(parameters=7), "parameters here but 7"), (Peer(factor=1.01), "outputs differ by")]
)
def test_sides_that_are_not_the_same_network_are_not_compared(peer, said):
    with pytest.raises(NeuralOpError, match=said):
        measure(CASE, repeats=1, peer=peer)


def test_what_the_peer_lacks_is_said_and_not_compared():
    class Poor(Peer):
        def build(self, *_):
            return "No module named 'neuralop'"

    row = measure(CASE, repeats=1, peer=Poor())
    assert row["missing"] == "No module named 'neuralop'" and row["ratio"] is None and row["ours"]["step_s"] > 0


def test_command_prints_the_table_and_writes_the_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_benchmark_cases, "FNO_CASES", (CASE,))
    assert main(["benchmark", "fno", "--repeats", "1", "--json", str(tmp_path / "rows.json")]) == 0
    printed = capsys.readouterr().out
    assert "batch 2, 8x8, width 2, n_modes 4" in printed and "median of 1 calls" in printed
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert {"case", "device", "machine", "date", "command"} <= set(row)
    assert row["peer"] is row["ratio"] is row["output_difference"] is None
    assert row["ours"]["forward_s"] > 0 and row["ours"]["compile_s"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resnet"], "resnet"),
        (["fno", "--case", "99x99"], "--case '99x99' is in no name. Give a part of one of: batch 16, 64x64"),
        (["data", "--case", "darci"], "--case 'darci' is in no name. Give a part of one of: darcy; scaling; gradient; steps"),
        (["fno", "--repeats", "0"], "--repeats must be at least 1, got 0."),
        (["fno", "--json", "missing_folder/rows.json"], "the folder missing_folder does not exist"),
        (["fno", "--peer-python", "missing_python"], "cannot run 'missing_python'"),
        (["fno", "--peer-python", sys.executable], "install torch, neuraloperator and deepxde there"),
        (["fno", "--peer-pyton", "x"], "Did you mean '--peer-python'?"),
    ],
)
def test_wrong_arguments_are_refused(words, said, capsys):
    assert main(["benchmark", *words]) == 2
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1


def test_cores_out_of_range_are_refused(capsys):
    assert main(["benchmark", "fno", "--cores", "100000"]) == 2
    assert "--cores" in capsys.readouterr().err
