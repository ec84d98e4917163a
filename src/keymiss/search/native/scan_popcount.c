#define SCAN scan_signs_popcount
#define HAS_POPCOUNT 1
#include "sign_loops.h"
