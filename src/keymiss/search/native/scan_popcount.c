#define LOOPS loops_popcount
#define NAME "popcount"
#define HAS_POPCOUNT 1
#include "sign_loops.h"
