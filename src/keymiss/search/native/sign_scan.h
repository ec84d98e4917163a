// Compares the signs of many vectors with a question: the loops, written once and compiled for
// several instruction sets.
//
// A block holds the signs of BLOCK vectors, word by word: uint64_t [words][BLOCK]. Bit i of a
// vector is set when its number i is not negative. The question's numbers are whole, from -8 to 7,
// and stand as four planes of bits in two's complement, uint64_t [PLANES][words]. A vector's score
// is the sum of the question's numbers where its bits are set: the larger, the more likely is a
// large product of both (after Gao and Long 2024, RaBitQ).
#ifndef KEYMISS_SIGN_SCAN_H
#define KEYMISS_SIGN_SCAN_H

#include <stdint.h>

enum { BLOCK = 8, PLANES = 4, MOST_WORDS = 31, MOST_BLOCKS = 64 };

// Gives the scores of all vectors of these blocks, int32_t [blocks][BLOCK].
typedef void SignScan(const uint64_t *signs, int32_t blocks, const uint64_t *planes, int32_t words,
                      int32_t *scores);

// The product of a vector's codes with a question's steps.
typedef int32_t CodeProduct(const int8_t *codes, const int16_t *steps, int32_t width);

// The loops of one instruction set.
typedef struct {
    const char *name;
    SignScan *scan;
    CodeProduct *product;
} VectorLoops;

extern const VectorLoops loops_portable, loops_avx2, loops_avx512, loops_popcount;

#endif
