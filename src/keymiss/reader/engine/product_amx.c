/* product_amx.c: products with AMX tiles: 16 rows of 64 bytes each.
 *
 * Tiles 0 to 3 hold the sums of 32 x 32 outputs, 4 and 5 two times 16 rows, 6 and 7 the two halves
 * of a panel. A group of a panel (packed_model.h) is one row of tile 6 and one of tile 7. */
#include <immintrin.h>

#include "kernels.h"

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

/* Stores two tiles of sums, 16 rows of 32 columns, from row `row` of c on. */
#define STORE(LEFT, RIGHT, row)                                                                    \
    _tile_stored(LEFT, c + (row)*product->c_stride, c_bytes);                                      \
    _tile_stored(RIGHT, c + (row)*product->c_stride + 16, c_bytes);

/* Rows come from the second cache, since a panel fills most of the first one: loading them as a
 * stream leaves the panel there. */
#define LOAD(NUMBERS)                                                                              \
    for (int line = 0; line < product->ahead_lines; line++, ahead += CHUNK_BYTES)                  \
        _mm_prefetch(ahead, _MM_HINT_T1);                                                          \
    _tile_stream_loadd(4, a, CHUNK_BYTES);                                                         \
    _tile_loadd(6, b, GROUP_BYTES);                                                                \
    _tile_loadd(7, b + NUMBERS, GROUP_BYTES);

/* The loop is written once: the numbers of a chunk and the instruction differ. */
#define PRODUCT(NUMBERS, MULTIPLY)                                                                 \
    const char *a = product->a, *ahead = product->ahead;                                           \
    size_t c_bytes = 4 * product->c_stride;                                                        \
    float *c = product->c;                                                                         \
    _tile_zero(0);                                                                                 \
    _tile_zero(1);                                                                                 \
    if (product->rows <= 16) {                                                                     \
        for (size_t i = 0; i < product->inputs;                                                    \
             i += NUMBERS, a += product->a_chunk, b += NUMBERS * PANEL) {                          \
            LOAD(NUMBERS)                                                                          \
            MULTIPLY(0, 4, 6);                                                                     \
            MULTIPLY(1, 4, 7);                                                                     \
        }                                                                                          \
        STORE(0, 1, 0)                                                                             \
        return;                                                                                    \
    }                                                                                              \
    _tile_zero(2);                                                                                 \
    _tile_zero(3);                                                                                 \
    for (size_t i = 0; i < product->inputs;                                                        \
         i += NUMBERS, a += product->a_chunk, b += NUMBERS * PANEL) {                              \
        LOAD(NUMBERS)                                                                              \
        _tile_stream_loadd(5, a + 16 * CHUNK_BYTES, CHUNK_BYTES);                                  \
        MULTIPLY(0, 4, 6);                                                                         \
        MULTIPLY(1, 4, 7);                                                                         \
        MULTIPLY(2, 5, 6);                                                                         \
        MULTIPLY(3, 5, 7);                                                                         \
    }                                                                                              \
    STORE(0, 1, 0)                                                                                 \
    STORE(2, 3, 16)

void product_bf16_amx(const Product *product) {
    const uint16_t *b = product->b;
    PRODUCT(CHUNK_HALVES, _tile_dpbf16ps)
}

void product_int8_amx(const Product *product) {
    const int8_t *b = product->b;
    PRODUCT(CHUNK_BYTES, _tile_dpbssd)
}
