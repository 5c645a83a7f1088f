"""The parts of a self-contained HTML page: tables, figures, notes, code. Texts are escaped, figures are inlined."""

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from neuralop_jax.errors import ConfigError
from neuralop_jax.viz._style import style

if TYPE_CHECKING:
    import matplotlib.figure

_CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem 1.25rem 4rem; background: #fff; color: #1c1f23;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
header { border-bottom: 1px solid #d9dde2; padding-bottom: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: .4rem 0; max-width: 48rem; }
.subtitle, figcaption, .small { color: #59616b; font-size: .875rem; }
.note { background: #fff6e0; border-left: 4px solid #e0a100; padding: .6rem .9rem; max-width: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem .35rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #e6e9ed; }
th { font-weight: 600; white-space: nowrap; border-bottom: 1px solid #9aa3ad; }
td.number, th.number { text-align: right; white-space: nowrap; }
dl { columns: 21rem; column-gap: 2.5rem; margin: 0; font-size: .9rem; font-variant-numeric: tabular-nums; }
dl div { display: flex; gap: 1rem; justify-content: space-between; break-inside: avoid; padding: .25rem 0;
  border-bottom: 1px solid #e6e9ed; }
dt { color: #59616b; }
dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
.grid { display: grid; gap: .75rem 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, var(--least)), 1fr)); }
figure { margin: 0; max-width: var(--most); }
figure img { display: block; width: 100%; height: auto; }
figcaption { margin: .2rem 0 .6rem; }
pre { background: #f5f7f9; border: 1px solid #e6e9ed; border-radius: 4px; padding: .7rem .9rem; overflow-x: auto;
  font: .82rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
summary { cursor: pointer; }
@media print { body { max-width: none; } pre { white-space: pre-wrap; } }
"""


def page(title: str, subtitle: str, parts: Sequence[str]) -> str:
    """A whole HTML document that refers to nothing outside itself."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        f'<header><h1>{html.escape(title)}</h1><p class="subtitle">{html.escape(subtitle)}</p></header>\n'
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A heading and what stands below it."""
    return f"<section><h2>{html.escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def note(text: str, kind: Literal["note", "small"] = "small") -> str:
    """A paragraph: in small print, or as a note that cannot be missed."""
    return f'<p class="{kind}">{html.escape(text)}</p>'


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; a head that starts with `>` stands over numbers, which are aligned to the right.

    **Raises:** `ConfigError` for a row that has not one cell for each head.
    """
    for number, row in enumerate(rows):
        if len(row) != len(heads):
            raise ConfigError(f"table needs {len(heads)} cells in every row, as heads, got {len(row)} in row {number}.")
    right = [head.startswith(">") for head in heads]
    cell = lambda tag, text, number: f"<{tag}{' class=number' if number else ''}>{html.escape(str(text))}</{tag}>"
    head = "".join(cell("th", text.removeprefix(">"), number) for text, number in zip(heads, right, strict=True))
    lines = ("".join(cell("td", text, number) for text, number in zip(row, right, strict=True)) for row in rows)
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>'


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    r"""Names and their values, in as many columns as fit; a value that is `None` or an empty string is left out with its name.

    **Arguments:**

    - `pairs`: of a name and its value, for instance the `items()` of a dictionary.

    !!! example

        ```python
        from neuralop_jax.viz import facts

        assert facts([("parameters", 1234), ("unit", None)]) == "<dl>\n<div><dt>parameters</dt><dd>1234</dd></div>\n</dl>"
        ```
    """
    lines = (
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd></div>\n"
        for name, value in pairs
        if value not in (None, "")
    )
    return f"<dl>\n{''.join(lines)}</dl>"


def figures(
    drawn: Mapping[str, "matplotlib.figure.Figure"], *, least: str, captions: bool = False, format: Literal["svg", "png"] = "svg"
) -> str:
    """Figures side by side, as many as fit: each at least `least` wide (a CSS length), fewer on a narrow screen.

    **Arguments:**

    - `drawn`: by description, which is read out where pictures are not seen, and printed below with `captions`.
    - `format`: `"svg"` for lines, `"png"` for images.
    """
    parts = []
    for text, figure in drawn.items():
        text = html.escape(text)
        caption = f"<figcaption>{text}</figcaption>" if captions else ""
        parts.append(f'<figure><img src="{_inline(figure, format)}" alt="{text}">{caption}</figure>')
    return f'<div class="grid" style="--least: {least}; --most: calc(1.6 * {least})">\n' + "\n".join(parts) + "\n</div>"


def code(text: str) -> str:
    """Preformatted text."""
    return f"<pre>{html.escape(text)}</pre>"


def folded(summary: str, part: str) -> str:
    """A part of the page that is shown on a click on its summary."""
    return f"<details><summary>{html.escape(summary)}</summary>\n{part}</details>"


def _inline(figure: "matplotlib.figure.Figure", format: Literal["svg", "png"]) -> str:
    """A figure as a data URL; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if format == "svg" else {"Software": None}
    with style():
        figure.savefig(buffer, format=format, dpi=150, metadata=metadata)
    kind = {"svg": "image/svg+xml", "png": "image/png"}[format]
    return f"data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
