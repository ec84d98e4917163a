/* dense_steps.c: dense layers: products of tokens and panels. */
#include "encoder_steps.h"

enum {
    BLOCKS_OF_ITEM = 8, /* at most, so that they stay in the second cache */
    ITEMS_OF_THREAD = 6,
};

/* The sums of a block and a panel. */
static void product(const Encoder *encoder, const Step *step, int block, int rows, size_t panel,
                    void *sums) {
    const Dense *dense = step->dense;
    const Kernels *kernels = &encoder->kernels;
    size_t inputs = rounded_up((size_t)dense->inputs, INPUT_STEP), size = encoder->input_number;
    const void *weights = (const char *)dense->panels + panel * inputs * PANEL * size;
    const void *a = (const char *)step->input + (size_t)block * block_bytes(step->width, size);
    switch (encoder->model.shape.precision) {
    case PRECISION_INT8:
        kernels->product_int8(a, weights, dense->sums + panel * PANEL, inputs, sums, PANEL, rows);
        return;
    case PRECISION_BF16:
        kernels->product_bf16(a, weights, inputs, sums, PANEL, rows);
        return;
    default:
        kernels->product_f32(a, weights, inputs, sums, PANEL, rows);
    }
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
    if (kernels->begin) kernels->begin();
    for (; panel < end; panel++)
        for (int block = first; block < last; block++) {
            int left = encoder->token_count - block * BLOCK_ROWS;
            int rows = left < BLOCK_ROWS ? left : BLOCK_ROWS;
            product(encoder, step, block, rows, (size_t)panel, sums);
            Finish finish = finish_of(encoder, step, block, (size_t)panel);
            kernels->rows->finish(&finish, sums, rows);
        }
    if (kernels->end) kernels->end();
}

Grid grid_of(const Encoder *encoder, const Dense *dense, int threads) {
    Grid grid;
    int blocks = divided(encoder->token_count, BLOCK_ROWS);
    int panels = divided(dense->outputs, PANEL);
    grid.row_groups = divided(blocks, BLOCKS_OF_ITEM);
    grid.blocks_of_group = divided(blocks, grid.row_groups);
    int wanted = threads == 1 ? 1 : divided(threads * ITEMS_OF_THREAD, grid.row_groups);
    grid.panels_of_group = divided(panels, wanted);
    grid.panel_groups = divided(panels, grid.panels_of_group);
    return grid;
}
