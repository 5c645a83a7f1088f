"""The file of `--json`: whether figures can be written to it is known before they are computed."""

import os
import tempfile
from pathlib import Path

from neuralop_jax._checks import reason, shown_path
from neuralop_jax._untrusted_files import parse_json, read_file
from neuralop_jax.errors import ConfigError


def json_file(path: Path | None) -> Path | None:
    """The file to write for `--json PATH`, at the end of links; none if the option is left out.

    **Raises:** `ConfigError` if it could not be written, or is there and is neither JSON nor empty.
    """
    if path is None:
        return None
    target = Path(os.path.realpath(path)) if os.path.islink(path) else path
    file, folder = shown_path(path), shown_path(target.parent)
    if not os.path.isdir(target.parent):
        raise ConfigError(f"--json {file}: the folder {folder} does not exist; create it first.")
    try:
        if content := read_file(path):
            parse_json(content)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ConfigError(f"--json {file} cannot be written: {reason(error)}. Name another file.") from error
    except ValueError as error:
        raise ConfigError(f"--json {file} holds something else than JSON, which is kept. Name another file.") from error
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ConfigError(
            f"--json {file}: nothing can be written to the folder {folder}: {reason(error)}. Name another."
        ) from error
    return target
