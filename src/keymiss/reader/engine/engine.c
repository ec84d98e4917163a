/* engine.c: see engine.h. */
#include "engine.h"

#include "packing.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct Engine {
    Model model;
    Kernels kernels;
    Encoder *encoder;
    pthread_mutex_t turn;
};

uint64_t keymiss_packed_size(const Shape *shape) { return packed_size(shape); }

const char *keymiss_begin_packing(const Shape *shape, void *bytes) {
    if (!shape_is_valid(shape)) return "no model can have this shape";
    write_header(bytes, shape);
    return NULL;
}

void keymiss_end_packing(void *bytes) { seal_header(bytes); }

static int pack_norm(const Norm *norm, int32_t width, const float *scale, const float *bias) {
    return pack_floats(norm->scale, scale, (uint64_t)width) &&
           pack_floats(norm->bias, bias, (uint64_t)width);
}

/* A matrix whose inputs and outputs belong to no head. */
static Matrix matrix_of(size_t inputs, size_t outputs, const float *weight, const float *bias) {
    return (Matrix){
        .weights = weight,
        .bias = bias,
        .inputs = inputs,
        .outputs = outputs,
        .of_inputs = NO_HEADS,
        .of_outputs = NO_HEADS,
        .factor = 1,
    };
}

static int pack_whole(const Dense *dense, const Shape *shape, const float *weight,
                      const float *bias) {
    Matrix matrix = matrix_of((size_t)dense->inputs, (size_t)dense->outputs, weight, bias);
    return pack_dense(dense, shape->precision, 0, &matrix);
}

/* Queries are divided by the root of a head's width here, so that the scores need not be, and times
 * log2(e), since powers of two are sooner computed than those of e. */
static int pack_projection(const Dense *dense, const Shape *shape, int32_t tensor,
                           const float *weight, const float *bias) {
    size_t hidden = (size_t)shape->hidden;
    Matrix matrix = matrix_of(hidden, hidden, weight, bias);
    matrix.of_outputs = heads_of(shape);
    if (tensor == TENSOR_QUERIES)
        matrix.factor = 1.44269504f / sqrtf((float)matrix.of_outputs.width);
    size_t first = (size_t)(tensor - TENSOR_QUERIES) * width_of_heads(shape);
    return pack_dense(dense, shape->precision, first, &matrix);
}

static int pack_attended(const Dense *dense, const Shape *shape, const float *weight,
                         const float *bias) {
    size_t hidden = (size_t)shape->hidden;
    Matrix matrix = matrix_of(hidden, hidden, weight, bias);
    matrix.of_inputs = heads_of(shape);
    return pack_dense(dense, shape->precision, 0, &matrix);
}

static int pack_table(float *table, int32_t rows, const Shape *shape, const float *weight) {
    return pack_floats(table, weight, (uint64_t)rows * (uint64_t)shape->embedding);
}

static int pack_tensor(const Model *model, int32_t tensor, const Layer *layer, const float *weight,
                       const float *bias) {
    const Shape *shape = &model->shape;
    switch ((Tensor)tensor) {
    case TENSOR_WORDS:
        return pack_table(model->words, shape->vocabulary, shape, weight);
    case TENSOR_PLACES:
        return pack_table(model->places, shape->positions, shape, weight);
    case TENSOR_KINDS:
        return pack_table(model->kinds, shape->types, shape, weight);
    case TENSOR_EMBEDDED_NORM:
        return pack_norm(&model->embedded_norm, shape->embedding, weight, bias);
    case TENSOR_EMBEDDED:
        return pack_whole(&model->embedded, shape, weight, bias);
    case TENSOR_QUERIES:
    case TENSOR_KEYS:
    case TENSOR_VALUES:
        return pack_projection(&layer->projections, shape, tensor, weight, bias);
    case TENSOR_ATTENDED:
        return pack_attended(&layer->attended, shape, weight, bias);
    case TENSOR_ATTENDED_NORM:
        return pack_norm(&layer->attended_norm, shape->hidden, weight, bias);
    case TENSOR_WIDENED:
        return pack_whole(&layer->widened, shape, weight, bias);
    case TENSOR_NARROWED:
        return pack_whole(&layer->narrowed, shape, weight, bias);
    case TENSOR_NARROWED_NORM:
        return pack_norm(&layer->narrowed_norm, shape->hidden, weight, bias);
    case TENSOR_SPAN_HEAD:
        return pack_floats(model->span_head, weight, 2 * (uint64_t)shape->hidden) &&
               pack_floats(model->span_head + 2 * shape->hidden, bias, 2);
    case TENSORS:
        break;
    }
    return 0;
}

const char *keymiss_pack(const Shape *shape, void *bytes, int32_t tensor, int32_t layer,
                         const float *weight, const float *bias) {
    if (!shape_is_valid(shape) || layer < 0 || layer >= shape->layers)
        return "there is no such layer";
    Model model = {.layers = calloc((size_t)shape->layers, sizeof(Layer))};
    if (!model.layers) return "memory is short";
    find_tensors(&model, shape, bytes);
    int packed = pack_tensor(&model, tensor, &model.layers[layer], weight, bias);
    free(model.layers);
    return packed ? NULL : "it holds a number that is not finite";
}

static int is_same(const Shape *one, const Shape *other) {
    return memcmp(one, other, sizeof *one) == 0;
}

const char *keymiss_open(const Shape *shape, const void *bytes, uint64_t size, const char *isa,
                         Engine **opened) {
    Shape found;
    const char *wrong = read_header(bytes, size, &found);
    if (wrong) return wrong;
    if (!is_same(shape, &found)) return "it is another model's";
    Engine *engine = calloc(1, sizeof *engine);
    if (!engine) return "memory is short";
    pthread_mutex_init(&engine->turn, NULL);
    if (!choose_kernels(&engine->kernels, isa)) wrong = "this machine lacks that instruction set";
    else engine->model.layers = calloc((size_t)shape->layers, sizeof(Layer));
    if (engine->model.layers) {
        find_tensors(&engine->model, shape, (void *)(uintptr_t)bytes);
        engine->encoder = new_encoder(&engine->model, &engine->kernels);
    }
    if (engine->encoder) {
        *opened = engine;
        return NULL;
    }
    keymiss_close(engine);
    return wrong ? wrong : "memory is short";
}

void keymiss_close(Engine *engine) {
    free_encoder(engine->encoder);
    free(engine->model.layers);
    pthread_mutex_destroy(&engine->turn);
    free(engine);
}

const char *keymiss_isa(const char *isa, int32_t precision) {
    Kernels kernels;
    if (!choose_kernels(&kernels, isa)) return NULL;
    return precision < 0 || precision >= PRECISIONS ? NULL : kernels.names[precision];
}

/* Writes rows of numbers of this size as a block. */
static void make_block(const char *rows, size_t row_bytes, int32_t count, char *block) {
    for (int32_t row = 0; row < count; row++)
        for (size_t at = 0; at < row_bytes; at += CHUNK_BYTES)
            memcpy(block + at * BLOCK_ROWS + (size_t)row * CHUNK_BYTES,
                   rows + (size_t)row * row_bytes + at, CHUNK_BYTES);
}

const char *keymiss_product(const char *isa, int32_t precision, const void *a, const void *b,
                            const int32_t *sums, int32_t inputs, int32_t rows, void *c) {
    float whole[BLOCK_ROWS * PANEL];
    Kernels kernels;
    if (!choose_kernels(&kernels, isa)) return "this machine lacks that instruction set";
    size_t length = (size_t)inputs, row_bytes = length * number_size(precision);
    uint8_t *block = calloc(BLOCK_ROWS, row_bytes);
    if (!block) return "memory is short";
    make_block(a, row_bytes, rows, (char *)block);
    if (precision == PRECISION_INT8)
        for (size_t i = 0; i < BLOCK_ROWS * row_bytes; i++)
            block[i] = (uint8_t)(block[i] + kernels.offset);
    Product product = {
        .a = block,
        .a_chunk = BLOCK_ROWS * CHUNK_BYTES,
        .b = b,
        .sums = sums,
        .inputs = length,
        .c = whole,
        .c_stride = PANEL,
        .rows = rows,
    };
    if (kernels.begin) kernels.begin();
    kernels.products[precision](&product);
    if (kernels.end) kernels.end();
    memcpy(c, whole, (size_t)rows * PANEL * sizeof(float));
    free(block);
    return NULL;
}

static const char *compute(Engine *engine, const TokenRows *rows, int32_t threads, Result result) {
    pthread_mutex_lock(&engine->turn);
    Outcome outcome = encode(engine->encoder, rows, threads, result);
    pthread_mutex_unlock(&engine->turn);
    if (outcome == WRONG_ROWS)
        return "a row is empty or too long, or holds an id that is not in the vocabulary";
    return outcome == NO_MEMORY ? "memory is short" : NULL;
}

const char *keymiss_logits(Engine *engine, const int32_t *ids, const int32_t *lengths,
                           const int32_t *passage_at, int32_t rows, int32_t threads,
                           float *logits) {
    TokenRows given = {ids, lengths, passage_at, rows};
    return compute(engine, &given, threads, (Result){.logits = logits});
}

const char *keymiss_vectors(Engine *engine, const int32_t *ids, const int32_t *lengths,
                            int32_t rows, int32_t threads, float *vectors) {
    TokenRows given = {ids, lengths, lengths, rows}; /* no token stands behind its row's end */
    return compute(engine, &given, threads, (Result){.vectors = vectors});
}
