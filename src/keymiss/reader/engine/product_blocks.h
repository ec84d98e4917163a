/* product_blocks.h: the loop that products with vectors share; a file defines its parts, then
 * includes it.
 *
 *   NAME          of the product
 *   NUMBERS       in a chunk of a row
 *   BLOCK(ROWS)   the body of a block of ROWS rows, which keeps all sums in registers: the inputs
 *                 from `first` to `end`, of the rows from `row` on; `adds` says whether to add to c
 *   MOST          the most rows that the registers have room for: 12, 6, 4 or 3 */
#define BLOCK_FUNCTION(ROWS)                                                                       \
    static void block_##ROWS(const Product *product, size_t row, size_t first, size_t end) {       \
        int adds = first > 0;                                                                      \
        BLOCK(ROWS)                                                                                \
    }
#define BLOCK_CASE(ROWS)                                                                           \
    if (rows - row >= ROWS) {                                                                      \
        block_##ROWS(product, row, first, end);                                                    \
        row += ROWS;                                                                               \
        continue;                                                                                  \
    }

/* Where the piece of the block's rows begins. */
#define PIECE_OF_A(TYPE)                                                                           \
    ((const TYPE *)product->a + first / NUMBERS * product->a_chunk / sizeof(TYPE) + row * NUMBERS)

/* Goes through the inputs, GROUP at a time: `input` is that of the first row, with others a chunk's
 * width further on, `a` the chunk's, and `b` the panel's group. By pointers, so that the addresses
 * of the rows are constants in the instructions: computing them took longer than multiplying. */
#define EVERY_INPUT(TYPE, GROUP)                                                                   \
    for (size_t at = first; at < end; at += NUMBERS, a += product->a_chunk / sizeof *a)            \
        for (TYPE *input = a; input < a + NUMBERS; input += GROUP, b += GROUP * PANEL)

/* A piece of a block and one of a panel, 16 KB each, stay in the first cache together. */
enum { PIECE = 8 * NUMBERS };

#if MOST >= 12
BLOCK_FUNCTION(12)
BLOCK_FUNCTION(8)
#endif
#if MOST >= 6
BLOCK_FUNCTION(6)
#endif
#if MOST >= 4
BLOCK_FUNCTION(4)
#endif
#if MOST == 3
BLOCK_FUNCTION(3)
#endif
BLOCK_FUNCTION(2)
BLOCK_FUNCTION(1)

static void multiply_piece(const Product *product, size_t first, size_t end) {
    size_t rows = (size_t)product->rows;
    for (size_t row = 0; row < rows;) {
#if MOST >= 12
        BLOCK_CASE(12)
        BLOCK_CASE(8)
#endif
#if MOST >= 6
        BLOCK_CASE(6)
#endif
#if MOST >= 4
        BLOCK_CASE(4)
#endif
#if MOST == 3
        BLOCK_CASE(3)
#endif
        BLOCK_CASE(2)
        BLOCK_CASE(1)
    }
}

void NAME(const Product *product) {
    for (size_t first = 0; first < product->inputs; first += PIECE) {
        size_t end = product->inputs - first < PIECE ? product->inputs : first + PIECE;
        multiply_piece(product, first, end);
    }
}
