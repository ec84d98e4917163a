/* attention_steps.c: attention, row by row and head by head (Vaswani et al. 2017). */
#include "encoder_steps.h"

#include <string.h>

/* One head of one row: where its queries, keys and values stand, and how many there are. */
typedef struct Head {
    size_t length, padded; /* tokens */
    size_t width, padded_width;
    size_t queries, keys, values, context; /* places in `projected` and `context` */
    size_t stride;                         /* of `projected` */
} Head;

static Head head_of(const Encoder *encoder, int item) {
    const Shape *shape = &encoder->model.shape;
    size_t hidden = (size_t)shape->hidden, width = hidden / (size_t)shape->heads;
    size_t row = (size_t)(item / shape->heads), number = (size_t)(item % shape->heads);
    size_t start = (size_t)encoder->starts[row], length = (size_t)encoder->rows.lengths[row];
    size_t at = start * 3 * hidden + number * width;
    return (Head){
        .length = length,
        .padded = rounded_up(length, PANEL),
        .width = width,
        .padded_width = rounded_up(width, PANEL),
        .queries = at,
        .keys = at + hidden,
        .values = at + 2 * hidden,
        .context = start * encoder->width + number * width,
        .stride = 3 * hidden,
    };
}

/* The keys as panels whose columns are tokens, the values as panels whose columns are the head's.
 */
static void pack_head_f32(const Encoder *encoder, const Head *head, ThreadScratch *scratch) {
    const float *projected = encoder->projected;
    float *keys = scratch->keys, *values = scratch->values;
    memset(keys, 0, head->padded * head->padded_width * sizeof *keys);
    memset(values, 0, head->padded * head->padded_width * sizeof *values);
    for (size_t token = 0; token < head->length; token++) {
        float *column = keys + token / PANEL * head->padded_width * PANEL + token % PANEL;
        const float *key = projected + head->keys + token * head->stride;
        const float *value = projected + head->values + token * head->stride;
        for (size_t i = 0; i < head->width; i++) column[i * PANEL] = key[i];
        for (size_t i = 0; i < head->width; i += PANEL) {
            size_t left = head->width - i, count = left < PANEL ? left : PANEL;
            memcpy(values + i * head->padded + token * PANEL, value + i, count * sizeof *values);
        }
    }
}

static void pack_head_bf16(const Encoder *encoder, const Head *head, ThreadScratch *scratch) {
    const uint16_t *projected = encoder->projected;
    const RowLoops *rows = encoder->kernels.rows;
    for (size_t token = 0; token < head->length; token += PANEL) {
        size_t left = head->length - token;
        rows->pack_keys(projected + head->keys + token * head->stride, head->stride,
                        left < PANEL ? left : PANEL, head->width, head->padded_width,
                        (uint16_t *)scratch->keys + token * head->padded_width);
    }
    rows->pack_values(projected + head->values, head->stride, head->length, head->padded,
                      head->width, head->padded_width, scratch->values);
}

/* How the context of some queries and columns is written: after all queries before them. */
static Finish context_of(const Encoder *encoder, const Head *head, size_t query, size_t column) {
    size_t at = head->context + query * encoder->width + column, rest = head->width - column;
    Finish finish = {.stride = encoder->width,
                     .half_gap = PANEL / 2,
                     .columns = (int)(rest < PANEL ? rest : PANEL)};
    if (encoder->is_half) finish.halves = (uint16_t *)encoder->context + at;
    else finish.floats = (float *)encoder->context + at;
    return finish;
}

static void attend_to_block_f32(const Encoder *encoder, const Head *head, size_t query, int rows,
                                ThreadScratch *scratch) {
    const Kernels *kernels = &encoder->kernels;
    const float *from = (const float *)encoder->projected + head->queries + query * head->stride;
    for (int row = 0; row < rows; row++)
        kernels->rows->place_f32(from + (size_t)row * head->stride, head->width, 1,
                                 (float *)scratch->queries + row * CHUNK_FLOATS);
    for (size_t key = 0; key < head->padded; key += PANEL)
        kernels->products[PRECISION_FP32](&(Product){
            .a = scratch->queries,
            .b = (const float *)scratch->keys + key * head->padded_width,
            .inputs = head->padded_width,
            .c = scratch->scores + key,
            .c_stride = head->padded,
            .rows = rows,
        });
    for (int row = 0; row < rows; row++) {
        float *scores = scratch->scores + (size_t)row * head->padded;
        float share = kernels->rows->softmax(scores, head->length, head->padded);
        kernels->rows->place_f32(scores, head->padded, share,
                                 (float *)scratch->shares + row * CHUNK_FLOATS);
    }
    for (size_t column = 0; column < head->width; column += PANEL) {
        kernels->products[PRECISION_FP32](&(Product){
            .a = scratch->shares,
            .b = (const float *)scratch->values + column * head->padded,
            .inputs = head->padded,
            .c = scratch->sums,
            .c_stride = PANEL,
            .rows = rows,
        });
        Finish finish = context_of(encoder, head, query, column);
        kernels->rows->finish(&finish, scratch->sums, rows);
    }
}

static void attend_to_block_bf16(const Encoder *encoder, const Head *head, size_t query, int rows,
                                 ThreadScratch *scratch) {
    const Kernels *kernels = &encoder->kernels;
    const uint16_t *from =
        (const uint16_t *)encoder->projected + head->queries + query * head->stride;
    for (int row = 0; row < rows; row++)
        kernels->rows->place_bf16(from + (size_t)row * head->stride, head->width,
                                  (uint16_t *)scratch->queries + row * CHUNK_HALVES);
    for (size_t key = 0; key < head->padded; key += PANEL)
        kernels->products[PRECISION_BF16](&(Product){
            .a = scratch->queries,
            .b = (const uint16_t *)scratch->keys + key * head->padded_width,
            .inputs = head->padded_width,
            .c = scratch->scores + key,
            .c_stride = head->padded,
            .rows = rows,
        });
    for (int row = 0; row < rows; row++) {
        float *scores = scratch->scores + (size_t)row * head->padded;
        float share = kernels->rows->softmax(scores, head->length, head->padded);
        kernels->rows->narrow(scores, head->padded, share,
                              (uint16_t *)scratch->shares + row * CHUNK_HALVES);
    }
    for (size_t column = 0; column < head->width; column += PANEL) {
        kernels->products[PRECISION_BF16](&(Product){
            .a = scratch->shares,
            .b = (const uint16_t *)scratch->values + column * head->padded,
            .inputs = head->padded,
            .c = scratch->sums,
            .c_stride = PANEL,
            .rows = rows,
        });
        Finish finish = context_of(encoder, head, query, column);
        kernels->rows->finish(&finish, scratch->sums, rows);
    }
}

void attend(Encoder *encoder, const Step *step, int item, int thread) {
    (void)step;
    Head head = head_of(encoder, item);
    const Kernels *kernels = &encoder->kernels;
    ThreadScratch *scratch = &encoder->scratch[thread];
    if (encoder->is_half) pack_head_bf16(encoder, &head, scratch);
    else pack_head_f32(encoder, &head, scratch);
    if (kernels->begin) kernels->begin();
    for (size_t query = 0; query < head.length; query += BLOCK_ROWS) {
        size_t left = head.length - query;
        int rows = (int)(left < BLOCK_ROWS ? left : BLOCK_ROWS);
        if (encoder->is_half) attend_to_block_bf16(encoder, &head, query, rows, scratch);
        else attend_to_block_f32(encoder, &head, query, rows, scratch);
    }
    if (kernels->end) kernels->end();
}
