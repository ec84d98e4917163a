/* storm.c: runs the engine under a sanitizer.
 *
 *   storm LIBRARY threads SECONDS   several threads compute at once, and must agree
 *   storm LIBRARY loader SECONDS    opens and runs packed models whose headers are damaged
 *
 * The model is small and its weights are random. Prints what it did; the exit status is 1 when
 * logits differ. */
#include "../../../src/keymiss/reader/engine/engine.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROWS = 5, LONGEST = 70, CALLERS = 4, HEADER_BYTES = 64 };

static struct {
    __typeof__(&keymiss_packed_size) packed_size;
    __typeof__(&keymiss_begin_packing) begin_packing;
    __typeof__(&keymiss_pack) pack;
    __typeof__(&keymiss_end_packing) end_packing;
    __typeof__(&keymiss_open) open;
    __typeof__(&keymiss_close) close;
    __typeof__(&keymiss_logits) logits;
} engine;

static void *find(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) exit(2);
    return found;
}

static void load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    engine.packed_size = find(library, "keymiss_packed_size");
    engine.begin_packing = find(library, "keymiss_begin_packing");
    engine.pack = find(library, "keymiss_pack");
    engine.end_packing = find(library, "keymiss_end_packing");
    engine.open = find(library, "keymiss_open");
    engine.close = find(library, "keymiss_close");
    engine.logits = find(library, "keymiss_logits");
}

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
    void *bytes = aligned_alloc(64, rounded_up(engine.packed_size(shape), 64));
    memset(bytes, 0, engine.packed_size(shape));
    engine.begin_packing(shape, bytes);
    for (int32_t tensor = 0; tensor < TENSORS; tensor++)
        for (int32_t layer = 0; layer < shape->layers; layer++)
            if (engine.pack(shape, bytes, tensor, layer, numbers, numbers + 1000)) exit(2);
    engine.end_packing(bytes);
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
    return engine.logits(opened, batch->ids, batch->lengths, batch->passage_at, ROWS, threads,
                         logits);
}

typedef struct Caller {
    Engine *opened;
    Batch batch;
    float expected[2 * ROWS * LONGEST];
    time_t end;
    long calls;
    int differs;
} Caller;

static void *call(void *given) {
    Caller *caller = given;
    float logits[2 * ROWS * LONGEST];
    size_t size = (size_t)caller->batch.tokens * 2 * sizeof *logits;
    for (; time(NULL) < caller->end; caller->calls++) {
        run(caller->opened, &caller->batch, 1 + (int)(caller->calls % 4), logits);
        caller->differs |= memcmp(logits, caller->expected, size) != 0;
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
        if (engine.open(&shape, bytes, engine.packed_size(&shape), NULL, &opened[precision]))
            return 2;
    }
    for (int i = 0; i < CALLERS; i++) {
        Shape shape = small(0);
        callers[i].opened = opened[i % PRECISIONS];
        callers[i].batch = random_batch(&shape);
        callers[i].end = time(NULL) + seconds;
        run(callers[i].opened, &callers[i].batch, 1, callers[i].expected);
    }
    for (int i = 0; i < CALLERS; i++) pthread_create(&threads[i], NULL, call, &callers[i]);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        calls += callers[i].calls;
        differs |= callers[i].differs;
    }
    printf("%ld calls of %d threads%s\n", calls, CALLERS, differs ? ": logits differ" : "");
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
        uint64_t size = engine.packed_size(&shape);
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
            if (!engine.open(&asked, bytes, given, NULL, &opened)) {
                Batch batch = random_batch(&shape);
                run(opened, &batch, 1, logits);
                engine.close(opened);
                opened_count++;
            }
            free(bytes);
        }
        free(whole);
    }
    printf("%ld headers, of which %ld could be opened\n", tried, opened_count);
    return 0;
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    load(arguments[1]);
    int seconds = atoi(arguments[3]);
    if (strcmp(arguments[2], "threads") == 0) return storm_of_threads(seconds);
    return storm_of_headers(seconds);
}
