/* rows_avx512.c: the loops over rows, compiled for this instruction set. */
#define ROW_LOOPS ROW_LOOPS_AVX512
#include "rows_avx512.h"
