#define LOOPS loops_avx2
#define NAME "avx2"
#include "sign_loops.h"
