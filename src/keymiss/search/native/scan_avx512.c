#define LOOPS loops_avx512
#define NAME "avx512"
#include "sign_loops.h"
