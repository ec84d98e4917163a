#include "sentence_ranking.h"

#include <stdlib.h>
#include <string.h>

enum { SIEVE = 1 << 12, AROUND = 2 };

// A document that is being ranked.
typedef struct {
    double score;
    int32_t number;
} ScoredDocument;

// What one call works with.
typedef struct {
    const DocumentTerms *const *documents;
    const RankedQuestion *question;
    const RankedSentences *result;
    int32_t ranked;
    uint8_t sieve[SIEVE];
} Ranking;

static double bm25(const TermScores *by, const int32_t *frequencies, int32_t length,
                   int32_t terms) {
    double dampening = by->flat + by->slope * length, sum = 0;
    for (int32_t term = 0; term < terms; term++)
        sum += by->weights[term] * frequencies[term] / (frequencies[term] + dampening);
    return sum;
}

static int32_t occurrences(const DocumentTerms *document, uint32_t term) {
    int32_t low = 0, high = document->vocabulary_terms;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (document->vocabulary[middle] < term) low = middle + 1;
        else high = middle;
    }
    int32_t is_there = low < document->vocabulary_terms && document->vocabulary[low] == term;
    return is_there ? document->counts[low] : 0;
}

static void set_sieve(Ranking *ranking) {
    const RankedQuestion *question = ranking->question;
    for (int32_t term = 0; term < question->terms; term++)
        ranking->sieve[question->asked[term] % SIEVE] = 1;
}

// Adds to `found` how much each asked term counts in these tokens.
static void count(const Ranking *ranking, const uint32_t *tokens, int32_t length, int32_t weight,
                  int32_t *found) {
    const RankedQuestion *question = ranking->question;
    for (int32_t at = 0; at < length; at++) {
        if (!ranking->sieve[tokens[at] % SIEVE]) continue;
        for (int32_t term = 0; term < question->terms; term++)
            if (tokens[at] == question->asked[term]) found[term] += weight;
    }
}

// Adds what a sentence has to the rows of itself and of its neighbours, which begin at `first`.
static void add(const RankedQuestion *question, const int32_t *own, int32_t own_length, int32_t row,
                int32_t first, int32_t end, int32_t *frequencies, int32_t *lengths) {
    for (int32_t to = row - 1; to <= row + 1; to++) {
        if (to < first || to >= end) continue;
        int32_t weight = to == row ? question->own : question->near;
        int32_t *sum = frequencies + (size_t)(to - first) * question->terms;
        lengths[to - first] += weight * own_length;
        for (int32_t term = 0; term < question->terms; term++) sum[term] += weight * own[term];
    }
}

// Ranks the sentences of a document from `first` to before `end`.
static void rank_rows(Ranking *ranking, int32_t number, double score, int32_t first, int32_t end) {
    const RankedQuestion *question = ranking->question;
    const DocumentTerms *document = ranking->documents[number];
    int32_t terms = question->terms, in_title[MOST_TERMS] = {0};
    int32_t *lengths = ranking->result->lengths + ranking->ranked;
    int32_t *frequencies = ranking->result->frequencies + (size_t)ranking->ranked * terms;
    count(ranking, document->title, document->title_terms, question->in_title, in_title);
    for (int32_t row = first; row < end; row++) {
        memcpy(frequencies + (size_t)(row - first) * terms, in_title, terms * sizeof *in_title);
        lengths[row - first] = question->in_title * document->title_terms;
        ranking->result->rows[ranking->ranked + row - first] = (FoundSentence){number, row};
    }
    for (int32_t row = first; row < end; row++) {
        int32_t own[MOST_TERMS] = {0}, begin = document->bounds[row];
        int32_t length = document->bounds[row + 1] - begin;
        count(ranking, document->tokens + begin, length, 1, own);
        add(question, own, length, row, first, end, frequencies, lengths);
    }
    for (int32_t row = 0; row < end - first; row++, frequencies += terms) {
        double own = bm25(&question->sentences, frequencies, lengths[row], terms);
        ranking->result->scores[ranking->ranked++] = own > 0 ? own + score : 0;
    }
}

static int by_row(const void *one, const void *other) {
    return ((const FoundSentence *)one)->row - ((const FoundSentence *)other)->row;
}

// Ranks the found sentences of a document and those around them, without ranking any twice.
static void rank_surroundings(Ranking *ranking, ScoredDocument one, FoundSentence *found,
                              int32_t found_count, FoundSentence *own) {
    int32_t own_count = 0, first = 0, end = 0, size = ranking->documents[one.number]->sentences;
    for (int32_t at = 0; at < found_count; at++)
        if (found[at].document == one.number) own[own_count++] = found[at];
    qsort(own, (size_t)own_count, sizeof *own, by_row);
    for (int32_t at = 0; at < own_count; at++) {
        int32_t from = own[at].row - AROUND, to = own[at].row + AROUND + 1;
        if (from > end) {
            rank_rows(ranking, one.number, one.score, first, end);
            first = from;
        }
        end = to < size ? to : size;
    }
    rank_rows(ranking, one.number, one.score, first, end);
}

static int by_score(const void *one, const void *other) {
    const ScoredDocument *a = one, *b = other;
    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    return a->number - b->number;
}

// Counts the question's terms in a document; returns where the counts are.
static const int32_t *count_in_document(const Ranking *ranking, int32_t number) {
    const RankedQuestion *question = ranking->question;
    const DocumentTerms *document = ranking->documents[number];
    int32_t *own = ranking->result->of_documents + (size_t)number * question->terms;
    if (document->vocabulary_terms < 0) {
        memset(own, 0, (size_t)question->terms * sizeof *own);
        count(ranking, document->tokens, document->bounds[document->sentences], 1, own);
        return own;
    }
    for (int32_t term = 0; term < question->terms; term++)
        own[term] = occurrences(document, question->asked[term]);
    return own;
}

static void rank_documents(Ranking *ranking, ScoredDocument *scored, int32_t count) {
    const RankedQuestion *question = ranking->question;
    for (int32_t number = 0; number < count; number++) {
        const DocumentTerms *document = ranking->documents[number];
        const int32_t *own = count_in_document(ranking, number);
        int32_t length = document->bounds[document->sentences];
        scored[number] =
            (ScoredDocument){bm25(&question->documents, own, length, question->terms), number};
    }
    qsort(scored, (size_t)count, sizeof *scored, by_score);
}

// The least of the best `limit` scores, or 0 when there are fewer. `best` has room for `limit`.
static double least_score(const double *scores, int32_t count, double *best, int32_t limit) {
    int32_t kept = 0;
    for (int32_t at = 0; at < count; at++) {
        if (kept == limit && scores[at] <= best[kept - 1]) continue;
        int32_t place = kept < limit ? kept++ : kept - 1;
        while (place > 0 && best[place - 1] < scores[at]) {
            best[place] = best[place - 1];
            place--;
        }
        best[place] = scores[at];
    }
    return kept == limit ? best[limit - 1] : 0;
}

// Moves the rows that are as good as `least` to the front; returns how many there are.
static int32_t keep_best(const Ranking *ranking, double least) {
    const RankedSentences *result = ranking->result;
    size_t terms = (size_t)ranking->question->terms;
    int32_t kept = 0;
    for (int32_t at = 0; at < ranking->ranked; at++) {
        if (result->scores[at] <= 0 || result->scores[at] < least) continue;
        result->rows[kept] = result->rows[at];
        result->lengths[kept] = result->lengths[at];
        result->scores[kept] = result->scores[at];
        memmove(result->frequencies + (size_t)kept * terms,
                result->frequencies + (size_t)at * terms, terms * sizeof *result->frequencies);
        kept++;
    }
    return kept;
}

__attribute__((visibility("default"))) int32_t
keymiss_rank_sentences(const DocumentTerms *const *documents, int32_t count_of_documents,
                       const FoundSentence *found, int32_t found_count,
                       const RankedQuestion *question, const RankedSentences *result) {
    Ranking ranking = {documents, question, result, 0, {0}};
    size_t documents_size = (size_t)count_of_documents * sizeof(ScoredDocument);
    size_t found_size = (size_t)found_count * sizeof(FoundSentence);
    char *memory =
        malloc(documents_size + 2 * found_size + (size_t)question->limit * sizeof(double));
    if (!memory) return -1;
    ScoredDocument *scored = (ScoredDocument *)memory;
    double *best = (double *)(memory + documents_size);
    FoundSentence *all = (FoundSentence *)(best + question->limit), *own = all + found_count;
    memcpy(all, found, found_size);
    set_sieve(&ranking);
    rank_documents(&ranking, scored, count_of_documents);
    int32_t room = question->most_scored;
    for (int32_t at = 0; at < count_of_documents; at++) {
        int32_t size = documents[scored[at].number]->sentences;
        if (size <= room) {
            rank_rows(&ranking, scored[at].number, scored[at].score, 0, size);
            room -= size;
        } else rank_surroundings(&ranking, scored[at], all, found_count, own);
    }
    double least = least_score(result->scores, ranking.ranked, best, question->limit);
    free(memory);
    return keep_best(&ranking, least);
}

// Counts the question's terms in a sentence with its neighbours and its title; returns the length.
static int32_t count_sentence(const Ranking *ranking, FoundSentence one, int32_t *frequencies) {
    const RankedQuestion *question = ranking->question;
    const DocumentTerms *document = ranking->documents[one.document];
    int32_t length = question->in_title * document->title_terms;
    memset(frequencies, 0, (size_t)question->terms * sizeof *frequencies);
    count(ranking, document->title, document->title_terms, question->in_title, frequencies);
    for (int32_t row = one.row - 1; row <= one.row + 1; row++) {
        if (row < 0 || row >= document->sentences) continue;
        int32_t weight = row == one.row ? question->own : question->near;
        int32_t begin = document->bounds[row], size = document->bounds[row + 1] - begin;
        count(ranking, document->tokens + begin, size, weight, frequencies);
        length += weight * size;
    }
    return length;
}

__attribute__((visibility("default"))) void
keymiss_count_sentences(const DocumentTerms *const *documents, int32_t count_of_documents,
                        const FoundSentence *wanted, int32_t wanted_count,
                        const RankedQuestion *question, const RankedSentences *result) {
    Ranking ranking = {documents, question, result, 0, {0}};
    size_t terms = (size_t)question->terms;
    set_sieve(&ranking);
    for (int32_t number = 0; number < count_of_documents; number++)
        count_in_document(&ranking, number);
    for (int32_t at = 0; at < wanted_count; at++)
        result->lengths[at] =
            count_sentence(&ranking, wanted[at], result->frequencies + (size_t)at * terms);
}
