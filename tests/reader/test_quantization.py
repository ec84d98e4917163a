"""Readers in int8: the command, what it refuses, and what is said before it has run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from keymiss.errors import SetupError
from keymiss.reader import BUNDLED_FOLDER, ModelError, Reader
from keymiss.reader.openvino.kept_graphs import compile_graph
from keymiss.reader.openvino.quantization import quantize, share_kernels

GOLDEN = Path(__file__).parent / "golden"
PASSAGES = [
    (
        "Who found the bacillus?",
        "Robert Koch found the bacillus of cholera in Egypt.",
        "Robert Koch",
    ),
    ("Where did he find it?", "Robert Koch found the bacillus of cholera in Egypt.", "Egypt"),
    ("Who was vaccinated?", "Edward Jenner vaccinated James Phipps in 1796.", "James Phipps"),
    ("When was he vaccinated?", "Edward Jenner vaccinated James Phipps in 1796.", "1796"),
]


READS_A_NEW_SHAPE = """
from keymiss.reader import Reader
reader = Reader.from_pretrained("minilm-qa", "int8")
reader.read("Who?", ["Koch did."])
print("NEW", flush=True)
reader.read("Who?", ["Koch did. " * 20])
"""


@pytest.fixture(autouse=True)
def kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    paragraphs = [
        {"context": passage, "qas": [{"question": question, "answers": [{"text": text}]}]}
        for question, passage, text in PASSAGES
    ]
    path = tmp_path_factory.mktemp("asked") / "questions.json"
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return str(path)


@pytest.fixture(scope="module")
def quantizing(tmp_path_factory, questions):
    """The bundled model quantized: the folder where it is kept, and what the command said."""
    pytest.importorskip("nncf", reason="NNCF is not installed")
    cache = str(tmp_path_factory.mktemp("quantized"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", cache)
        return cache, keymiss("quantize", "minilm-qa", "--calibrate", questions, "--json")


@pytest.fixture
def quantized(monkeypatch, quantizing):
    """The same in a test's own environment."""
    cache, done = quantizing
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def answer_of(reader):
    question, passage, _ = PASSAGES[0]
    return reader.read(question, [passage])[0]


def keymiss(*arguments):
    command = [sys.executable, "-m", "keymiss", "model", *arguments]
    return subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=100)


def test_a_quantized_model_answers_in_int8(quantized, questions):
    assert (quantized["questions"], quantized["f1"], quantized["f1_int8"]) == (4, 100, 100)
    assert 0.1 < quantized["speedup"] < 20
    scored = keymiss("eval", "minilm-qa", questions, "--precision", "int8", "--json")
    assert json.loads(scored.stdout)["exact"] == 100
    int8, fp32 = (Reader.from_pretrained(BUNDLED_FOLDER, each) for each in ("int8", "fp32"))
    assert int8.version != fp32.version
    assert answer_of(int8).score != answer_of(fp32).score


def computed(graph, inputs):
    compiled = compile_graph(graph, "fp32")
    return np.array(compiled(inputs)[0])


def widened(factors):
    """A product, its GELU, rounded to 8 bits, behind factors of channels if there are any."""
    random = np.random.default_rng(0)
    given = op.parameter([-1, -1, 16], np.float32)
    matrix = op.constant(random.normal(0, 0.3, (64, 16)).astype(np.float32))
    bias = op.constant(random.normal(0, 0.1, 64).astype(np.float32))
    source = op.gelu(op.add(op.matmul(given, matrix, False, True), bias), "erf")
    if factors is not None:
        source = op.multiply(source, op.constant(factors.reshape(1, 1, 64)))
    bounds = [op.constant(np.float32(bound)) for bound in (-0.5, 2.0, -0.5, 2.0)]
    rounded = op.fake_quantize(source, *bounds, 256)
    return ov.Model([op.matmul(rounded, matrix, False, False)], [given])


@pytest.mark.parametrize("factors", [None, np.linspace(0.5, 2, 64, dtype=np.float32)])
def test_a_range_for_each_channel_rounds_as_the_common_one_did(factors):
    inputs = [np.random.default_rng(1).normal(0, 1, (2, 50, 16)).astype(np.float32)]
    common, by_channel = widened(factors), widened(factors)
    share_kernels(by_channel)
    ranges = [node for node in by_channel.get_ops() if node.get_type_name() == "FakeQuantize"]
    assert [list(node.input_value(1).shape) for node in ranges] == [[1, 1, 64]]
    one, other = (computed(graph, inputs) for graph in (common, by_channel))
    step = 2.5 / 255
    assert np.abs(one).max() > 100 * step
    assert np.abs(one - other).max() < step  # of one number on the border between two steps


def test_a_factor_for_each_head_leaves_the_attention_as_it_was():
    def attention():
        scores, weights = (op.parameter([-1, 2, -1, 4], np.float32) for _ in range(2))
        bias = op.parameter([-1, 1, 1, -1], np.float32)
        product = op.matmul(scores, weights, False, True)
        return ov.Model([op.softmax(op.add(product, bias), -1)], [scores, weights, bias])

    random = np.random.default_rng(0)
    inputs = [random.normal(0, 1, (1, 2, 3, 4)).astype(np.float32) for _ in range(2)]
    inputs.append(np.zeros((1, 1, 1, 3), np.float32))
    scaled = attention()
    share_kernels(scaled)
    before, after = (computed(graph, inputs) for graph in (attention(), scaled))
    assert 0 < np.abs(before - after).max() < 1e-3


def test_layers_share_the_kernels_that_a_new_shape_needs(quantized):
    telling = os.environ | {"ONEDNN_VERBOSE": "profile_create"}
    command = [sys.executable, "-c", READS_A_NEW_SHAPE]
    done = subprocess.run(command, env=telling, capture_output=True, text=True, timeout=100)
    lines = done.stdout.partition("NEW")[2].splitlines()
    made = [line for line in lines if "create:cache_miss" in line and ",reorder," not in line]
    # Kinds of products; six layers with a kernel each for one kind would be 11 at least.
    assert 1 <= len(made) <= 10, made


@pytest.mark.filterwarnings("ignore")
def test_what_loses_too_much_is_refused_with_the_figures(tmp_path):
    pytest.importorskip("nncf", reason="NNCF is not installed")
    folder = shutil.copytree(GOLDEN / "bert", tmp_path / "bert")
    pairs = [(question, passage) for question, passage, _ in PASSAGES]
    exact = Reader.from_pretrained(folder, "fp32").read_batch(pairs)

    def score(reader, chosen):
        found = reader.read_batch([pairs[index] for index in chosen])
        return [float(found[i] == exact[index]) for i, index in enumerate(chosen)]

    with pytest.raises(ModelError, match=r"F1 100\.00 becomes .* at most 0\.6 may be lost"):
        quantize(folder, pairs, score)
    with pytest.raises(ModelError, match="is not quantized here"):
        Reader.from_pretrained(folder, "int8")


def test_a_model_that_is_not_quantized_says_how_to(questions):
    failed = keymiss("eval", "minilm-qa", questions, "--precision", "int8")
    assert failed.returncode == 2
    assert "keymiss model quantize NAME --calibrate FILE" in failed.stderr


def test_without_nncf_the_error_says_what_to_install(questions, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(SetupError, match=r"pip install 'keymiss\[quantize\]'"):
        quantize(BUNDLED_FOLDER, [("Who?", "Ada wrote it.")], lambda reader, chosen: [1.0])
