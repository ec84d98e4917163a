/* rows_avx2.c: the loops over rows, compiled for this instruction set. */
#define ROW_LOOPS ROW_LOOPS_AVX2
#include "row_loops.h"
