/* product_f32_avx2.c: the fp32 product with AVX2 and FMA: a panel in two halves, 6 x 16 sums in 12
 * registers. */
#include <immintrin.h>

#include "kernels.h"

#define NAME product_f32_avx2
#define NUMBERS CHUNK_FLOATS
#define MOST 6
#define BLOCK(ROWS)                                                                                \
    for (int half = 0; half < PANEL; half += 16) {                                                 \
        const float *a = PIECE_OF_A(float);                                                        \
        const float *b = (const float *)product->b + first * PANEL + half;                         \
        float *c = (float *)product->c + row * product->c_stride + half;                           \
        __m256 left[ROWS], right[ROWS];                                                            \
        for (size_t r = 0; r < ROWS; r++) {                                                        \
            left[r] = adds ? _mm256_loadu_ps(c + r * product->c_stride) : _mm256_setzero_ps();     \
            right[r] =                                                                             \
                adds ? _mm256_loadu_ps(c + r * product->c_stride + 8) : _mm256_setzero_ps();       \
        }                                                                                          \
        EVERY_INPUT(const float, 1) {                                                              \
            __m256 b_left = _mm256_loadu_ps(b);                                                    \
            __m256 b_right = _mm256_loadu_ps(b + 8);                                               \
            for (size_t r = 0; r < ROWS; r++) {                                                    \
                __m256 value = _mm256_broadcast_ss(input + r * NUMBERS);                           \
                left[r] = _mm256_fmadd_ps(value, b_left, left[r]);                                 \
                right[r] = _mm256_fmadd_ps(value, b_right, right[r]);                              \
            }                                                                                      \
        }                                                                                          \
        for (size_t r = 0; r < ROWS; r++) {                                                        \
            _mm256_storeu_ps(c + r * product->c_stride, left[r]);                                  \
            _mm256_storeu_ps(c + r * product->c_stride + 8, right[r]);                             \
        }                                                                                          \
    }
#include "product_blocks.h"
