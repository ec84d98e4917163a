"""The encoder gives the vectors that transformers gives, however they are computed."""

import hashlib
import json
import shutil
import threading

import numpy as np
import pytest

from keymiss.reader import BUNDLED_ENCODER, Encoder, ModelError
from keymiss.reader.checkpoint import BUNDLED_FOLDER
from keymiss.reader.sentence_encoder import MOST_ENCODED_TOKENS
from keymiss.reader.sentence_model import ENCODER_FOLDER
from keymiss.reader.weights import load_weights
from tests.reader.test_families import CLOSE, FAMILIES, GOLDEN, expected

SENTENCES = ["A cat sleeps.", "The kitten naps.", "Prices rose.", "", "😀", "猫が眠る。"]

BEGINNINGS = {
    "Robert Koch found the bacillus of cholera in Egypt, in 1883.": (
        *(-0.0141, 0.0558, -0.0261, 0.0099),
        *(-0.0423, 0.0074, -0.0495, 0.0443),
    ),
    "Was fand Koch? 😀": (-0.0327, -0.0147, -0.0034, 0.0179, 0.0154, 0.0244, 0.0357, 0.0218),
}
"""The first numbers of vectors that transformers computes with all-MiniLM-L6-v2."""

WORD_EMBEDDINGS = "8c1ee80a9ea4f65aa385ba30112010068af3d209bebc6e149d3d4589c2cd0a5a"
"""SHA-256 of the word embeddings of all-MiniLM-L6-v2 as float16."""


@pytest.fixture(scope="module")
def encoder():
    return Encoder.from_pretrained(precision="fp32")


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_transformers(family):
    records = expected(family)
    small = Encoder.from_pretrained(GOLDEN / family, "fp32")
    vectors = small.encode([record["passage"] for record in records])
    for vector, record in zip(vectors, records, strict=True):
        np.testing.assert_allclose(vector, record["vector"], rtol=0, atol=CLOSE)


def test_the_bundled_encoder_is_all_minilm_with_the_embeddings_of_the_reader(encoder):
    kept = load_weights(BUNDLED_FOLDER).get("embeddings.word_embeddings.weight", 30522, 384)
    assert kept.dtype == np.float16
    assert hashlib.sha256(kept.tobytes()).hexdigest() == WORD_EMBEDDINGS
    vectors = encoder.encode(list(BEGINNINGS))
    # Its other weights are kept as float16.
    np.testing.assert_allclose(vectors[:, :8], list(BEGINNINGS.values()), rtol=0, atol=5e-4)
    assert encoder.name == BUNDLED_ENCODER
    assert sum(path.stat().st_size for path in ENCODER_FOLDER.iterdir()) < 25e6


def test_sentences_of_one_meaning_are_nearer_than_others(encoder):
    vectors = encoder.encode(SENTENCES)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2]


@pytest.mark.parametrize(("precision", "near"), [("bf16", 0.9995), ("int8", 0.98)])
def test_other_precisions_stay_near(encoder, precision, near):
    other = Encoder.from_pretrained(precision=precision).encode(SENTENCES)
    assert (other * encoder.encode(SENTENCES)).sum(axis=1).min() > near


def test_a_vector_does_not_depend_on_who_computes_it_nor_beside_what(encoder):
    texts = [" ".join(["word"] * length) for length in (1, 300, 7, 200, 90, 250, 3)] * 2
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    for encode in (encoder.encode, encoder.encode_at_once, encoder.encode_yielding):
        np.testing.assert_array_equal(encode(texts), alone)


def test_nothing_gives_no_vector(encoder):
    assert encoder.encode([]).shape == encoder.encode_yielding([]).shape == (0, 384)


def test_what_is_too_long_is_cut_behind_the_most_tokens(encoder):
    words = ["virus"] * (encoder.most_tokens - 2)
    whole, longer = encoder.encode([" ".join(words), " ".join([*words, "and", "a", "bat"] * 30)])
    np.testing.assert_array_equal(whole, longer)
    assert encoder.most_tokens == 256 < MOST_ENCODED_TOKENS


def test_several_threads_may_encode_at_once(encoder):
    expected_vectors = encoder.encode(SENTENCES)
    wrong = []

    def encode(way):
        for _ in range(20):
            if not np.array_equal(way(SENTENCES), expected_vectors):
                wrong.append(way)

    ways = (encoder.encode, encoder.encode_at_once, encoder.encode_yielding)
    threads = [threading.Thread(target=encode, args=(way,)) for way in ways * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_another_model_has_another_fingerprint(encoder):
    other = Encoder.from_pretrained(GOLDEN / "bert", "fp32")
    assert other.fingerprint != encoder.fingerprint
    assert Encoder.from_pretrained(precision="bf16").fingerprint == encoder.fingerprint


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(GOLDEN / "bert", tmp_path / "bert")


@pytest.mark.parametrize("mode", ["cls_token", "max_tokens"])
def test_vectors_that_are_no_means_are_refused_by_name(folder, mode):
    modules = [{"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": "1_Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{mode}": True}))
    with pytest.raises(ModelError, match=f"made by pooling_mode_{mode}; only"):
        Encoder.from_pretrained(folder)


def test_a_module_that_changes_vectors_is_refused_by_name(folder):
    (folder / "modules.json").write_text(json.dumps([{"type": "a.Dense", "path": "2_Dense"}]))
    with pytest.raises(ModelError, match="pass a module Dense"):
        Encoder.from_pretrained(folder)


@pytest.mark.parametrize("name", ["modules.json", "sentence_bert_config.json"])
def test_a_damaged_file_is_named(folder, name):
    (folder / name).write_text("{")
    with pytest.raises(ModelError, match=f"{name} cannot be read"):
        Encoder.from_pretrained(folder)
