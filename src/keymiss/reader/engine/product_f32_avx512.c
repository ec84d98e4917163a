/* product_f32_avx512.c: the fp32 product with AVX-512: 12 x 32 sums in 24 registers. */
#include <immintrin.h>

#include "kernels.h"

#define NAME product_f32_avx512
#define NUMBERS CHUNK_FLOATS
#define MOST 12
#define BLOCK(ROWS)                                                                                \
    const float *a = PIECE_OF_A(float);                                                            \
    const float *b = (const float *)product->b + first * PANEL;                                    \
    float *c = (float *)product->c + row * product->c_stride;                                      \
    __m512 left[ROWS], right[ROWS];                                                                \
    for (size_t r = 0; r < ROWS; r++) {                                                            \
        left[r] = adds ? _mm512_loadu_ps(c + r * product->c_stride) : _mm512_setzero_ps();         \
        right[r] = adds ? _mm512_loadu_ps(c + r * product->c_stride + 16) : _mm512_setzero_ps();   \
    }                                                                                              \
    EVERY_INPUT(const float, 1) {                                                                  \
        __m512 b_left = _mm512_loadu_ps(b);                                                        \
        __m512 b_right = _mm512_loadu_ps(b + 16);                                                  \
        for (size_t r = 0; r < ROWS; r++) {                                                        \
            __m512 value = _mm512_set1_ps(input[r * NUMBERS]);                                     \
            left[r] = _mm512_fmadd_ps(value, b_left, left[r]);                                     \
            right[r] = _mm512_fmadd_ps(value, b_right, right[r]);                                  \
        }                                                                                          \
    }                                                                                              \
    for (size_t r = 0; r < ROWS; r++) {                                                            \
        _mm512_storeu_ps(c + r * product->c_stride, left[r]);                                      \
        _mm512_storeu_ps(c + r * product->c_stride + 16, right[r]);                                \
    }
#include "product_blocks.h"
