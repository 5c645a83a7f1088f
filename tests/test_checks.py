"""What messages repeat of files and command lines, and what is read of them at all."""

import os
from pathlib import Path

import pytest

from neuralop_jax._checks import shown
from neuralop_jax._json_schema import Count, Finite, check_json
from neuralop_jax._untrusted_files import parse_json, read_file
from neuralop_jax.errors import NeuralOpError, RunDirError


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**7,
        b"x" * 10**7,
        10**5000,
        [list(range(1000))] * 1000,
        {str(k): "y" * 1000 for k in range(1000)},
        "\x1b[2J\u202e" * 9,
    ],
    ids=["text", "bytes", "integer", "lists", "table", "escapes"],
)
def test_values_are_shown_on_a_short_line_that_steers_no_terminal(value):
    assert len(shown(value)) <= 125 and shown(value).isprintable()


def test_short_values_are_shown_as_they_are():
    assert [shown(value) for value in (3, 0.5, "a'b", [1, "x"], None)] == ["3", "0.5", '"a\'b"', "[1, 'x']", "None"]


@pytest.mark.parametrize("kind", [NeuralOpError, *NeuralOpError.__subclasses__()])
def test_messages_are_one_line_of_bounded_length_that_keeps_its_end(kind):
    line = str(kind("a\nb\x1b[2J" + "x" * 10**6 + " Remove it."))
    assert line.startswith("a b�[2J") and line.endswith(" Remove it.") and len(line) < 2010 and line.isprintable()
    assert str(RunDirError("short")) == "short"


def test_only_ordinary_files_of_bounded_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(bytes(11))
    assert read_file(tmp_path / "file", 11) == bytes(11)
    for path, said in ((tmp_path / "pipe", "pipe or a device"), (Path("/dev/zero"), "pipe or a device"), (tmp_path, "directory")):
        with pytest.raises(OSError, match=said):
            read_file(path)
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_file(tmp_path / "file", 10)


def test_json_is_parsed_to_a_bounded_depth():
    assert parse_json("[" * 64 + "]" * 64) is not None
    for text in ("[" * 66 + "]" * 66, '{"a":' * 10_000 + "1" + "}" * 10_000, "[" * 10**6):
        with pytest.raises(ValueError, match="nested more than 64 levels deep"):
            parse_json(text)


@pytest.mark.parametrize(
    ("schema", "good", "bad", "message"),
    [
        (Count, 0, -1, "x must be an integer >= 0, got -1"),
        (int, 3, True, "x must be an integer, got the boolean true"),
        (float, float("nan"), "1", "x must be a number, got the string '1'"),
        (Finite, 2, float("nan"), "x must be a number > -inf and < inf, got nan"),
        (int | None, None, "a", "x must be an integer or null, got the string 'a'"),
        (tuple[float, float], [1, 2], [1], "x must be a list of numbers, got the list [1]"),
        (tuple[int, ...], [1, 2, 3], [1, 2.5], r"x[1] must be an integer, got 2.5"),
        (dict[str, str | Count], {"a": 3}, {"a\x1b": -3}, r"x['a\x1b'] must be"),
    ],
)
def test_json_is_compared_with_types(schema, good, bad, message):
    check_json(schema, good, "x")
    with pytest.raises(ValueError) as caught:
        check_json(schema, bad, "x")
    assert str(caught.value).startswith(message)
