/* dense_steps.c: dense layers: products of tokens and panels. */
#include "encoder_steps.h"

enum {
    ITEMS_OF_THREAD = 6,
    GROUP_BYTES = 1 << 20, /* of rows, which stay in the second cache beside a panel or two */
};

/* The product of the first block of an item's rows and one of its panels. */
static Product product_of(const Encoder *encoder, const Step *step, int first, size_t panel,
                          void *sums) {
    const Dense *dense = step->dense;
    size_t inputs = rounded_up((size_t)dense->inputs, INPUT_STEP), size = encoder->input_number;
    size_t panel_bytes = inputs * PANEL * size;
    const char *weights = (const char *)dense->panels + panel * panel_bytes;
    int is_last = (panel + 1) * PANEL >= (size_t)dense->outputs;
    return (Product){
        .a = (const char *)step->input + (size_t)first * block_bytes(step->width, size),
        .b = weights,
        .sums = dense->sums + (dense->sums ? panel * PANEL : 0),
        .inputs = inputs,
        .c = sums,
        .c_stride = PANEL,
        .ahead = weights + panel_bytes,
        .ahead_lines = is_last ? 0 : divided(BLOCK_ROWS, step->grid.blocks_of_group),
    };
}

/* The same with the block after it. */
static void go_to_next_block(const Encoder *encoder, const Step *step, Product *product) {
    size_t bytes = block_bytes(step->width, encoder->input_number);
    product->a = (const char *)product->a + bytes;
    product->ahead += bytes / BLOCK_ROWS * (size_t)product->ahead_lines;
}

/* Where the output of a block and a panel begins, in numbers, and how its rows stand there. */
static size_t place_output(const Encoder *encoder, const Step *step, int block, size_t panel,
                           Finish *finish) {
    size_t columns = panel * PANEL, rows = (size_t)block * BLOCK_ROWS;
    finish->half_gap = PANEL / 2;
    if (!step->writes_blocks) return rows * finish->stride + columns;
    finish->stride = CHUNK_BYTES / encoder->input_number;
    if (!encoder->is_half) finish->half_gap = BLOCK_ROWS * CHUNK_FLOATS;
    return rows * encoder->inner + columns * BLOCK_ROWS;
}

/* A step's Finish for a block and a panel. */
static Finish finish_of(const Encoder *encoder, const Step *step, int block, size_t panel) {
    Finish finish = step->finish;
    size_t column = panel * PANEL, left = (size_t)step->dense->outputs - column;
    size_t at = place_output(encoder, step, block, panel, &finish);
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

void multiply(Encoder *encoder, const Step *step, int item, int thread) {
    const Kernels *kernels = &encoder->kernels;
    const Grid *grid = &step->grid;
    float *sums = encoder->scratch[thread].sums;
    int blocks = divided(encoder->token_count, BLOCK_ROWS);
    int panels = divided(step->dense->outputs, PANEL);
    int first = item % grid->row_groups * grid->blocks_of_group;
    int last = first + grid->blocks_of_group < blocks ? first + grid->blocks_of_group : blocks;
    int panel = item / grid->row_groups * grid->panels_of_group;
    int end = panel + grid->panels_of_group < panels ? panel + grid->panels_of_group : panels;
    ProductLoop *multiply_block = kernels->products[encoder->model.shape.precision];
    if (kernels->begin) kernels->begin();
    for (; panel < end; panel++) {
        Product product = product_of(encoder, step, first, (size_t)panel, sums);
        for (int block = first; block < last; block++) {
            int left = encoder->token_count - block * BLOCK_ROWS;
            product.rows = left < BLOCK_ROWS ? left : BLOCK_ROWS;
            multiply_block(&product);
            Finish finish = finish_of(encoder, step, block, (size_t)panel);
            kernels->rows->finish(&finish, sums, product.rows);
            go_to_next_block(encoder, step, &product);
        }
    }
    if (kernels->end) kernels->end();
}

Grid grid_of(const Encoder *encoder, const Dense *dense, int threads) {
    Grid grid;
    int blocks = divided(encoder->token_count, BLOCK_ROWS);
    int panels = divided(dense->outputs, PANEL);
    size_t inputs = rounded_up((size_t)dense->inputs, INPUT_STEP);
    int most = (int)(GROUP_BYTES / block_bytes(inputs, encoder->input_number));
    grid.row_groups = divided(blocks, most > 1 ? most : 1);
    grid.blocks_of_group = divided(blocks, grid.row_groups);
    int wanted = threads == 1 ? 1 : divided(threads * ITEMS_OF_THREAD, grid.row_groups);
    grid.panels_of_group = divided(panels, wanted);
    grid.panel_groups = divided(panels, grid.panels_of_group);
    return grid;
}
