"""The public names of the package, read from its source without importing it: what the pages show and the tests examine."""

import ast
import dataclasses
import functools
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "neuralop_jax"


@dataclasses.dataclass(frozen=True)
class PublicName:
    """A class, a function or a value (an assignment with a text below it, or with a `__doc__` of its own)."""

    module: str
    name: str
    node: ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign
    text: str

    @property
    def is_value(self) -> bool:
        return not isinstance(self.node, ast.ClassDef | ast.FunctionDef)

    @property
    def constructor(self) -> ast.FunctionDef | None:
        """What takes the arguments: the function itself, or `__init__` of a class that has one."""
        return self.node if isinstance(self.node, ast.FunctionDef) else self.methods.get("__init__")

    @property
    def methods(self) -> dict[str, ast.FunctionDef]:
        body = self.node.body if isinstance(self.node, ast.ClassDef) else ()
        return {n.name: n for n in body if isinstance(n, ast.FunctionDef)}

    @property
    def public_methods(self) -> dict[str, ast.FunctionDef]:
        """Methods that are called by users; those that only fill in what a base describes have no text of their own."""
        names = (name for name in self.methods if name == "__call__" or not name.startswith("_"))
        return {name: self.methods[name] for name in names if ast.get_docstring(self.methods[name])}


def public_modules() -> dict[str, Path]:
    """The packages, and the files beside them that do not start with an underscore, by their dotted names."""
    packages = list(PACKAGE.glob("*/**/__init__.py"))
    files = [path for path in PACKAGE.glob("*.py") if not path.name.startswith("_")]
    return {_dotted(path): path for path in sorted([*packages, *files], key=_dotted)}


def public_names(module: str, path: Path) -> list[PublicName]:
    """What a package re-exports as `from ._x import Y as Y`; of a file, its functions, its classes and its values with a text."""
    if path.name != "__init__.py":
        names = _definitions(module, path).values()
        return [each for each in names if not each.name.startswith("_") and (each.text or not each.is_value)]
    imports = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)]
    return [_definitions(module, _target(node, path))[alias.name] for node in imports for alias in node.names if alias.asname]


@functools.cache
def _definitions(module: str, path: Path) -> dict[str, PublicName]:
    if path.name == "__init__.py":
        return {each.name: each for each in public_names(module, path)}
    body, texts = ast.parse(path.read_text()).body, {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith(".__doc__"):
            texts[ast.unparse(node.targets[0]).removesuffix(".__doc__")] = ast.literal_eval(node.value)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(getattr(after, "value", None), ast.Constant):
            texts[_assigned(node)] = str(after.value.value) if isinstance(after, ast.Expr) else ""
    values = [(_assigned(node), node) for node in body if isinstance(node, ast.Assign | ast.AnnAssign)]
    found = {name: PublicName(module, name, node, texts.get(name, "").strip()) for name, node in values if name.isidentifier()}
    for node in body:  # the last of several is the one that is called, the others are overloads
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = PublicName(module, node.name, node, ast.get_docstring(node) or "")
    return found


def _assigned(node: ast.Assign | ast.AnnAssign) -> str:
    return ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)


def _target(node: ast.ImportFrom, path: Path) -> Path:
    start = path.parents[node.level - 1] if node.level else ROOT
    place = start / (node.module or "").replace(".", "/")
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
