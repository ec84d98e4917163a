/* product_bf16_avx512.c: the bf16 product with AVX-512 BF16: 12 x 32 sums in 24 registers. */
#include <immintrin.h>

#include <string.h>

#include "kernels.h"
#include "packed_model.h"
#include "row_blocks.h"

/* Two neighbouring numbers of a row, in all places. */
static inline __m512i both(const uint16_t *a) {
    int pair;
    memcpy(&pair, a, sizeof pair);
    return _mm512_set1_epi32(pair);
}

#define NAME product_bf16_avx512
#define ARGUMENTS const uint16_t *a, const uint16_t *b, size_t inputs, float *c, size_t c_stride
#define PASSED a + row *CHUNK_HALVES, b, inputs, c + (size_t)row *c_stride, c_stride
#define MOST 12
#define BLOCK(ROWS)                                                                                \
    __m512 left[ROWS], right[ROWS];                                                                \
    for (int r = 0; r < ROWS; r++) left[r] = right[r] = _mm512_setzero_ps();                       \
    for (size_t i = 0; i < inputs; i += 2) {                                                       \
        const uint16_t *rows_of_chunk = a + i / CHUNK_HALVES * CHUNK_HALVES * BLOCK_ROWS;          \
        __m512bh first = (__m512bh)_mm512_loadu_si512(b + i * PANEL);                              \
        __m512bh second = (__m512bh)_mm512_loadu_si512(b + i * PANEL + 32);                        \
        for (int r = 0; r < ROWS; r++) {                                                           \
            __m512bh value = (__m512bh)both(rows_of_chunk + r * CHUNK_HALVES + i % CHUNK_HALVES);  \
            left[r] = _mm512_dpbf16_ps(left[r], value, first);                                     \
            right[r] = _mm512_dpbf16_ps(right[r], value, second);                                  \
        }                                                                                          \
    }                                                                                              \
    for (int r = 0; r < ROWS; r++) {                                                               \
        _mm512_storeu_ps(c + (size_t)r * c_stride, left[r]);                                       \
        _mm512_storeu_ps(c + (size_t)r * c_stride + 16, right[r]);                                 \
    }
#include "product_blocks.h"
