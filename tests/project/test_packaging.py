"""A wheel holds everything that a worker needs, and runs where only it is installed."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
        timeout=240,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_the_wheel_holds_module_model_and_articles_and_no_source_of_the_module(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "keymiss/server/keymiss.so",
        "keymiss/reader/models/minilm-qa/model.safetensors",
        "keymiss/reader/models/minilm-qa/README.md",
        "keymiss/corpus/demo/questions.jsonl",
        "keymiss/corpus/drop_answers.lua",
        "keymiss/bench/sample_questions.jsonl",
        "keymiss/py.typed",
    ):
        assert needed in names
    assert sum(name.startswith("keymiss/corpus/demo/articles/") for name in names) == 20
    assert not [name for name in names if name.endswith((".c", ".h"))]


def test_it_runs_from_another_place(wheel, tmp_path):
    site = tmp_path / "site"
    install = ["install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, timeout=60)
    # -I would hide the target; -S would hide the dependencies: the path alone puts it first.
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); sys.meta_path[:] = ["
        "f for f in sys.meta_path if 'editable' not in type(f).__module__]; "
        "import keymiss.server.embedded_server as e; p = e.module_path(); "
        "from keymiss.server.embedded_server import *; import tempfile, pathlib, valkey, json\n"
        "with EmbeddedServer(pathlib.Path(tempfile.mkdtemp()), free_port()) as s:\n"
        "    c = valkey.Valkey(port=s.port)\n"
        "    print(json.dumps([str(p), c.execute_command('KEYMISS.LIST')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    path, functions = json.loads(done.stdout)
    assert path.startswith(str(site))
    assert functions == []
