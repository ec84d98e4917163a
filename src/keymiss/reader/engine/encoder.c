/* encoder.c: see encoder.h. */
#include "encoder.h"

#include "encoder_steps.h"
#include "thread_pool.h"

#include <stdlib.h>

enum { STEPS_OF_LAYER = 9, OTHER_STEPS = 4 };
/* How many tokens most calls have, at most: vectors are made in small ones. */
enum { USUAL_TOKENS = 2048, USUAL_TOKENS_OF_VECTORS = 1024 };

Encoder *new_encoder(const Model *model, const Kernels *kernels) {
    Encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder) return NULL;
    const Shape *shape = &model->shape;
    size_t steps = (size_t)shape->layers * STEPS_OF_LAYER + OTHER_STEPS;
    size_t widest = (size_t)(shape->embedding > shape->hidden ? shape->embedding : shape->hidden);
    encoder->model = *model;
    encoder->kernels = *kernels;
    encoder->is_half = shape->precision == PRECISION_BF16 ||
                       (shape->precision == PRECISION_INT8 && kernels->bf16_is_native);
    encoder->number = encoder->is_half ? sizeof(uint16_t) : sizeof(float);
    encoder->input_number = number_size(shape->precision);
    encoder->head = heads_of(shape);
    encoder->heads = width_of_heads(shape);
    if (encoder->heads > widest) widest = encoder->heads;
    encoder->width = rounded_up(widest, INPUT_STEP);
    encoder->inner = rounded_up((size_t)shape->inner, INPUT_STEP);
    encoder->steps = calloc(steps, sizeof *encoder->steps);
    encoder->items = calloc(steps, sizeof *encoder->items);
    if (encoder->steps && encoder->items) return encoder;
    free_encoder(encoder);
    return NULL;
}

void free_encoder(Encoder *encoder) {
    if (!encoder) return;
    free_room(encoder);
    free(encoder->steps);
    free(encoder->items);
    free(encoder);
}

static Step *add_step(Encoder *encoder, Work *work, int items) {
    Step *step = &encoder->steps[encoder->step_count];
    encoder->items[encoder->step_count++] = items;
    *step = (Step){.work = work};
    return step;
}

static Step *add_by_tokens(Encoder *encoder, Work *work) {
    return add_step(encoder, work, divided(encoder->token_count, TOKENS_OF_ITEM));
}

static Layout input_blocks(const Encoder *encoder) {
    return blocks_of(encoder->width, encoder->input_number);
}

static Layout inner_blocks(const Encoder *encoder) {
    return blocks_of(encoder->inner, encoder->input_number);
}

static Step *add_product(Encoder *encoder, const Dense *dense, const void *input, Layout from,
                         int threads) {
    Grid grid = grid_of(encoder, dense, threads);
    Step *step = add_step(encoder, multiply, grid.row_groups * grid.panel_groups);
    step->dense = dense;
    step->input = input;
    step->from = from;
    step->grid = grid;
    return step;
}

/* A product of the states whose sums become numbers. */
static Step *add_product_to_numbers(Encoder *encoder, const Dense *dense, void *out, Layout to,
                                    int threads) {
    Step *step = add_product(encoder, dense, encoder->input, input_blocks(encoder), threads);
    step->to = to;
    step->finish = to_chunks(encoder, to, out);
    return step;
}

/* How sums become rows of states. */
static Finish to_states(const Encoder *encoder) {
    return (Finish){
        .floats = encoder->states,
        .stride = (size_t)encoder->model.shape.hidden,
        .half_gap = PANEL / 2,
    };
}

/* A product that is added to the states, and the norm of the sums. */
static void add_product_to_states(Encoder *encoder, const Dense *dense, const Norm *norm,
                                  const void *input, Layout from, int threads) {
    Step *step = add_product(encoder, dense, input, from, threads);
    step->finish = to_states(encoder);
    step->finish.residual = encoder->states;
    step = add_by_tokens(encoder, normalise);
    step->norm = norm;
    step->output = encoder->input;
    step->to = input_blocks(encoder);
}

/* A table becomes the input of a product. */
static void add_rounding(Encoder *encoder, const void *table, size_t used, void *out, Layout to) {
    Step *step = add_by_tokens(encoder, round_rows);
    step->input = table;
    step->from = encoder->table;
    step->used = used;
    step->output = out;
    step->to = to;
}

/* Attention, and its context as part of the states. */
static void add_attention(Encoder *encoder, const Layer *layer, int threads) {
    const void *context = encoder->context;
    Layout from = encoder->table;
    add_product_to_numbers(encoder, &layer->projections, encoder->projected, encoder->table,
                           threads);
    add_step(encoder, attend, encoder->rows.count * encoder->model.shape.heads);
    if (encoder->model.shape.precision == PRECISION_INT8) {
        add_rounding(encoder, context, encoder->heads, encoder->input, input_blocks(encoder));
        context = encoder->input;
        from = input_blocks(encoder);
    }
    add_product_to_states(encoder, &layer->attended, &layer->attended_norm, context, from, threads);
}

/* The two dense layers that follow attention. */
static void add_dense_layers(Encoder *encoder, const Layer *layer, int threads) {
    int rounds = encoder->model.shape.precision == PRECISION_INT8;
    Layout blocks = inner_blocks(encoder);
    Step *step = rounds ? add_product_to_numbers(encoder, &layer->widened, encoder->widened,
                                                 encoder->table, threads)
                        : add_product_to_numbers(encoder, &layer->widened, encoder->inner_input,
                                                 blocks, threads);
    step->finish.gelu = 1;
    if (rounds)
        add_rounding(encoder, encoder->widened, encoder->inner, encoder->inner_input, blocks);
    add_product_to_states(encoder, &layer->narrowed, &layer->narrowed_norm, encoder->inner_input,
                          blocks, threads);
}

static void add_embeddings(Encoder *encoder, int threads) {
    const Model *model = &encoder->model;
    int is_narrow = model->shape.embedding != model->shape.hidden;
    Step *step = add_by_tokens(encoder, embed);
    step->norm = &model->embedded_norm;
    step->output = encoder->input;
    step->to = input_blocks(encoder);
    if (!is_narrow) return;
    step = add_product(encoder, &model->embedded, encoder->input, input_blocks(encoder), threads);
    step->finish = to_states(encoder);
    step = add_by_tokens(encoder, round_states);
    step->output = encoder->input;
    step->to = input_blocks(encoder);
}

static void add_steps(Encoder *encoder, int threads) {
    encoder->step_count = 0;
    add_embeddings(encoder, threads);
    for (int32_t i = 0; i < encoder->model.shape.layers; i++) {
        add_attention(encoder, &encoder->model.layers[i], threads);
        add_dense_layers(encoder, &encoder->model.layers[i], threads);
    }
    if (encoder->result.logits) add_by_tokens(encoder, judge);
    else add_step(encoder, average, encoder->rows.count);
}

static int rows_are_right(const Encoder *encoder, const TokenRows *rows, int *tokens) {
    const Shape *shape = &encoder->model.shape;
    int32_t most = shape->positions - shape->first_position;
    int64_t total = 0;
    for (int row = 0; row < rows->count; row++) {
        int32_t length = rows->lengths[row];
        if (length < 1 || length > most || rows->passage_at[row] < 0) return 0;
        total += length;
        if (total > MAX_TOKENS) return 0;
    }
    for (int64_t i = 0; i < total; i++)
        if (rows->ids[i] < 0 || rows->ids[i] >= shape->vocabulary) return 0;
    *tokens = (int)total;
    return 1;
}

static void describe_tokens(Encoder *encoder) {
    const Shape *shape = &encoder->model.shape;
    int token = 0;
    for (int row = 0; row < encoder->rows.count; row++) {
        encoder->starts[row] = token;
        for (int i = 0; i < encoder->rows.lengths[row]; i++, token++) {
            encoder->places[token] = shape->first_position + i;
            encoder->kinds[token] = shape->types > 1 && i >= encoder->rows.passage_at[row];
        }
    }
}

static void work_on_step(void *context, int stage, int item, int thread) {
    Encoder *encoder = context;
    const Step *step = &encoder->steps[stage];
    step->work(encoder, step, item, thread);
}

Outcome encode(Encoder *encoder, const TokenRows *rows, int threads, Result result) {
    int tokens, workers = threads > 0 ? threads : 1;
    if (rows->count < 0 || threads < ALONE || !rows_are_right(encoder, rows, &tokens))
        return WRONG_ROWS;
    if (tokens == 0) return COMPUTED;
    if (workers > MAX_THREADS) workers = MAX_THREADS;
    int usual = result.logits ? USUAL_TOKENS : USUAL_TOKENS_OF_VECTORS;
    if (!make_room(encoder, tokens, usual, workers)) return NO_MEMORY;
    encoder->rows = *rows;
    encoder->token_count = tokens;
    encoder->result = result;
    describe_tokens(encoder);
    add_steps(encoder, workers);
    Job job = {encoder->step_count, encoder->items, work_on_step, encoder};
    if (threads == YIELDING) return run_yielding_job(&job) ? COMPUTED : NO_MEMORY;
    if (threads == ALONE) run_job_alone(&job);
    else run_job(&job, workers);
    return COMPUTED;
}
