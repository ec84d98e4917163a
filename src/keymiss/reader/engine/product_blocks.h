/* product_blocks.h: the loop that the AVX products share; a file defines its parts, then includes
 * it.
 *
 *   NAME            of the product
 *   ARGUMENTS       of the product and of a block of it; `rows` is not among them
 *   PASSED          the same arguments, for the block that begins at `row`
 *   BLOCK(ROWS)     the body of a block of ROWS rows, which keeps all sums in registers
 *   MOST            the most rows that the registers have room for: 12, 6 or 3 */
#define BLOCK_FUNCTION(ROWS)                                                                       \
    static void block_##ROWS(ARGUMENTS) { BLOCK(ROWS) }
#define BLOCK_CASE(ROWS)                                                                           \
    if (rows - row >= ROWS) {                                                                      \
        block_##ROWS(PASSED);                                                                      \
        row += ROWS;                                                                               \
        continue;                                                                                  \
    }

#if MOST >= 12
BLOCK_FUNCTION(12)
BLOCK_FUNCTION(8)
#endif
#if MOST >= 6
BLOCK_FUNCTION(6)
BLOCK_FUNCTION(4)
#endif
#if MOST == 3
BLOCK_FUNCTION(3)
#endif
BLOCK_FUNCTION(2)
BLOCK_FUNCTION(1)

void NAME(ARGUMENTS, int rows) {
    for (int row = 0; row < rows;) {
#if MOST >= 12
        BLOCK_CASE(12)
        BLOCK_CASE(8)
#endif
#if MOST >= 6
        BLOCK_CASE(6)
        BLOCK_CASE(4)
#endif
#if MOST == 3
        BLOCK_CASE(3)
#endif
        BLOCK_CASE(2)
        BLOCK_CASE(1)
    }
}
