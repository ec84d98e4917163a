/* product_amx.c: products with AMX tiles: 16 rows of 64 bytes each.
 *
 * Tiles 0 to 3 hold the sums of 32 x 32 outputs, 4 and 5 two times 16 rows, 6 and 7 the two halves
 * of a panel. A group of a panel (packed_model.h) is one row of tile 6 and one of tile 7. */
#include <immintrin.h>

#include "kernels.h"
#include "packed_model.h"
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

/* The loop is written once: the numbers of a chunk and the instruction differ. */
#define PRODUCT(NUMBERS, MULTIPLY)                                                                 \
    size_t c_bytes = 4 * c_stride;                                                                 \
    _tile_zero(0);                                                                                 \
    _tile_zero(1);                                                                                 \
    if (rows <= 16) {                                                                              \
        for (size_t i = 0; i < inputs; i += NUMBERS) {                                             \
            _tile_loadd(4, a + i * BLOCK_ROWS, CHUNK_BYTES);                                       \
            _tile_loadd(6, b + i * PANEL, GROUP_BYTES);                                            \
            _tile_loadd(7, b + i * PANEL + NUMBERS, GROUP_BYTES);                                  \
            MULTIPLY(0, 4, 6);                                                                     \
            MULTIPLY(1, 4, 7);                                                                     \
        }                                                                                          \
        _tile_stored(0, c, c_bytes);                                                               \
        _tile_stored(1, c + 16, c_bytes);                                                          \
        return;                                                                                    \
    }                                                                                              \
    _tile_zero(2);                                                                                 \
    _tile_zero(3);                                                                                 \
    for (size_t i = 0; i < inputs; i += NUMBERS) {                                                 \
        _tile_loadd(4, a + i * BLOCK_ROWS, CHUNK_BYTES);                                           \
        _tile_loadd(6, b + i * PANEL, GROUP_BYTES);                                                \
        _tile_loadd(7, b + i * PANEL + NUMBERS, GROUP_BYTES);                                      \
        _tile_loadd(5, a + i * BLOCK_ROWS + 16 * NUMBERS, CHUNK_BYTES);                            \
        MULTIPLY(0, 4, 6);                                                                         \
        MULTIPLY(1, 4, 7);                                                                         \
        MULTIPLY(2, 5, 6);                                                                         \
        MULTIPLY(3, 5, 7);                                                                         \
    }                                                                                              \
    _tile_stored(0, c, c_bytes);                                                                   \
    _tile_stored(1, c + 16, c_bytes);                                                              \
    _tile_stored(2, c + 16 * c_stride, c_bytes);                                                   \
    _tile_stored(3, c + 16 * c_stride + 16, c_bytes);

void product_bf16_amx(const uint16_t *a, const uint16_t *b, size_t inputs, float *c,
                      size_t c_stride, int rows) {
    PRODUCT(CHUNK_HALVES, _tile_dpbf16ps)
}

void product_int8_amx(const uint8_t *a, const int8_t *b, const int32_t *sums, size_t inputs,
                      int32_t *c, size_t c_stride, int rows) {
    (void)sums;
    PRODUCT(CHUNK_BYTES, _tile_dpbssd)
}
