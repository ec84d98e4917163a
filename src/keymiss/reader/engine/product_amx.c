/* product_amx.c: products with AMX tiles: 16 rows of 64 bytes each.
 *
 * Tiles 0 to 3 hold the sums of 32 x 32 outputs, 4 and 5 two times 16 rows, 6 and 7 the two halves
 * of a panel. A group of a panel (packed_model.h) is one row of tile 6 and one of tile 7. */
#include <immintrin.h>

#include "kernels.h"
#include "row_blocks.h"

typedef struct TileConfig {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} TileConfig;

static const TileConfig WHOLE_TILES = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

enum { GROUP_BYTES = 4 * PANEL };

void amx_begin(void) { _tile_loadconfig(&WHOLE_TILES); }

void amx_end(void) { _tile_release(); }

/* Two tiles of sums, 16 rows of 32 columns, from or to row `row` of c. */
#define SUMS(LEFT, RIGHT, MOVE, row)                                                               \
    MOVE(LEFT, c + (row)*product->c_stride, c_bytes);                                              \
    MOVE(RIGHT, c + (row)*product->c_stride + 16, c_bytes);

/* Rows come from the second cache, since a panel fills most of the first one: loading them as a
 * stream leaves the panel there. */
#define CHUNK(NUMBERS, i)                                                                          \
    for (int line = 0; line < product->ahead_lines; line++, ahead += CHUNK_BYTES)                  \
        _mm_prefetch(ahead, _MM_HINT_T1);                                                          \
    _tile_stream_loadd(4, a + (i)*BLOCK_ROWS, CHUNK_BYTES);                                        \
    _tile_loadd(6, b + (i)*PANEL, GROUP_BYTES);                                                    \
    _tile_loadd(7, b + (i)*PANEL + NUMBERS, GROUP_BYTES);

/* The loop is written once: the numbers of a chunk and the instruction differ. */
#define PRODUCT(NUMBERS, MULTIPLY)                                                                 \
    const char *ahead = product->ahead;                                                            \
    size_t c_bytes = 4 * product->c_stride;                                                        \
    float *c = product->c;                                                                         \
    int is_half = product->rows <= 16;                                                             \
    if (product->adds) {                                                                           \
        SUMS(0, 1, _tile_loadd, 0)                                                                 \
    } else {                                                                                       \
        _tile_zero(0);                                                                             \
        _tile_zero(1);                                                                             \
    }                                                                                              \
    if (is_half) {                                                                                 \
        for (size_t i = 0; i < product->inputs; i += NUMBERS) {                                    \
            CHUNK(NUMBERS, i)                                                                      \
            MULTIPLY(0, 4, 6);                                                                     \
            MULTIPLY(1, 4, 7);                                                                     \
        }                                                                                          \
        SUMS(0, 1, _tile_stored, 0)                                                                \
        return;                                                                                    \
    }                                                                                              \
    if (product->adds) {                                                                           \
        SUMS(2, 3, _tile_loadd, 16)                                                                \
    } else {                                                                                       \
        _tile_zero(2);                                                                             \
        _tile_zero(3);                                                                             \
    }                                                                                              \
    for (size_t i = 0; i < product->inputs; i += NUMBERS) {                                        \
        CHUNK(NUMBERS, i)                                                                          \
        _tile_stream_loadd(5, a + i * BLOCK_ROWS + 16 * NUMBERS, CHUNK_BYTES);                     \
        MULTIPLY(0, 4, 6);                                                                         \
        MULTIPLY(1, 4, 7);                                                                         \
        MULTIPLY(2, 5, 6);                                                                         \
        MULTIPLY(3, 5, 7);                                                                         \
    }                                                                                              \
    SUMS(0, 1, _tile_stored, 0)                                                                    \
    SUMS(2, 3, _tile_stored, 16)

void product_bf16_amx(const Product *product) {
    const uint16_t *a = product->a, *b = product->b;
    PRODUCT(CHUNK_HALVES, _tile_dpbf16ps)
}

void product_int8_amx(const Product *product) {
    const uint8_t *a = product->a;
    const int8_t *b = product->b;
    PRODUCT(CHUNK_BYTES, _tile_dpbssd)
}
