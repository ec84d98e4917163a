/* product_f32_avx2.c: the fp32 product with AVX2 and FMA: a panel in two halves, 6 x 16 sums in 12
 * registers. */
#include <immintrin.h>

#include "kernels.h"
#include "packed_model.h"
#include "row_blocks.h"

#define NAME product_f32_avx2
#define ARGUMENTS const float *a, const float *b, size_t inputs, float *c, size_t c_stride
#define PASSED a + row *CHUNK_FLOATS, b, inputs, c + (size_t)row *c_stride, c_stride
#define MOST 6
#define BLOCK(ROWS)                                                                                \
    for (int half = 0; half < PANEL; half += 16) {                                                 \
        __m256 left[ROWS], right[ROWS];                                                            \
        for (int r = 0; r < ROWS; r++) left[r] = right[r] = _mm256_setzero_ps();                   \
        for (size_t i = 0; i < inputs; i++) {                                                      \
            const float *rows_of_chunk = a + i / CHUNK_FLOATS * CHUNK_FLOATS * BLOCK_ROWS;         \
            __m256 first = _mm256_loadu_ps(b + i * PANEL + half);                                  \
            __m256 second = _mm256_loadu_ps(b + i * PANEL + half + 8);                             \
            for (int r = 0; r < ROWS; r++) {                                                       \
                __m256 value =                                                                     \
                    _mm256_broadcast_ss(rows_of_chunk + r * CHUNK_FLOATS + i % CHUNK_FLOATS);      \
                left[r] = _mm256_fmadd_ps(value, first, left[r]);                                  \
                right[r] = _mm256_fmadd_ps(value, second, right[r]);                               \
            }                                                                                      \
        }                                                                                          \
        for (int r = 0; r < ROWS; r++) {                                                           \
            _mm256_storeu_ps(c + (size_t)r * c_stride + half, left[r]);                            \
            _mm256_storeu_ps(c + (size_t)r * c_stride + half + 8, right[r]);                       \
        }                                                                                          \
    }
#include "product_blocks.h"
