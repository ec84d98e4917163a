/* row_loops.h: what is done with rows of floats, in plain C that compilers turn into vectors.
 *
 * A file for each instruction set includes it, with ROW_LOOPS as the name of its table. */
#include "kernels.h"

#include <math.h>
#include <string.h>

/* As many numbers as a register holds. Larger vectors would be legal C, but compilers keep them in
 * memory, and compare and convert them one number at a time. */
#ifndef REGISTER_BYTES
#define REGISTER_BYTES 16
#endif
enum { LANES = REGISTER_BYTES / 4 };
typedef float Floats __attribute__((vector_size(REGISTER_BYTES)));
typedef int32_t Numbers __attribute__((vector_size(REGISTER_BYTES)));
typedef uint32_t Words __attribute__((vector_size(REGISTER_BYTES)));
typedef uint16_t Halves __attribute__((vector_size(REGISTER_BYTES / 2)));
typedef uint8_t Bytes __attribute__((vector_size(REGISTER_BYTES / 4)));

/* A score that counts for nothing beside any other. */
#define LOWEST (-1e30f)

static inline Floats load(const float *from) {
    Floats values;
    memcpy(&values, from, sizeof values);
    return values;
}

static inline void store(float *to, Floats values) { memcpy(to, &values, sizeof values); }

static inline Floats chosen(Numbers mask, Floats yes, Floats no) {
    return (Floats)((mask & (Numbers)yes) | (~mask & (Numbers)no));
}

/* MAXIMUM is an instruction where the set has one for all lanes. */
#ifndef MAXIMUM
#define MAXIMUM(ONE, OTHER) chosen((ONE) > (OTHER), ONE, OTHER)
#endif

#ifndef MINIMUM
#define MINIMUM(ONE, OTHER) chosen((ONE) < (OTHER), ONE, OTHER)
#endif

static inline Floats larger(Floats one, Floats other) { return MAXIMUM(one, other); }

/* The same for reductions. */
#ifndef LARGEST_OF
static inline float largest_of(Floats values) {
    float largest = values[0];
    for (int i = 1; i < LANES; i++) largest = values[i] > largest ? values[i] : largest;
    return largest;
}

static inline float sum_of(Floats values) {
    float sum = values[0];
    for (int i = 1; i < LANES; i++) sum += values[i];
    return sum;
}
#else
static inline float largest_of(Floats values) { return LARGEST_OF(values); }

static inline float sum_of(Floats values) { return SUM_OF(values); }
#endif

static inline Floats at_least(Floats values, float least) {
    return larger(values, (Floats){0} + least);
}

static inline Floats at_most(Floats values, float most) {
    return MINIMUM(values, (Floats){0} + most);
}

/* 2 to the power of numbers that are not above 0, as 2^n times a polynomial of what is left,
 * between -1/2 and 1/2, which was fitted to the least relative error: 2e-7 here, 8e-5 when the
 * outcome is rounded to bf16 anyway. Below -92 it is 2^-92, which a sum with a 1 does not notice:
 * numbers so small that processors compute them slowly do not arise. */
static inline Floats power_of_two(Floats x, int rough) {
    x = at_least(x, -92.0f);
    Numbers whole = __builtin_convertvector(x - 0.5f, Numbers);
    Floats t = x - __builtin_convertvector(whole, Floats), p;
    if (rough) {
        p = t * 5.517100641e-02f + 2.426158662e-01f;
        p = p * t + 6.932614407e-01f;
        p = p * t + 9.999277911e-01f;
    } else {
        p = t * 1.327635808e-03f + 9.675655707e-03f;
        p = p * t + 5.550714483e-02f;
        p = p * t + 2.402211761e-01f;
        p = p * t + 6.931469658e-01f;
        p = p * t + 1.000000072e+00f;
    }
    return (Floats)((Numbers)p + (whole << 23));
}

/* x times the normal distribution's Phi(x) (Hendrycks and Gimpel 2016). Phi(x) - 1/2 is x times a
 * polynomial in x * x, fitted by least squares with Lawson's weights; the error is below 2e-6. */
static inline Floats gelu(Floats x) {
    Floats clamped = at_most(at_least(x, -5.0f), 5.0f);
    Floats w = clamped * clamped * 0.08f - 1.0f;
    Floats p = w * 4.92974391e-04f - 1.51415905e-03f;
    p = p * w + 2.00184558e-03f;
    p = p * w - 2.91566000e-03f;
    p = p * w + 6.16544680e-03f;
    p = p * w - 1.09732434e-02f;
    p = p * w + 1.64976481e-02f;
    p = p * w - 2.33367265e-02f;
    p = p * w + 3.14262314e-02f;
    p = p * w - 4.04329502e-02f;
    p = p * w + 5.15214207e-02f;
    p = p * w - 7.02966524e-02f;
    p = p * w + 1.41363780e-01f;
    return x * (clamped * p + 0.5f);
}

/* The same for what is rounded to bf16: the error is below 6e-5, and a thousandth of numbers above
 * a hundredth. */
static inline Floats rough_gelu(Floats x) {
    Floats clamped = at_most(at_least(x, -4.25f), 4.25f);
    Floats w = clamped * clamped * 0.110726644f - 1.0f;
    Floats p = w * 2.01266308e-03f - 6.02805745e-03f;
    p = p * w + 9.22899539e-03f;
    p = p * w - 1.46159537e-02f;
    p = p * w + 2.53227544e-02f;
    p = p * w - 3.91653929e-02f;
    p = p * w + 5.57330621e-02f;
    p = p * w - 8.07775397e-02f;
    p = p * w + 1.65934897e-01f;
    return x * (clamped * p + 0.5f);
}

#ifndef NARROW_LANES
#define NARROW_LANES narrow_lanes
/* Rounds to the nearest bf16, to the even one of two that are equally near. */
static inline void narrow_lanes(uint16_t *to, Floats values) {
    Words words = (Words)values;
    words = (words + 0x7fff + (words >> 16 & 1)) >> 16;
    Halves halves = __builtin_convertvector(words, Halves);
    memcpy(to, &halves, sizeof halves);
}
#endif

/* Writes a row of a block, chunk by chunk of COUNT numbers; the last one may be shorter. */
#define PLACE(COUNT, EACH)                                                                         \
    for (size_t first = 0; first < width;                                                          \
         first += COUNT, out += BLOCK_ROWS * COUNT, row += COUNT) {                                \
        if (width - first >= COUNT)                                                                \
            for (size_t i = 0; i < COUNT; i++) out[i] = EACH;                                      \
        else                                                                                       \
            for (size_t i = 0; i < width - first; i++) out[i] = EACH;                              \
    }

static void place(const float *row, size_t width, float *out) { PLACE(CHUNK_FLOATS, row[i]) }

/* The numbers of a row that are left, at most a register of them; the others are 0. */
static inline Floats load_some(const float *from, size_t left) {
    float some[LANES] = {0};
    if (left >= LANES) return load(from);
    for (size_t i = 0; i < left; i++) some[i] = from[i];
    return load(some);
}

static void narrow(const float *row, size_t width, uint16_t *out) {
    for (size_t i = 0; i < width; i += LANES)
        NARROW_LANES(out + i / CHUNK_HALVES * BLOCK_ROWS * CHUNK_HALVES + i % CHUNK_HALVES,
                     load_some(row + i, width - i));
}

static inline Words load_halves(const uint16_t *from) {
    Halves halves;
    memcpy(&halves, from, sizeof halves);
    return __builtin_convertvector(halves, Words);
}

/* Sums of a row with what follows them, up to GELU. */
static inline Floats finished(const Finish *how, const void *sums, int row, int first,
                              const float *bias) {
    const char *from = (const char *)sums + (row * PANEL + first) * (int)sizeof(float);
    Floats values;
    if (how->column_scales) {
        Numbers numbers;
        memcpy(&numbers, from, sizeof numbers);
        values = __builtin_convertvector(numbers, Floats) *
                     (load(how->column_scales + first) * how->row_scales[row]) +
                 load(bias + first);
    } else if (how->row_scales) {
        values = load((const float *)from) * how->row_scales[row] + load(bias + first);
    } else {
        values = load((const float *)from) + load(bias + first);
    }
    if (!how->gelu) return values;
    return how->floats ? gelu(values) : rough_gelu(values);
}

/* Where a column is in the output, from the first one of its row on. */
static inline size_t place_of_column(const Finish *how, int column) {
    return (size_t)column % (PANEL / 2) + (column < PANEL / 2 ? 0 : how->half_gap);
}

/* The last panel may have fewer than 32 columns. */
static void finish_some(const Finish *how, const void *sums, int rows, const float *bias) {
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < how->columns; column++) {
            int first = column / LANES * LANES;
            Floats all = finished(how, sums, row, first, bias);
            float value = all[column - first];
            size_t at = (size_t)row * how->stride + place_of_column(how, column);
            if (how->residual) value += how->residual[at];
            if (how->floats) how->floats[at] = value;
            else {
                uint16_t halves[LANES];
                NARROW_LANES(halves, (Floats){0} + value);
                how->halves[at] = halves[0];
            }
        }
}

/* Sixteen columns of a row, which begin at `at` in the output. */
static inline void finish_half(const Finish *how, const void *sums, int row, int first,
                               const float *bias, size_t at) {
    for (int i = 0; i < PANEL / 2; i += LANES) {
        Floats values = finished(how, sums, row, first + i, bias);
        if (how->residual) values += load(how->residual + at + i);
        if (how->floats) store(how->floats + at + i, values);
        else NARROW_LANES(how->halves + at + i, values);
    }
}

static void finish(const Finish *given, const void *sums, int rows) {
    static const float none[PANEL];
    const Finish how = *given; /* a copy, which nothing that is written can be a part of */
    const float *bias = how.bias ? how.bias : none;
    if (how.columns < PANEL) {
        finish_some(&how, sums, rows, bias);
        return;
    }
    for (int row = 0; row < rows; row++) {
        size_t at = (size_t)row * how.stride;
        finish_half(&how, sums, row, 0, bias, at);
        finish_half(&how, sums, row, PANEL / 2, bias, at + how.half_gap);
    }
}

static void normalise(float *row, size_t width, const Norm *norm, float epsilon) {
    const float *scale = norm->scale, *bias = norm->bias;
    Floats total = {0}, squares = {0};
    size_t whole = width / LANES * LANES;
    float rest = 0, rest_squares = 0;
    for (size_t i = 0; i < whole; i += LANES) total += load(row + i);
    for (size_t i = whole; i < width; i++) rest += row[i];
    float mean = (sum_of(total) + rest) / (float)width;
    for (size_t i = 0; i < whole; i += LANES) {
        Floats distance = load(row + i) - mean;
        squares += distance * distance;
    }
    for (size_t i = whole; i < width; i++) rest_squares += (row[i] - mean) * (row[i] - mean);
    float variance = (sum_of(squares) + rest_squares) / (float)width;
    float factor = 1.0f / sqrtf(variance + epsilon);
    for (size_t i = 0; i < whole; i += LANES)
        store(row + i, (load(row + i) - mean) * factor * load(scale + i) + load(bias + i));
    for (size_t i = whole; i < width; i++) row[i] = (row[i] - mean) * factor * scale[i] + bias[i];
}

enum { ROWS_AT_ONCE = 4 };

/* Scores of a row; those from `count` on count for nothing. */
static inline Floats scores_at(const float *scores, size_t key, size_t row, size_t count) {
    Floats found = load(scores + key / PANEL * SCORE_PANEL + row * PANEL + key % PANEL);
    if (key + LANES <= count) return found;
    Numbers lanes;
    for (int i = 0; i < LANES; i++) lanes[i] = i;
    return chosen(lanes < (int)count - (int)key, found, (Floats){0} + LOWEST);
}

/* Rows side by side: a processor does not wait for the largest and the sum of one. */
#define SOFTMAX(NAME, ROUGH, NUMBERS, NUMBER, WRITE)                                               \
    static void NAME(const float *scores, size_t count, int rows, void *given, float *factors) {   \
        size_t padded = rounded_up(count, PANEL);                                                  \
        for (size_t row = 0; row < (size_t)rows; row += ROWS_AT_ONCE) {                            \
            Floats most[ROWS_AT_ONCE], total[ROWS_AT_ONCE];                                        \
            for (size_t r = 0; r < ROWS_AT_ONCE; r++)                                              \
                most[r] = (Floats){0} + LOWEST, total[r] = (Floats){0};                            \
            for (size_t key = 0; key < padded; key += LANES)                                       \
                for (size_t r = 0; r < ROWS_AT_ONCE; r++)                                          \
                    most[r] = larger(most[r], scores_at(scores, key, row + r, count));             \
            for (size_t r = 0; r < ROWS_AT_ONCE; r++) most[r] = (Floats){0} + largest_of(most[r]); \
            for (size_t key = 0; key < padded; key += LANES) {                                     \
                NUMBER *out = (NUMBER *)given + key / NUMBERS * BLOCK_ROWS * NUMBERS +             \
                              row * NUMBERS + key % NUMBERS;                                       \
                for (size_t r = 0; r < ROWS_AT_ONCE; r++) {                                        \
                    Floats values =                                                                \
                        power_of_two(scores_at(scores, key, row + r, count) - most[r], ROUGH);     \
                    total[r] += values;                                                            \
                    WRITE(out + r * NUMBERS, values);                                              \
                }                                                                                  \
            }                                                                                      \
            for (size_t r = 0; r < ROWS_AT_ONCE; r++) factors[row + r] = 1.0f / sum_of(total[r]);  \
        }                                                                                          \
    }

SOFTMAX(softmax_to_floats, 0, CHUNK_FLOATS, float, store)
SOFTMAX(softmax_to_halves, 1, CHUNK_HALVES, uint16_t, NARROW_LANES)

/* Adding a large whole number first makes the conversion, which cuts off, round. */
static inline void write_bytes(uint8_t *to, Floats steps, int offset) {
    Numbers numbers = __builtin_convertvector(steps + 256.5f, Numbers) + (offset - 256);
    Bytes bytes = __builtin_convertvector(numbers, Bytes);
    memcpy(to, &bytes, sizeof bytes);
}

/* READ gives numbers of the row from the i-th on. */
#define QUANTISE(READ)                                                                             \
    Floats most = {0};                                                                             \
    for (size_t i = 0; i < width; i += LANES)                                                      \
        most = larger(most, (Floats)((Numbers)READ & INT32_MAX));                                  \
    float largest = largest_of(most), steps = largest > 0 ? 127.0f / largest : 0;                  \
    for (size_t i = 0; i < width; i += LANES)                                                      \
        write_bytes(out + i / CHUNK_BYTES * BLOCK_ROWS * CHUNK_BYTES + i % CHUNK_BYTES,            \
                    READ * steps, offset);                                                         \
    return largest / 127.0f;

static float quantise(const float *row, size_t width, int offset, uint8_t *out) {
    QUANTISE(load_some(row + i, width - i))
}

static inline Floats widened(const uint16_t *row, size_t chunk, size_t i) {
    row += i / CHUNK_HALVES * (chunk / sizeof *row) + i % CHUNK_HALVES;
    return (Floats)(load_halves(row) << 16);
}

static float quantise_halves(const uint16_t *row, size_t chunk, size_t width, int offset,
                             uint8_t *out) {
    QUANTISE(widened(row, chunk, i))
}

/* TRANSPOSE turns 16 tokens of 16 groups, where the set has registers for that. */
static void pack_keys(const void *given, void *panel) {
    const uint32_t *keys = given;
    uint32_t *groups = panel;
#ifdef TRANSPOSE
    for (size_t token = 0; token < PANEL; token += 16)
        TRANSPOSE(keys + token * CHUNK_FLOATS, groups + token);
#else
    for (size_t group = 0; group < CHUNK_FLOATS; group++)
        for (size_t token = 0; token < PANEL; token++)
            groups[group * PANEL + token] = keys[token * CHUNK_FLOATS + group];
#endif
}

/* Two tokens beside each other are a group of a panel. */
static void pack_values_of_halves(const void *given, size_t chunk, size_t count, void *panel) {
    (void)chunk;
    size_t padded = rounded_up(count, PANEL);
    const uint16_t *values = given;
    Words *groups = panel;
    for (size_t token = 0; token < padded; token += 2)
        for (size_t i = 0; i < PANEL; i += LANES, groups++) {
            const uint16_t *first = values + token * CHUNK_HALVES + i;
            Words both = {0};
            if (token < count) both = load_halves(first);
            if (token + 1 < count) both |= load_halves(first + CHUNK_HALVES) << 16;
            memcpy(groups, &both, sizeof both);
        }
}

static void pack_values_of_floats(const void *given, size_t chunk, size_t count, void *panel) {
    size_t padded = rounded_up(count, PANEL);
    const char *values = given;
    float *to = panel;
    for (size_t token = 0; token < count; token++)
        for (size_t i = 0; i < PANEL / CHUNK_FLOATS; i++, to += CHUNK_FLOATS)
            memcpy(to, values + i * chunk + token * CHUNK_BYTES, CHUNK_BYTES);
    memset(to, 0, (padded - count) * PANEL * sizeof *to);
}

const RowLoops ROW_LOOPS = {
    .finish = finish,
    .normalise = normalise,
    .place = place,
    .narrow = narrow,
    .quantise = quantise,
    .quantise_halves = quantise_halves,
    .pack_keys = pack_keys,
    .floats = {pack_values_of_floats, softmax_to_floats},
    .halves = {pack_values_of_halves, softmax_to_halves},
};
