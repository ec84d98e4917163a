/* product_int8_dotprod.c: the int8 product with ARM's dot product: sdot adds four products of
 * signed numbers to each of four sums. A panel in two halves, 4 x 16 sums in 16 registers; a row's
 * next sixteen inputs are in one register, four of which multiply at a time. */
#include <arm_neon.h>

#include "kernels.h"

#define NAME product_int8_dotprod
#define NUMBERS CHUNK_BYTES
#define MOST 4
#define ADD(ROWS, LANE)                                                                            \
    for (int q = 0; q < 4; q++) {                                                                  \
        int8x16_t columns = vld1q_s8(b + LANE * 4 * PANEL + 16 * q);                               \
        for (size_t r = 0; r < ROWS; r++)                                                          \
            sums[r][q] = vdotq_laneq_s32(sums[r][q], columns, values[r], LANE);                    \
    }
#define BLOCK(ROWS)                                                                                \
    for (int half = 0; half < PANEL; half += 16) {                                                 \
        const int8_t *a = PIECE_OF_A(int8_t);                                                      \
        const int8_t *b = (const int8_t *)product->b + first * PANEL + 4 * half;                   \
        int32_t *c = (int32_t *)product->c + row * product->c_stride + half;                       \
        int32x4_t sums[ROWS][4];                                                                   \
        for (size_t r = 0; r < ROWS; r++)                                                          \
            for (int q = 0; q < 4; q++)                                                            \
                sums[r][q] = adds ? vld1q_s32(c + r * product->c_stride + 4 * q) : vdupq_n_s32(0); \
        EVERY_INPUT(const int8_t, 16) {                                                            \
            int8x16_t values[ROWS];                                                                \
            for (size_t r = 0; r < ROWS; r++) values[r] = vld1q_s8(input + r * NUMBERS);           \
            ADD(ROWS, 0)                                                                           \
            ADD(ROWS, 1)                                                                           \
            ADD(ROWS, 2)                                                                           \
            ADD(ROWS, 3)                                                                           \
        }                                                                                          \
        for (size_t r = 0; r < ROWS; r++)                                                          \
            for (int q = 0; q < 4; q++) vst1q_s32(c + r * product->c_stride + 4 * q, sums[r][q]);  \
    }
#include "product_blocks.h"
