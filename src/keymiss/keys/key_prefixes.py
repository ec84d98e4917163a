"""The prefixes and forms of keys, and the fields of the hashes among them."""

from __future__ import annotations

OURS = "keymiss:"
"""The beginning of all keys except `bertqa`."""

CORPUS = f"{OURS}corpus"
DOCUMENTS = f"{OURS}document:"
SENTENCES = f"{OURS}sentences:"
TOKENS = f"{OURS}tokens:"
VECTORS = f"{OURS}vectors:"
ANSWERS = f"{OURS}answers:"
BUCKET = f"{OURS}bucket:"
CONCEPTS = f"{OURS}concepts:"
EDGES = f"{OURS}edges:"
VOCABULARY = f"{OURS}vocabulary"
VECTORS_NOTE = f"{OURS}vectors"
STATISTICS = f"{OURS}statistics:"
FIND = f"{OURS}find{{"
FIND_HERE = f"{OURS}findhere{{"
QA = f"{OURS}qa{{"
PASSAGE = f"{OURS}passage{{"
BERTQA = "bertqa{"
LINKS = f"{OURS}links{{"
EDGE = f"{OURS}edge{{"
MODELINFO = f"{OURS}modelinfo{{"
"""The beginnings of keys; functions are registered for some of them."""

_OF_SENTENCE = "<tag>}_<document>:{<tag>}:<sentence#>_<question*>"
FIND_FORM = f"{FIND}<tag>}}_<question*>"
FIND_HERE_FORM = f"{FIND_HERE}<tag>}}_<question*>"
QA_FORM = QA + _OF_SENTENCE
BERTQA_FORM = BERTQA + _OF_SENTENCE
PASSAGE_FORM = f"{PASSAGE}<tag>}}_<document>:{{<tag>}}:<first#>:<last#>_<question*>"
LINKS_FORM = f"{LINKS}<tag>}}_<question*>"
EDGE_FORM = f"{EDGE}<tag>}}_<source>:<target>"
MODELINFO_FORM = f"{MODELINFO}<model>}}"
"""The exact forms of the keys that functions compute (docs/commands.md, FORM)."""

TITLE, YEAR, SOURCE = "title", "year", "source"
SOURCE_KEY = "key"
SENTENCE_COUNT = "sentences"
PARAGRAPHS = "paragraphs"
TEXT_HASH, FACTS_HASH = "text_hash", "facts_hash"
"""The fields of `keymiss:document:`. `keymiss:tokens:` has TEXT_HASH, too: it belongs to the text
that the tokens were made from."""

BUCKET_COUNT, SPLITTER, CREATED = "buckets", "splitter", "created"
"""The fields of `keymiss:corpus`."""

STAMP = "of"
"""The field of `keymiss:concepts:` that names the text and the vocabulary; YEAR is there, too."""

FINGERPRINT, CONCEPT_COUNT, PARTS = "fingerprint", "concepts", "parts"
"""The fields of `keymiss:vocabulary`, with CREATED."""

OLD_CORPUS = "corpus"
"""The key of a corpus whose keys have no prefix: keymiss recognises it, but does not read it."""
