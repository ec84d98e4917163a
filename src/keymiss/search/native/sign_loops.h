// The loops of sign_scan.h, for the set that LOOPS and NAME name. HAS_POPCOUNT says that the set
// counts bits by an instruction; otherwise they are counted in bytes, with shifts and sums that any
// set has for whole vectors.
#include "sign_scan.h"

#include <string.h>

static void count_plane(const uint64_t *signs, const uint64_t *plane, int32_t words,
                        uint64_t *counts) {
    uint64_t sums[BLOCK] = {0};
    for (int32_t word = 0; word < words; word++, signs += BLOCK) {
        for (int lane = 0; lane < BLOCK; lane++) {
            uint64_t bits = signs[lane] & plane[word];
#if HAS_POPCOUNT
            sums[lane] += (uint64_t)__builtin_popcountll(bits);
#else
            bits -= bits >> 1 & 0x5555555555555555u;
            bits = (bits & 0x3333333333333333u) + (bits >> 2 & 0x3333333333333333u);
            sums[lane] += (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0fu;
#endif
        }
    }
#if !HAS_POPCOUNT
    for (int lane = 0; lane < BLOCK; lane++) {
        uint64_t sum = (sums[lane] & 0x00ff00ff00ff00ffu) + (sums[lane] >> 8 & 0x00ff00ff00ff00ffu);
        sum += sum >> 16;
        sums[lane] = (sum + (sum >> 32)) & 0xffff;
    }
#endif
    memcpy(counts, sums, sizeof sums);
}

static void scan_signs(const uint64_t *signs, int32_t blocks, const uint64_t *planes, int32_t words,
                       int32_t *scores) {
    uint64_t counts[PLANES][BLOCK];
    for (int32_t block = 0; block < blocks; block++) {
        for (int plane = 0; plane < PLANES; plane++)
            count_plane(signs, planes + plane * words, words, counts[plane]);
        for (int lane = 0; lane < BLOCK; lane++)
            scores[lane] = (int32_t)(counts[0][lane] + 2 * counts[1][lane] + 4 * counts[2][lane]) -
                           8 * (int32_t)counts[3][lane];
        signs += BLOCK * words;
        scores += BLOCK;
    }
}

static int32_t multiply_codes(const int8_t *codes, const int16_t *steps, int32_t width) {
    int32_t sum = 0;
    for (int32_t at = 0; at < width; at++) sum += codes[at] * steps[at];
    return sum;
}

const VectorLoops LOOPS = {NAME, scan_signs, multiply_codes};
