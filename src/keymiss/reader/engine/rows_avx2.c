/* rows_avx2.c: the loops over rows for AVX2. */
#include <immintrin.h>

#define ROW_LOOPS ROW_LOOPS_AVX2
#define REGISTER_BYTES 32
#define MAXIMUM(ONE, OTHER) ((Floats)_mm256_max_ps((__m256)(ONE), (__m256)(OTHER)))
#define MINIMUM(ONE, OTHER) ((Floats)_mm256_min_ps((__m256)(ONE), (__m256)(OTHER)))
#include "row_loops.h"
