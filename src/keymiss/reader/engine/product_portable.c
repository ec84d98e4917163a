/* product_portable.c: products in plain C. The tests compare all others with them. */
#include "kernels.h"

#include <string.h>

/* The chunk of a row that begins with this input. */
static const void *chunk_of(const Product *product, int row, size_t input, size_t numbers) {
    return (const char *)product->a + input / numbers * product->a_chunk + row * CHUNK_BYTES;
}

static float *sums_of(const Product *product, int row) {
    return (float *)product->c + (size_t)row * product->c_stride;
}

void product_f32_portable(const Product *product) {
    const float *b = product->b;
    for (int row = 0; row < product->rows; row++) {
        float sums[PANEL] = {0};
        for (size_t i = 0; i < product->inputs; i++) {
            const float *chunk = chunk_of(product, row, i, CHUNK_FLOATS);
            float value = chunk[i % CHUNK_FLOATS];
            for (int column = 0; column < PANEL; column++)
                sums[column] += value * b[i * PANEL + (size_t)column];
        }
        memcpy(sums_of(product, row), sums, sizeof sums);
    }
}

typedef union Bits {
    uint32_t bits;
    float value;
} Bits;

void product_bf16_portable(const Product *product) {
    const uint16_t *b = product->b;
    for (int row = 0; row < product->rows; row++) {
        float sums[PANEL] = {0};
        for (size_t i = 0; i < product->inputs; i += 2) {
            const uint16_t *chunk = chunk_of(product, row, i, CHUNK_HALVES);
            const uint16_t *pair = chunk + i % CHUNK_HALVES;
            Bits first = {.bits = (uint32_t)pair[0] << 16},
                 second = {.bits = (uint32_t)pair[1] << 16};
            uint32_t group[PANEL]; /* the two numbers of a column together */
            memcpy(group, b + i * PANEL, sizeof group);
            for (int column = 0; column < PANEL; column++) {
                Bits low = {.bits = group[column] << 16}, high = {.bits = group[column] & ~0xffffu};
                sums[column] += first.value * low.value + second.value * high.value;
            }
        }
        memcpy(sums_of(product, row), sums, sizeof sums);
    }
}

void product_int8_portable(const Product *product) {
    for (int row = 0; row < product->rows; row++) {
        int32_t sums[PANEL] = {0};
        for (size_t i = 0; i < product->inputs; i += 4) {
            const int8_t *chunk = chunk_of(product, row, i, CHUNK_BYTES);
            const int8_t *four = chunk + i % CHUNK_BYTES;
            const int8_t *group = (const int8_t *)product->b + i * PANEL;
            for (int part = 0; part < 4; part++) {
                int32_t value = four[part];
                for (int column = 0; column < PANEL; column++)
                    sums[column] += value * group[4 * column + part];
            }
        }
        memcpy(sums_of(product, row), sums, sizeof sums);
    }
}
