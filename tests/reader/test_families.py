"""Every family of encoders gives what transformers gives, however its files are written.

`golden/` holds small random checkpoints and what transformers said of them: see make_golden.py.
"""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from keymiss.reader import ModelError, Reader

GOLDEN = Path(__file__).parent / "golden"
FAMILIES = sorted(path.name for path in GOLDEN.iterdir())
CLOSE = 1e-4


def expected(family):
    return json.loads((GOLDEN / family / "expected.json").read_text(encoding="utf-8"))


def assert_like_transformers(folder, records, close=CLOSE):
    reader = Reader.from_pretrained(folder, precision="fp32")
    pairs = [(record["question"], record["passage"]) for record in records]
    rows = [row.tokens for row in reader.rows(pairs)]
    for row, record in zip(rows, records, strict=True):
        assert row.ids.tolist() == record["ids"]
    # Several in one call: padding must not change anything.
    for index, logits in reader.network.logits(rows):
        np.testing.assert_allclose(logits, records[index]["logits"], rtol=0, atol=close)


@pytest.fixture
def folder(request, tmp_path):
    """A copy of a family's folder."""
    copy = tmp_path / request.param
    shutil.copytree(GOLDEN / request.param, copy)
    return copy


every_family = pytest.mark.parametrize("folder", FAMILIES, indirect=True)


def rewrite(folder, rename):
    path = folder / "model.safetensors"
    arrays = {rename(name): array for name, array in load_file(path).items()}
    save_file(arrays, path)


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_and_logits_are_those_of_transformers(family):
    assert_like_transformers(GOLDEN / family, expected(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_cut_out_of_the_passage_without_white_space_around(family):
    reader = Reader.from_pretrained(GOLDEN / family)
    for record in expected(family):
        passage = record["passage"]
        for answer in reader.read(record["question"], [passage], top_k=5):
            assert passage[answer.start : answer.end] == answer.text == answer.text.strip() != ""


@every_family
def test_old_names_of_the_layer_norm_are_understood(folder):
    olden = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    rewrite(folder, lambda name: re.sub(r"LayerNorm\.\w+$", lambda m: olden[m[0]], name))
    assert_like_transformers(folder, expected(folder.name))


@every_family
def test_names_without_the_familys_prefix_are_understood(folder):
    rewrite(folder, lambda name: re.sub(r"^(bert|distilbert|electra|roberta)\.", "", name))
    assert_like_transformers(folder, expected(folder.name))


@every_family
def test_shards_are_put_together(folder):
    arrays = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(arrays)
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for file, part in zip(files, (names[::2], names[1::2]), strict=True):
        save_file({name: arrays[name] for name in part}, folder / file)
    weight_map = {name: files[number % 2] for number, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert_like_transformers(folder, expected(folder.name))
    (folder / files[1]).unlink()
    with pytest.raises(ModelError, match=r"00002\.safetensors is missing"):
        Reader.from_pretrained(folder)


@every_family
def test_half_precision_weights_are_close(folder):
    path = folder / "model.safetensors"
    save_file({name: array.astype(np.float16) for name, array in load_file(path).items()}, path)
    assert_like_transformers(folder, expected(folder.name), close=0.02)


@every_family
def test_a_pooler_and_buffers_do_not_disturb(folder):
    path = folder / "model.safetensors"
    more: dict[str, np.ndarray] = {
        "bert.pooler.dense.weight": np.zeros((4, 4), np.float32),
        "bert.embeddings.position_ids": np.arange(80),
    }
    save_file(load_file(path) | more, path)
    assert_like_transformers(folder, expected(folder.name))


@pytest.mark.parametrize("folder", ["bert", "distilbert", "electra"], indirect=True)
def test_a_vocabulary_of_word_pieces_is_enough(folder):
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    words = sorted(model["vocab"], key=model["vocab"].get)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    assert_like_transformers(folder, expected(folder.name))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    cased = Reader.from_pretrained(folder).rows([("Who?", "Robert Koch")])[0].tokens.ids.tolist()
    uncased = Reader.from_pretrained(GOLDEN / folder.name).rows([("Who?", "Robert Koch")])
    assert cased != uncased[0].tokens.ids.tolist()


@pytest.mark.parametrize("folder", ["roberta"], indirect=True)
def test_byte_pairs_and_their_merges_are_enough(folder):
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = [" ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    (folder / "tokenizer.json").unlink()
    assert_like_transformers(folder, expected(folder.name))
    (folder / "merges.txt").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        Reader.from_pretrained(folder)


@pytest.mark.parametrize("folder", ["bert"], indirect=True)
def test_a_pickle_is_refused_with_the_reason(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="a pickle, which can run any program"):
        Reader.from_pretrained(folder)


@pytest.mark.parametrize("folder", ["bert"], indirect=True)
def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(folder):
    path = folder / "config.json"
    small = json.loads(path.read_text()) | {"vocab_size": 100}
    path.write_text(json.dumps(small))
    arrays = load_file(folder / "model.safetensors")
    name = "bert.embeddings.word_embeddings.weight"
    arrays[name] = np.ascontiguousarray(arrays[name][:100])
    save_file(arrays, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"the tokenizer has \d+ tokens, the model 100"):
        Reader.from_pretrained(folder)
