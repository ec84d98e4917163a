/* row_blocks.h: the layout of the rows that products multiply.
 *
 * 32 rows are a block, and a block is cut into chunks of 64 bytes of each row: [chunks][32][64]. So
 * a product reads a block from its beginning to its end, whatever the width of its rows is. */
#ifndef KEYMISS_ROW_BLOCKS_H
#define KEYMISS_ROW_BLOCKS_H

#include <stddef.h>

enum { BLOCK_ROWS = 32, CHUNK_BYTES = 64, CHUNK_FLOATS = 16, CHUNK_HALVES = 32 };

/* The bytes of a block whose rows have this many numbers, a multiple of 64, of this size. */
static inline size_t block_bytes(size_t numbers, size_t size) {
    return numbers * size * BLOCK_ROWS;
}

/* Where the first chunk of a row begins, in bytes from the first block. */
static inline size_t place_of_row(size_t row, size_t numbers, size_t size) {
    return row / BLOCK_ROWS * block_bytes(numbers, size) + row % BLOCK_ROWS * CHUNK_BYTES;
}

#endif
