/* rows_avx512.h: the loops over rows, with those that AVX-512 does in another way. */
#include <immintrin.h>

#include "packed_model.h"

#include <string.h>

/* 16 rows of 16 numbers become 16 columns, by four rounds of exchanges between pairs of registers:
 * of neighbouring numbers, of pairs, and of quarters of a register twice. */
static void transpose(const uint16_t *in, size_t stride, uint16_t *out) {
    __m512i rows[16], pairs[16];
    for (int i = 0; i < 16; i++) rows[i] = _mm512_loadu_si512(in + (size_t)i * stride);
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
        _mm512_storeu_si512(out + (size_t)i * 2 * PANEL, low);
        _mm512_storeu_si512(out + (size_t)(i + 8) * 2 * PANEL, high);
    }
}

/* Heads whose width is a multiple of 32 fill registers, and others are copied number by number.
 * Tokens after the last are read too: memory that holds anything, whose columns count for nothing.
 */
static void pack_keys_in_registers(const uint16_t *keys, size_t stride, size_t count, size_t width,
                                   size_t padded_width, uint16_t *panel) {
    if (width == padded_width) {
        for (size_t i = 0; i < width; i += 32)
            for (size_t token = 0; token < count; token += 16)
                transpose(keys + token * stride + i, stride, panel + i * PANEL + 2 * token);
        return;
    }
    memset(panel, 0, padded_width * PANEL * sizeof *panel);
    for (size_t token = 0; token < count; token++)
        for (size_t i = 0; i < width; i++)
            panel[i / 2 * 2 * PANEL + 2 * token + i % 2] = keys[token * stride + i];
}

#define PACK_KEYS pack_keys_in_registers
#define MAXIMUM(ONE, OTHER) ((Floats)_mm512_max_ps((__m512)(ONE), (__m512)(OTHER)))
#include "row_loops.h"
