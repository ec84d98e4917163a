/* product_int8_vnni.c: the int8 product with AVX-512 VNNI: 12 x 32 sums in 24 registers.
 *
 * vpdpbusd multiplies unsigned by signed numbers. So activations come with 128 added, and the sums
 * begin at -128 times the sum of each column. */
#include <immintrin.h>

#include <string.h>

#include "kernels.h"
#include "packed_model.h"
#include "row_blocks.h"

/* Four neighbouring numbers of a row, in all places. */
static inline __m512i all_four(const uint8_t *a) {
    int four;
    memcpy(&four, a, sizeof four);
    return _mm512_set1_epi32(four);
}

#define NAME product_int8_vnni
#define ARGUMENTS                                                                                  \
    const uint8_t *a, const int8_t *b, const int32_t *sums, size_t inputs, int32_t *c,             \
        size_t c_stride
#define PASSED a + row *CHUNK_BYTES, b, sums, inputs, c + (size_t)row *c_stride, c_stride
#define MOST 12
#define BLOCK(ROWS)                                                                                \
    __m512i left[ROWS], right[ROWS];                                                               \
    __m512i offset = _mm512_set1_epi32(-128);                                                      \
    __m512i start = _mm512_mullo_epi32(offset, _mm512_loadu_si512(sums));                          \
    __m512i start_right = _mm512_mullo_epi32(offset, _mm512_loadu_si512(sums + 16));               \
    for (int r = 0; r < ROWS; r++) left[r] = start, right[r] = start_right;                        \
    for (size_t i = 0; i < inputs; i += 4) {                                                       \
        const uint8_t *rows_of_chunk = a + i / CHUNK_BYTES * CHUNK_BYTES * BLOCK_ROWS;             \
        __m512i first = _mm512_loadu_si512(b + i * PANEL);                                         \
        __m512i second = _mm512_loadu_si512(b + i * PANEL + 64);                                   \
        for (int r = 0; r < ROWS; r++) {                                                           \
            __m512i value = all_four(rows_of_chunk + r * CHUNK_BYTES + i % CHUNK_BYTES);           \
            left[r] = _mm512_dpbusd_epi32(left[r], value, first);                                  \
            right[r] = _mm512_dpbusd_epi32(right[r], value, second);                               \
        }                                                                                          \
    }                                                                                              \
    for (int r = 0; r < ROWS; r++) {                                                               \
        _mm512_storeu_si512(c + (size_t)r * c_stride, left[r]);                                    \
        _mm512_storeu_si512(c + (size_t)r * c_stride + 16, right[r]);                              \
    }
#include "product_blocks.h"
