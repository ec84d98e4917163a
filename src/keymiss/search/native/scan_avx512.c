#define SCAN scan_signs_avx512
#include "sign_loops.h"
