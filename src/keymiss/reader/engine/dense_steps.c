/* dense_steps.c: dense layers: products of tokens and panels. */
#include "encoder_steps.h"

enum {
    ITEMS_OF_THREAD = 6,
    LEAST_BLOCKS = 8,      /* of a thread: with fewer, all threads work on the same rows */
    GROUP_BYTES = 3 << 18, /* of rows, which stay in the second cache beside a panel or two */
};

/* The product of the first of an item's blocks and one of its panels. */
static Product product_of(const Encoder *encoder, const Step *step, int first, int blocks,
                          size_t panel) {
    const Dense *dense = step->dense;
    size_t inputs = rounded_up((size_t)dense->inputs, INPUT_STEP);
    size_t panel_bytes = inputs * PANEL * encoder->input_number;
    const char *weights = (const char *)dense->panels + panel * panel_bytes;
    int is_last = (panel + 1) * PANEL >= (size_t)dense->outputs;
    return (Product){
        .a = (const char *)step->input + (size_t)first * step->from.block,
        .a_chunk = step->from.chunk,
        .b = weights,
        .sums = dense->sums + (dense->sums ? panel * PANEL : 0),
        .inputs = inputs,
        .c_stride = PANEL,
        .ahead = weights + panel_bytes,
        .ahead_lines = is_last ? 0 : divided(BLOCK_ROWS, blocks),
    };
}

static int rows_of_block(const Encoder *encoder, int block) {
    int left = encoder->token_count - block * BLOCK_ROWS;
    return left < BLOCK_ROWS ? left : BLOCK_ROWS;
}

/* The sums of these blocks and a panel, and the product with the block after them. */
static void multiply_blocks(const Encoder *encoder, const Step *step, Product *product, int first,
                            int end, float *sums) {
    ProductLoop *multiply_block = encoder->kernels.products[encoder->model.shape.precision];
    size_t chunks = product->inputs * encoder->input_number / CHUNK_BYTES;
    for (int block = first; block < end; block++, sums += BLOCK_ROWS * PANEL) {
        product->rows = rows_of_block(encoder, block);
        product->c = sums;
        multiply_block(product);
        product->a = (const char *)product->a + step->from.block;
        product->ahead += chunks * (size_t)product->ahead_lines * CHUNK_BYTES;
    }
}

/* Where the output of a block and a panel begins, in numbers. */
static size_t place_output(const Encoder *encoder, const Step *step, size_t block, size_t panel) {
    if (step->to.chunk == 0) return block * BLOCK_ROWS * step->finish.stride + panel * PANEL;
    size_t chunk = panel * PANEL * encoder->number / CHUNK_BYTES;
    return (block * step->to.block + chunk * step->to.chunk) / encoder->number;
}

/* A step's Finish for a block and a panel. */
static Finish finish_of(const Encoder *encoder, const Step *step, int block, size_t panel) {
    Finish finish = step->finish;
    size_t column = panel * PANEL, left = (size_t)step->dense->outputs - column;
    size_t at = place_output(encoder, step, (size_t)block, panel);
    finish.columns = left < PANEL ? (int)left : PANEL;
    finish.bias = step->dense->bias + column;
    if (step->dense->scales) {
        finish.column_scales = step->dense->scales + column;
        finish.row_scales = encoder->scales + (size_t)block * BLOCK_ROWS;
    }
    if (finish.residual) finish.residual += at;
    if (finish.floats) finish.floats += at;
    if (finish.halves) finish.halves += at;
    return finish;
}

static void finish_blocks(const Encoder *encoder, const Step *step, int first, int end,
                          size_t panel, const float *sums) {
    for (int block = first; block < end; block++, sums += BLOCK_ROWS * PANEL) {
        Finish finish = finish_of(encoder, step, block, panel);
        encoder->kernels.rows->finish(&finish, sums, rows_of_block(encoder, block));
    }
}

static int least(int one, int other) { return one < other ? one : other; }

void multiply(Encoder *encoder, const Step *step, int item, int thread) {
    const Kernels *kernels = &encoder->kernels;
    const Grid *grid = &step->grid;
    float *sums = encoder->scratch[thread].sums;
    int blocks = divided(encoder->token_count, BLOCK_ROWS);
    int panels = divided(step->dense->outputs, PANEL);
    int group = item / grid->panel_groups, panel_group = item % grid->panel_groups;
    int first = blocks * group / grid->row_groups, last = blocks * (group + 1) / grid->row_groups;
    int panel = panels * panel_group / grid->panel_groups;
    int end = panels * (panel_group + 1) / grid->panel_groups;
    if (kernels->begin) kernels->begin();
    for (; panel < end; panel++) {
        Product product = product_of(encoder, step, first, last - first, (size_t)panel);
        for (int block = first; block < last; block += BLOCKS_AT_ONCE) {
            int next = least(block + BLOCKS_AT_ONCE, last);
            multiply_blocks(encoder, step, &product, block, next, sums);
            finish_blocks(encoder, step, block, next, (size_t)panel, sums);
        }
    }
    if (kernels->end) kernels->end();
}

Grid grid_of(const Encoder *encoder, const Dense *dense, int threads) {
    int blocks = divided(encoder->token_count, BLOCK_ROWS);
    int panels = divided(dense->outputs, PANEL);
    size_t inputs = rounded_up((size_t)dense->inputs, INPUT_STEP);
    int most = (int)(GROUP_BYTES / (inputs * encoder->input_number * BLOCK_ROWS));
    int groups = divided(blocks, most > 1 ? most : 1);
    if (blocks >= LEAST_BLOCKS * threads)
        groups = least(divided(groups, threads) * threads, blocks);
    int wanted = threads == 1 ? 1 : divided(threads * ITEMS_OF_THREAD, groups);
    return (Grid){.row_groups = groups, .panel_groups = least(wanted, panels)};
}
