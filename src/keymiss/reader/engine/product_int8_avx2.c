/* product_int8_avx2.c: the int8 product with AVX2: numbers are widened to 16 bits, and vpmaddwd
 * adds pairs of products, so that nothing saturates (vpmaddubsw would). 3 x 16 columns in 12
 * registers. */
#include <immintrin.h>

#include <string.h>

#include "kernels.h"
#include "packed_model.h"
#include "row_blocks.h"

/* Four neighbouring numbers of a row, widened, four times. */
static inline __m256i all_four(const uint8_t *a) {
    int four;
    memcpy(&four, a, sizeof four);
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(four));
}

/* Four columns of a group, widened. */
static inline __m256i columns(const int8_t *b) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)b));
}

/* Each of `low` and `high` holds two sums for each of four columns: adds them. */
static inline __m256i added(__m256i low, __m256i high) {
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(low, high), 0xd8);
}

#define NAME product_int8_avx2
#define ARGUMENTS                                                                                  \
    const uint8_t *a, const int8_t *b, const int32_t *sums, size_t inputs, int32_t *c,             \
        size_t c_stride
#define PASSED a + row *CHUNK_BYTES, b, sums, inputs, c + (size_t)row *c_stride, c_stride
#define MOST 3
#define BLOCK(ROWS)                                                                                \
    (void)sums;                                                                                    \
    for (int half = 0; half < PANEL; half += 16) {                                                 \
        __m256i total[ROWS][4];                                                                    \
        for (int r = 0; r < ROWS; r++)                                                             \
            for (int q = 0; q < 4; q++) total[r][q] = _mm256_setzero_si256();                      \
        for (size_t i = 0; i < inputs; i += 4) {                                                   \
            const uint8_t *rows_of_chunk = a + i / CHUNK_BYTES * CHUNK_BYTES * BLOCK_ROWS;         \
            __m256i value[ROWS];                                                                   \
            for (int r = 0; r < ROWS; r++)                                                         \
                value[r] = all_four(rows_of_chunk + r * CHUNK_BYTES + i % CHUNK_BYTES);            \
            for (int q = 0; q < 4; q++) {                                                          \
                __m256i four = columns(b + i * PANEL + 4 * half + 16 * q);                         \
                for (int r = 0; r < ROWS; r++)                                                     \
                    total[r][q] =                                                                  \
                        _mm256_add_epi32(total[r][q], _mm256_madd_epi16(value[r], four));          \
            }                                                                                      \
        }                                                                                          \
        for (int r = 0; r < ROWS; r++)                                                             \
            for (int q = 0; q < 4; q += 2)                                                         \
                _mm256_storeu_si256((__m256i *)(c + (size_t)r * c_stride + half + 4 * q),          \
                                    added(total[r][q], total[r][q + 1]));                          \
    }
#include "product_blocks.h"
