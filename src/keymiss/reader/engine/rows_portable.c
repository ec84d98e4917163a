/* rows_portable.c: the loops over rows, compiled for this instruction set. */
#define ROW_LOOPS ROW_LOOPS_PORTABLE
#include "row_loops.h"
