/* row_loops.h: what is done with rows of floats, in plain C that compilers turn into vectors.
 *
 * A file for each instruction set includes it, with ROW_LOOPS as the name of its table. */
#include "kernels.h"
#include "packed_model.h"
#include "row_blocks.h"

#include <math.h>
#include <string.h>

/* Sixteen numbers: a register of AVX-512, two of AVX2, four of SSE or NEON. */
typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Numbers __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));

enum { LANES = 16 };

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

static inline Floats larger(Floats one, Floats other) { return MAXIMUM(one, other); }

/* The lanes of a register from this one on, then those before it: reductions halve what is left. */
#define TURNED(VALUES, BY)                                                                         \
    __builtin_shufflevector(                                                                       \
        VALUES, VALUES, (0 + BY) % 16, (1 + BY) % 16, (2 + BY) % 16, (3 + BY) % 16, (4 + BY) % 16, \
        (5 + BY) % 16, (6 + BY) % 16, (7 + BY) % 16, (8 + BY) % 16, (9 + BY) % 16, (10 + BY) % 16, \
        (11 + BY) % 16, (12 + BY) % 16, (13 + BY) % 16, (14 + BY) % 16, (15 + BY) % 16)

static inline float largest_of(Floats values) {
    values = larger(values, TURNED(values, 8));
    values = larger(values, TURNED(values, 4));
    values = larger(values, TURNED(values, 2));
    return larger(values, TURNED(values, 1))[0];
}

static inline float sum_of(Floats values) {
    values += TURNED(values, 8);
    values += TURNED(values, 4);
    values += TURNED(values, 2);
    return (values + TURNED(values, 1))[0];
}

static inline Floats at_least(Floats values, float least) {
    return larger(values, (Floats){0} + least);
}

static inline Floats at_most(Floats values, float most) {
    return chosen(values > most, (Floats){0} + most, values);
}

/* e to the power of numbers that are not above 0: 2^n times a Taylor series of 2^fraction. The
 * relative error is below 2e-7. Below -64 it is e^-64, which a sum with a 1 does not notice:
 * numbers so small that processors compute them slowly do not arise. */
static inline Floats exponential(Floats x) {
    Floats doublings = at_least(x, -64.0f) * 1.44269504f;
    Numbers whole = __builtin_convertvector(doublings - 0.5f, Numbers);
    Floats t = (doublings - __builtin_convertvector(whole, Floats)) * 0.693147181f;
    Floats series = t * 1.3888889e-3f + 8.3333338e-3f;
    series = series * t + 4.1666668e-2f;
    series = series * t + 1.6666667e-1f;
    series = series * t + 0.5f;
    series = series * t + 1.0f;
    series = series * t + 1.0f;
    return series * (Floats)((whole + 127) << 23);
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

static void place_f32(const float *row, size_t width, float factor, float *out) {
    PLACE(CHUNK_FLOATS, row[i] * factor)
}

static void place_bf16(const uint16_t *row, size_t width, uint16_t *out) {
    PLACE(CHUNK_HALVES, row[i])
}

/* The numbers of a row that are left, up to sixteen; the others are 0. */
static inline Floats load_some(const float *from, size_t left) {
    float some[LANES] = {0};
    if (left >= LANES) return load(from);
    for (size_t i = 0; i < left; i++) some[i] = from[i];
    return load(some);
}

static void narrow(const float *row, size_t width, float factor, uint16_t *out) {
    for (size_t i = 0; i < width; i += LANES)
        NARROW_LANES(out + i / CHUNK_HALVES * BLOCK_ROWS * CHUNK_HALVES + i % CHUNK_HALVES,
                     load_some(row + i, width - i) * factor);
}

static void widen(const uint16_t *row, size_t width, float *out) {
    for (size_t i = 0; i < width; i++) {
        uint32_t bits = (uint32_t)row[i] << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

/* Sixteen sums of a row with what follows them, up to GELU. */
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
    } else {
        values = load((const float *)from) + load(bias + first);
    }
    return how->gelu ? gelu(values) : values;
}

/* The last panel may have fewer than 32 columns. */
static void finish_some(const Finish *how, const void *sums, int rows, const float *bias) {
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < how->columns; column++) {
            int first = column / LANES * LANES;
            Floats all = finished(how, sums, row, first, bias);
            float value = all[column - first];
            size_t at = (size_t)row * how->stride;
            if (how->residual) value += how->residual[at + (size_t)column];
            at += (size_t)(column - first) + (first ? how->half_gap : 0);
            if (how->floats) how->floats[at] = value;
            else {
                uint16_t halves[LANES];
                NARROW_LANES(halves, (Floats){0} + value);
                how->halves[at] = halves[0];
            }
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
        Floats left = finished(&how, sums, row, 0, bias);
        Floats right = finished(&how, sums, row, LANES, bias);
        if (how.residual) {
            left += load(how.residual + at);
            right += load(how.residual + at + LANES);
        }
        if (how.floats) {
            store(how.floats + at, left);
            store(how.floats + at + how.half_gap, right);
        } else {
            NARROW_LANES(how.halves + at, left);
            NARROW_LANES(how.halves + at + how.half_gap, right);
        }
    }
}

static void normalise(const float *row, size_t width, const float *scale, const float *bias,
                      float epsilon, float *out) {
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
        store(out + i, (load(row + i) - mean) * factor * load(scale + i) + load(bias + i));
    for (size_t i = whole; i < width; i++) out[i] = (row[i] - mean) * factor * scale[i] + bias[i];
}

static float softmax(float *row, size_t width, size_t padded) {
    static const Numbers lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    size_t whole = width / LANES * LANES;
    /* In a register: what is stored in parts and loaded as a whole costs a processor a pause. */
    Floats last = (Floats){0} + LOWEST, total = {0};
    if (whole < width) last = chosen(lanes < (int)(width - whole), load(row + whole), last);
    Floats largest = last;
    for (size_t i = 0; i < whole; i += LANES) largest = larger(largest, load(row + i));
    float most = largest_of(largest);
    for (size_t i = 0; i < whole; i += LANES) {
        Floats values = exponential(load(row + i) - most);
        store(row + i, values);
        total += values;
    }
    if (whole < padded) {
        last = exponential(last - most);
        store(row + whole, last);
        total += last;
    }
    for (size_t i = whole + LANES; i < padded; i += LANES) store(row + i, (Floats){0});
    return 1.0f / sum_of(total);
}

static float quantise(const float *row, size_t width, int offset, uint8_t *out) {
    Floats most = {0};
    for (size_t i = 0; i < width; i += LANES) {
        Floats values = load_some(row + i, width - i),
               sizes = (Floats)((Numbers)values & INT32_MAX);
        most = larger(most, sizes);
    }
    float largest = largest_of(most);
    if (largest == 0) {
        PLACE(CHUNK_BYTES, (uint8_t)offset)
        return 0;
    }
    float steps = 127.0f / largest;
    /* Adding a large whole number first makes the conversion, which cuts off, round. */
    PLACE(CHUNK_BYTES, (uint8_t)((int)(row[i] * steps + 256.5f) - 256 + offset))
    return largest / 127.0f;
}

/* TRANSPOSE turns 16 tokens of 16 pairs of numbers, where the set has registers for that. It reads
 * tokens after the last, too: memory that holds anything, whose columns count for nothing. */
static void pack_keys(const uint16_t *keys, size_t stride, size_t count, size_t width,
                      size_t padded_width, uint16_t *panel) {
#ifdef TRANSPOSE
    if (width == padded_width) {
        for (size_t i = 0; i < width; i += CHUNK_HALVES)
            for (size_t token = 0; token < count; token += LANES)
                TRANSPOSE(keys + token * stride + i, stride, panel + i * PANEL + 2 * token);
        return;
    }
#endif
    memset(panel, 0, padded_width * PANEL * sizeof *panel);
    for (size_t token = 0; token < count; token++)
        for (size_t i = 0; i < width; i++)
            panel[i / 2 * 2 * PANEL + 2 * token + i % 2] = keys[token * stride + i];
}

/* Two tokens beside each other are a group of a panel. */
static void pack_values(const uint16_t *values, size_t stride, size_t count, size_t padded,
                        size_t width, size_t padded_width, uint16_t *panels) {
    for (size_t column = 0; column < padded_width; column += PANEL) {
        size_t columns = width - column < PANEL ? width - column : PANEL;
        uint16_t *panel = panels + column * padded;
        memset(panel, 0, padded * PANEL * sizeof *panel);
        for (size_t token = 0; token < count; token += 2) {
            const uint16_t *first = values + token * stride + column, *second = first + stride;
            uint32_t group[PANEL] = {0};
            if (columns == PANEL)
                for (size_t i = 0; i < PANEL; i++) group[i] = first[i];
            else
                for (size_t i = 0; i < columns; i++) group[i] = first[i];
            if (token + 1 < count)
                for (size_t i = 0; i < columns; i++) group[i] |= (uint32_t)second[i] << 16;
            memcpy(panel + token * PANEL, group, sizeof group);
        }
    }
}

const RowLoops ROW_LOOPS = {finish, normalise, softmax,   place_f32,   place_bf16,
                            narrow, widen,     pack_keys, pack_values, quantise};
