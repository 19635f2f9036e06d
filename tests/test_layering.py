"""Who may import whom, read from the source; and what an import really loads."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "mtjax"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the top down: each may import those above it and itself, none below.
LAYERS = (
    ("pytree", "typing", "registry"),
    ("metrics", "physics"),
    ("solvers",),
    ("checks", "record", "schema", "config", "flops", "communication"),
    ("data", "weighting"),
    ("models",),
    ("generate",),
    ("tasks",),
    ("train",),
    ("compare",),
    ("ablate",),
    ("show", "solve", "doctor"),
    ("photograph", "frames", "reading", "facts", "tiles", "export"),
    ("relate", "predict", "bitstream", "samples"),
    ("commands", "allocator"),
    ("cli",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
LIGHT = {"metrics", "physics", "solvers"}
LIGHT_MAY = {"jax", "numpy", "jaxtyping", "mtjax", *sys.stdlib_module_names}
WHEN_CALLED = {"PIL"}  # not before the function that reads a picture runs
# Nothing else may import these: the folders that own them hide them.
OWNED = {"orbax": {"train"}, "matplotlib": {"compare", "ablate"}, "grain": {"data"}, "tensorflow_datasets": {"data"}}
NEVER = {"tensorflow", "torch", "clu"}


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports, and whether it does so when it is itself imported."""
    tree = ast.parse(file.read_text())
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.Lambda) for n in ast.walk(f)}
    for node in ast.walk(tree):
        outside = id(node) not in inside
        if isinstance(node, ast.Import):
            yield from ((alias.name, outside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from ((f"{node.module}.{alias.name}", outside) for alias in node.names)


def part(module: str) -> str:
    """`mtjax.solvers.admm` is part of `solvers`; the package itself (its version) is part of nothing."""
    names = module.split(".")
    return names[1] if len(names) > 1 and names[1] in RANK else ""


def name(file: Path) -> str:
    relative = file.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_upward_only(file):
    own = name(file)
    if own == "__init__":
        return
    assert own in RANK, f"{own} has no layer; give it one in LAYERS"
    for module, outside in imports(file):
        root = module.split(".")[0]
        assert root not in NEVER, f"{file} imports {module}"
        if root == "mtjax" and part(module) and outside:
            assert RANK[part(module)] <= RANK[own], f"{own} imports {module}, which is below it"
        if own in LIGHT:
            assert root in LIGHT_MAY or (root in WHEN_CALLED and not outside), f"{own} imports {module}: it stays light"
            assert root != "mtjax" or RANK.get(part(module), 0) <= RANK["solvers"], f"{own} imports {module}"
        if root in OWNED and own not in OWNED[root]:
            raise AssertionError(f"{own} imports {module}, which is for {', '.join(OWNED[root])}")


def test_the_solvers_load_nothing_heavy():
    heavy = "flax optax orbax tensorflow_datasets tensorflow grain matplotlib skimage sklearn ml_collections absl PIL"
    code = (
        "import sys; import mtjax.solvers, mtjax.physics, mtjax.metrics\n"
        f"print([m for m in {heavy.split()!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_tensorflow_is_never_loaded():
    modules = [f"mtjax.{f.relative_to(PACKAGE).with_suffix('')}".replace("/", ".") for f in FILES]
    code = (
        f"import importlib, sys\nfor m in {modules!r}: importlib.import_module(m.removesuffix('.__init__'))\n"
        "print([m for m in ('tensorflow', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.stdout == "[]\n", done.stdout + done.stderr
