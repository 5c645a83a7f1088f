"""The files of an exported operator: a program, its weights, its card. Written whole, compared with their digests when read."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np
import safetensors
import safetensors.numpy

from neuralop_jax._checks import reason
from neuralop_jax._config_values import Bounds
from neuralop_jax._json_schema import check_json
from neuralop_jax._untrusted_files import parse_json, read_file
from neuralop_jax._version import __version__
from neuralop_jax._whole_files import whole_directory
from neuralop_jax.errors import CheckpointError
from neuralop_jax.serving._card import ModelCard

FORMAT = 1
CARD, PROGRAM, WEIGHTS = "card.json", "program.jax_export", "weights.safetensors"
_LARGEST = 2**36
"""Bytes of a file that are read at most."""


class _Heading(TypedDict):
    """What a card file of any format says."""

    format: Annotated[int, Bounds(at_least=1.0)]
    version: str


class _Content(_Heading):
    """What a card file of this format says beside its own sha256."""

    files: dict[str, str]
    card: ModelCard


def write_artifact(path: str | Path, card: ModelCard, program: bytes, weights: dict[str, np.ndarray]) -> None:
    """Writes the files into the new directory `path`, in one step.

    **Raises:** `CheckpointError` if it cannot be written.
    """
    path = Path(path)
    files = {PROGRAM: program, WEIGHTS: safetensors.numpy.save(weights)}
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": __version__,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        "card": card.to_json(),
    }
    content["sha256"] = _digest(content)
    try:
        with whole_directory(path) as partial:
            for name, data in files.items():
                (partial / name).write_bytes(data)
            (partial / CARD).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {reason(error)}. Check the path, space and rights.") from error


def read_artifact(path: str | Path) -> tuple[ModelCard, bytes, dict[str, np.ndarray]]:
    """What `write_artifact` wrote.

    **Raises:** `CheckpointError` if a file is missing, has changed, or was written by a newer version.
    """
    path = Path(path)
    try:
        content = parse_json(read_file(path / CARD))
        if content["sha256"] != _digest(content):
            raise CheckpointError(f"{path} is damaged ({CARD}: sha256 mismatch). Export the run again.")
        check_json(_Heading, content, CARD)
        if content["format"] > FORMAT:
            raise CheckpointError(
                f"{path} has format {content['format']}, written by neuralop_jax {content['version']}; this is {__version__}, "
                f"which reads up to format {FORMAT}. Install the newer version."
            )
        check_json(_Content, content, CARD)
        files = {name: _read(path / name) for name in (PROGRAM, WEIGHTS)}
        for name, data in files.items():
            if hashlib.sha256(data).hexdigest() != content["files"][name]:
                raise CheckpointError(f"{path} is damaged ({name}: sha256 mismatch). Export the run again.")
        return ModelCard.from_json(content["card"]), files[PROGRAM], safetensors.numpy.load(files[WEIGHTS])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is no exported operator, or damaged: {reason(error)}. Export the run again.") from error


def _read(path: Path) -> bytes:
    """The bytes of an ordinary file; `OSError` for any other."""
    return read_file(path, min(path.stat().st_size, _LARGEST))


def _digest(content: dict[str, Any]) -> str:
    """The sha256 of all that a card file says but for the sha256 itself."""
    rest = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
