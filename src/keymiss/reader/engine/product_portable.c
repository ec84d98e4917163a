/* product_portable.c: products in plain C. The tests compare all others with them. */
#include "kernels.h"
#include "packed_model.h"
#include "row_blocks.h"

#include <string.h>

void product_f32_portable(const float *a, const float *b, size_t inputs, float *c, size_t c_stride,
                          int rows) {
    for (int row = 0; row < rows; row++) {
        float sums[PANEL] = {0};
        const float *chunk = a + row * CHUNK_FLOATS;
        for (size_t i = 0; i < inputs; i++) {
            float value = chunk[i / CHUNK_FLOATS * BLOCK_ROWS * CHUNK_FLOATS + i % CHUNK_FLOATS];
            for (int column = 0; column < PANEL; column++)
                sums[column] += value * b[i * PANEL + (size_t)column];
        }
        memcpy(c + (size_t)row * c_stride, sums, sizeof sums);
    }
}

typedef union Bits {
    uint32_t bits;
    float value;
} Bits;

void product_bf16_portable(const uint16_t *a, const uint16_t *b, size_t inputs, float *c,
                           size_t c_stride, int rows) {
    for (int row = 0; row < rows; row++) {
        float sums[PANEL] = {0};
        const uint16_t *chunk = a + row * CHUNK_HALVES;
        for (size_t i = 0; i < inputs; i += 2) {
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
        memcpy(c + (size_t)row * c_stride, sums, sizeof sums);
    }
}

void product_int8_portable(const uint8_t *a, const int8_t *b, const int32_t *sums, size_t inputs,
                           int32_t *c, size_t c_stride, int rows) {
    (void)sums;
    for (int row = 0; row < rows; row++) {
        int32_t total[PANEL] = {0};
        const uint8_t *chunk = a + row * CHUNK_BYTES;
        for (size_t i = 0; i < inputs; i += 4) {
            const uint8_t *four =
                chunk + i / CHUNK_BYTES * BLOCK_ROWS * CHUNK_BYTES + i % CHUNK_BYTES;
            const int8_t *group = b + i * PANEL;
            for (int part = 0; part < 4; part++) {
                int32_t value = (int8_t)four[part];
                for (int column = 0; column < PANEL; column++)
                    total[column] += value * group[4 * column + part];
            }
        }
        memcpy(c + (size_t)row * c_stride, total, sizeof total);
    }
}
