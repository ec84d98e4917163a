"""Readers in int8: the command, what it refuses, and what is said before it has run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keymiss.reader import BUNDLED_FOLDER, ModelError, Reader
from keymiss.reader.quantization import quantize

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


@pytest.fixture
def questions(tmp_path):
    paragraphs = [
        {"context": passage, "qas": [{"question": question, "answers": [{"text": text}]}]}
        for question, passage, text in PASSAGES
    ]
    path = tmp_path / "questions.json"
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return str(path)


def answer_of(reader):
    question, passage, _ = PASSAGES[0]
    return reader.read(question, [passage])[0]


def keymiss(*arguments):
    command = [sys.executable, "-m", "keymiss", "model", *arguments]
    return subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=100)


def test_a_quantized_model_answers_in_int8(questions):
    pytest.importorskip("nncf", reason="NNCF is not installed")
    done = keymiss("quantize", "minilm-qa", "--calibrate", questions, "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["questions"], figures["f1"], figures["f1_int8"]) == (4, 100, 100)
    assert 0.1 < figures["speedup"] < 20
    scored = keymiss("eval", "minilm-qa", questions, "--precision", "int8", "--json")
    assert json.loads(scored.stdout)["exact"] == 100
    int8, fp32 = (Reader.from_pretrained(BUNDLED_FOLDER, each) for each in ("int8", "fp32"))
    assert int8.version != fp32.version
    assert answer_of(int8).score != answer_of(fp32).score


def test_layers_share_the_kernels_that_a_new_shape_needs(questions):
    pytest.importorskip("nncf", reason="NNCF is not installed")
    assert keymiss("quantize", "minilm-qa", "--calibrate", questions).returncode == 0
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
    with pytest.raises(ModelError, match=r"pip install 'keymiss\[quantize\]'"):
        quantize(BUNDLED_FOLDER, [("Who?", "Ada wrote it.")], lambda reader, chosen: [1.0])
