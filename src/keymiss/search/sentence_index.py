"""A shard's sentences in a tantivy index, which may outlive the worker."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import astuple, dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
import tantivy

from keymiss.errors import KeymissError
from keymiss.keys import DocumentKeys
from keymiss.search.document_terms import DocumentTerms, document_terms
from keymiss.search.sentence_choice import (
    ChosenRows,
    best_sentences,
    candidates_of,
    counted_sentences,
)
from keymiss.search.terms import TermHashes, hash_terms, question_terms, term_weights
from keymiss.search.vector_index import NearSentences
from keymiss.values.find_value import Candidate, Candidates
from keymiss.values.vectors_value import vectors_stamp

logger = logging.getLogger(__name__)

TERMS_FIELD = "terms"
FACTS_KIND = "facts"
WRITER_BYTES = 32 << 20
WRITER_THREADS = 1

MATCHED = 100
"""How many sentences the index gives by their own words alone. All sentences of their documents are
scored then, with neighbours, title and document."""

ROW_BITS = 32
"""A sentence's place in the index is the number of its document, shifted by these bits, and its row
in the document."""


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """What the index remembers of a document that it holds."""

    keys: DocumentKeys
    text_hash: str
    title: str
    terms: DocumentTerms
    prefix: str
    """The beginning of its sentences' names."""
    stamp: bytes
    """What its vectors are made from, if it has some."""

    def name(self, row: int) -> str:
        """The name of one of its sentences."""
        return f"{self.prefix}{self.terms.numbers[row]}"


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
        self._index = _open(self._schema, folder)
        self._index.register_tokenizer(TERMS_FIELD, _spaces())
        self._writer = self._index.writer(WRITER_BYTES, WRITER_THREADS)
        self._writing = threading.Lock()
        """Guards changes. It is taken before `_lock`, so that searches go on during a commit."""
        self._lock = threading.Lock()
        """Guards what searches read."""
        self._numbers: dict[DocumentKeys, int] = {}
        self._documents: dict[int, IndexedDocument] = {}
        """By number. A number is not used again, so that what is found of a document that has been
        replaced meanwhile is not taken for the other one."""
        self._sentence_counts: Counter[int] = Counter()
        """In how many sentences each term occurs. Tantivy's counts include deleted sentences."""
        self._document_counts: Counter[int] = Counter()
        self._sentences = self._length = self._documents_length = 0
        for number, indexed in self._stored():
            self._add(number, indexed)
        self._next = count(max(self._documents, default=0) + 1)

    def _stored(self) -> Iterator[tuple[int, IndexedDocument]]:
        searcher = self._index.searcher()
        query = _is(self._schema, "kind", FACTS_KIND)
        for _, address in searcher.search(query, max(1, searcher.num_docs), count=False).hits:
            stored = searcher.doc(address)
            facts = json.loads(bytes(stored.get_first("facts") or b""))
            terms = DocumentTerms.from_bytes(bytes(stored.get_first("numbers") or b""))
            keys = DocumentKeys(*facts["document"])
            yield facts["number"], _indexed(keys, facts["hash"], facts["title"], terms)

    def _add(self, number: int, indexed: IndexedDocument) -> None:
        self._numbers[indexed.keys] = number
        self._documents[number] = indexed
        self._count(indexed.terms, 1)

    def _count(self, terms: DocumentTerms, sign: int) -> None:
        """Adds a document to the counts, or takes it away when `sign` is -1."""
        self._sentences += sign * len(terms.numbers)
        self._length += sign * terms.weighed_length
        self._documents_length += sign * len(terms.tokens)
        in_sentences = terms.sentence_counts()
        for counts, of_document in (
            (self._sentence_counts, in_sentences),
            (self._document_counts, dict.fromkeys(in_sentences, 1)),
        ):
            for term, held in of_document.items():
                counts[term] += sign * held
                if not counts[term]:
                    del counts[term]

    def known(self) -> list[DocumentKeys]:
        """The documents that the index holds."""
        with self._lock:
            return list(self._numbers)

    def size(self) -> tuple[int, int]:
        """How many documents the index holds, and how many sentences."""
        with self._lock:
            return len(self._documents), self._sentences

    def held(self, keys: DocumentKeys) -> tuple[str, str] | None:
        """The hash of the text and the title that the index holds of a document; None when it holds
        no text."""
        number = self._numbers.get(keys)
        if number is None:
            return None
        indexed = self._documents[number]
        return indexed.text_hash, indexed.title

    def put(
        self, keys: DocumentKeys, text_hash: str, sentences: Mapping[int, str], title: str = ""
    ) -> None:
        """Adds a document or replaces it. `find` sees the change after `commit`."""
        terms, texts = document_terms(title, sentences)
        number = next(self._next)
        entries = [
            tantivy.Document(document=keys.facts, place=number << ROW_BITS | row, terms=text)
            for row, text in enumerate(texts)
        ]
        facts = {"number": number, "document": astuple(keys), "hash": text_hash, "title": title}
        entries.append(
            tantivy.Document(
                document=keys.facts,
                kind=FACTS_KIND,
                facts=json.dumps(facts).encode(),
                numbers=terms.to_bytes(),
            )
        )
        with self._writing, self._lock:
            self._delete(keys)
            for entry in entries:
                self._writer.add_document(entry)
            self._add(number, _indexed(keys, text_hash, title, terms))

    def remove(self, keys: DocumentKeys) -> bool:
        """Removes a document; returns whether it was there. `find` sees this after `commit`."""
        with self._writing, self._lock:
            return self._delete(keys)

    def _delete(self, keys: DocumentKeys) -> bool:
        number = self._numbers.pop(keys, None)
        if number is None:
            return False
        self._count(self._documents.pop(number).terms, -1)
        self._writer.delete_documents_by_term("document", keys.facts)
        return True

    def commit(self) -> None:
        """Makes all changes visible."""
        with self._writing:
            self._writer.commit()
            with self._lock:
                self._index.reload()

    def find(
        self, question: str, limit: int, finding: Future[NearSentences] | None = None
    ) -> Candidates:
        """The shard's best `limit` sentences by their words, by the shard's own counts, and the
        nearest ones, with what a ranking over all shards needs.

        Args:
            finding: the nearest sentences, which are being found by their vectors meanwhile.
        """
        terms = question_terms(question)
        asked = hash_terms(terms)
        hashes = asked.tolist()
        with self._lock:
            searcher = self._index.searcher()
            whole = Candidates(
                documents=len(self._documents),
                documents_length=self._documents_length,
                sentences=self._sentences,
                total_length=self._length,
                sentence_counts={
                    term: self._sentence_counts[one]
                    for term, one in zip(terms, hashes, strict=True)
                },
                document_counts=[self._document_counts[one] for one in hashes],
                candidates=(),
            )
        documents, chosen = self._best(searcher, whole, asked, limit)
        near = _found(finding)
        best = candidates_of(documents, chosen, near) if chosen else []
        if near:
            best += self._nearest(asked, near, {each.sentence for each in best})
        return replace(whole, candidates=tuple(best))

    def _best(
        self,
        searcher: tantivy.Searcher,
        whole: Candidates,
        asked: TermHashes,
        limit: int,
    ) -> tuple[list[IndexedDocument], ChosenRows | None]:
        """The best sentences by their words, and the documents in which they stand."""
        places = self._places(searcher, whole.sentence_counts)
        with self._lock:
            numbers = {place >> ROW_BITS for place in places}
            held = [(number, self._documents.get(number)) for number in numbers]
        there = {number: one for number, one in held if one}
        order = {number: place for place, number in enumerate(there)}
        found = [
            (order[place >> ROW_BITS], place & (1 << ROW_BITS) - 1)
            for place in places
            if place >> ROW_BITS in order
        ]
        if not found:
            return [], None
        documents = list(there.values())
        rows = np.array(found, np.int32)
        return documents, best_sentences(whole, asked, documents, rows, limit)

    def _nearest(
        self, asked: TermHashes, near: NearSentences, known: Container[str]
    ) -> list[Candidate]:
        """The nearest sentences by their vectors, without those that are known."""
        documents: list[IndexedDocument] = []
        order: dict[int, int] = {}
        with self._lock:
            for number, (keys, stamp) in near.documents.items():
                one = self._documents.get(self._numbers.get(keys, -1))
                # The text may have been rewritten, and its vectors not yet; or the other way round.
                if one and one.stamp == stamp:
                    order[number] = len(documents)
                    documents.append(one)
        wanted = [
            (order[number], row)
            for number, row in near.places.tolist()
            if number in order and documents[order[number]].name(row) not in known
        ]
        if not wanted:
            return []
        rows = np.array(wanted, np.int32)
        return candidates_of(documents, counted_sentences(asked, documents, rows), near)

    def _places(self, searcher: tantivy.Searcher, counts: Mapping[str, int]) -> Sequence[int]:
        """The places of the sentences that share words with the question, by these alone."""
        weighed = [
            (term, weight)
            for (term, held), weight in zip(counts.items(), term_weights(counts), strict=True)
            if held
        ]
        if not weighed:
            return []
        queries = [
            _is(self._schema, TERMS_FIELD, term)
            if weight == 1.0
            else tantivy.Query.boost_query(_is(self._schema, TERMS_FIELD, term), weight)
            for term, weight in weighed
        ]
        query = tantivy.Query.boolean_query([(tantivy.Occur.Should, each) for each in queries])
        hits = searcher.search(query, MATCHED, count=False).hits
        places = searcher.fast_field_values("place", [address for _, address in hits])
        return [place for place in places if isinstance(place, int)]


def _found(finding: Future[NearSentences] | None) -> NearSentences | None:
    """What has been found; None when nothing is looked for, or it has failed."""
    if finding is None:
        return None
    try:
        return finding.result()
    except (KeymissError, MemoryError) as error:
        logger.warning("found by words only: %s", error)
        return None


def _indexed(
    keys: DocumentKeys, text_hash: str, title: str, terms: DocumentTerms
) -> IndexedDocument:
    stamp = vectors_stamp(text_hash.encode(), title)
    return IndexedDocument(keys, text_hash, title, terms, keys.sentence_prefix, stamp)


def _schema() -> tantivy.Schema:
    schema = tantivy.SchemaBuilder()
    schema.add_text_field("document", tokenizer_name="raw", index_option="basic")
    schema.add_integer_field("place", fast=True)
    schema.add_text_field(TERMS_FIELD, tokenizer_name=TERMS_FIELD, index_option="freq")
    schema.add_text_field("kind", tokenizer_name="raw", index_option="basic")
    schema.add_bytes_field("facts", stored=True)
    schema.add_bytes_field("numbers", stored=True)
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


def _spaces() -> tantivy.TextAnalyzer:
    """Splits stored terms at spaces. They are terms that `terms_of` has made, so that no text is
    analysed again, for the index or when it is found."""
    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
