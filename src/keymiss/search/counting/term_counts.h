// Counts a question's terms in documents and their sentences.
//
// Terms are numbers. Everything is counted in whole numbers, so that all processors agree. The
// caller owns all memory; functions neither keep nor free any, and may run in several threads at
// once.
#ifndef KEYMISS_TERM_COUNTS_H
#define KEYMISS_TERM_COUNTS_H

#include <stdint.h>

// What a document holds; search/document_terms.py says what each array means.
typedef struct {
    const uint32_t *title, *tokens, *vocabulary;
    const int32_t *bounds, *counts;
    int32_t title_terms, vocabulary_terms, sentences, unused;
} DocumentTerms;

// Consecutive sentences of a document, from `first` to before `end`.
typedef struct {
    int32_t document, first, end;
} SentencePart;

// A term counts this much in a sentence, in one beside it, and in the title, in tenths.
typedef struct {
    int32_t own, near, in_title;
} Weighing;

// How often each document has each of `terms` asked terms: found[document][term].
void keymiss_count_in_documents(const DocumentTerms *const *documents, int32_t count,
                                const uint32_t *asked, int32_t terms, int32_t *found);

// The same for the sentences of all parts, weighed with neighbours and title:
// found[sentence][term]; and how many terms each sentence has, likewise: lengths[sentence].
void keymiss_count_in_sentences(const DocumentTerms *const *documents, const SentencePart *parts,
                                int32_t count, const uint32_t *asked, int32_t terms,
                                const Weighing *weighing, int32_t *found, int32_t *lengths);

#endif
