/* peak_rates.c: the instructions that the engine's products are made of, on registers alone: no
 * reader can multiply faster. Each function repeats twelve of them, which do not wait for each
 * other, `rounds` times, and returns the multiply-adds of a round.
 *
 * bench/ceilings.py compiles it, and calls what the processor has. */
#include <immintrin.h>

#include <stdint.h>

#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)

/* The compiler may not know what a register holds, nor drop what is added to it. */
#define KEEP(I) __asm__ volatile("" : "+v"(sum##I));

#define PEAK(NAME, TYPE, BEGIN, ADD, MULTIPLY_ADDS)                                                \
    long NAME(long rounds) {                                                                       \
        TYPE a = {0}, b = {0};                                                                     \
        __asm__ volatile("" : "+v"(a), "+v"(b));                                                   \
        EACH(BEGIN)                                                                                \
        while (rounds-- > 0) {                                                                     \
            EACH(ADD)                                                                              \
            EACH(KEEP)                                                                             \
        }                                                                                          \
        return 12 * MULTIPLY_ADDS;                                                                 \
    }

#define BEGIN_256(I) __m256 sum##I = _mm256_setzero_ps();
#define BEGIN_512(I) __m512 sum##I = _mm512_setzero_ps();
#define BEGIN_256I(I) __m256i sum##I = _mm256_setzero_si256();
#define BEGIN_512I(I) __m512i sum##I = _mm512_setzero_si512();

#define F32_AVX2(I) sum##I = _mm256_fmadd_ps(a, b, sum##I);
#define F32_AVX512(I) sum##I = _mm512_fmadd_ps(a, b, sum##I);
#define BF16_AVX512(I) sum##I = _mm512_dpbf16_ps(sum##I, (__m512bh)a, (__m512bh)b);
#define INT8_VNNI(I) sum##I = _mm512_dpbusd_epi32(sum##I, a, b);
/* Of the same numbers, vpmaddwd would be computed once: each sum is one of its operands. */
#define INT8_AVX2(I) sum##I = _mm256_add_epi32(_mm256_madd_epi16(sum##I, a), b);

PEAK(fp32_avx2, __m256, BEGIN_256, F32_AVX2, 8)
PEAK(fp32_avx512, __m512, BEGIN_512, F32_AVX512, 16)
PEAK(bf16_avx512_bf16, __m512, BEGIN_512, BF16_AVX512, 32)
PEAK(int8_avx2, __m256i, BEGIN_256I, INT8_AVX2, 16)
PEAK(int8_avx512_vnni, __m512i, BEGIN_512I, INT8_VNNI, 64)

typedef struct TileConfig {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} TileConfig;

static const TileConfig WHOLE_TILES = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

#define PEAK_OF_TILES(NAME, MULTIPLY, MULTIPLY_ADDS)                                               \
    long NAME(long rounds) {                                                                       \
        _tile_loadconfig(&WHOLE_TILES);                                                            \
        while (rounds-- > 0) {                                                                     \
            MULTIPLY(0, 4, 6);                                                                     \
            MULTIPLY(1, 4, 7);                                                                     \
            MULTIPLY(2, 5, 6);                                                                     \
            MULTIPLY(3, 5, 7);                                                                     \
        }                                                                                          \
        _tile_release();                                                                           \
        return 4 * MULTIPLY_ADDS;                                                                  \
    }

PEAK_OF_TILES(bf16_amx, _tile_dpbf16ps, 16 * 16 * 32)
PEAK_OF_TILES(int8_amx, _tile_dpbssd, 16 * 16 * 64)
