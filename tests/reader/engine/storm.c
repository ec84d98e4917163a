/* storm.c: the engine by itself, for sanitizers and for processors that run no Python here.
 *
 *   engine_storm products SECONDS   every instruction set multiplies as plain C does
 *   engine_storm threads SECONDS    several threads compute at once, and must agree
 *   engine_storm loader SECONDS     opens and runs packed models whose headers are damaged
 *
 * The model is small and its weights are random. Prints what it did; the exit status is 1 when
 * numbers differ. */
#include "../../../src/keymiss/reader/engine/engine.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROWS = 5, LONGEST = 70, CALLERS = 4, HEADER_BYTES = 64, MOST_INPUTS = 1088 };

static const char *const SETS[] = {"portable",    "avx2", "avx512", "avx512-vnni",
                                   "avx512-bf16", "amx",  "neon",   "dotprod"};

static Shape small(int32_t precision) {
    return (Shape){.precision = precision,
                   .vocabulary = 50,
                   .embedding = 32,
                   .hidden = 64,
                   .layers = 2,
                   .heads = 2,
                   .inner = 96,
                   .positions = 80,
                   .types = 2,
                   .epsilon = 1e-12f};
}

/* A packed model with random weights. */
static void *packed(const Shape *shape) {
    static float numbers[64 * 1024];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        numbers[i] = ((float)rand() / (float)RAND_MAX - 0.5f) / 4;
    void *bytes = aligned_alloc(64, rounded_up(keymiss_packed_size(shape), 64));
    memset(bytes, 0, keymiss_packed_size(shape));
    keymiss_begin_packing(shape, bytes);
    for (int32_t tensor = 0; tensor < TENSORS; tensor++)
        for (int32_t layer = 0; layer < shape->layers; layer++)
            if (keymiss_pack(shape, bytes, tensor, layer, numbers, numbers + 1000)) exit(2);
    keymiss_end_packing(bytes);
    return bytes;
}

typedef struct Batch {
    int32_t ids[ROWS * LONGEST], lengths[ROWS], passage_at[ROWS];
    int tokens;
} Batch;

static Batch random_batch(const Shape *shape) {
    Batch batch = {.tokens = 0};
    for (int row = 0; row < ROWS; row++) {
        batch.lengths[row] = 1 + rand() % LONGEST;
        batch.tokens += batch.lengths[row];
    }
    for (int i = 0; i < batch.tokens; i++) batch.ids[i] = rand() % shape->vocabulary;
    return batch;
}

static const char *run(Engine *opened, const Batch *batch, int threads, float *logits) {
    return keymiss_logits(opened, batch->ids, batch->lengths, batch->passage_at, ROWS, threads,
                          logits);
}

enum { HIDDEN = 64 };

static const char *run_vectors(Engine *opened, const Batch *batch, int threads, float *vectors) {
    return keymiss_vectors(opened, batch->ids, batch->lengths, ROWS, threads, vectors);
}

typedef struct Caller {
    Engine *opened;
    Batch batch;
    float expected[2 * ROWS * LONGEST], expected_vectors[ROWS * HIDDEN];
    time_t end;
    long calls;
    int differs;
} Caller;

static void *call(void *given) {
    Caller *caller = given;
    float logits[2 * ROWS * LONGEST], vectors[ROWS * HIDDEN];
    size_t size = (size_t)caller->batch.tokens * 2 * sizeof *logits;
    for (; time(NULL) < caller->end; caller->calls++) {
        run(caller->opened, &caller->batch, 1 + (int)(caller->calls % 8), logits);
        caller->differs |= memcmp(logits, caller->expected, size) != 0;
        run_vectors(caller->opened, &caller->batch, ALONE + (int)(caller->calls % 4), vectors);
        caller->differs |= memcmp(vectors, caller->expected_vectors, sizeof vectors) != 0;
    }
    return NULL;
}

static int storm_of_threads(int seconds) {
    static Caller callers[CALLERS];
    pthread_t threads[CALLERS];
    Engine *opened[PRECISIONS];
    long calls = 0;
    int differs = 0;
    for (int32_t precision = 0; precision < PRECISIONS; precision++) {
        Shape shape = small(precision);
        void *bytes = packed(&shape);
        if (keymiss_open(&shape, bytes, keymiss_packed_size(&shape), NULL, &opened[precision]))
            return 2;
    }
    for (int i = 0; i < CALLERS; i++) {
        Shape shape = small(0);
        callers[i].opened = opened[i % PRECISIONS];
        callers[i].batch = random_batch(&shape);
        callers[i].end = time(NULL) + seconds;
        run(callers[i].opened, &callers[i].batch, 1, callers[i].expected);
        run_vectors(callers[i].opened, &callers[i].batch, 1, callers[i].expected_vectors);
    }
    for (int i = 0; i < CALLERS; i++) pthread_create(&threads[i], NULL, call, &callers[i]);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        calls += callers[i].calls;
        differs |= callers[i].differs;
    }
    printf("%ld calls of %d threads%s\n", calls, CALLERS, differs ? ": results differ" : "");
    return differs;
}

/* Damages a header, and now and then the shape that is asked for as well. */
static int storm_of_headers(int seconds) {
    time_t end = time(NULL) + seconds;
    long tried = 0, opened_count = 0;
    float logits[2 * ROWS * LONGEST];
    while (time(NULL) < end) {
        Shape shape = small(rand() % PRECISIONS);
        char *whole = packed(&shape);
        uint64_t size = keymiss_packed_size(&shape);
        for (int i = 0; i < 2000; i++, tried++) {
            uint64_t given = rand() % 4 ? size : (uint64_t)rand() % (size + 64);
            char *bytes = aligned_alloc(64, rounded_up(given + 1, 64));
            Shape asked = shape;
            memset(bytes, 0, given);
            memcpy(bytes, whole, given < size ? given : size);
            for (int change = rand() % 4; change > 0 && given > HEADER_BYTES; change--)
                bytes[rand() % HEADER_BYTES] = (char)rand();
            if (rand() % 2 && given > HEADER_BYTES) memcpy(&asked, bytes + 12, sizeof asked);
            Engine *opened;
            if (!keymiss_open(&asked, bytes, given, NULL, &opened)) {
                Batch batch = random_batch(&shape);
                run(opened, &batch, 1, logits);
                keymiss_close(opened);
                opened_count++;
            }
            free(bytes);
        }
        free(whole);
    }
    printf("%ld headers, of which %ld could be opened\n", tried, opened_count);
    return 0;
}

/* Random numbers of a precision, small ones so that sums of floats hardly differ. */
static void fill(char *out, size_t count, int32_t precision) {
    for (size_t i = 0; i < count; i++) {
        float value = (float)rand() / (float)RAND_MAX - 0.5f;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        if (precision == PRECISION_INT8) out[i] = (char)rand();
        else if (precision == PRECISION_BF16) ((uint16_t *)out)[i] = (uint16_t)(bits >> 16);
        else ((float *)out)[i] = value;
    }
}

/* The sums of each column of a panel of int8. */
static void add_columns(const int8_t *panel, int inputs, int32_t *sums) {
    memset(sums, 0, PANEL * sizeof *sums);
    for (int i = 0; i < inputs * PANEL; i++) sums[i / 4 % PANEL] += panel[i];
}

static int differ(const float *sums, const float *expected, int count, int32_t precision) {
    if (precision == PRECISION_INT8) return memcmp(sums, expected, (size_t)count * 4) != 0;
    for (int i = 0; i < count; i++)
        if (fabsf(sums[i] - expected[i]) > 1e-3f) return 1;
    return 0;
}

static int storm_of_products(int seconds) {
    static char a[BLOCK_ROWS * MOST_INPUTS * 4], b[PANEL * MOST_INPUTS * 4];
    static float expected[BLOCK_ROWS * PANEL], found[BLOCK_ROWS * PANEL];
    time_t end = time(NULL) + seconds;
    long products = 0;
    int differs = 0;
    while (time(NULL) < end) {
        int32_t precision = rand() % PRECISIONS, sums[PANEL];
        int rows = 1 + rand() % BLOCK_ROWS, inputs = 64 * (1 + rand() % (MOST_INPUTS / 64));
        fill(a, (size_t)(rows * inputs), precision);
        fill(b, (size_t)(PANEL * inputs), precision);
        add_columns((int8_t *)b, inputs, sums);
        keymiss_product("portable", precision, a, b, sums, inputs, rows, expected);
        for (size_t i = 0; i < sizeof SETS / sizeof *SETS; i++) {
            if (keymiss_product(SETS[i], precision, a, b, sums, inputs, rows, found)) continue;
            products++;
            if (!differ(found, expected, rows * PANEL, precision)) continue;
            printf("%s differs: precision %d, %d rows, %d inputs\n", SETS[i], precision, rows,
                   inputs);
            differs = 1;
        }
    }
    printf("%ld products with", products);
    for (size_t i = 0; i < sizeof SETS / sizeof *SETS; i++)
        if (keymiss_isa(SETS[i], PRECISION_FP32)) printf(" %s", SETS[i]);
    printf("\n");
    return differs;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    int seconds = atoi(arguments[2]);
    if (strcmp(arguments[1], "products") == 0) return storm_of_products(seconds);
    if (strcmp(arguments[1], "threads") == 0) return storm_of_threads(seconds);
    return storm_of_headers(seconds);
}
