"""Arrows point down only: a package imports nothing that stands above it."""

import ast
from pathlib import Path

import pytest

import keymiss

ROOT = Path(keymiss.__file__).parent

# From top to bottom; each may import what stands below it.
LAYERS = (
    *("__main__", "cli", "bench", "stack", "web", "application", "operating", "evaluation"),
    *("answering", "asking", "graph", "search", "corpus", "values", "functions", "server"),
    *("keys", "errors"),
)
ALONE = {
    "reader": {"reader"},
    "server": {"server", "keys", "errors"},
    "keys": {"errors"},
    "errors": set(),
}
"""Those that know less than their place would allow."""


def modules():
    return [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def layer(path):
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imported_layers(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "keymiss" and len(parts) > 1:
                yield parts[1]


def allowed(name):
    if name in ALONE:
        return ALONE[name]
    below = set(LAYERS[LAYERS.index(name) :])
    # The reader is a library beside the layers: the application may use it, its plumbing may not.
    plumbing = {"functions", "corpus", "search", "graph"}
    return below if name in plumbing else below | {"reader"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_stands_below_it(path):
    for other in imported_layers(path):
        assert other in allowed(layer(path)), f"{path} imports keymiss.{other}"


def test_every_folder_has_its_place():
    folders = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert folders <= {*LAYERS, "reader"}


def test_an_arrow_up_would_be_seen(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from keymiss import web\nfrom keymiss.asking.answers import ask\n")
    assert set(imported_layers(wrong)) == {"web", "asking"}
    assert "web" not in allowed("server")
    assert "reader" not in allowed("server") | allowed("functions")


def test_the_reader_and_the_functions_know_nothing_of_each_other():
    for path in (ROOT / "functions").glob("*.py"):
        assert not {"reader", "asking", "answering", "search", "corpus"} & set(
            imported_layers(path)
        )
