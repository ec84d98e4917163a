// Ranks random documents, for sanitizers: what is written lies where it may, and the best are
// found.
#include "../../src/keymiss/search/native/sentence_ranking.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { DOCUMENTS = 5, SENTENCES = 40, TERMS = 8, WORDS = 12, FOUND = 6, MOST_SCORED = 50 };
enum { ROOM = MOST_SCORED + 5 * FOUND };

static uint32_t *terms_of(int32_t count, uint32_t step) {
    uint32_t *terms = malloc((size_t)(count ? count : 1) * sizeof *terms);
    for (int32_t at = 0; at < count; at++)
        terms[at] = step ? (uint32_t)at * step : (uint32_t)(rand() % WORDS) * 4096;
    return terms;
}

static DocumentTerms *random_document(void) {
    DocumentTerms *made = calloc(1, sizeof *made);
    int32_t tokens = 0, *counts = calloc(WORDS, sizeof *counts);
    made->sentences = 1 + rand() % SENTENCES;
    int32_t *bounds = calloc((size_t)made->sentences + 1, sizeof *bounds);
    for (int32_t row = 0; row < made->sentences; row++) bounds[row + 1] = tokens += rand() % 6;
    made->title_terms = rand() % 4;
    made->title = terms_of(made->title_terms, 0);
    made->tokens = terms_of(tokens, 0);
    made->bounds = bounds;
    made->vocabulary_terms = rand() % 2 ? WORDS : -1;
    made->vocabulary = terms_of(WORDS, 4096);
    for (int32_t at = 0; at < tokens; at++) counts[made->tokens[at] / 4096]++;
    made->counts = counts;
    return made;
}

static void rank_some(const DocumentTerms *const *documents) {
    double weights[TERMS];
    for (int32_t term = 0; term < TERMS; term++) weights[term] = rand() % 5;
    uint32_t *asked = terms_of(TERMS, 4096);
    RankedQuestion question = {asked,
                               TERMS,
                               10,
                               3,
                               3,
                               rand() % MOST_SCORED,
                               1 + rand() % 20,
                               {weights, 12, 0.1},
                               {weights, 1, 0.1}};
    FoundSentence found[FOUND];
    int32_t found_count = rand() % (FOUND + 1);
    for (int32_t at = 0; at < found_count; at++) {
        int32_t number = rand() % DOCUMENTS;
        found[at] = (FoundSentence){number, rand() % documents[number]->sentences};
    }
    int32_t room = question.most_scored + 5 * found_count;
    RankedSentences result = {
        malloc(DOCUMENTS * TERMS * sizeof(int32_t)),
        malloc((size_t)room * sizeof(FoundSentence) + 1),
        malloc((size_t)room * sizeof(int32_t) + 1),
        malloc((size_t)room * TERMS * sizeof(int32_t) + 1),
        malloc((size_t)room * sizeof(double) + 1),
    };
    int32_t kept =
        keymiss_rank_sentences(documents, DOCUMENTS, found, found_count, &question, &result);
    assert(kept >= 0 && kept <= room);
    for (int32_t at = 0; at < kept; at++) {
        FoundSentence one = result.rows[at];
        assert(result.scores[at] > 0);
        assert(one.row >= 0 && one.row < documents[one.document]->sentences);
        for (int32_t before = 0; before < at; before++)
            assert(result.rows[before].document != one.document ||
                   result.rows[before].row != one.row);
    }
    free(asked), free(result.of_documents), free(result.rows), free(result.lengths);
    free(result.frequencies), free(result.scores);
}

int main(int count, char **arguments) {
    int rounds = count > 1 ? atoi(arguments[1]) : 1000;
    for (int round = 0; round < rounds; round++) {
        const DocumentTerms *documents[DOCUMENTS];
        for (int32_t number = 0; number < DOCUMENTS; number++)
            documents[number] = random_document();
        rank_some(documents);
        for (int32_t number = 0; number < DOCUMENTS; number++) {
            const DocumentTerms *one = documents[number];
            free((void *)one->title), free((void *)one->tokens), free((void *)one->vocabulary);
            free((void *)one->bounds), free((void *)one->counts), free((void *)one);
        }
    }
    printf("%d rounds of ranking\n", rounds);
    return 0;
}
