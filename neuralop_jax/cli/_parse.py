"""Words of a command line to a call of a verb: tyro parses and writes the help, every mistake becomes one line."""

import contextlib
import functools
import inspect
import io
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tyro

from neuralop_jax._checks import shown
from neuralop_jax._config_loader import nearest
from neuralop_jax.errors import ConfigError

_STYLE = (tyro.conf.PositionalMetavarFromFieldName, tyro.conf.FlagCreatePairsOff)


def parse(verb: Callable[..., Any], words: Sequence[str], prog: str, *, known: Iterable[str] = ()) -> Callable[[], Any]:
    """The call of `verb` that `words` ask for.

    **Arguments:**

    - `verb`: a function, or a dataclass, whose signature states the arguments.
    - `words`: what stands behind the verb.
    - `prog`: the command so far, for instance `"neuralop-jax evaluate"`.
    - `known`: further options to suggest in place of an unknown one.

    **Raises:** `ConfigError` for an unknown, missing or ill-typed argument.
    """
    if "--help" in words or "-h" in words:
        show_help(verb, prog)

    @functools.wraps(verb, updated=())
    def later(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        return functools.partial(verb, *args, **kwargs)

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            call, unknown = tyro.cli(later, args=words, prog=prog, return_unknown_args=True, config=_STYLE)
    except SystemExit as stop:
        raise ConfigError(_one_line(verb, said.getvalue(), prog)) from stop
    if unknown:
        raise ConfigError(_unknown(verb, unknown[0], prog, known))
    return call


def show_help(verb: Callable[..., Any], prog: str) -> None:
    """Prints the help of `verb` and ends the program."""
    tyro.cli(verb, args=["--help"], prog=prog, config=_STYLE)


def suggest_verb(name: str, verbs: Iterable[str], prog: str) -> str:
    """The line that refuses an unknown verb."""
    near = nearest(name, verbs)
    hint = f" Did you mean {near!r}?" if near else ""
    return f"unknown command {shown(f'{prog} {name}')}. Known: {', '.join(verbs)}.{hint}"


def _unknown(verb: Callable[..., Any], word: str, prog: str, known: Iterable[str]) -> str:
    if not word.startswith("-"):
        return f"unexpected argument {shown(word)}. {_usage(verb, prog)}"
    own = [name for name, parameter in inspect.signature(verb).parameters.items() if parameter.default is not parameter.empty]
    near = nearest(word.lstrip("-").partition("=")[0].replace("-", "_"), [*own, *known])
    hint = f"Did you mean '--{near.replace('_', '-')}'?" if near else _usage(verb, prog)
    return f"unknown option {shown(word.partition('=')[0])} of {prog}. {hint}"


def _usage(verb: Callable[..., Any], prog: str) -> str:
    return f"Usage: {' '.join([prog, *_required(verb)])} [OPTIONS]; see {prog} --help."


def _required(verb: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(verb).parameters.items()
    return [name.upper() for name, parameter in parameters if parameter.default is parameter.empty]


def _one_line(verb: Callable[..., Any], box: str, prog: str) -> str:
    """The first part of the framed message that tyro writes, as a line."""
    plain = re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯]", " ", box)
    title, *body = [line.strip() for line in plain.splitlines() if line.strip()] or [""]
    if "required" in title.lower():
        return f"{prog} needs {' '.join(_required(verb))}. {_usage(verb, prog)}"
    blocks = [list(lines) for is_rule, lines in itertools.groupby(body, lambda line: not line.strip("─-")) if not is_rule]
    return f"{' '.join(blocks[0] if blocks else [title]).rstrip('.')}. See {prog} --help."
