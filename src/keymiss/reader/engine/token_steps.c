/* token_steps.c: the steps that go token by token. */
#include "encoder_steps.h"

#include <string.h>

static int first_token(int item) { return item * TOKENS_OF_ITEM; }

static int last_token(const Encoder *encoder, int item) {
    int end = first_token(item) + TOKENS_OF_ITEM;
    return end < encoder->token_count ? end : encoder->token_count;
}

/* Writes a row of floats as the input of a product, a row of the step's blocks. */
static void write_input(Encoder *encoder, const Step *step, const float *row, size_t used,
                        int token) {
    const RowLoops *rows = encoder->kernels.rows;
    char *out =
        (char *)step->blocks + place_of_row((size_t)token, step->width, encoder->input_number);
    switch (encoder->model.shape.precision) {
    case PRECISION_INT8:
        encoder->scales[token] = rows->quantise(row, used, encoder->kernels.offset, (uint8_t *)out);
        return;
    case PRECISION_BF16:
        rows->narrow(row, used, 1, (uint16_t *)out);
        return;
    default:
        rows->place_f32(row, used, 1, (float *)out);
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
        float *sum = encoder->summed + (size_t)token * width;
        for (size_t i = 0; i < width; i++) sum[i] = word[i] + place[i];
        if (model->shape.types)
            for (size_t i = 0; i < width; i++) sum[i] += kind[i];
        float *out = step->finish.floats + (size_t)token * step->finish.stride;
        encoder->kernels.rows->normalise(sum, width, step->norm->scale, step->norm->bias,
                                         model->shape.epsilon, out);
        write_input(encoder, step, out, width, token);
    }
}

void normalise(Encoder *encoder, const Step *step, int item, int thread) {
    (void)thread;
    size_t width = (size_t)encoder->model.shape.hidden;
    for (int token = first_token(item); token < last_token(encoder, item); token++) {
        float *state = encoder->states + (size_t)token * width;
        encoder->kernels.rows->normalise(encoder->summed + (size_t)token * width, width,
                                         step->norm->scale, step->norm->bias,
                                         encoder->model.shape.epsilon, state);
        write_input(encoder, step, state, width, token);
    }
}

void round_states(Encoder *encoder, const Step *step, int item, int thread) {
    (void)thread;
    size_t width = (size_t)encoder->model.shape.hidden;
    for (int token = first_token(item); token < last_token(encoder, item); token++)
        write_input(encoder, step, encoder->states + (size_t)token * width, width, token);
}

void round_rows(Encoder *encoder, const Step *step, int item, int thread) {
    const RowLoops *rows = encoder->kernels.rows;
    float *copy = encoder->scratch[thread].row;
    for (int token = first_token(item); token < last_token(encoder, item); token++) {
        size_t at = (size_t)token * step->width;
        if (!encoder->is_half) {
            write_input(encoder, step, (const float *)step->input + at, step->used, token);
            continue;
        }
        const uint16_t *row = (const uint16_t *)step->input + at;
        if (encoder->model.shape.precision == PRECISION_BF16) {
            size_t place = place_of_row((size_t)token, step->width, encoder->input_number);
            rows->place_bf16(row, step->used, (uint16_t *)((char *)step->blocks + place));
        } else {
            rows->widen(row, step->used, copy);
            write_input(encoder, step, copy, step->used, token);
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
        encoder->logits[2 * token] = starts + bias[0];
        encoder->logits[2 * token + 1] = ends + bias[1];
    }
}
