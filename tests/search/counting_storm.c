// Counts in random documents, for sanitizers: what is counted lies where it may, and adds up.
#include "../../src/keymiss/search/counting/term_counts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { DOCUMENTS = 5, SENTENCES = 20, TERMS = 8, WORDS = 12 };

static uint32_t *random_terms(int32_t count, uint32_t step) {
    uint32_t *terms = malloc((size_t)(count ? count : 1) * sizeof *terms);
    for (int32_t at = 0; at < count; at++)
        terms[at] = step ? (uint32_t)at * step : (uint32_t)(rand() % WORDS) * 4096;
    return terms;
}

static DocumentTerms *random_document(void) {
    DocumentTerms *made = calloc(1, sizeof *made);
    int32_t tokens = 0, *bounds = calloc(SENTENCES + 1, sizeof *bounds);
    int32_t *counts = calloc(WORDS, sizeof *counts);
    made->sentences = 1 + rand() % SENTENCES;
    for (int32_t row = 0; row < made->sentences; row++) bounds[row + 1] = tokens += rand() % 6;
    made->title_terms = rand() % 4;
    made->title = random_terms(made->title_terms, 0);
    made->tokens = random_terms(tokens, 0);
    made->bounds = bounds;
    made->vocabulary_terms = WORDS;
    made->vocabulary = random_terms(WORDS, 4096);
    for (int32_t at = 0; at < tokens; at++) counts[made->tokens[at] / 4096]++;
    made->counts = counts;
    return made;
}

int main(int count, char **arguments) {
    int rounds = count > 1 ? atoi(arguments[1]) : 1000;
    Weighing plain = {1, 0, 0};
    for (int round = 0; round < rounds; round++) {
        const DocumentTerms *documents[DOCUMENTS];
        SentencePart parts[DOCUMENTS];
        int32_t rows = 0, at = 0;
        for (int32_t number = 0; number < DOCUMENTS; number++) {
            documents[number] = random_document();
            parts[number] = (SentencePart){number, 0, documents[number]->sentences};
            rows += documents[number]->sentences;
        }
        uint32_t *asked = random_terms(TERMS, 4096);
        int32_t *whole = malloc(DOCUMENTS * TERMS * sizeof *whole);
        int32_t *found = malloc((size_t)rows * TERMS * sizeof *found);
        int32_t *lengths = malloc((size_t)rows * sizeof *lengths);
        keymiss_count_in_documents(documents, DOCUMENTS, asked, TERMS, whole);
        keymiss_count_in_sentences(documents, parts, DOCUMENTS, asked, TERMS, &plain, found,
                                   lengths);
        for (int32_t number = 0; number < DOCUMENTS; number++)
            for (int32_t row = 0; row < documents[number]->sentences; row++, at++)
                for (int32_t term = 0; term < TERMS; term++)
                    whole[number * TERMS + term] -= found[at * TERMS + term];
        for (int32_t left = 0; left < DOCUMENTS * TERMS; left++) assert(whole[left] == 0);
        free(asked), free(whole), free(found), free(lengths);
        for (int32_t number = 0; number < DOCUMENTS; number++) {
            const DocumentTerms *one = documents[number];
            free((void *)one->title), free((void *)one->tokens), free((void *)one->vocabulary);
            free((void *)one->bounds), free((void *)one->counts), free((void *)one);
        }
    }
    printf("%d rounds of counting\n", rounds);
    return 0;
}
