/* token_steps.c: the steps that go token by token. */
#include "encoder_steps.h"

#include <math.h>
#include <string.h>

static int first_token(int item) { return item * TOKENS_OF_ITEM; }

static int last_token(const Encoder *encoder, int item) {
    int end = first_token(item) + TOKENS_OF_ITEM;
    return end < encoder->token_count ? end : encoder->token_count;
}

/* Writes a row of floats as the input of a product. */
static void write_input(Encoder *encoder, const Step *step, const float *row, size_t used,
                        int token) {
    const RowLoops *rows = encoder->kernels.rows;
    char *out = (char *)step->output + place_of_row(step->to, (size_t)token);
    switch (encoder->model.shape.precision) {
    case PRECISION_INT8:
        encoder->scales[token] = rows->quantise(row, used, encoder->kernels.offset, (uint8_t *)out);
        return;
    case PRECISION_BF16:
        rows->narrow(row, used, (uint16_t *)out);
        return;
    default:
        rows->place(row, used, (float *)out);
    }
}

void embed(Encoder *encoder, const Step *step, int item, int thread) {
    (void)thread;
    const Model *model = &encoder->model;
    size_t width = (size_t)model->shape.embedding;
    for (int token = first_token(item); token < last_token(encoder, item); token++) {
        const float *word = model->words + (size_t)encoder->rows.ids[token] * width;
        const float *place = model->places + (size_t)encoder->places[token] * width;
        const float *kind = model->kinds + (size_t)encoder->kinds[token] * width;
        float *state = encoder->states + (size_t)token * width;
        for (size_t i = 0; i < width; i++) state[i] = word[i] + place[i];
        if (model->shape.types)
            for (size_t i = 0; i < width; i++) state[i] += kind[i];
        encoder->kernels.rows->normalise(state, width, step->norm, model->shape.epsilon);
        write_input(encoder, step, state, width, token);
    }
}

void normalise(Encoder *encoder, const Step *step, int item, int thread) {
    (void)thread;
    size_t width = (size_t)encoder->model.shape.hidden;
    for (int token = first_token(item); token < last_token(encoder, item); token++) {
        float *state = encoder->states + (size_t)token * width;
        encoder->kernels.rows->normalise(state, width, step->norm, encoder->model.shape.epsilon);
        write_input(encoder, step, state, width, token);
    }
}

void round_states(Encoder *encoder, const Step *step, int item, int thread) {
    (void)thread;
    size_t width = (size_t)encoder->model.shape.hidden;
    for (int token = first_token(item); token < last_token(encoder, item); token++)
        write_input(encoder, step, encoder->states + (size_t)token * width, width, token);
}

static void gather(const float *row, size_t chunk, size_t width, float *out) {
    for (size_t i = 0; i < width; i += CHUNK_FLOATS, row += chunk / sizeof *row)
        memcpy(out + i, row, CHUNK_BYTES);
}

void round_rows(Encoder *encoder, const Step *step, int item, int thread) {
    const Kernels *kernels = &encoder->kernels;
    float *copy = encoder->scratch[thread].row;
    for (int token = first_token(item); token < last_token(encoder, item); token++) {
        const void *row = (const char *)step->input + place_of_row(step->from, (size_t)token);
        uint8_t *out = (uint8_t *)step->output + place_of_row(step->to, (size_t)token);
        if (encoder->is_half) {
            encoder->scales[token] = kernels->rows->quantise_halves(
                row, step->from.chunk, step->used, kernels->offset, out);
        } else {
            gather(row, step->from.chunk, step->used, copy);
            encoder->scales[token] =
                kernels->rows->quantise(copy, step->used, kernels->offset, out);
        }
    }
}

void judge(Encoder *encoder, const Step *step, int item, int thread) {
    (void)step, (void)thread;
    size_t hidden = (size_t)encoder->model.shape.hidden;
    const float *start = encoder->model.span_head, *end = start + hidden, *bias = end + hidden;
    for (int token = first_token(item); token < last_token(encoder, item); token++) {
        const float *state = encoder->states + (size_t)token * hidden;
        float starts = 0, ends = 0;
        for (size_t i = 0; i < hidden; i++)
            starts += state[i] * start[i], ends += state[i] * end[i];
        encoder->result.logits[2 * token] = starts + bias[0];
        encoder->result.logits[2 * token + 1] = ends + bias[1];
    }
}

void average(Encoder *encoder, const Step *step, int item, int thread) {
    (void)step, (void)thread;
    size_t hidden = (size_t)encoder->model.shape.hidden;
    const float *state = encoder->states + (size_t)encoder->starts[item] * hidden;
    float *sum = encoder->result.vectors + (size_t)item * hidden;
    memset(sum, 0, hidden * sizeof *sum);
    for (int32_t token = 0; token < encoder->rows.lengths[item]; token++, state += hidden)
        for (size_t i = 0; i < hidden; i++) sum[i] += state[i];
    double squares = 0;
    for (size_t i = 0; i < hidden; i++) squares += (double)sum[i] * (double)sum[i];
    float factor = squares > 0 ? (float)(1 / sqrt(squares)) : 0;
    for (size_t i = 0; i < hidden; i++) sum[i] *= factor;
}
