/* rows_bf16.c: the loops over rows for AVX-512 BF16, which rounds to bf16 in one instruction. */
#include <immintrin.h>

#define NARROW_LANES(TO, VALUES)                                                                   \
    _mm256_storeu_si256((__m256i *)(TO), (__m256i)_mm512_cvtneps_pbh((__m512)(VALUES)))
#define ROW_LOOPS ROW_LOOPS_BF16
#include "rows_avx512.h"
