import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.cli import _benchmark_cases, _benchmark_kernels, _benchmark_solvers, _benchmark_training, main
from neuralop_jax.cli._benchmark_cases import fno_case
from neuralop_jax.cli._benchmark_models import measure
from neuralop_jax.cli._benchmark_rows import timed_row
from neuralop_jax.errors import NeuralOpError
from neuralop_jax.evaluation import ModelPeer, Timing
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


def test_kernels_beside_the_other_way_to_compute_the_same(monkeypatch):
    monkeypatch.setattr(_benchmark_kernels, "_POINTS", 1024)
    monkeypatch.setattr(_benchmark_kernels, "_CHANNELS", 2)
    rows = [
        _benchmark_kernels.transform_row(16, 4, 1),
        _benchmark_kernels.convolution_row(16, 1),
        _benchmark_kernels.low_rank_row(8, 4, 1),
        _benchmark_kernels.cycle_row(16, 1),
    ]
    sides = [["by FFT", "by matrix products", "SciPy, all modes"], ["XLA's convolution"], ["dense weight"], []]
    assert [list(row["ratio"]) for row in rows] == sides
    for row in rows:
        for side, ratio in row["ratio"].items():
            assert ratio == row["sides"][side]["median"] / row["sides"]["ours"]["median"]


class Told(ModelPeer):
    """Stands for the peer of a training."""

    def __init__(self, **answer):
        self.answer = answer

    def ask(self, **request):
        with np.load(request["file"]) as data:
            shapes = {name: data[name].shape for name in data.files}
        assert shapes == {"u": (12, 1, 8, 8), "v": (12, 1, 8, 8), "test_u": (5, 1, 8, 8), "test_v": (5, 1, 8, 8)}
        assert request["config"] == {**dict.fromkeys(("in_channels", "out_channels"), 1), **NETWORK}
        return self.answer


NETWORK = {"n_modes": (4, 4), "hidden_channels": 4, "n_layers": 1}


def test_time_until_a_training_has_an_error(trained, monkeypatch):
    """The errors of the run that is there are those of the training that is timed: three intervals of two steps."""
    monkeypatch.setattr(_benchmark_training, "_CONFIG", "run.toml")
    monkeypatch.setattr(_benchmark_training, "_SPLIT", "test_8")
    results = json.loads((trained / "runs/a/results.json").read_text())
    last = results["splits"]["test_8"]["relative_l2"]
    row = _benchmark_training.training_row(Told(parameters=results["parameters"], seconds=1e9, steps=50), error=last * (1 + 1e-6))
    assert (
        row["steps"] == 6 and row["peer_steps"] == 50 and row["ratio"] == {"neuraloperator": 1e9 / row["sides"]["ours"]["median"]}
    )
    row = _benchmark_training.training_row(Told(missing="no torch"), error=10.0)
    assert row["steps"] == 2 and row["missing"] == "no torch" and row["ratio"] == {}
    with pytest.raises(NeuralOpError, match="does not reach a relative L2 error of 0 on test_8"):
        _benchmark_training.training_row(None, error=0.0)
    with pytest.raises(NeuralOpError, match="parameters here but 7 in the peer"):
        _benchmark_training.training_row(Told(parameters=7), error=10.0)


def test_all_parts_are_one_list_and_peers_that_are_not_there_are_left_out(tmp_path, monkeypatch, capsys):
    row = lambda case: timed_row(case, "s", 1.0, {"ours": Timing((1.0,))})
    monkeypatch.setattr(_benchmark_cases, "FNO_CASES", (CASE,))
    monkeypatch.setattr(_benchmark_cases, "MODEL_CASES", ())
    monkeypatch.setattr(_benchmark_kernels, "cases", lambda repeats: {"one": lambda: [row("a kernel")]})
    monkeypatch.setattr(_benchmark_solvers, "cases", lambda *_: {"two": lambda: [row("a solver")]})
    monkeypatch.setattr(_benchmark_training, "training_row", lambda peer: row("a training"))
    words = ["benchmark", "all", "--repeats", "1", "--json", str(tmp_path / "rows.json"), "--peer-python", sys.executable]
    assert main(words) == 0
    printed, rows = capsys.readouterr().out, json.loads((tmp_path / "rows.json").read_text())
    assert [(each["part"], each["case"]) for each in rows] == [
        ("kernels", "a kernel"),
        ("fno", CASE.name),
        ("data", "a solver"),
        ("training", "a training"),
    ]
    assert "fno alone: --peer-python" in printed and "models is left out: --case" in printed
    assert "peer_versions" in rows[2] and "peer_versions" not in rows[1]
    monkeypatch.setattr(_benchmark_solvers, "cases", lambda *_: {"two": lambda: 1 / 0})
    words[words.index("--json") + 1] = str(tmp_path / "first.json")
    with pytest.raises(ZeroDivisionError):
        main(words)  # rows of parts that were finished are in the file
    assert [each["part"] for each in json.loads((tmp_path / "first.json").read_text())] == ["kernels", "fno"]
    assert main(["benchmark", "all", "--case", "nothing"]) == 2
    assert "measured nothing for --case 'nothing'" in capsys.readouterr().err


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
