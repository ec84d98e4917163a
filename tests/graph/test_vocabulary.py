"""Vocabularies from files: what is taken, and what is said of the rest."""

import pytest

from keymiss.errors import SetupError
from keymiss.graph.concept_matcher import Matcher
from keymiss.graph.vocabulary import DEMO, Concept, Vocabulary, concept_of_line
from keymiss.graph.vocabulary_files import load_vocabulary

FLU = Concept("K1", "influenza", ("flu", "grippe"), "disease")
COLD = Concept("K2", "common cold", (), "disease")


def load(folder, name, text):
    path = folder / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return load_vocabulary(path)


def test_tsv_is_read_by_its_header(tmp_path):
    text = (
        "type\tid\tname\tsynonyms\n"
        "disease\tK1\tinfluenza\tflu| grippe |\n\n"
        "disease\tK2\tcommon cold\t\n"
    )
    loaded = load(tmp_path, "v.tsv", text)
    assert loaded.vocabulary.concepts == (FLU, COLD)
    assert loaded.problems == []


def test_json_lines_are_read(tmp_path):
    text = (
        '{"id": "K1", "name": "influenza", "synonyms": ["flu", "grippe"], "type": "disease"}\n'
        '{"id": "K2", "name": "common cold", "type": "disease"}\n'
    )
    assert load(tmp_path, "v.jsonl", text).vocabulary.concepts == (FLU, COLD)


def rrf(cui, text, language="ENG", preferred="P|L|PF|S|Y", suppressed="N"):
    status, lui, form, sui, is_preferred = preferred.split("|")
    return (
        f"{cui}|{language}|{status}|{lui}|{form}|{sui}|{is_preferred}|A|||X|SAB|PT|C|{text}|0|"
        f"{suppressed}||\n"
    )


def test_of_umls_the_english_terms_in_use_are_taken(tmp_path):
    text = (
        rrf("C1", "flu", preferred="S|L|VO|S|N")
        + rrf("C1", "influenza")
        + rrf("C1", "flu", preferred="S|L|VO|S|Y")
        + rrf("C1", "Grippe", language="GER")
        + rrf("C1", "old flu", suppressed="O")
        + rrf("C2", "common cold", preferred="S|L|VO|S|N")
        + "broken|line\n"
    )
    loaded = load(tmp_path, "MRCONSO.RRF", text)
    assert loaded.vocabulary.concepts == (
        Concept("C1", "influenza", ("flu",)),
        Concept("C2", "common cold"),
    )
    assert loaded.problems == ["line 7 has 2 columns; MRCONSO.RRF has 18"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("K1", "line 2 has 1 columns; the header has 4"),
        ("\tinfluenza\t\t", "a concept's id has 1 to 64 bytes"),
        ("K{1}\tinfluenza\t\t", "a concept's id has 1 to 64 bytes"),
        ("K1:\tinfluenza\t\t", "a concept's id has 1 to 64 bytes"),
        ("K1\t\t\t", "the concept K1 has no name"),
        (f"K1\t{'x' * 201}\t\t", "a term of more than 200 characters"),
        (f"K1\tflu\t\t{'|'.join(map(str, range(1001)))}", "more than 1000 terms"),
    ],
)
def test_a_line_that_cannot_be_used_stops_no_other(tmp_path, line, problem):
    text = f"id\tname\ttype\tsynonyms\n{line}\nK2\tcommon cold\tdisease\t\n"
    loaded = load(tmp_path, "v.tsv", text)
    assert loaded.vocabulary.concepts == (COLD,)
    assert problem in loaded.problems[0]


@pytest.mark.parametrize(
    "line",
    [
        "{broken",
        "[]",
        '{"id": 1, "name": "flu"}',
        '{"id": "K1"}',
        '{"id": "K1", "name": "flu", "synonyms": "grippe"}',
        '{"id": "K1", "name": "\\ud800"}',
        "[" * 100_000,
    ],
)
def test_json_that_is_no_concept_stops_no_other(tmp_path, line):
    loaded = load(tmp_path, "v.jsonl", line + '\n{"id": "K2", "name": "common cold"}\n')
    assert [concept.id for concept in loaded.vocabulary.concepts] == ["K2"]
    assert len(loaded.problems) == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("v.txt", "x", "its name must end in one of .tsv, .jsonl, .rrf"),
        ("v.tsv", "", "holds no concept"),
        ("v.tsv", "K1\tflu\n", "does not name the columns `id` and `name`"),
        ("v.jsonl", "{}\n", "the first problem: line 1"),
    ],
)
def test_a_file_without_concepts_is_an_error(tmp_path, name, text, message):
    with pytest.raises(SetupError, match=message):
        load(tmp_path, name, text)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(SetupError, match="cannot be read"):
        load_vocabulary(tmp_path / "none.tsv")


def test_each_id_is_there_once():
    other = Concept("K1", "other")
    assert Vocabulary([FLU, COLD, other]).concepts == (FLU, COLD)


def test_lines_come_back_and_the_fingerprint_says_what_is_in_it():
    vocabulary = Vocabulary([FLU, COLD])
    again = Vocabulary(map(concept_of_line, vocabulary.lines()))
    assert again.concepts == vocabulary.concepts
    assert again.fingerprint == vocabulary.fingerprint
    assert Vocabulary([COLD, FLU]).fingerprint != vocabulary.fingerprint


def test_the_demo_vocabulary_is_sound():
    loaded = load_vocabulary(DEMO)
    assert loaded.problems == []
    concepts = loaded.vocabulary.concepts
    assert len(concepts) >= 400
    # No term means two concepts.
    assert Matcher(loaded.vocabulary).terms == sum(len(one.terms) for one in concepts)
