/* product_portable.c: products in plain C. The tests compare all others with them. */
#include "kernels.h"
#include "row_blocks.h"

#include <string.h>

/* Where the sums of a row begin, and whether they are there already. */
static void *sums_of(const Product *product, int row, void *total) {
    float *c = (float *)product->c + (size_t)row * product->c_stride;
    if (product->adds) memcpy(total, c, PANEL * sizeof *c);
    return c;
}

void product_f32_portable(const Product *product) {
    const float *b = product->b;
    for (int row = 0; row < product->rows; row++) {
        float sums[PANEL] = {0};
        void *c = sums_of(product, row, sums);
        const float *chunk = (const float *)product->a + row * CHUNK_FLOATS;
        for (size_t i = 0; i < product->inputs; i++) {
            float value = chunk[i / CHUNK_FLOATS * BLOCK_ROWS * CHUNK_FLOATS + i % CHUNK_FLOATS];
            for (int column = 0; column < PANEL; column++)
                sums[column] += value * b[i * PANEL + (size_t)column];
        }
        memcpy(c, sums, sizeof sums);
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
        void *c = sums_of(product, row, sums);
        const uint16_t *chunk = (const uint16_t *)product->a + row * CHUNK_HALVES;
        for (size_t i = 0; i < product->inputs; i += 2) {
            const uint16_t *pair =
                chunk + i / CHUNK_HALVES * BLOCK_ROWS * CHUNK_HALVES + i % CHUNK_HALVES;
            Bits first = {.bits = (uint32_t)pair[0] << 16},
                 second = {.bits = (uint32_t)pair[1] << 16};
            uint32_t group[PANEL]; /* the two numbers of a column together */
            memcpy(group, b + i * PANEL, sizeof group);
            for (int column = 0; column < PANEL; column++) {
                Bits low = {.bits = group[column] << 16}, high = {.bits = group[column] & ~0xffffu};
                sums[column] += first.value * low.value + second.value * high.value;
            }
        }
        memcpy(c, sums, sizeof sums);
    }
}

void product_int8_portable(const Product *product) {
    for (int row = 0; row < product->rows; row++) {
        int32_t sums[PANEL] = {0};
        void *c = sums_of(product, row, sums);
        const uint8_t *chunk = (const uint8_t *)product->a + row * CHUNK_BYTES;
        for (size_t i = 0; i < product->inputs; i += 4) {
            const uint8_t *four =
                chunk + i / CHUNK_BYTES * BLOCK_ROWS * CHUNK_BYTES + i % CHUNK_BYTES;
            const int8_t *group = (const int8_t *)product->b + i * PANEL;
            for (int part = 0; part < 4; part++) {
                int32_t value = (int8_t)four[part];
                for (int column = 0; column < PANEL; column++)
                    sums[column] += value * group[4 * column + part];
            }
        }
        memcpy(c, sums, sizeof sums);
    }
}
