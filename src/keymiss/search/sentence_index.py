"""A shard's sentences in a tantivy index, which may outlive the worker."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

import tantivy

from keymiss.keys import DocumentKeys
from keymiss.values.find_value import Candidate, Candidates

logger = logging.getLogger(__name__)

TERMS_FIELD = "terms"
FACTS_KIND = "facts"
WRITER_BYTES = 32 << 20
WRITER_THREADS = 1
MAX_QUESTION_TERMS = 64


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """What the index remembers of a document that it holds."""

    text_hash: str
    sentences: int
    length: int


class SentenceIndex:
    """Finds sentences by the words of a question. It may be used from several threads.

    In the index a document has one entry for each sentence and one for its facts, all under the
    document's name, so that they come and go together.

    Args:
        folder: where the index is kept between runs; no other index may use it at the same time.
            None keeps the index in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._schema = _schema()
        self._analyzer = _english()
        self._index = _open(self._schema, folder)
        self._index.register_tokenizer(TERMS_FIELD, _spaces())
        self._writer = self._index.writer(WRITER_BYTES, WRITER_THREADS)
        self._writing = threading.Lock()
        """Guards changes. It is taken before `_lock`, so that searches go on during a commit."""
        self._lock = threading.Lock()
        """Guards what searches read."""
        self._documents: dict[DocumentKeys, IndexedDocument] = {}
        self._counts: Counter[str] = Counter()
        """In how many sentences each term occurs. Tantivy's counts include deleted sentences."""
        self._sentences = self._length = 0
        self._uncommitted: dict[DocumentKeys, Counter[str]] = {}
        stored = _is(self._schema, "kind", FACTS_KIND)
        for keys, indexed, counts in self._stored(stored, max(1, self._index.searcher().num_docs)):
            self._add(keys, indexed, counts)

    def _add(self, keys: DocumentKeys, indexed: IndexedDocument, counts: Counter[str]) -> None:
        self._documents[keys] = indexed
        self._sentences += indexed.sentences
        self._length += indexed.length
        self._counts.update(counts)

    def _stored(
        self, query: tantivy.Query, limit: int
    ) -> Iterator[tuple[DocumentKeys, IndexedDocument, Counter[str]]]:
        searcher = self._index.searcher()
        for _, address in searcher.search(query, limit, count=False).hits:
            facts = json.loads(bytes(searcher.doc(address).get_first("facts") or b""))
            indexed = IndexedDocument(*facts["indexed"])
            yield DocumentKeys(*facts["document"]), indexed, Counter(facts["counts"])

    def known(self) -> list[DocumentKeys]:
        """The documents that the index holds."""
        with self._lock:
            return list(self._documents)

    def size(self) -> tuple[int, int]:
        """How many documents the index holds, and how many sentences."""
        with self._lock:
            return len(self._documents), self._sentences

    def text_hash(self, keys: DocumentKeys) -> str | None:
        """The hash of the text that the index holds of a document; None when it holds no text."""
        held = self._documents.get(keys)
        return held.text_hash if held else None

    def put(self, keys: DocumentKeys, text_hash: str, sentences: dict[int, str]) -> None:
        """Adds a document or replaces it. `find` sees the change after `commit`."""
        length = 0
        counts: Counter[str] = Counter()
        entries = []
        for number, text in sentences.items():
            terms = self._analyzer.analyze(text)
            length += len(terms)
            counts.update(set(terms))
            name = keys.sentence(number)
            entries.append(
                tantivy.Document(document=keys.facts, sentence=name, terms=" ".join(terms))
            )
        with self._writing, self._lock:
            self._delete(keys)
            for entry in entries:
                self._writer.add_document(entry)
            indexed = IndexedDocument(text_hash, len(sentences), length)
            facts = {"document": astuple(keys), "indexed": astuple(indexed), "counts": counts}
            self._writer.add_document(
                tantivy.Document(
                    document=keys.facts, kind=FACTS_KIND, facts=json.dumps(facts).encode()
                )
            )
            self._add(keys, indexed, counts)
            self._uncommitted[keys] = counts

    def remove(self, keys: DocumentKeys) -> bool:
        """Removes a document; returns whether it was there. `find` sees this after `commit`."""
        with self._writing, self._lock:
            return self._delete(keys)

    def _delete(self, keys: DocumentKeys) -> bool:
        indexed = self._documents.pop(keys, None)
        if indexed is None:
            return False
        self._sentences -= indexed.sentences
        self._length -= indexed.length
        gone = self._uncommitted.pop(keys, None)
        for term, count in (self._stored_counts(keys) if gone is None else gone).items():
            self._counts[term] -= count
            if not self._counts[term]:
                del self._counts[term]
        self._writer.delete_documents_by_term("document", keys.facts)
        return True

    def _stored_counts(self, keys: DocumentKeys) -> Counter[str]:
        facts_of = [
            _is(self._schema, "document", keys.facts),
            _is(self._schema, "kind", FACTS_KIND),
        ]
        query = tantivy.Query.boolean_query([(tantivy.Occur.Must, part) for part in facts_of])
        return next(counts for _, _, counts in self._stored(query, limit=1))

    def commit(self) -> None:
        """Makes all changes visible."""
        with self._writing:
            self._writer.commit()
            self._uncommitted.clear()
            with self._lock:
                self._index.reload()

    def find(self, question: str, limit: int) -> Candidates:
        """The shard's best sentences by its own BM25, with what a ranking over all shards needs."""
        terms = list(dict.fromkeys(self._analyzer.analyze(question)))[:MAX_QUESTION_TERMS]
        with self._lock:
            searcher = self._index.searcher()
            documents, sentences = len(self._documents), self._sentences
            total_length = self._length
            counts = {term: self._counts[term] for term in terms}
        return Candidates(
            documents=documents,
            sentences=sentences,
            total_length=total_length,
            sentence_counts=counts,
            candidates=tuple(self._search(searcher, counts, limit)),
        )

    def _search(
        self, searcher: tantivy.Searcher, counts: Mapping[str, int], limit: int
    ) -> Iterable[Candidate]:
        known = [term for term, count in counts.items() if count]
        if not known:
            return
        queries = [(tantivy.Occur.Should, _is(self._schema, TERMS_FIELD, term)) for term in known]
        query = tantivy.Query.boolean_query(queries)
        for _, address in searcher.search(query, limit, count=False).hits:
            stored = searcher.doc(address)
            terms = str(stored.get_first(TERMS_FIELD)).split()
            common = set(terms).intersection(known)
            frequencies = [terms.count(term) if term in common else 0 for term in counts]
            yield Candidate(str(stored.get_first("sentence")), len(terms), frequencies)


def _schema() -> tantivy.Schema:
    schema = tantivy.SchemaBuilder()
    schema.add_text_field("document", tokenizer_name="raw", index_option="basic")
    schema.add_text_field("sentence", stored=True, tokenizer_name="raw", index_option="basic")
    schema.add_text_field(TERMS_FIELD, stored=True, tokenizer_name=TERMS_FIELD, index_option="freq")
    schema.add_text_field("kind", tokenizer_name="raw", index_option="basic")
    schema.add_bytes_field("facts", stored=True)
    return schema.build()


def _is(schema: tantivy.Schema, field: str, term: str) -> tantivy.Query:
    return tantivy.Query.term_query(schema, field, term)


def _open(schema: tantivy.Schema, folder: Path | None) -> tantivy.Index:
    if folder is None:
        return tantivy.Index(schema)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return tantivy.Index(schema, str(folder))
    except ValueError as error:
        # Nothing is lost: the index is made from keys in the server.
        logger.warning("the index in %s cannot be used and is made again: %s", folder, error)
        shutil.rmtree(folder)
        folder.mkdir()
        return tantivy.Index(schema, str(folder))


def _english() -> tantivy.TextAnalyzer:
    """Words in lower case, without accents and English endings; stop words are left out."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.stopword("english"))
        .filter(tantivy.Filter.stemmer("english"))
        .build()
    )


def _spaces() -> tantivy.TextAnalyzer:
    """Splits stored terms at spaces. They are terms that `_english` has made, so that no text is
    analysed again, for the index or when it is found."""
    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
