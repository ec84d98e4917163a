#define LOOPS loops_portable
#define NAME "portable"
#if defined(__aarch64__)
#define HAS_POPCOUNT 1
#endif
#include "sign_loops.h"
