/* packing.c: see packing.h. */
#include "packing.h"

#include <math.h>
#include <string.h>

int pack_floats(float *out, const float *numbers, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        if (!isfinite(numbers[i])) return 0;
        out[i] = numbers[i];
    }
    return 1;
}

static uint16_t narrowed(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* Where the number of an input stands in a panel, for groups of this many inputs. */
static size_t place_in_panel(size_t input, size_t column, size_t group) {
    return input / group * group * PANEL + column * group + input % group;
}

/* The number of weights of a panel. */
static size_t panel_length(const Dense *dense) {
    return rounded_up((size_t)dense->inputs, INPUT_STEP) * PANEL;
}

static void pack_int8(const Dense *dense, size_t column, const float *weights) {
    int8_t *panel = (int8_t *)dense->panels + column / PANEL * panel_length(dense);
    float largest = 0;
    int32_t sum = 0;
    for (int32_t i = 0; i < dense->inputs; i++) largest = fmaxf(largest, fabsf(weights[i]));
    float scale = largest / 127.0f;
    for (int32_t i = 0; i < dense->inputs; i++) {
        int8_t number = scale > 0 ? (int8_t)lrintf(weights[i] / scale) : 0;
        panel[place_in_panel((size_t)i, column % PANEL, 4)] = number;
        sum += number;
    }
    dense->scales[column] = scale;
    dense->sums[column] = sum;
}

static void pack_column(const Dense *dense, int32_t precision, size_t column,
                        const float *weights) {
    size_t in_panel = column % PANEL, panel = column / PANEL * panel_length(dense);
    if (precision == PRECISION_INT8) {
        pack_int8(dense, column, weights);
        return;
    }
    for (size_t i = 0; i < (size_t)dense->inputs; i++)
        if (precision == PRECISION_FP32)
            ((float *)dense->panels)[panel + place_in_panel(i, in_panel, 1)] = weights[i];
        else
            ((uint16_t *)dense->panels)[panel + place_in_panel(i, in_panel, 2)] =
                narrowed(weights[i]);
}

static int is_finite(const float *numbers, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(numbers[i])) return 0;
    return 1;
}

static size_t place_of(size_t number, Heads heads) {
    return number / heads.width * heads.padded + number % heads.width;
}

int pack_dense(const Dense *dense, int32_t precision, size_t first, const Matrix *matrix) {
    float weights[WIDEST] = {0};
    if (!is_finite(matrix->bias, matrix->outputs)) return 0;
    for (size_t output = 0; output < matrix->outputs; output++) {
        const float *row = matrix->weights + output * matrix->inputs;
        if (!is_finite(row, matrix->inputs)) return 0;
        for (size_t i = 0; i < matrix->inputs; i++)
            weights[place_of(i, matrix->of_inputs)] = row[i] * matrix->factor;
        size_t column = first + place_of(output, matrix->of_outputs);
        dense->bias[column] = matrix->bias[output] * matrix->factor;
        pack_column(dense, precision, column, weights);
    }
    return 1;
}
