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
#include "row_blocks.h"

#include <stddef.h>
#include <stdint.h>

typedef struct Product {
    const void *a;       /* a block of rows (row_blocks.h) */
    size_t a_chunk;      /* from one chunk of a row to the next, in bytes */
    const void *b;       /* a panel */
    const int32_t *sums; /* of the panel's columns; int8 only */
    size_t inputs;       /* they fill whole chunks of the block */
    void *c;             /* float, or int32 in int8; there is room for a multiple of 16 rows */
    size_t c_stride;     /* from row to row, in numbers */
    int rows;
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
    const float *row_scales;    /* one for each row, or NULL */
    int gelu;
    const float *residual; /* NULL, or has the stride of the output */
    float *floats;         /* the output, or NULL */
    uint16_t *halves;      /* the output, when `floats` is NULL */
    size_t stride;         /* from row to row of the output */
    size_t half_gap;       /* from the first column of the output to the 17th */
    int columns;           /* how many of the 32 are written */
} Finish;

/* The scores of 32 queries and 32 keys: [queries][keys], with a line between such panels, since
 * addresses a page apart share their place in the first cache. */
enum { SCORE_PANEL = BLOCK_ROWS * PANEL + CHUNK_FLOATS };

/* What attention does, for numbers of one size. */
typedef struct HeadLoops {
    /* The values of 32 columns, in a table of chunks, become a panel whose inputs are `count`
     * tokens, and zeros up to a multiple of 32. */
    void (*pack_values)(const void *values, size_t chunk, size_t count, void *panel);
    /* Scores -> 2 to the power of (score - the row's largest) for `count` keys, and nearly 0 after
     * them, as a block; and for each row the factor that makes its sum 1. Some rows more may be
     * computed, up to a multiple of 4. */
    void (*softmax)(const float *scores, size_t count, int rows, void *out, float *factors);
} HeadLoops;

typedef struct RowLoops {
    void (*finish)(const Finish *finish, const void *sums, int rows);
    /* Layer normalisation of one row, in its place (Ba et al. 2016). */
    void (*normalise)(float *row, size_t width, const Norm *norm, float epsilon);
    /* A row of floats -> a row of a block. */
    void (*place)(const float *row, size_t width, float *out);
    void (*narrow)(const float *row, size_t width, uint16_t *out);
    /* Rounds a row to int8 and adds the offset; returns the scale. */
    float (*quantise)(const float *row, size_t width, int offset, uint8_t *out);
    /* The same of a row of bf16 in chunks, this many bytes apart; the width is a multiple of 32. */
    float (*quantise_halves)(const uint16_t *row, size_t chunk, size_t width, int offset,
                             uint8_t *out);
    /* A chunk of the keys of 32 tokens becomes 16 groups of a panel whose columns are the tokens.
     * A group has 4 bytes of each: one float or two halves. */
    void (*pack_keys)(const void *keys, void *panel);
    HeadLoops floats, halves;
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

ProductLoop product_f32_portable, product_f32_avx2, product_f32_avx512, product_f32_neon;
ProductLoop product_bf16_portable, product_bf16_avx512, product_bf16_amx;
ProductLoop product_int8_portable, product_int8_avx2, product_int8_vnni, product_int8_amx;
ProductLoop product_int8_dotprod;
void amx_begin(void);
void amx_end(void);

extern const RowLoops ROW_LOOPS_PORTABLE, ROW_LOOPS_AVX2, ROW_LOOPS_AVX512, ROW_LOOPS_BF16;

/* The kernels of the best instruction set that runs here, or of the one that is named, which may be
 * "amx", "avx512-bf16", "avx512-vnni", "avx512", "avx2", "dotprod", "neon" or "portable". Returns 0
 * when there is no such set, or it does not run here. */
int choose_kernels(Kernels *kernels, const char *named);

#endif
