// Puts, drops and searches vectors at random, for sanitizers: what is found is there, and what is
// there is found.
#include "../../src/keymiss/search/native/vector_store.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { DOCUMENTS = 60, LONGEST = 300, WIDEST = 200, LIMIT = 40, LOOKED_AT = 50 };

static void random_codes(int8_t *codes, int32_t count) {
    for (int32_t at = 0; at < count; at++) codes[at] = (int8_t)(rand() % 255 - 127);
}

static void search(const VectorStore *store, int32_t width, const int32_t *sizes, int32_t rows) {
    float question[WIDEST], products[LIMIT], again[LIMIT];
    FoundSentence found[LIMIT];
    for (int32_t at = 0; at < width; at++) question[at] = (float)rand() / (float)RAND_MAX - 0.5f;
    int32_t count = keymiss_nearest(store, NULL, question, LOOKED_AT, LIMIT, found, products);
    assert(count == (rows < LIMIT ? rows : LIMIT));
    keymiss_products(store, question, found, count, again);
    for (int32_t at = 0; at < count; at++) {
        FoundSentence one = found[at];
        assert(one.document >= 0 && one.document < DOCUMENTS);
        assert(one.row >= 0 && one.row < sizes[one.document]);
        assert(at == 0 || products[at - 1] >= products[at]);
        assert(products[at] == again[at]);
    }
    FoundSentence wrong[] = {{-1, 0}, {DOCUMENTS, 0}, {0, -1}, {0, LONGEST}};
    keymiss_products(store, question, wrong, 4, again);
    for (int32_t at = 0; at < 4; at++) assert(isnan(again[at]));
}

static void change(VectorStore *store, int32_t width, int32_t *sizes, int32_t *rows) {
    static int8_t codes[LONGEST * WIDEST];
    static float scales[LONGEST];
    int32_t document = rand() % DOCUMENTS;
    if (sizes[document] >= 0) {
        *rows -= sizes[document];
        sizes[document] = -1;
        keymiss_drop_vectors(store, document);
        return;
    }
    int32_t count = rand() % LONGEST;
    random_codes(codes, count * width);
    for (int32_t row = 0; row < count; row++) scales[row] = 0.01f;
    int32_t number = keymiss_put_vectors(store, codes, scales, count);
    assert(number >= 0 && number < DOCUMENTS && sizes[number] < 0);
    sizes[number] = count;
    *rows += count;
}

int main(int count, char **arguments) {
    int rounds = count > 1 ? atoi(arguments[1]) : 20;
    for (int round = 0; round < rounds; round++) {
        int32_t sizes[DOCUMENTS], rows = 0, width = 1 + rand() % WIDEST;
        VectorStore *store = keymiss_new_vectors(width);
        for (int32_t at = 0; at < DOCUMENTS; at++) sizes[at] = -1;
        for (int step = 0; step < 400; step++) {
            change(store, width, sizes, &rows);
            if (step % 4 == 0) search(store, width, sizes, rows);
        }
        keymiss_free_vectors(store);
    }
    printf("%d rounds of vectors\n", rounds);
    return 0;
}
