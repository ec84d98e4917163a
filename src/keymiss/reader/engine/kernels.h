/* kernels.h: the inner loops of the engine, for each instruction set.
 *
 * A product multiplies up to 32 rows by a panel of 32 columns (packed_model.h): c[row][column] is
 * the sum over the inputs of a[row][input] * b[input][column].
 *   - In int8, a[row][input] is offset by the set's `offset` (0 or 128), modulo 256. The sums are
 * the same on all instruction sets: nothing saturates, and nothing is rounded.
 *
 * Everything else works on rows of floats, with loops that are written once (row_loops.h) and
 * compiled for each instruction set. */
#ifndef KEYMISS_KERNELS_H
#define KEYMISS_KERNELS_H

#include "packed_model.h"

#include <stddef.h>
#include <stdint.h>

typedef struct Product {
    const void *a;       /* a block of rows (row_blocks.h) */
    const void *b;       /* a panel */
    const int32_t *sums; /* of the panel's columns; int8 only */
    size_t inputs;       /* they fill whole chunks of the block */
    void *c;             /* float, or int32 in int8; there is room for a multiple of 16 rows */
    size_t c_stride;     /* from row to row, in numbers */
    int rows;
    int adds; /* to what is in c, which a product of other inputs has begun */
    /* What is read next: this many lines of 64 bytes of it are fetched beside each chunk. */
    const char *ahead;
    int ahead_lines;
} Product;

typedef void ProductLoop(const Product *product);

/* What happens to the sums of a panel: in int8 they are scaled; then a bias is added, then GELU or
 * a residual, and the outcome is written as float or as bf16. */
typedef struct Finish {
    const float *bias;          /* 32, or NULL */
    const float *column_scales; /* 32; int8 only */
    const float *row_scales;    /* one for each row; int8 only */
    int gelu;
    const float *residual; /* NULL, or has the stride of the output */
    float *floats;         /* the output, or NULL */
    uint16_t *halves;      /* the output, when `floats` is NULL */
    size_t stride;         /* from row to row of the output */
    size_t half_gap;       /* from the first column of the output to the 17th */
    int columns;           /* how many of the 32 are written */
} Finish;

typedef struct RowLoops {
    void (*finish)(const Finish *finish, const void *sums, int rows);
    /* Layer normalisation of one row (Ba et al. 2016). */
    void (*normalise)(const float *row, size_t width, const float *scale, const float *bias,
                      float epsilon, float *out);
    /* A row becomes exp(x - max), and nearly 0 from `width` on to `padded`, a multiple of 32.
     * Returns the factor that makes its sum 1. */
    float (*softmax)(float *row, size_t width, size_t padded);
    /* A row of numbers, times a factor -> a row of a block. */
    void (*place_f32)(const float *row, size_t width, float factor, float *out);
    void (*place_bf16)(const uint16_t *row, size_t width, uint16_t *out);
    void (*narrow)(const float *row, size_t width, float factor, uint16_t *out);
    void (*widen)(const uint16_t *row, size_t width, float *out); /* to a row of numbers */
    /* Keys as a panel whose columns are `count` tokens, up to 32, and whose inputs are the head's
     * `width`; other columns may hold anything, inputs from `width` on are 0. */
    void (*pack_keys)(const uint16_t *keys, size_t stride, size_t count, size_t width,
                      size_t padded_width, uint16_t *panel);
    /* Values as panels whose inputs are `count` tokens, zeros up to `padded`, and whose columns are
     * the head's `width`, zeros up to `padded_width`. */
    void (*pack_values)(const uint16_t *values, size_t stride, size_t count, size_t padded,
                        size_t width, size_t padded_width, uint16_t *panels);
    /* Rounds a row to int8, adds the offset, and writes a row of a block; returns the scale. */
    float (*quantise)(const float *row, size_t width, int offset, uint8_t *out);
} RowLoops;

typedef struct Kernels {
    const char *names[PRECISIONS]; /* of the instruction set of each product */
    ProductLoop *products[PRECISIONS];
    int bf16_is_native; /* the instruction set multiplies bf16 */
    int offset;         /* of int8 activations */
    /* Around the products of one piece of work, on the thread that does it; may be NULL. */
    void (*begin)(void), (*end)(void);
    const RowLoops *rows;
} Kernels;

ProductLoop product_f32_portable, product_f32_avx2, product_f32_avx512;
ProductLoop product_bf16_portable, product_bf16_avx512, product_bf16_amx;
ProductLoop product_int8_portable, product_int8_avx2, product_int8_vnni, product_int8_amx;
void amx_begin(void);
void amx_end(void);

extern const RowLoops ROW_LOOPS_PORTABLE, ROW_LOOPS_AVX2, ROW_LOOPS_AVX512, ROW_LOOPS_BF16;

/* The kernels of the best instruction set that runs here, or of the one that is named, which may be
 * "amx", "avx512-bf16", "avx512-vnni", "avx512", "avx2" or "portable". Returns 0 when there is no
 * such set, or it does not run here. */
int choose_kernels(Kernels *kernels, const char *named);

#endif
