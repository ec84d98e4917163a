/* attention_steps.c: attention, row by row and head by head (Vaswani et al. 2017). */
#include "encoder_steps.h"

/* One head of one row. */
typedef struct Head {
    size_t first, length;                  /* tokens */
    size_t queries, keys, values, context; /* columns of `projected` and `context` */
} Head;

static Head head_of(const Encoder *encoder, int item) {
    int heads = encoder->model.shape.heads, row = item / heads;
    size_t column = (size_t)(item % heads) * encoder->head.padded;
    return (Head){
        .first = (size_t)encoder->starts[row],
        .length = (size_t)encoder->rows.lengths[row],
        .queries = column,
        .keys = encoder->heads + column,
        .values = 2 * encoder->heads + column,
        .context = column,
    };
}

/* Where a token's numbers from this column on lie in a table, in bytes. */
static size_t place_in_table(const Encoder *encoder, size_t token, size_t column) {
    return column * encoder->number / CHUNK_BYTES * encoder->table.chunk + token * CHUNK_BYTES;
}

/* The keys as panels whose columns are tokens, the values as panels whose columns are the head's.
 */
static void pack_head(const Encoder *encoder, const Head *head, const HeadLoops *loops,
                      ThreadScratch *scratch) {
    const char *projected = encoder->projected;
    size_t padded = rounded_up(head->length, PANEL), width = encoder->head.padded;
    size_t number = encoder->number, numbers = CHUNK_BYTES / number;
    char *panel = scratch->keys;
    for (size_t token = 0; token < padded; token += PANEL)
        for (size_t i = 0; i < width; i += numbers, panel += PANEL * CHUNK_BYTES)
            encoder->kernels.rows->pack_keys(
                projected + place_in_table(encoder, head->first + token, head->keys + i), panel);
    panel = scratch->values;
    for (size_t i = 0; i < width; i += PANEL, panel += padded * PANEL * number)
        loops->pack_values(projected + place_in_table(encoder, head->first, head->values + i),
                           encoder->table.chunk, head->length, panel);
}

/* How the context of some queries and columns is written. */
static Finish context_of(const Encoder *encoder, const Head *head, size_t query, size_t column,
                         const float *factors) {
    size_t at = place_in_table(encoder, head->first + query, head->context + column);
    Finish finish = to_chunks(encoder, encoder->table, (char *)encoder->context + at);
    finish.row_scales = factors;
    finish.columns = PANEL;
    return finish;
}

/* 32 queries, or those that are left. */
static void attend_to_queries(const Encoder *encoder, const Head *head, const HeadLoops *loops,
                              size_t query, ThreadScratch *scratch) {
    const Kernels *kernels = &encoder->kernels;
    ProductLoop *multiply_block =
        kernels->products[encoder->is_half ? PRECISION_BF16 : PRECISION_FP32];
    size_t left = head->length - query, padded = rounded_up(head->length, PANEL);
    size_t width = encoder->head.padded, number = encoder->number;
    Product product = {
        .a = (const char *)encoder->projected +
             place_in_table(encoder, head->first + query, head->queries),
        .a_chunk = encoder->table.chunk,
        .b = scratch->keys,
        .inputs = width,
        .c = scratch->scores,
        .c_stride = PANEL,
        .rows = (int)(left < BLOCK_ROWS ? left : BLOCK_ROWS),
    };
    for (size_t key = 0; key < padded; key += PANEL) {
        multiply_block(&product);
        product.b = (const char *)product.b + width * PANEL * number;
        product.c = (float *)product.c + SCORE_PANEL;
    }
    loops->softmax(scratch->scores, head->length, product.rows, scratch->shares, scratch->factors);
    product.a = scratch->shares;
    product.a_chunk = BLOCK_ROWS * CHUNK_BYTES;
    product.b = scratch->values;
    product.inputs = padded;
    product.c = scratch->sums;
    for (size_t column = 0; column < width; column += PANEL) {
        multiply_block(&product);
        Finish finish = context_of(encoder, head, query, column, scratch->factors);
        kernels->rows->finish(&finish, scratch->sums, product.rows);
        product.b = (const char *)product.b + padded * PANEL * number;
    }
}

void attend(Encoder *encoder, const Step *step, int item, int thread) {
    (void)step;
    Head head = head_of(encoder, item);
    const Kernels *kernels = &encoder->kernels;
    const HeadLoops *loops = encoder->is_half ? &kernels->rows->halves : &kernels->rows->floats;
    ThreadScratch *scratch = &encoder->scratch[thread];
    pack_head(encoder, &head, loops, scratch);
    if (kernels->begin) kernels->begin();
    for (size_t query = 0; query < head.length; query += BLOCK_ROWS)
        attend_to_queries(encoder, &head, loops, query, scratch);
    if (kernels->end) kernels->end();
}
