"""A name stands for one thing: files, public classes and public constants are called once."""

import ast
from collections import defaultdict
from pathlib import Path

import keymiss

ROOT = Path(keymiss.__file__).parent

ONE_A_ROOM = {"metrics", "logger", "router"}
"""Names that a room or a file may have for itself, since its own name stands before them."""


def modules():
    return [path for path in sorted(ROOT.rglob("*.py")) if not path.name.startswith("__")]


def places(named):
    """Where each name stands, of those that stand in several places."""
    found = defaultdict(set)
    for name, place in named:
        if name not in ONE_A_ROOM and not name.startswith("_"):
            found[name].add(place)
    return {name: sorted(where) for name, where in found.items() if len(where) > 1}


def defined(path):
    """Classes and constants that a module defines, public ones."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            for each in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(each, ast.Name):
                    yield each.id


def test_no_two_files_are_called_alike():
    files = [*modules(), *ROOT.rglob("*.c"), *ROOT.rglob("*.lua")]
    assert places((path.stem, path.relative_to(ROOT).as_posix()) for path in files) == {}


def test_no_two_public_classes_or_constants_are_called_alike():
    named = (
        (name, path.relative_to(ROOT).as_posix()) for path in modules() for name in defined(path)
    )
    assert places(named) == {}


def test_no_file_is_called_after_what_fits_anything():
    vague = {"utils", "helpers", "manager", "common", "misc", "base"}
    assert not vague & {path.stem for path in modules()}


def test_a_name_that_stands_twice_would_be_seen(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("SECONDS, _own = 1, 2\nclass Node:\n    pass\nBATCH: int = 3\n")
    assert list(defined(wrong)) == ["SECONDS", "_own", "Node", "BATCH"]
    assert places([("SECONDS", "a"), ("SECONDS", "b"), ("metrics", "a"), ("metrics", "b")]) == {
        "SECONDS": ["a", "b"]
    }
