#include "term_counts.h"

#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { SIEVE = 1 << 12, MOST_TERMS = 64 };

// Few tokens are asked for: a small table tells most of the others at once.
static void fill_sieve(uint8_t *sieve, const uint32_t *asked, int32_t terms) {
    memset(sieve, 0, SIEVE);
    for (int32_t term = 0; term < terms; term++) sieve[asked[term] % SIEVE] = 1;
}

static void count(const uint8_t *sieve, const uint32_t *asked, int32_t terms,
                  const uint32_t *tokens, int32_t length, int32_t weight, int32_t *found) {
    for (int32_t at = 0; at < length; at++) {
        if (!sieve[tokens[at] % SIEVE]) continue;
        for (int32_t term = 0; term < terms; term++)
            if (tokens[at] == asked[term]) found[term] += weight;
    }
}

static int32_t occurrences(const DocumentTerms *document, uint32_t term) {
    int32_t low = 0, high = document->vocabulary_terms;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (document->vocabulary[middle] < term) low = middle + 1;
        else high = middle;
    }
    int32_t there = low < document->vocabulary_terms && document->vocabulary[low] == term;
    return there ? document->counts[low] : 0;
}

EXPORT void keymiss_count_in_documents(const DocumentTerms *const *documents, int32_t count,
                                       const uint32_t *asked, int32_t terms, int32_t *found) {
    for (int32_t number = 0; number < count; number++)
        for (int32_t term = 0; term < terms; term++)
            *found++ = occurrences(documents[number], asked[term]);
}

// Adds a sentence to those of `from` to before `end` that lie at most one away from it.
static void add(const int32_t *own, int32_t own_length, int32_t sentence, SentencePart part,
                int32_t terms, const Weighing *weighing, int32_t *found, int32_t *lengths) {
    for (int32_t to = sentence - 1; to <= sentence + 1; to++) {
        if (to < part.first || to >= part.end) continue;
        int32_t weight = to == sentence ? weighing->own : weighing->near;
        int32_t row = to - part.first;
        lengths[row] += weight * own_length;
        for (int32_t term = 0; term < terms; term++)
            found[row * terms + term] += weight * own[term];
    }
}

EXPORT void keymiss_count_in_sentences(const DocumentTerms *const *documents,
                                       const SentencePart *parts, int32_t count_of_parts,
                                       const uint32_t *asked, int32_t terms,
                                       const Weighing *weighing, int32_t *found, int32_t *lengths) {
    uint8_t sieve[SIEVE];
    fill_sieve(sieve, asked, terms);
    for (int32_t number = 0; number < count_of_parts; number++) {
        SentencePart part = parts[number];
        const DocumentTerms *document = documents[part.document];
        int32_t rows = part.end - part.first, in_title[MOST_TERMS] = {0};
        count(sieve, asked, terms, document->title, document->title_terms, weighing->in_title,
              in_title);
        for (int32_t row = 0; row < rows; row++) {
            memcpy(found + row * terms, in_title, (size_t)terms * sizeof *found);
            lengths[row] = weighing->in_title * document->title_terms;
        }
        for (int32_t sentence = part.first; sentence < part.end; sentence++) {
            int32_t own[MOST_TERMS] = {0}, begin = document->bounds[sentence];
            int32_t length = document->bounds[sentence + 1] - begin;
            count(sieve, asked, terms, document->tokens + begin, length, 1, own);
            add(own, length, sentence, part, terms, weighing, found, lengths);
        }
        found += rows * terms;
        lengths += rows;
    }
}
