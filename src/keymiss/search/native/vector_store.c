#include "vector_store.h"

#include "sign_scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PUBLIC __attribute__((visibility("default")))

// A question's numbers are rounded to this many steps on either side of 0: sums of products with
// codes are the same on every machine, and fit an int32_t up to the largest width.
enum { STEPS = 511, MOST_DEAD = 4096, GONE = -1 };

// How far apart the sixteen steps lie to which a question's numbers are rounded beside signs, as a
// part of their spread: the best for a normal distribution (Max 1960).
#define COARSE_STEP 0.335f

// Where a document's vectors stand. When the number is free, `count` is GONE, and `first` is the
// next free number, or GONE.
typedef struct {
    int32_t first, count;
} Place;

struct VectorStore {
    int32_t width, words;
    int32_t rows, room, dead;
    uint64_t *signs; // blocks, see sign_scan.h
    int8_t *codes;   // [rows][width]
    float *scales;
    int32_t *documents; // of each row; GONE when it has been dropped
    Place *places;
    int32_t place_count, place_room, free_place;
};

// A question in whole numbers: its numbers are these times `scale`.
typedef struct {
    uint64_t *planes; // [PLANES][words]
    int16_t *steps;   // [width]
    float scale;
} Question;

// A row and how well its signs agree.
typedef struct {
    int32_t score, row;
} Candidate;

// ---- what is kept ----

PUBLIC VectorStore *keymiss_new_vectors(int32_t width) {
    VectorStore *store = calloc(1, sizeof *store);
    if (!store) return NULL;
    store->width = width;
    store->words = (width + 63) / 64;
    store->free_place = GONE;
    return store;
}

PUBLIC void keymiss_free_vectors(VectorStore *store) {
    free(store->signs);
    free(store->codes);
    free(store->scales);
    free(store->documents);
    free(store->places);
    free(store);
}

// Large arrays are moved by the system, page by page, without a copy, and pages that nobody has
// written take no memory.
static int grow(void *array, size_t bytes) {
    void **place = array, *grown = realloc(*place, bytes);
    if (grown) *place = grown;
    return grown != NULL;
}

static int make_room(VectorStore *store, int32_t rows) {
    if (rows <= store->room) return 1;
    int32_t room = (rows + rows / 2 + BLOCK) / BLOCK * BLOCK;
    size_t count = (size_t)room;
    if (!grow(&store->signs, count * (size_t)store->words * sizeof *store->signs) ||
        !grow(&store->codes, count * (size_t)store->width) ||
        !grow(&store->scales, count * sizeof *store->scales) ||
        !grow(&store->documents, count * sizeof *store->documents))
        return 0;
    store->room = room;
    return 1;
}

static uint64_t *signs_of(const VectorStore *store, int32_t row) {
    return store->signs + (size_t)(row / BLOCK) * BLOCK * (size_t)store->words + row % BLOCK;
}

static int8_t *codes_of(const VectorStore *store, int32_t row) {
    return store->codes + (size_t)row * (size_t)store->width;
}

static void write_signs(VectorStore *store, int32_t row) {
    const int8_t *codes = codes_of(store, row);
    uint64_t *signs = signs_of(store, row);
    for (int32_t word = 0; word < store->words; word++) {
        uint64_t bits = 0;
        for (int32_t bit = 0; bit < 64 && 64 * word + bit < store->width; bit++)
            bits |= (uint64_t)((uint8_t)~codes[64 * word + bit] >> 7) << bit;
        signs[word * BLOCK] = bits;
    }
}

// A free number for a document; GONE when memory is short.
static int32_t new_place(VectorStore *store) {
    int32_t number = store->free_place;
    if (number != GONE) {
        store->free_place = store->places[number].first;
        return number;
    }
    if (store->place_count == store->place_room) {
        int32_t room = 2 * store->place_room + 64;
        if (!grow(&store->places, (size_t)room * sizeof *store->places)) return GONE;
        store->place_room = room;
    }
    return store->place_count++;
}

PUBLIC int32_t keymiss_put_vectors(VectorStore *store, const int8_t *codes, const float *scales,
                                   int32_t count) {
    if (count > INT32_MAX / 2 - store->rows || !make_room(store, store->rows + count)) return GONE;
    int32_t document = new_place(store);
    if (document == GONE) return GONE;
    int32_t first = store->rows;
    store->places[document] = (Place){first, count};
    memcpy(codes_of(store, first), codes, (size_t)count * (size_t)store->width);
    memcpy(store->scales + first, scales, (size_t)count * sizeof *scales);
    for (int32_t row = first; row < first + count; row++) {
        store->documents[row] = document;
        write_signs(store, row);
    }
    store->rows += count;
    return document;
}

static void move_row(VectorStore *store, int32_t from, int32_t to) {
    memcpy(codes_of(store, to), codes_of(store, from), (size_t)store->width);
    store->scales[to] = store->scales[from];
    store->documents[to] = store->documents[from];
    for (int32_t word = 0; word < store->words; word++)
        signs_of(store, to)[word * BLOCK] = signs_of(store, from)[word * BLOCK];
}

// Closes the gaps that dropped documents have left.
static void close_gaps(VectorStore *store) {
    int32_t kept = 0;
    for (int32_t row = 0; row < store->rows; row++) {
        int32_t document = store->documents[row];
        if (document == GONE) continue;
        if (row == store->places[document].first) store->places[document].first = kept;
        if (row != kept) move_row(store, row, kept);
        kept++;
    }
    store->rows = kept;
    store->dead = 0;
}

PUBLIC void keymiss_drop_vectors(VectorStore *store, int32_t document) {
    Place *place = &store->places[document];
    for (int32_t row = place->first; row < place->first + place->count; row++)
        store->documents[row] = GONE;
    store->dead += place->count;
    *place = (Place){store->free_place, GONE};
    store->free_place = document;
    if (store->dead > MOST_DEAD && store->dead > store->rows / 4) close_gaps(store);
}

// ---- what is near ----

static float largest(const float *numbers, int32_t count) {
    float most = 0;
    for (int32_t at = 0; at < count; at++)
        if (fabsf(numbers[at]) > most) most = fabsf(numbers[at]);
    return most > 0 ? most : 1;
}

// The root of the mean square.
static float spread(const float *numbers, int32_t count) {
    float squares = 0;
    for (int32_t at = 0; at < count; at++) squares += numbers[at] * numbers[at];
    return squares > 0 ? sqrtf(squares / (float)count) : 1;
}

static int ask(Question *asked, const VectorStore *store, const float *question) {
    size_t words = (size_t)store->words;
    asked->planes = calloc(PLANES * words, sizeof *asked->planes);
    asked->steps = calloc((size_t)store->width, sizeof *asked->steps);
    if (!asked->planes || !asked->steps) return 0;
    asked->scale = largest(question, store->width) / STEPS;
    float coarse_step = COARSE_STEP * spread(question, store->width);
    for (int32_t at = 0; at < store->width; at++) {
        asked->steps[at] = (int16_t)lrintf(question[at] / asked->scale);
        int32_t coarse = (int32_t)lrintf(question[at] / coarse_step);
        coarse = coarse < -8 ? -8 : coarse > 7 ? 7 : coarse;
        for (size_t plane = 0; plane < PLANES; plane++)
            asked->planes[plane * words + (size_t)at / 64] |=
                (uint64_t)((uint32_t)coarse >> plane & 1) << at % 64;
    }
    return 1;
}

static void forget(Question *asked) {
    free(asked->planes);
    free(asked->steps);
}

static float product(const VectorStore *store, const VectorLoops *loops, const Question *asked,
                     int32_t row) {
    int32_t sum = loops->product(codes_of(store, row), asked->steps, store->width);
    return (float)sum * asked->scale * store->scales[row];
}

// The loops of the set with this name, or of the best set; NULL when it does not run here.
static const VectorLoops *loops_of(const char *isa) {
    const VectorLoops *running[] = {NULL, NULL, NULL, &loops_portable};
#if defined(__x86_64__)
    int is_wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
    if (is_wide && __builtin_cpu_supports("avx512vpopcntdq")) running[0] = &loops_popcount;
    if (is_wide) running[1] = &loops_avx512;
    if (__builtin_cpu_supports("avx2")) running[2] = &loops_avx2;
#endif
    for (size_t set = 0; set < sizeof running / sizeof *running; set++)
        if (running[set] && (!isa || strcmp(isa, running[set]->name) == 0)) return running[set];
    return NULL;
}

// The candidates so far. `counts` has room to count all scores: question and signs give no others
// than -LOWEST * width to HIGHEST * width.
typedef struct {
    Candidate *list;
    int32_t *counts;
    int32_t count, most, least, width;
} Candidates;

enum { LOWEST = 8, HIGHEST = 7, SCORES = LOWEST + HIGHEST };

// Keeps the best `most` candidates, of equal ones the first. From then on, only better ones count.
static void keep_best(Candidates *found) {
    int32_t scores = SCORES * found->width + 1, lowest = -LOWEST * found->width, better = 0;
    if (found->count <= found->most) return;
    memset(found->counts, 0, (size_t)scores * sizeof *found->counts);
    for (int32_t at = 0; at < found->count; at++) found->counts[found->list[at].score - lowest]++;
    int32_t score = scores - 1;
    for (; better + found->counts[score] < found->most; score--) better += found->counts[score];
    int32_t kept = 0, equal = found->most - better;
    for (int32_t at = 0; at < found->count; at++) {
        Candidate one = found->list[at];
        if (one.score - lowest < score || (one.score - lowest == score && equal-- <= 0)) continue;
        found->list[kept++] = one;
    }
    found->count = kept;
    found->least = score + lowest + 1;
}

// Finds the rows whose signs agree best; `list` has room for four times as many.
static void scan(const VectorStore *store, const VectorLoops *loops, const Question *asked,
                 Candidates *found) {
    int32_t scores[MOST_BLOCKS * BLOCK];
    for (int32_t first = 0; first < store->rows; first += MOST_BLOCKS * BLOCK) {
        int32_t left = store->rows - first;
        int32_t rows = left < MOST_BLOCKS * BLOCK ? left : MOST_BLOCKS * BLOCK;
        loops->scan(signs_of(store, first), (rows + BLOCK - 1) / BLOCK, asked->planes, store->words,
                    scores);
        for (int32_t row = 0; row < rows; row++) {
            if (scores[row] < found->least || store->documents[first + row] == GONE) continue;
            found->list[found->count++] = (Candidate){scores[row], first + row};
            if (found->count == 4 * found->most) keep_best(found);
        }
    }
    keep_best(found);
}

// Puts a row into its place among the nearest ones, the largest product first.
static int32_t insert(const VectorStore *store, int32_t row, float value, int32_t count,
                      int32_t limit, FoundSentence *found, float *products) {
    if (count == limit && value <= products[count - 1]) return count;
    int32_t document = store->documents[row], place = count < limit ? count++ : count - 1;
    for (; place > 0 && products[place - 1] < value; place--) {
        products[place] = products[place - 1];
        found[place] = found[place - 1];
    }
    products[place] = value;
    found[place] = (FoundSentence){document, row - store->places[document].first};
    return count;
}

PUBLIC int32_t keymiss_nearest(const VectorStore *store, const char *isa, const float *question,
                               int32_t looked_at, int32_t limit, FoundSentence *found,
                               float *products) {
    Question asked = {0};
    const VectorLoops *loops = loops_of(isa);
    Candidates near = {.most = looked_at, .least = INT32_MIN, .width = store->width};
    near.list = malloc((size_t)looked_at * 4 * sizeof *near.list);
    near.counts = malloc(((size_t)SCORES * (size_t)store->width + 1) * sizeof *near.counts);
    int32_t count = -1;
    if (loops && near.list && near.counts && limit > 0 && ask(&asked, store, question)) {
        scan(store, loops, &asked, &near);
        count = 0;
        for (int32_t at = 0; at < near.count; at++) {
            int32_t row = near.list[at].row;
            float value = product(store, loops, &asked, row);
            count = insert(store, row, value, count, limit, found, products);
        }
    }
    forget(&asked);
    free(near.list);
    free(near.counts);
    return count;
}

PUBLIC void keymiss_products(const VectorStore *store, const float *question,
                             const FoundSentence *wanted, int32_t count, float *products) {
    Question asked = {0};
    const VectorLoops *loops = loops_of(NULL);
    int is_asked = ask(&asked, store, question);
    for (int32_t at = 0; at < count; at++) {
        FoundSentence one = wanted[at];
        int is_there = is_asked && one.document >= 0 && one.document < store->place_count &&
                       one.row >= 0 && one.row < store->places[one.document].count;
        products[at] =
            is_there ? product(store, loops, &asked, store->places[one.document].first + one.row)
                     : NAN;
    }
    forget(&asked);
}
