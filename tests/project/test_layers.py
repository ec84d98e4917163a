"""Arrows point down only: a room imports nothing that stands above it, and no file imports in a
circle. The same holds for the includes of the module in C."""

import ast
import re
from pathlib import Path

import pytest

import keymiss

ROOT = Path(keymiss.__file__).parent
MODULE = ROOT / "server" / "module"
ENGINE = ROOT / "reader" / "engine"

# From top to bottom; each may import what stands below it. Rooms of one line are neighbours that
# know nothing of each other.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("bench",),
    ("local_stack",),
    ("web",),
    ("application", "evaluation"),
    ("asking", "answering", "operating"),
    ("graph",),
    ("search",),
    ("corpus",),
    ("functions",),
    ("values",),
    ("server",),
    ("keys",),
    ("function_names", "errors"),
)
BESIDE = {"reader": {"errors"}}
"""Libraries beside the layers, and what they may import of keymiss."""

WITHOUT_READER = {
    *("asking", "operating", "graph", "search", "corpus", "functions", "values", "server"),
}
"""Rooms that must not need a model: who asks starts without one."""


def modules():
    return [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def name_of(path):
    """The module's dotted name below `keymiss`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(name):
    return name.partition(".")[0]


def imported(path):
    """The dotted names below `keymiss` that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("keymiss."):
                yield name.removeprefix("keymiss.")


def imported_rooms(path):
    return {room_of(name) for name in imported(path)}


def allowed(room):
    if room in BESIDE:
        return {room, *BESIDE[room]}
    place = next(place for place, layer in enumerate(LAYERS) if room in layer)
    below = {each for layer in LAYERS[place + 1 :] for each in layer}
    return {room, *below} | (set() if room in WITHOUT_READER | below_all() else {"reader"})


def below_all():
    return set(LAYERS[-1]) | set(LAYERS[-2])


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_stands_below_it(path):
    upward = imported_rooms(path) - allowed(room_of(name_of(path)))
    assert not upward, f"{path} imports {upward}"


def test_every_room_has_its_place():
    rooms = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert rooms <= {*(each for layer in LAYERS for each in layer), *BESIDE}


def test_asking_and_answering_never_import_each_other():
    for one, other in (("asking", "answering"), ("answering", "asking")):
        assert other not in allowed(one)


def test_an_arrow_up_would_be_seen(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from keymiss import web\nfrom keymiss.asking.answers import ask\n")
    assert imported_rooms(wrong) == {"web", "asking"}
    assert "web" not in allowed("server")
    assert "reader" not in allowed("server") | allowed("functions") | allowed("keys")


def circles(arrows):
    """Files that reach themselves by following arrows."""

    def reached(start):
        seen, ahead = set(), [start]
        while ahead:
            for each in arrows.get(ahead.pop(), ()):
                if each not in seen:
                    seen.add(each)
                    ahead.append(each)
        return seen

    return sorted(each for each in arrows if each in reached(each))


def test_no_file_of_python_imports_in_a_circle():
    names = {name_of(path) for path in modules()}
    arrows = {}
    for path in modules():
        if path.name == "__init__.py":
            continue
        # `from keymiss.room import name` leads to the file that is so called, else to the room.
        found = {name if name in names else name.rpartition(".")[0] for name in imported(path)}
        arrows[name_of(path)] = found & names
    assert arrows["cli.terminal"]
    assert circles(arrows) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c"]


# ---- what is written in C ----

MODULE_LAYERS = (
    ("load",),
    ("command_table", "server_events", "settings", "info_section"),
    ("command_filter", "function_commands", "item_commands", "get_command"),
    ("function_library",),
    ("registrations",),
    ("lease_timer",),
    ("waiters", "replica_redirect"),
    ("value_store", "workers"),
    ("module_state",),
    ("dispatcher",),
    ("items",),
    ("dispatcher_types",),
    ("function_options", "memory_budget"),
    ("key_form", "server_api"),
    ("linked_list", "text"),
)
"""From top to bottom: the files of the module; those of one line know nothing of each other."""

ENGINE_LAYERS = (
    ("engine",),
    ("packing", "encoder"),
    ("token_steps", "dense_steps", "attention_steps", "encoder_room"),
    ("encoder_steps",),
    ("thread_pool", "token_rows"),
    ("rows_bf16",),
    ("rows_portable", "rows_avx2", "rows_avx512"),
    ("row_loops", "product_amx"),
    ("product_f32_avx2", "product_int8_avx2", "product_portable"),
    ("product_f32_avx512", "product_bf16_avx512", "product_int8_vnni"),
    ("product_f32_neon", "product_int8_dotprod"),
    ("product_blocks",),
    ("kernels",),
    ("packed_model", "row_blocks"),
)
"""The same for the reader's engine."""

SEARCH_LAYERS = (
    ("sentence_ranking", "vector_store"),
    ("scan_portable", "scan_avx2", "scan_avx512", "scan_popcount"),
    ("sign_loops",),
    ("sign_scan", "found_sentence"),
)
"""The same for what searches."""

IN_C = {MODULE: MODULE_LAYERS, ENGINE: ENGINE_LAYERS, ROOT / "search" / "native": SEARCH_LAYERS}
SHARED_HEADERS = {"kernels", "encoder_steps", "sign_scan"}
"""Headers that declare what several files define."""


def includes(path):
    """The headers of its folder that a file includes, its own left out."""
    found = re.findall(r'^#include "(\w+)\.h"', path.read_text(encoding="utf-8"), re.MULTILINE)
    return set(found) - {path.stem}


def c_files(folder):
    return sorted(folder.glob("*.[ch]"))


every_c_file = pytest.mark.parametrize(
    "path", [path for folder in IN_C for path in c_files(folder)], ids=lambda path: path.name
)


@pytest.mark.parametrize("folder", IN_C, ids=lambda folder: folder.name)
def test_every_file_in_c_has_its_place(folder):
    placed = {name for layer in IN_C[folder] for name in layer}
    assert {path.stem for path in c_files(folder)} == placed


def test_every_file_of_the_module_has_one_header():
    for path in MODULE.glob("*.c"):
        if path.stem != "load":  # nothing stands above it
            assert path.with_suffix(".h").exists(), path.name


@every_c_file
def test_a_file_in_c_includes_only_what_stands_below_it(path):
    layers = IN_C[path.parent]
    place = next(place for place, layer in enumerate(layers) if path.stem in layer)
    below = {name for layer in layers[place + 1 :] for name in layer}
    upward = includes(path) - below
    assert not upward, f"{path.name} includes {upward}"


@every_c_file
def test_a_header_declares_only_what_its_own_file_defines(path):
    if path.suffix != ".h" or path.stem in SHARED_HEADERS:
        return
    assert "extern" not in path.read_text() or path.with_suffix(".c").exists()
