/* rows_avx512.h: the loops over rows, with those that AVX-512 does in another way. */
#include <immintrin.h>

#include "packed_model.h"

/* 16 rows of 16 numbers become 16 columns, by four rounds of exchanges between pairs of registers:
 * of neighbouring numbers, of pairs, and of quarters of a register twice. */
static void transpose(const uint32_t *in, uint32_t *out) {
    __m512i rows[16], pairs[16];
    for (int i = 0; i < 16; i++) rows[i] = _mm512_loadu_si512(in + (size_t)i * 16);
    for (int i = 0; i < 16; i += 2) {
        pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        rows[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        rows[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        rows[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        rows[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    for (int i = 0; i < 4; i++)
        for (int half = 0; half < 16; half += 8) {
            pairs[half + i] = _mm512_shuffle_i32x4(rows[half + i], rows[half + i + 4], 0x88);
            pairs[half + i + 4] = _mm512_shuffle_i32x4(rows[half + i], rows[half + i + 4], 0xdd);
        }
    for (int i = 0; i < 8; i++) {
        __m512i low = _mm512_shuffle_i32x4(pairs[i], pairs[i + 8], 0x88);
        __m512i high = _mm512_shuffle_i32x4(pairs[i], pairs[i + 8], 0xdd);
        _mm512_storeu_si512(out + (size_t)i * PANEL, low);
        _mm512_storeu_si512(out + (size_t)(i + 8) * PANEL, high);
    }
}

#define TRANSPOSE transpose
#define MAXIMUM(ONE, OTHER) ((Floats)_mm512_max_ps((__m512)(ONE), (__m512)(OTHER)))
#define MINIMUM(ONE, OTHER) ((Floats)_mm512_min_ps((__m512)(ONE), (__m512)(OTHER)))
#define LARGEST_OF(VALUES) _mm512_reduce_max_ps((__m512)(VALUES))
#define SUM_OF(VALUES) _mm512_reduce_add_ps((__m512)(VALUES))
#define REGISTER_BYTES 64
#include "row_loops.h"
