"""A shard's sentences in a tantivy index, in the worker's memory."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import tantivy

from keymiss.server.keys import DocumentKeys

ANALYZER = "english"
WRITER_BYTES = 32 << 20
WRITER_THREADS = 1
MAX_QUESTION_TERMS = 64


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that shares terms with the question."""

    sentence: str
    """Its name, `DOC:{TAG}:N`."""
    length: int
    """How many terms it has."""
    frequencies: dict[str, int]
    """How often each term of the question occurs in it."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What one shard contributes to a ranking over all shards."""

    documents: int
    sentences: int
    total_length: int
    """Terms in all sentences of the shard."""
    sentence_counts: dict[str, int]
    """In how many sentences of the shard each term of the question occurs."""
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """What the index remembers of a document that it holds."""

    content_hash: str
    sentences: int
    length: int


class SentenceIndex:
    """Finds sentences by the words of a question. May be used from several threads."""

    def __init__(self) -> None:
        schema = tantivy.SchemaBuilder()
        schema.add_text_field("document", tokenizer_name="raw", index_option="basic")
        schema.add_text_field("sentence", stored=True, tokenizer_name="raw", index_option="basic")
        schema.add_text_field("text", stored=True, tokenizer_name=ANALYZER, index_option="freq")
        self._schema = schema.build()
        self._analyzer = _english()
        self._index = tantivy.Index(self._schema)
        self._index.register_tokenizer(ANALYZER, self._analyzer)
        self._writer = self._index.writer(WRITER_BYTES, WRITER_THREADS)
        self._lock = threading.Lock()
        self._documents: dict[DocumentKeys, IndexedDocument] = {}

    def known(self) -> list[DocumentKeys]:
        """The documents that the index holds."""
        with self._lock:
            return list(self._documents)

    def content_hash(self, keys: DocumentKeys) -> str | None:
        """The content that the index holds of a document, None when it holds none."""
        held = self._documents.get(keys)
        return held.content_hash if held else None

    def put(self, keys: DocumentKeys, content_hash: str, sentences: dict[int, str]) -> None:
        """Adds a document or replaces it. Visible to `find` after `commit`."""
        with self._lock:
            self._delete(keys)
            length = 0
            for number, text in sentences.items():
                length += len(self._analyzer.analyze(text))
                self._writer.add_document(
                    tantivy.Document(
                        document=keys.article, sentence=keys.sentence(number), text=text
                    )
                )
            self._documents[keys] = IndexedDocument(content_hash, len(sentences), length)

    def remove(self, keys: DocumentKeys) -> bool:
        """Takes a document out, and says whether it was there. Visible to `find` after `commit`."""
        with self._lock:
            return self._delete(keys)

    def _delete(self, keys: DocumentKeys) -> bool:
        if not self._documents.pop(keys, None):
            return False
        self._writer.delete_documents_by_term("document", keys.article)
        return True

    def commit(self) -> None:
        """Makes all changes visible."""
        with self._lock:
            self._writer.commit()
            self._index.reload()

    def find(self, question: str, limit: int) -> Candidates:
        """The shard's best sentences by its own BM25, with what a global ranking needs."""
        terms = list(dict.fromkeys(self._analyzer.analyze(question)))[:MAX_QUESTION_TERMS]
        with self._lock:
            searcher = self._index.searcher()
            held = list(self._documents.values())
        counts = {term: self._count(searcher, term) for term in terms}
        return Candidates(
            documents=len(held),
            sentences=sum(document.sentences for document in held),
            total_length=sum(document.length for document in held),
            sentence_counts=counts,
            candidates=tuple(self._search(searcher, [t for t in terms if counts[t]], limit)),
        )

    def _count(self, searcher: tantivy.Searcher, term: str) -> int:
        """Sentences with the term; the index's own doc_freq counts deleted ones, too."""
        if not searcher.doc_freq("text", term):
            return 0
        query = tantivy.Query.term_query(self._schema, "text", term)
        found: int = searcher.search(query, 1, count=True).count  # type: ignore[attr-defined]
        return found

    def _search(
        self, searcher: tantivy.Searcher, terms: Sequence[str], limit: int
    ) -> Iterable[Candidate]:
        if not terms:
            return
        queries = [tantivy.Query.term_query(self._schema, "text", term) for term in terms]
        query = tantivy.Query.boolean_query([(tantivy.Occur.Should, part) for part in queries])
        wanted = set(terms)
        for _, address in searcher.search(query, limit, count=False).hits:
            stored = searcher.doc(address)
            found = self._analyzer.analyze(str(stored.get_first("text")))
            frequencies = Counter(term for term in found if term in wanted)
            yield Candidate(str(stored.get_first("sentence")), len(found), dict(frequencies))


def _english() -> tantivy.TextAnalyzer:
    """Words, lower case, without accents and English endings; stop words stay out."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.stopword("english"))
        .filter(tantivy.Filter.stemmer("english"))
        .build()
    )
