/* product_int8_vnni.c: the int8 product with AVX-512 VNNI: 12 x 32 sums in 24 registers.
 *
 * vpdpbusd multiplies unsigned by signed numbers. So activations come with 128 added, and the sums
 * begin at -128 times the sum of each column. */
#include <immintrin.h>

#include <string.h>

#include "kernels.h"

/* Four neighbouring numbers of a row, in all places. */
static inline __m512i all_four(const uint8_t *a) {
    int four;
    memcpy(&four, a, sizeof four);
    return _mm512_set1_epi32(four);
}

#define NAME product_int8_vnni
#define NUMBERS CHUNK_BYTES
#define MOST 12
#define BLOCK(ROWS)                                                                                \
    const uint8_t *a = PIECE_OF_A(uint8_t);                                                        \
    const int8_t *b = (const int8_t *)product->b + first * PANEL;                                  \
    int32_t *c = (int32_t *)product->c + row * product->c_stride;                                  \
    __m512i left[ROWS], right[ROWS];                                                               \
    __m512i offset = _mm512_set1_epi32(-128);                                                      \
    __m512i start = _mm512_mullo_epi32(offset, _mm512_loadu_si512(product->sums));                 \
    __m512i start_right = _mm512_mullo_epi32(offset, _mm512_loadu_si512(product->sums + 16));      \
    for (size_t r = 0; r < ROWS; r++) {                                                            \
        left[r] = adds ? _mm512_loadu_si512(c + r * product->c_stride) : start;                    \
        right[r] = adds ? _mm512_loadu_si512(c + r * product->c_stride + 16) : start_right;        \
    }                                                                                              \
    EVERY_INPUT(const uint8_t, 4) {                                                                \
        __m512i b_left = _mm512_loadu_si512(b);                                                    \
        __m512i b_right = _mm512_loadu_si512(b + 64);                                              \
        for (size_t r = 0; r < ROWS; r++) {                                                        \
            __m512i value = all_four(input + r * NUMBERS);                                         \
            left[r] = _mm512_dpbusd_epi32(left[r], value, b_left);                                 \
            right[r] = _mm512_dpbusd_epi32(right[r], value, b_right);                              \
        }                                                                                          \
    }                                                                                              \
    for (size_t r = 0; r < ROWS; r++) {                                                            \
        _mm512_storeu_si512(c + r * product->c_stride, left[r]);                                   \
        _mm512_storeu_si512(c + r * product->c_stride + 16, right[r]);                             \
    }
#include "product_blocks.h"
