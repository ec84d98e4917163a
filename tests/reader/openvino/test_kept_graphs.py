"""What a start leaves in the cache, and what the next one does with it."""

import os
import shutil
import subprocess
import sys

import pytest

from keymiss.reader import BUNDLED_FOLDER, ModelError, model_cache
from keymiss.reader.checkpoint import model_files, model_version
from keymiss.reader.encoder_config import load_config
from keymiss.reader.openvino import openvino_network
from keymiss.reader.openvino.encoder_graph import build_graph
from keymiss.reader.openvino.kept_graphs import graph_file, keep_graph
from keymiss.reader.openvino.openvino_reader import openvino_reader
from keymiss.reader.weights import load_weights

QUESTION, PASSAGES = "Who found it?", ["Robert Koch found the bacillus of cholera."]


@pytest.fixture(autouse=True)
def kept(monkeypatch, tmp_path):
    """The folder of kept graphs, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "keymiss" / "models"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(BUNDLED_FOLDER, tmp_path / "model")


def answer(folder, precision="fp32"):
    return openvino_reader(folder, precision).read(QUESTION, PASSAGES)[0]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_second_start_reads_no_checkpoint(folder, monkeypatch, precision):
    first = answer(folder, precision)
    monkeypatch.setattr(openvino_network, "load_weights", None)
    monkeypatch.setattr(model_cache, "_sha256", None)
    assert answer(folder, precision) == first
    assert first.text == "Robert Koch"


@pytest.mark.parametrize("name", ["graph.xml", "*/*.blob"])
@pytest.mark.parametrize("content", [b"", b"damaged"])
def test_what_was_kept_and_is_damaged_is_made_again(folder, kept, name, content):
    first = answer(folder)
    for path in kept.glob(f"*/{name}"):
        path.chmod(0o600)
        path.write_bytes(content)
    assert answer(folder) == first


def test_an_int8_graph_that_cannot_be_read_is_not_thrown_away(folder):
    path = graph_file(model_version(folder, model_files(folder)), "int8")
    keep_graph(build_graph(load_config(folder), load_weights(folder)), "int8", path)
    assert answer(folder, "int8").text == "Robert Koch"
    path.write_bytes(b"damaged")
    with pytest.raises(ModelError, match="has no graph in int8 here"):
        answer(folder, "int8")
    assert path.with_suffix(".bin").stat().st_size > 1_000_000


def test_other_weights_are_another_graph(folder, kept):
    first = answer(folder)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5000:-1000] = bytes(4000)
    weights.write_bytes(content)
    assert answer(folder) != first
    assert len(list(kept.iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_no_error(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert answer(folder).text == "Robert Koch"


def test_two_first_starts_at_once(folder):
    code = (
        "import sys; from pathlib import Path;"
        "from keymiss.reader.openvino.openvino_reader import openvino_reader;"
        "openvino_reader(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(folder)]
    processes = [subprocess.Popen(command, env=os.environ) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]


def test_a_file_that_has_changed_has_another_digest(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = model_cache.digest_of([path])
    assert model_cache.digest_of([path]) == first
    path.write_bytes(b"two")
    assert model_cache.digest_of([path]) != first
