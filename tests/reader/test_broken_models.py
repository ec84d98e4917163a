"""A model folder with files missing or damaged: one clear error, whatever is wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import keymiss.reader
from keymiss.reader import ModelError, Reader

BUNDLED = Path(keymiss.reader.__file__).parent / "models" / "minilm-qa"


@pytest.fixture
def folder(tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(BUNDLED, copy)
    return copy


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    (folder / "vocab.txt").unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        Reader.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"[]", b'{"a": '])
def test_a_damaged_file_is_named(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        Reader.from_pretrained(folder)


def test_a_file_that_was_cut_off_is_damaged(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000_000])
    with pytest.raises(ModelError, match="is damaged"):
        Reader.from_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "model_type is 'gpt2'; the reader knows 'bert', "),
        ({"hidden_act": "swish"}, "only 'gelu' is known"),
        ({"hidden_size": None}, "hidden_size is None"),
        ({"hidden_size": -1}, "hidden_size is -1"),
        ({"num_attention_heads": 7}, "not a multiple"),
        ({"hidden_size": 768}, "the config says"),
        ({"num_hidden_layers": 7}, r"layer\.6\..* is missing"),
    ],
)
def test_a_config_that_does_not_fit_says_where(folder, change, message):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=message):
        Reader.from_pretrained(folder)


def test_weights_of_another_type_are_refused(folder):
    path = folder / "model.safetensors"
    arrays = load_file(path)
    arrays["qa_outputs.bias"] = arrays["qa_outputs.bias"].astype(np.int32)
    save_file(arrays, path)
    with pytest.raises(ModelError, match=r"qa_outputs\.bias is missing, or not float"):
        Reader.from_pretrained(folder)


@pytest.mark.parametrize("name", ["no-such-model", "/etc/passwd", ""])
def test_an_unknown_name_says_what_would_do(name):
    with pytest.raises(ModelError, match="give a folder|is missing"):
        Reader.from_pretrained(name)
