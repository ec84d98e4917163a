"""Prefixes, forms and fields: what keys begin with, and what the hashes among them hold."""

from __future__ import annotations

OURS = "keymiss:"
"""What all keys but `bertqa` begin with."""

CORPUS = f"{OURS}corpus"
DOCUMENTS = f"{OURS}document:"
SENTENCES = f"{OURS}sentences:"
TOKENS = f"{OURS}tokens:"
ANSWERS = f"{OURS}answers:"
BUCKET = f"{OURS}bucket:"
CONCEPTS = f"{OURS}concepts:"
EDGES = f"{OURS}edges:"
VOCABULARY = f"{OURS}vocabulary"
STATISTICS = f"{OURS}statistics:"
FIND = f"{OURS}find{{"
FIND_HERE = f"{OURS}findhere{{"
QA = f"{OURS}qa{{"
BERTQA = "bertqa{"
LINKS = f"{OURS}links{{"
EDGE = f"{OURS}edge{{"
MODELINFO = f"{OURS}modelinfo{{"
"""Prefixes: what a function is registered for."""

_OF_SENTENCE = "<tag>}_<document>:{<tag>}:<sentence#>_<question*>"
FIND_FORM = f"{FIND}<tag>}}_<question*>"
FIND_HERE_FORM = f"{FIND_HERE}<tag>}}_<question*>"
QA_FORM = QA + _OF_SENTENCE
BERTQA_FORM = BERTQA + _OF_SENTENCE
LINKS_FORM = f"{LINKS}<tag>}}_<question*>"
EDGE_FORM = f"{EDGE}<tag>}}_<source>:<target>"
MODELINFO_FORM = f"{MODELINFO}<model>}}"
"""The exact forms of the keys that functions compute (docs/commands.md, FORM)."""

TITLE, YEAR, SOURCE = "title", "year", "source"
SOURCE_KEY = "key"
SENTENCE_COUNT = "sentences"
PARAGRAPHS = "paragraphs"
TEXT_HASH, FACTS_HASH = "text_hash", "facts_hash"
"""Fields of `keymiss:document:`. TEXT_HASH stands with a document's tokens, too: of which text they
are."""

BUCKET_COUNT, SPLITTER, CREATED = "buckets", "splitter", "created"
"""Fields of `keymiss:corpus`."""

STAMP = "of"
"""The field of `keymiss:concepts:` that names the text and the vocabulary; YEAR stands beside."""

FINGERPRINT, CONCEPT_COUNT, PARTS = "fingerprint", "concepts", "parts"
"""Fields of `keymiss:vocabulary`, with CREATED."""

OLD_CORPUS = "corpus"
"""The key of a corpus whose keys had no prefix: it is recognised, and not read."""
