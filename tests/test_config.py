"""What a configuration accepts, and the one line with which it refuses the rest."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from neuralop_jax._config_values import check_arguments
from neuralop_jax.config import (
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
    config_difference,
    config_sha256,
    from_json,
    load_config,
    to_json,
)
from neuralop_jax.errors import ConfigError
from neuralop_jax.models import check_options

DATA = '[data]\npath = "a.h5"\ninput = ["a"]\ntarget = "u"\n'


@pytest.fixture
def read(tmp_path):
    def read(text, *overrides):
        file = tmp_path / "run.toml"
        file.write_text(text)
        return load_config(file, overrides)

    return read


@pytest.fixture
def refused(read):
    def refused(text, *overrides):
        with pytest.raises(ConfigError) as caught:
            read(text, *overrides)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refused


def test_file_and_defaults(read):
    config = read("seed = 7\n" + DATA + '[model]\nkind = "fno"\nn_modes = [12, 12]\nwidth = 24\n[optimizer]\nlearning_rate = 1\n')
    assert config.data == DataConfig(path="a.h5", input=("a",), target=("u",))
    assert config.model == ModelConfig("fno", {"n_modes": (12, 12), "width": 24})
    assert config.optimizer.learning_rate == 1.0 and isinstance(config.optimizer.learning_rate, float)
    assert config.training == TrainingConfig()
    assert config.seed == 7


@pytest.mark.parametrize("option", ["optimizer.learning_rate", "optimizer.clip", "training.spike_factor"])
def test_numbers_beyond_single_precision(refused, option):
    line = refused(DATA, f"--{option}", "1e39")
    assert line == f"{option} must be at most 3.4e+38 in size, as single precision holds, got 1e+39 (command line)."


@pytest.mark.parametrize("option", ["optimizer.learning_rate", "optimizer.weight_decay"])
def test_numbers_that_single_precision_holds_as_zero(read, refused, option):
    line = refused(DATA, f"--{option}", "1e-50")
    assert line == f"{option} must be at least 1.18e-38 in size, as single precision holds, got 1e-50 (command line)."
    assert read(DATA, f"--{option}", "1.2e-38").optimizer != read(DATA).optimizer


def test_the_factor_of_a_spike_is_above_one_or_zero(read, refused):
    for factor in ("0.5", "1", "1e-6"):
        assert refused(DATA, "--training.spike-factor", factor) == (
            f"training.spike_factor must be 0 or > 1, got {float(factor):g}: steps of usual size would be skipped. "
            "Use 10 to 100, or 0 to skip none."
        )
    assert [read(DATA, "--training.spike-factor", text).training.spike_factor for text in ("0", "1.5", "100")] == [0, 1.5, 100]


def test_overrides_win_and_take_the_type_of_their_option(read):
    config = read(
        DATA + "[training]\nsteps = 10\n",
        *("--training.steps=200", "--training.log-every", "20", "--training.save_every", "40", "--seed", "3"),
        *("--optimizer.learning-rate", "2e-3", "--optimizer.schedule=constant"),
        *("--data.augment", "transpose,reflect", "--data.input", "[a, b]", "--data.path", "1e5.h5"),
    )
    assert (config.training.steps, config.training.log_every, config.training.save_every) == (200, 20, 40)
    assert config.seed == 3
    assert config.optimizer == OptimizerConfig(learning_rate=2e-3, schedule="constant")
    assert config.data.augment == ("transpose", "reflect")
    assert config.data.input == ("a", "b")
    assert config.data.path == "1e5.h5"
    assert read(DATA + 'augment = ["reflect"]\n', "--data.augment", "").data.augment == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64", 64),
        ("-3", -3),
        ("1e-3", 1e-3),
        ("16,16", (16, 16)),
        ("[16,16]", (16, 16)),
        ("true", True),
        ("False", False),
        ("null", None),
        ("none", "none"),
        ("gelu", "gelu"),
        ("'64'", "64"),
        ("[gelu, relu]", ("gelu", "relu")),
        ("gelu,relu", ("gelu", "relu")),
        ('{kind = "mlp", width = [1, 2]}', {"kind": "mlp", "width": (1, 2)}),
        ("1979-05-27", "1979-05-27"),
        ("1\nseed = 3", "1\nseed = 3"),
    ],
)
def test_free_values_of_model_options(read, text, value):
    found = read(DATA, "--model.n-modes", text).model.options["n_modes"]
    assert found == value and type(found) is type(value)


def test_nested_model_options(read):
    config = read(DATA + '[model.inner]\nkind = "mlp"\nwidth = 3\n', "--model.inner.width", "5", "--model.inner.act", "relu")
    assert config.model.options == {"inner": {"kind": "mlp", "width": 5, "act": "relu"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            DATA + "\n[training]\nstesp = 3\n",
            "unknown option 'training.stesp' (run.toml, line 7). Did you mean 'training.steps' (int, default 1000)?",
        ),
        (
            DATA + "[optim]\nlr = 1e-3\n",
            "unknown option 'optim.lr' (run.toml, line 6). Did you mean 'optimizer.learning_rate' (float, default 0.001)?",
        ),
        ("steps = 3\n" + DATA, "unknown option 'steps' (run.toml, line 1). Did you mean 'training.steps' (int, default 1000)?"),
        (
            "zzz = 3\n" + DATA,
            "unknown option 'zzz' (run.toml, line 1). Known: data, model, loss, optimizer, training, mesh, seed.",
        ),
        (
            DATA + '[optimizer]\nlearning_rate = "1e-3"\n',
            "optimizer.learning_rate must be a number > 0, got the string '1e-3' (run.toml, line 6). Remove the quotes.",
        ),
        (
            DATA + "[optimizer]\nlearning_rate = -1\n",
            "optimizer.learning_rate must be finite and > 0, got -1.0 (run.toml, line 6).",
        ),
        (
            DATA + "[optimizer]\nlearning_rate = nan\n",
            "optimizer.learning_rate must be finite and > 0, got nan (run.toml, line 6).",
        ),
        (DATA + "[training]\nsteps = 0\n", "training.steps must be >= 1, got 0 (run.toml, line 6)."),
        (
            DATA + '[training]\nsteps = "3.5"\n',
            "training.steps must be an integer >= 1, got the string '3.5' (run.toml, line 6).",
        ),
        (DATA + "[training]\nsteps = true\n", "training.steps must be an integer >= 1, got the boolean true (run.toml, line 6)."),
        (DATA + "[training]\nsteps = 3.0\n", "training.steps must be an integer >= 1, got 3.0 (run.toml, line 6)."),
        (DATA + "[training]\nema = 1\n", "training.ema must be finite and >= 0 and < 1, got 1.0 (run.toml, line 6)."),
        (
            DATA + '[loss]\nkind = "relative_l3"\n',
            (
                "loss.kind must be one of 'relative_l2', 'relative_h1', 'difference_h1', 'truncated_h1', 'mse', "
                "'cross_entropy', got the string 'relative_l3' (run.toml, line 6). "
                "Did you mean 'relative_l2'?"
            ),
        ),
        (
            DATA + '[training]\nprecision = "float64"\n',
            (
                "training.precision must be one of 'full', 'bfloat16', got the string 'float64' (run.toml, line 6). Leave it 'full' "
                "and set JAX_ENABLE_X64=1 for weights and optimizer in float64; activations are float32, as the data."
            ),
        ),
        (
            DATA + '[training]\nprecision = "float32"\n',
            (
                "training.precision must be one of 'full', 'bfloat16', got the string 'float32' (run.toml, line 6). "
                "Use 'full': activations are float32, as the data."
            ),
        ),
        (
            DATA + '[training]\nprecision = "bf16"\n',
            (
                "training.precision must be one of 'full', 'bfloat16', got the string 'bf16' (run.toml, line 6). "
                "Did you mean 'bfloat16'?"
            ),
        ),
        (
            DATA + 'augment = ["transpos"]\n',
            (
                "data.augment must be one of 'transpose', 'reflect', got the string 'transpos' (run.toml, line 5). "
                "Did you mean 'transpose'?"
            ),
        ),
        (DATA + "augment = 3\n", "data.augment must be a list, got 3 (run.toml, line 5)."),
        (DATA.replace('"a.h5"', "3"), "data.path must be a string, got 3 (run.toml, line 2). Put it in quotes."),
        (DATA.replace('["a"]', "[]"), "data.input must not be empty (run.toml, line 3)."),
        (
            '[data]\npath = "a.h5"\ninput = "a"\n',
            "data.target is not set (run.toml, line 1); wanted a list of strings. Set it there or with --data.target.",
        ),
        ("", "data.path is not set (run.toml); wanted a string. Set it there or with --data.path."),
        ("data = 3\n", "data must be a table of options, [data], got 3 (run.toml, line 1)."),
        (
            DATA + "[model]\nsince = 1979-05-27\n",
            "model.since must be a finite number, a string, a boolean, a list or a table, got a date (run.toml, line 6).",
        ),
    ],
)
def test_refused_files(refused, text, message):
    assert refused(text) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--training.stesp", "3"],
            "unknown option 'training.stesp' (command line). Did you mean 'training.steps' (int, default 1000)?",
        ),
        (["--training.steps", "abc"], "training.steps must be an integer >= 1, got the string 'abc' (command line)."),
        (["--training.steps", "1.5"], "training.steps must be an integer >= 1, got 1.5 (command line)."),
        (["--training.steps", "1e26"], "training.steps must be an integer >= 1, got 1e+26 (command line)."),
        (["--optimizer.accumulate", "0.5"], "optimizer.accumulate must be an integer >= 1, got 0.5 (command line)."),
        (["--loss.patch-levels", "1000000000"], "loss.patch_levels must be >= 0 and < 31, got 1000000000 (command line)."),
        (["--optimizer.learning-rate", "inf"], "optimizer.learning_rate must be finite and > 0, got inf (command line)."),
        (["--optimizer.learning-rate", "-1"], "optimizer.learning_rate must be finite and > 0, got -1.0 (command line)."),
        (["--training.steps"], "--training.steps needs a value (command line). Write --training.steps VALUE."),
        (["--training.steps", "--seed=3"], "--training.steps needs a value (command line). Write --training.steps VALUE."),
        (["200"], "unexpected '200' among the options; wanted --section.option value (command line)."),
        (["--seed", "-1"], "seed must be >= 0 and < 4e+09, got -1 (command line)."),
        (["--seed.x", "1"], "seed must be an integer >= 0 and < 4e+09, got a table (command line)."),
        (["--data", "x"], "data must be a table of options, [data], got 'x' (command line)."),
        (
            ["--optim.learning-rate", "1"],
            "unknown option 'optim.learning_rate' (command line). Did you mean 'optimizer.learning_rate' (float, default 0.001)?",
        ),
    ],
)
def test_refused_options(refused, words, message):
    assert refused(DATA, *words) == message


def test_a_section_below_an_option_is_refused(refused):
    assert "training.steps is not a section" in refused(DATA + "[training]\nsteps = 3\n", "--training.steps.x", "1")


@pytest.mark.parametrize(
    ("words", "key_words"),
    [
        (
            [f"--training.steps=1{26 * '0'}"],
            f"training.steps 1{26 * '0'} of optimizer.accumulate 1 batches each are more batches than 2147483647. Use --tr",
        ),
        (
            ["--training.steps=1100000000", "--optimizer.accumulate=2"],
            "are more batches than 2147483647. Use --training.steps 1073741823 at most.",
        ),
        (["--optimizer.accumulate=1000000000000"], "more batches than 2147483647. Use --optimizer.accumulate 2147483 at most."),
        (["--training.log-every=1000000000"], "training.log_every must be >= 1 and < 1e+07, got 1000000000 (command line)."),
        (["--loss.patch-levels=1", "--mesh.space=4"], "makes 2 rows of patches, which mesh.space 4 devices cannot share evenly."),
        (["--training.log-every=30"], "training.save_every must be a multiple of training.log_every (30), got 500. Use 510."),
        (
            ["--training.evaluate-every=75"],
            "training.evaluate_every must be a multiple of training.log_every (50), got 75. Use 100.",
        ),
        (["--optimizer.schedule=step"], "needs optimizer.decay_steps >= 1"),
        (["--optimizer.schedule=one_cycle", "--optimizer.warmup-steps=5"], "optimizer.warmup_steps must be 0"),
        (["--optimizer.warmup-steps=1000"], "optimizer.warmup_steps must be below training.steps (1000), got 1000."),
        (["--training.micro-batch=21"], "training.micro_batch must be at most data.batch_size (20), got 21."),
        (["--training.early-stop-split=train"], "must be a held-out split"),
        (["--training.early-stop-split=test"], "needs training.evaluate_every > 0"),
    ],
)
def test_options_that_contradict_each_other(refused, words, key_words):
    assert key_words in refused(DATA, *words)


def test_unreadable_files(tmp_path, refused):
    assert "is not valid TOML: " in refused("[data\n")
    assert "is not valid TOML: " in refused(DATA + "[data]\n")
    assert "nests its lists or tables too deeply" in refused("a = " + 10_000 * "[")
    assert "is not valid TOML: Exceeds the limit" in refused(DATA + "[training]\nsteps = 1" + 5000 * "0")
    assert "must be finite and > 0, got inf" in refused(DATA + "[optimizer]\nlearning_rate = 1" + 400 * "0")
    with pytest.raises(ConfigError, match=r"no such configuration: .*none\.toml \(looked in "):
        load_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"cannot be read: it is a directory, wanted a file\."):
        load_config(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"byte 0 is not UTF-8 text\."):
        load_config(tmp_path / "binary.toml")


def test_construction_is_checked_too():
    with pytest.raises(ConfigError, match=r"^optimizer\.learning_rate must be finite and > 0, got 0\.0\.$"):
        OptimizerConfig(learning_rate=0.0)
    with pytest.raises(ConfigError, match=r"^data\.batch_size must be >= 1, got 0\.$"):
        DataConfig("a.h5", ("a",), ("u",), batch_size=0)


def test_json_round_trip(read):
    config = read(
        DATA + "[model]\nn_modes = [4, 4]\n[model.inner]\nwidths = [1, 2]\n", "--training.ema", "0.9", "--model.norm", "null"
    )
    tree = json.loads(json.dumps(to_json(config)))
    assert tree["model"] == {"kind": "fno", "n_modes": [4, 4], "inner": {"widths": [1, 2]}, "norm": None}
    assert from_json(tree) == config
    assert config_sha256(from_json(tree)) == config_sha256(config)
    with pytest.raises(ConfigError, match=r"unknown option 'training\.widht' \(old/config\.json\)"):
        from_json({**tree, "training": {"widht": 3}}, "old/config.json")


def test_difference_and_sha256(read):
    old = read(DATA, "--model.width", "32", "--model.norm", "group")
    new = read(DATA, "--model.width", "64", "--model.depth", "4", "--training.steps", "2000")
    assert config_difference(old, old) == []
    assert config_difference(old, new) == [
        "model.depth unset -> 4",
        'model.norm "group" -> unset',
        "model.width 32 -> 64",
        "training.steps 1000 -> 2000",
    ]
    assert config_sha256(old) != config_sha256(new)


def test_bundled_configurations(request):
    files = sorted((request.config.rootpath / "configs").glob("*/*.toml"))
    assert len(files) > 20
    for file in files:
        config = load_config(file)
        check_options(config.model.kind, config.model.options)
        assert Path(config.data.path).parts[:2] == ("datasets", file.parent.name)
        if file.parent.name in ("darcy_small", "burgers_small"):
            assert (request.config.rootpath / config.data.path).is_file()


def function(
    *, width: int, n_modes: int | Sequence[int], norm: Literal["grouped", "single"] | None = None, ratio: float = 1.0
): ...


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": "64"}, "model.width must be an integer, got the string '64'. Remove the quotes."),
        ({"width": True}, "model.width must be an integer, got the boolean true."),
        ({"width": None}, "model.width must be an integer, got null."),
        ({"n_modes": 4.5}, "model.n_modes must be an integer or a list of integers, got 4.5."),
        ({"n_modes": (4, 4.5)}, "model.n_modes must be an integer or a list of integers, got the list [4, 4.5]."),
        (
            {"norm": "gruped"},
            "model.norm must be one of 'grouped', 'single' or null, got the string 'gruped'. Did you mean 'grouped'?",
        ),
        ({"ratio": float("nan")}, "model.ratio must be finite, got nan."),
    ],
)
def test_arguments_of_a_constructor(arguments, message):
    check_arguments(function, {"width": 3, "n_modes": [4, 4], "norm": None, "ratio": 1}, "model")
    check_arguments(function, {"n_modes": 4, "norm": "grouped"}, "model")
    with pytest.raises(ConfigError) as caught:
        check_arguments(function, arguments, "model")
    assert str(caught.value) == message


@pytest.mark.parametrize("words", [["--loss.penalty", "error"], ["--loss.penalty-weight", "0.1"]])
def test_a_penalty_and_its_weight_belong_together(words):
    with pytest.raises(ConfigError, match="contradict each other. Give both, or none"):
        load_config("configs/burgers_small/fno.toml", words)
