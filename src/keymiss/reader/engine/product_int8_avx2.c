/* product_int8_avx2.c: the int8 product with AVX2: numbers are widened to 16 bits, and vpmaddwd
 * adds pairs of products, so that nothing saturates (vpmaddubsw would). 3 x 16 columns in 12
 * registers. */
#include <immintrin.h>

#include <string.h>

#include "kernels.h"

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
#define NUMBERS CHUNK_BYTES
#define MOST 3
#define BLOCK(ROWS)                                                                                \
    for (int half = 0; half < PANEL; half += 16) {                                                 \
        const uint8_t *a = PIECE_OF_A(uint8_t);                                                    \
        const int8_t *b = (const int8_t *)product->b + first * PANEL + 4 * half;                   \
        int32_t *c = (int32_t *)product->c + row * product->c_stride + half;                       \
        __m256i total[ROWS][4];                                                                    \
        for (size_t r = 0; r < ROWS; r++)                                                          \
            for (size_t q = 0; q < 4; q++) total[r][q] = _mm256_setzero_si256();                   \
        EVERY_INPUT(const uint8_t, 4) {                                                            \
            __m256i value[ROWS];                                                                   \
            for (size_t r = 0; r < ROWS; r++) value[r] = all_four(input + r * NUMBERS);            \
            for (size_t q = 0; q < 4; q++) {                                                       \
                __m256i four = columns(b + 16 * q);                                                \
                for (size_t r = 0; r < ROWS; r++)                                                  \
                    total[r][q] =                                                                  \
                        _mm256_add_epi32(total[r][q], _mm256_madd_epi16(value[r], four));          \
            }                                                                                      \
        }                                                                                          \
        for (size_t r = 0; r < ROWS; r++)                                                          \
            for (size_t q = 0; q < 4; q += 2) {                                                    \
                __m256i *to = (__m256i *)(c + r * product->c_stride + 4 * q);                      \
                __m256i sum = added(total[r][q], total[r][q + 1]);                                 \
                if (adds) sum = _mm256_add_epi32(sum, _mm256_loadu_si256(to));                     \
                _mm256_storeu_si256(to, sum);                                                      \
            }                                                                                      \
    }
#include "product_blocks.h"
