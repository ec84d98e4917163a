/* product_bf16_avx512.c: the bf16 product with AVX-512 BF16: 12 x 32 sums in 24 registers. */
#include <immintrin.h>

#include <string.h>

#include "kernels.h"

/* Two neighbouring numbers of a row, in all places. */
static inline __m512bh both(const uint16_t *a) {
    int pair;
    memcpy(&pair, a, sizeof pair);
    return (__m512bh)_mm512_set1_epi32(pair);
}

#define NAME product_bf16_avx512
#define NUMBERS CHUNK_HALVES
#define MOST 12
#define BLOCK(ROWS)                                                                                \
    const uint16_t *a = PIECE_OF_A(uint16_t);                                                      \
    const uint16_t *b = (const uint16_t *)product->b + first * PANEL;                              \
    float *c = (float *)product->c + row * product->c_stride;                                      \
    __m512 left[ROWS], right[ROWS];                                                                \
    for (size_t r = 0; r < ROWS; r++) {                                                            \
        left[r] = adds ? _mm512_loadu_ps(c + r * product->c_stride) : _mm512_setzero_ps();         \
        right[r] = adds ? _mm512_loadu_ps(c + r * product->c_stride + 16) : _mm512_setzero_ps();   \
    }                                                                                              \
    EVERY_INPUT(const uint16_t, 2) {                                                               \
        __m512bh b_left = (__m512bh)_mm512_loadu_si512(b);                                         \
        __m512bh b_right = (__m512bh)_mm512_loadu_si512(b + 32);                                   \
        for (size_t r = 0; r < ROWS; r++) {                                                        \
            __m512bh value = both(input + r * NUMBERS);                                            \
            left[r] = _mm512_dpbf16_ps(left[r], value, b_left);                                    \
            right[r] = _mm512_dpbf16_ps(right[r], value, b_right);                                 \
        }                                                                                          \
    }                                                                                              \
    for (size_t r = 0; r < ROWS; r++) {                                                            \
        _mm512_storeu_ps(c + r * product->c_stride, left[r]);                                      \
        _mm512_storeu_ps(c + r * product->c_stride + 16, right[r]);                                \
    }
#include "product_blocks.h"
