/* product_f32_neon.c: the fp32 product with NEON: a panel in two halves, 4 x 16 sums in 16
 * registers. A row's next four inputs are in one register, whose numbers multiply one by one. */
#include <arm_neon.h>

#include "kernels.h"

#define NAME product_f32_neon
#define NUMBERS CHUNK_FLOATS
#define MOST 4
#define ADD(ROWS, LANE)                                                                            \
    for (int q = 0; q < 4; q++) {                                                                  \
        float32x4_t four = vld1q_f32(b + LANE * PANEL + 4 * q);                                    \
        for (size_t r = 0; r < ROWS; r++)                                                          \
            sums[r][q] = vfmaq_laneq_f32(sums[r][q], four, values[r], LANE);                       \
    }
#define BLOCK(ROWS)                                                                                \
    for (int half = 0; half < PANEL; half += 16) {                                                 \
        const float *a = PIECE_OF_A(float), *b = (const float *)product->b + first * PANEL + half; \
        float *c = (float *)product->c + row * product->c_stride + half;                           \
        float32x4_t sums[ROWS][4];                                                                 \
        for (size_t r = 0; r < ROWS; r++)                                                          \
            for (int q = 0; q < 4; q++)                                                            \
                sums[r][q] = adds ? vld1q_f32(c + r * product->c_stride + 4 * q) : vdupq_n_f32(0); \
        EVERY_INPUT(const float, 4) {                                                              \
            float32x4_t values[ROWS];                                                              \
            for (size_t r = 0; r < ROWS; r++) values[r] = vld1q_f32(input + r * NUMBERS);          \
            ADD(ROWS, 0)                                                                           \
            ADD(ROWS, 1)                                                                           \
            ADD(ROWS, 2)                                                                           \
            ADD(ROWS, 3)                                                                           \
        }                                                                                          \
        for (size_t r = 0; r < ROWS; r++)                                                          \
            for (int q = 0; q < 4; q++) vst1q_f32(c + r * product->c_stride + 4 * q, sums[r][q]);  \
    }
#include "product_blocks.h"
