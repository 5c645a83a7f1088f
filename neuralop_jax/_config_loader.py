"""A configuration from its sources: a TOML file, dotted options of a command line, and the place each value came from."""

import dataclasses
import difflib
import re
import tomllib
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from neuralop_jax._checks import shortened, shown, shown_path
from neuralop_jax._config_values import check_value, described, parse_text, wanted
from neuralop_jax._untrusted_files import read_file
from neuralop_jax.errors import ConfigError

T = TypeVar("T")
Where = Callable[[str], str]
"""From the dotted name of an option to the place where it was set."""


def load(cls: type[T], path: Path, overrides: Sequence[str]) -> T:
    """The dataclass `cls` as the TOML file `path` says, with `--section.option value` words taking precedence."""
    text, tree = _read_toml(path)
    given = {name: parse_text(_annotation(cls, name), value) for name, value in option_pairs(overrides)}
    for name, value in given.items():
        *sections, option = name.split(".")
        place = tree
        for depth, section in enumerate(sections, start=1):
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError(f"unknown option {name!r} (command line): {'.'.join(sections[:depth])} is not a section.")
        place[option] = value

    def where(name: str) -> str:
        if any(full == name or full.startswith(f"{name}.") for full in given):
            return "command line"
        line = _line_of(text, name)
        return f"{path.name}, line {line}" if line else path.name

    return build(cls, tree, where)


def build(cls: type[T], tree: Mapping[str, Any], where: Where, prefix: str = "") -> T:
    """The dataclass `cls` from nested dictionaries, every key and value checked.

    A section that has a field `options` gathers there the keys that none of its other fields takes.
    """
    hints, fields = _hints(cls), {field.name: field for field in dataclasses.fields(cast(Any, cls))}
    values: dict[str, Any] = {"options": {}} if "options" in fields else {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if "options" in fields and (key == "options" or key not in fields):
            values["options"] |= check_value(dict[str, Any], {key: value}, prefix.rstrip("."), where(name))
        elif key not in fields:
            inner = next(iter(value), "") if isinstance(value, Mapping) else ""
            raise _unknown(cls, f"{key}.{inner}" if inner else key, prefix, where(f"{name}.{inner}" if inner else name))
        elif not dataclasses.is_dataclass(hints[key]):
            values[key] = check_value(hints[key], value, name, where(name))
        elif isinstance(value, Mapping):
            values[key] = build(typing.cast(type, hints[key]), value, where, f"{name}.")
        else:
            raise ConfigError(f"{name} must be a table of options, [{name}], got {shown(value)} ({where(name)}).")
    for key, field in fields.items():
        if key in values or not _required(field):
            continue
        if not dataclasses.is_dataclass(hints[key]):
            option = f"{prefix}{key}"
            at = where(prefix.rstrip(".")) if prefix else where("")
            raise ConfigError(f"{option} is not set ({at}); wanted {wanted(hints[key])}. Set it there or with --{option}.")
        values[key] = build(typing.cast(type, hints[key]), {}, where, f"{prefix}{key}.")
    return cls(**values)


def option_pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """`["--a.b", "3", "--c.d-e=x"]` as `[("a.b", "3"), ("c.d_e", "x")]`; an option without a value is a `ConfigError`."""
    pairs, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise ConfigError(f"unexpected {shown(word)} among the options; wanted --section.option value (command line).")
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise ConfigError(f"--{name} needs a value (command line). Write --{name} VALUE.")
            value = rest.pop(0)
        pairs.append((name.replace("-", "_"), value))
    return pairs


def option_names(cls: type, prefix: str = "") -> dict[str, str]:
    """The dotted name of every option of `cls` and its sections, each with its type and default in words."""
    names: dict[str, str] = {}
    hints = _hints(cls)
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(hints[field.name]):
            names |= option_names(typing.cast(type, hints[field.name]), f"{prefix}{field.name}.")
        elif field.name != "options":
            names[f"{prefix}{field.name}"] = described(hints[field.name], field.default)
    return names


def nearest(name: str, known: Iterable[str]) -> str:
    """The known dotted name closest to `name`: its last part may be misspelled, abbreviated (`lr`) or in another section."""
    known = list(known)
    section, _, leaf = name.rpartition(".")
    similar = difflib.get_close_matches(section, {full.rpartition(".")[0] for full in known}, n=1, cutoff=0.6)
    for candidates in ([full for full in known if full.rpartition(".")[0] in similar], known):
        leaves = {full.rpartition(".")[2]: full for full in reversed(candidates)}
        initials = {"".join(word[0] for word in part.split("_")): part for part in leaves if "_" in part}
        match = difflib.get_close_matches(leaf, leaves, n=1, cutoff=0.6) or [initials.get(leaf, "")]
        if match[0]:
            return leaves[match[0]]
    return ""


def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def _required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _annotation(cls: type, name: str) -> Any:
    """The annotation of the option with a dotted name; `Any` where a section leaves it open or does not know it."""
    head, _, rest = name.partition(".")
    hint = _hints(cls).get(head, Any)
    return _annotation(typing.cast(type, hint), rest) if dataclasses.is_dataclass(hint) else Any if rest else hint


def _unknown(cls: type, key: str, prefix: str, where: str) -> ConfigError:
    known, key = option_names(cls, prefix), shortened(key, 100)
    near = nearest(f"{prefix}{key}", known)
    if near:
        hint = f"Did you mean {near!r} ({known[near]})?"
    else:
        sections = [name for name, kind in _hints(cls).items() if dataclasses.is_dataclass(kind)]
        hint = f"Known: {', '.join((*sections, *(name for name in known if not sections or '.' not in name)))}."
    return ConfigError(f"unknown option '{prefix}{key}' ({where}). {hint}")


def _read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = read_file(path).decode("utf-8")
        return text, tomllib.loads(text)
    except FileNotFoundError as error:
        raise ConfigError(f"no such configuration: {path} (looked in {Path.cwd()}). Give the path of a TOML file.") from error
    except OSError as error:
        raise ConfigError(f"{shown_path(path)} cannot be read: {error.strerror}. Give the path of a TOML file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a TOML file: byte {error.start} is not UTF-8 text.") from error
    except RecursionError as error:
        raise ConfigError(f"{path} nests its lists or tables too deeply. Correct the file.") from error
    except ValueError as error:  # the decoder's own, an integer of thousands of digits, or a path with a zero byte
        raise ConfigError(f"{shown_path(path)} is not valid TOML: {shortened(str(error), 200)}. Correct the file.") from error


def _line_of(text: str, name: str) -> int:
    """The line that sets the option called `name` or opens the section of that name; 0 if none is recognized."""
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[([\w.\"' -]+)\]", line)
        if header:
            table = header.group(1).strip()
            if table == name:
                return number
            continue
        key = re.match(r"\s*([\w.\"'-]+)\s*=", line)
        if key and ".".join(part for part in (table, key.group(1).replace('"', "").replace("'", "")) if part) == name:
            return number
    return 0
