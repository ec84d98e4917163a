#define SCAN scan_signs_avx2
#include "sign_loops.h"
