/* row_blocks.h: how the rows lie that products multiply, and those that they write.
 *
 * A row is cut into chunks of 64 bytes, and 32 rows are a block. In a block, the chunks of the same
 * columns stand one after the other: [32][64]. Layout says where the next chunk of a row is, and
 * where the next block:
 *   blocks   [blocks][chunks][32][64]: a product reads a block from its beginning to its end.
 *   table    [chunks][rows][64]: any 32 rows can be a block, wherever they begin. */
#ifndef KEYMISS_ROW_BLOCKS_H
#define KEYMISS_ROW_BLOCKS_H

#include <stddef.h>

enum { BLOCK_ROWS = 32, CHUNK_BYTES = 64, CHUNK_FLOATS = 16, CHUNK_HALVES = 32 };

typedef struct Layout {
    size_t chunk, block; /* from one to the next, in bytes */
} Layout;

/* Rows of this many numbers of this size, which fill whole chunks. */
static inline Layout blocks_of(size_t numbers, size_t size) {
    return (Layout){BLOCK_ROWS * CHUNK_BYTES, numbers * size * BLOCK_ROWS};
}

static inline Layout table_of(size_t rows) {
    return (Layout){rows * CHUNK_BYTES, BLOCK_ROWS * CHUNK_BYTES};
}

/* Where the first chunk of a row begins, in bytes. */
static inline size_t place_of_row(Layout layout, size_t row) {
    return row / BLOCK_ROWS * layout.block + row % BLOCK_ROWS * CHUNK_BYTES;
}

#endif
