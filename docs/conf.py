"""The site: README, dataset cards, notebooks and one page per package, each from the file that holds its text. `make docs`.

The source folder is the repository, so that links between its files lead where they lead on disk. The page of a package is its
`__init__.py`, which is replaced by the Markdown of what it exports while it is read. No page needs the network, or JAX.
"""

import ast
import copy
import html
import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

sys.path.insert(0, str(Path(__file__).parent))

from public_names import PACKAGE, ROOT, PublicName, public_modules, public_names

MODULES = public_modules()
NAMES = {module: public_names(module, path) for module, path in MODULES.items()}
HOMES: dict[str, list[str]] = {}
for module, names in NAMES.items():
    for each in names:
        HOMES.setdefault(each.name, []).append(module)
PAGES = {str(path.relative_to(ROOT).with_suffix("")): module for module, path in MODULES.items()}
NOTEBOOKS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("notebooks/*.ipynb"))
CARDS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("datasets/*/README.md"))
PROJECT = ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]

project, author, project_copyright = "neuralop_jax", "The neuralop_jax authors", "The neuralop_jax authors"
release = re.search(r'"(.+?)"', (PACKAGE / "_version.py").read_text())[1]
root_doc = "README"
include_patterns = ["README.md", *PROJECT, *CARDS, *NOTEBOOKS, *(f"{page}.py" for page in PAGES)]
exclude_patterns = [".*", "build", "runs", "tests"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".py": "myst-nb"}

extensions = ["myst_nb"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_ipywidgets_js = {}

html_theme = "furo"
html_title = f"neuralop_jax {release}"
html_theme_options = {"light_css_variables": {"admonition-font-size": "1rem", "admonition-title-font-size": "1rem"}}
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"
add_module_names = False
python_maximum_signature_line_length = 100
toc_object_entries_show_parents = "hide"


def contents() -> str:
    """The table of contents below the README."""
    parts = {"Notebooks": NOTEBOOKS, "Packages": list(PAGES), "Data sets": CARDS, "Project": PROJECT}
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {name}\n\n" + "\n".join(part) + "\n```\n" for name, part in parts.items()
    )


def page(module: str) -> str:
    """The Markdown of a package: its docstring, then every public name."""
    text = ast.get_docstring(ast.parse(MODULES[module].read_text())) or ""
    return f"# {module}\n\n```{{py:module}} {module}\n```\n\n{text}\n\n" + "\n\n".join(map(described, NAMES[module]))


def described(name: PublicName) -> str:
    if name.is_value:
        return directive("data", name.name, markdown(name.text))
    if isinstance(name.node, ast.FunctionDef):
        return directive("function", name.name + signature(name.node), markdown(name.text))
    bases = [ast.unparse(base) for base in name.node.bases if ast.unparse(base) in HOMES]
    methods = [method(node) for node in name.public_methods.values()]
    kind = "exception" if name.module.endswith(".errors") else "class"
    based = f"Bases: {', '.join(f'`{base}`' for base in bases)}\n\n" if bases else ""
    return directive(kind, name.name + constructor(name), based + "\n\n".join([markdown(name.text), *methods]), colons=6)


def method(node: ast.FunctionDef) -> str:
    decorators = {ast.unparse(each) for each in node.decorator_list}
    options = [f":{each}:" for each in ("classmethod", "staticmethod") if each in decorators]
    if decorators & {"property", "functools.cached_property"}:
        options, kind, arguments = [f":type: {ast.unparse(node.returns)}"] if node.returns else [], "property", ""
    else:
        kind, arguments = "method", signature(node, bound="staticmethod" not in decorators)
    return directive(kind, node.name + arguments, markdown(ast.get_docstring(node) or ""), options)


def directive(kind: str, head: str, text: str, options: list[str] | None = None, colons: int = 5) -> str:
    fence = ":" * colons
    return "\n".join([f"{fence}{{py:{kind}}} {head}", *(options or []), "", text, fence])


def signature(node: ast.FunctionDef, bound: bool = False, returned: bool = True) -> str:
    arguments = copy.copy(node.args)
    if bound:  # without `self`
        arguments.args = arguments.args[1:]
    result = f" -> {ast.unparse(node.returns)}" if returned and node.returns else ""
    return f"({ast.unparse(arguments)}){result}"


def constructor(name: PublicName) -> str:
    """Of a class with `__init__` its arguments, of a dataclass or module its fields; nothing of what is not constructed."""
    bases = {ast.unparse(base) for base in name.node.bases}
    if name.constructor is not None:
        return signature(name.constructor, bound=True, returned=False)
    if name.name.startswith("Abstract") or "Protocol" in bases or name.module.endswith(".errors"):
        return ""
    fields = [
        node for node in name.node.body if isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation)
    ]
    shown = [f"{ast.unparse(n.target)}: {ast.unparse(n.annotation)}{default(n.value)}" for n in fields if not derived(n.value)]
    return f"({', '.join(shown)})" if shown else ""


def derived(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and any(k.arg == "init" and ast.unparse(k.value) == "False" for k in value.keywords)


def default(value: ast.expr | None) -> str:
    if isinstance(value, ast.Call):
        given = {word.arg: ast.unparse(word.value) for word in value.keywords}
        factory = given.get("default_factory")
        value_text = given.get("default") or (f"{factory}()" if factory else None)
        return f" = {value_text}" if value_text else ""
    return f" = {ast.unparse(value)}" if value is not None else ""


def markdown(text: str) -> str:
    """`!!! example` and what is indented below it, as a directive of MyST."""
    return re.sub(r"^!!! (\w+)\n((?:\n|    .*\n?)+)", admonition, text, flags=re.MULTILINE)


def admonition(found: re.Match) -> str:
    body = re.sub("^    ", "", found[2], flags=re.MULTILINE).strip()
    return f":::{{admonition}} {found[1].capitalize()}\n:class: tip\n\n{body}\n:::\n"


def read(app: Sphinx, docname: str, content: list[str]) -> None:
    if docname in PAGES:
        content[0] = page(PAGES[docname])
    elif docname == root_doc:
        content[0] = content[0].replace("](datasets/)", f"]({CARDS[0]})") + contents()  # a folder has no page


class Linked(SphinxTransform):
    """`FNO`, `layers.gelu` and, where it can be one thing only, `relative_l2` in a text lead to their descriptions.

    Names of one small word alone, such as `control`, mean too much else.
    """

    default_priority = 5

    def apply(self) -> None:
        for literal in list(self.document.findall(nodes.literal)):
            target = self.target(literal.astext())
            if target and not isinstance(literal.parent, nodes.reference | addnodes.pending_xref | nodes.title):
                link = addnodes.pending_xref("", refdomain="py", reftype="obj", reftarget=target, refwarn=True)
                literal.replace_self(link)
                link += literal

    def target(self, text: str) -> str | None:
        module, _, name = text.removeprefix(f"{PACKAGE.name}.").rpartition(".")
        if module:
            return f"{PACKAGE.name}.{module}.{name}" if f"{PACKAGE.name}.{module}" in HOMES.get(name, ()) else None
        homes = HOMES.get(name, []) if "_" in name or name[:1].isupper() else []
        own = PAGES.get(self.env.docname)
        return f"{own if own in homes else homes[0]}.{name}" if own in homes or len(homes) == 1 else None


def mathml(node: nodes.math | nodes.math_block) -> str:
    """A formula as MathML, which browsers show without a script; docutils does not know all of LaTeX's short forms."""
    text = re.sub(r"(\\[td]?frac)(\w)(\w)", r"\1{\2}{\3}", node.astext().replace(r"\dots", r"\ldots"))
    text = re.sub(r"\\([bB]ig)([)\]])", r"\\\1r\2", re.sub(r"\\([bB]ig)([(\[|])", r"\\\1l\2", text))
    try:
        return tex2mathml(text, as_block=isinstance(node, nodes.math_block))
    except MathError as error:
        logging.getLogger(__name__).warning("%s in %s", error, text, location=node)
        return f"<code>{html.escape(text)}</code>"


def inline_formula(writer, node: nodes.math) -> None:
    writer.body.append(mathml(node))
    raise nodes.SkipNode


def formula(writer, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math">{mathml(node)}</div>')
    raise nodes.SkipNode


def widen(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Lines of code have up to 130 characters: more than the column of the theme holds."""
    context["metatags"] = context.get("metatags", "") + "<style>@media (min-width: 95em) { div.content { width: 62em } }</style>"


def landing(app: Sphinx, failure: Exception | None) -> None:
    """The README is the first page, also under the name that browsers and servers look for."""
    if failure is None and app.builder.name == "html":
        (app.outdir / "index.html").write_bytes((app.outdir / f"{root_doc}.html").read_bytes())


def setup(app: Sphinx) -> None:
    app.connect("source-read", read)
    app.connect("html-page-context", widen)
    app.connect("build-finished", landing)
    app.add_transform(Linked)
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula, None))
