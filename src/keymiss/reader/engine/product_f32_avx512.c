/* product_f32_avx512.c: the fp32 product with AVX-512: 12 x 32 sums in 24 registers. */
#include <immintrin.h>

#include "kernels.h"
#include "packed_model.h"
#include "row_blocks.h"

#define NAME product_f32_avx512
#define ARGUMENTS const float *a, const float *b, size_t inputs, float *c, size_t c_stride
#define PASSED a + row *CHUNK_FLOATS, b, inputs, c + (size_t)row *c_stride, c_stride
#define MOST 12
#define BLOCK(ROWS)                                                                                \
    __m512 left[ROWS], right[ROWS];                                                                \
    for (int r = 0; r < ROWS; r++) left[r] = right[r] = _mm512_setzero_ps();                       \
    for (size_t i = 0; i < inputs; i++) {                                                          \
        const float *rows_of_chunk = a + i / CHUNK_FLOATS * CHUNK_FLOATS * BLOCK_ROWS;             \
        __m512 first = _mm512_loadu_ps(b + i * PANEL);                                             \
        __m512 second = _mm512_loadu_ps(b + i * PANEL + 16);                                       \
        for (int r = 0; r < ROWS; r++) {                                                           \
            __m512 value = _mm512_set1_ps(rows_of_chunk[r * CHUNK_FLOATS + i % CHUNK_FLOATS]);     \
            left[r] = _mm512_fmadd_ps(value, first, left[r]);                                      \
            right[r] = _mm512_fmadd_ps(value, second, right[r]);                                   \
        }                                                                                          \
    }                                                                                              \
    for (int r = 0; r < ROWS; r++) {                                                               \
        _mm512_storeu_ps(c + (size_t)r * c_stride, left[r]);                                       \
        _mm512_storeu_ps(c + (size_t)r * c_stride + 16, right[r]);                                 \
    }
#include "product_blocks.h"
