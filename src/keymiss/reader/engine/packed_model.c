/* packed_model.c: see packed_model.h. */
#include "packed_model.h"

#include <string.h>

enum { FORMAT = 2, ALIGNMENT = 64, LARGEST = 1 << 20 };

static const char MAGIC[8] = {'k', 'e', 'y', 'm', 'i', 's', 's', '\1'};

/* Written by the machine that reads it: the cache of one machine is of no use to another. */
typedef struct Header {
    char magic[8]; /* zeros until the model is complete */
    uint32_t format;
    Shape shape;
    uint64_t size;
} Header;

typedef struct Place {
    char *bytes; /* NULL when only the size is wanted */
    uint64_t used;
} Place;

Heads heads_of(const Shape *shape) {
    size_t width = (size_t)(shape->hidden / shape->heads);
    return (Heads){width, rounded_up(width, PANEL)};
}

size_t width_of_heads(const Shape *shape) { return (size_t)shape->heads * heads_of(shape).padded; }

int shape_is_valid(const Shape *shape) {
    const int32_t sizes[] = {shape->embedding, shape->hidden, shape->layers,
                             shape->heads,     shape->inner,  shape->positions};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] < 1 || sizes[i] > LARGEST) return 0;
    return shape->precision >= 0 && shape->precision < PRECISIONS && shape->vocabulary >= 1 &&
           shape->vocabulary <= 16 * LARGEST && shape->types >= 0 && shape->types <= LARGEST &&
           shape->layers <= 1024 && shape->hidden <= 16384 && shape->inner <= WIDEST &&
           shape->embedding <= 16384 && shape->hidden % shape->heads == 0 &&
           width_of_heads(shape) <= WIDEST && shape->first_position >= 0 &&
           shape->first_position < shape->positions && shape->epsilon > 0 && shape->epsilon < 1;
}

static void *take(Place *place, uint64_t count, size_t size) {
    place->used = rounded_up(place->used, ALIGNMENT);
    void *found = place->bytes ? place->bytes + place->used : NULL;
    place->used += count * size;
    return found;
}

size_t number_size(int32_t precision) {
    static const size_t sizes[PRECISIONS] = {sizeof(float), sizeof(uint16_t), sizeof(int8_t)};
    return sizes[precision];
}

static Dense take_dense(Place *place, int32_t precision, int32_t inputs, int32_t outputs) {
    uint64_t columns = rounded_up((size_t)outputs, PANEL);
    uint64_t rows = rounded_up((size_t)inputs, INPUT_STEP);
    Dense dense = {.inputs = inputs, .outputs = outputs};
    dense.panels = take(place, rows * columns, number_size(precision));
    dense.bias = take(place, columns, sizeof(float));
    if (precision == PRECISION_INT8) {
        dense.scales = take(place, columns, sizeof(float));
        dense.sums = take(place, columns, sizeof(int32_t));
    }
    return dense;
}

static Norm take_norm(Place *place, int32_t width) {
    Norm norm;
    norm.scale = take(place, (uint64_t)width, sizeof(float));
    norm.bias = take(place, (uint64_t)width, sizeof(float));
    return norm;
}

static void take_layer(Place *place, const Shape *shape, Layer *layer) {
    int32_t precision = shape->precision, hidden = shape->hidden, inner = shape->inner;
    int32_t heads = (int32_t)width_of_heads(shape);
    layer->projections = take_dense(place, precision, hidden, 3 * heads);
    layer->attended = take_dense(place, precision, heads, hidden);
    layer->attended_norm = take_norm(place, hidden);
    layer->widened = take_dense(place, precision, hidden, inner);
    layer->narrowed = take_dense(place, precision, inner, hidden);
    layer->narrowed_norm = take_norm(place, hidden);
}

static void take_all(Place *place, const Shape *shape, Model *model) {
    uint64_t width = (uint64_t)shape->embedding;
    take(place, 1, sizeof(Header));
    model->words = take(place, (uint64_t)shape->vocabulary * width, sizeof(float));
    model->places = take(place, (uint64_t)shape->positions * width, sizeof(float));
    model->kinds = take(place, (uint64_t)shape->types * width, sizeof(float));
    model->embedded_norm = take_norm(place, shape->embedding);
    if (shape->embedding != shape->hidden)
        model->embedded = take_dense(place, shape->precision, shape->embedding, shape->hidden);
    for (int32_t i = 0; i < shape->layers; i++) {
        Layer unused;
        take_layer(place, shape, model->layers ? &model->layers[i] : &unused);
    }
    model->span_head = take(place, 2 * (uint64_t)shape->hidden + 2, sizeof(float));
}

uint64_t packed_size(const Shape *shape) {
    if (!shape_is_valid(shape)) return 0;
    Place place = {0};
    Model unused = {0};
    take_all(&place, shape, &unused);
    return place.used;
}

void find_tensors(Model *model, const Shape *shape, void *bytes) {
    Place place = {.bytes = bytes};
    model->shape = *shape;
    take_all(&place, shape, model);
}

void write_header(void *bytes, const Shape *shape) {
    Header header = {.format = FORMAT, .shape = *shape, .size = packed_size(shape)};
    memcpy(bytes, &header, sizeof header);
}

void seal_header(void *bytes) { memcpy(bytes, MAGIC, sizeof MAGIC); }

const char *read_header(const void *bytes, uint64_t size, Shape *shape) {
    Header header;
    if (size < sizeof header) return "it is too short";
    memcpy(&header, bytes, sizeof header);
    if (memcmp(header.magic, MAGIC, sizeof MAGIC) != 0) return "it is not a packed model";
    if (header.format != FORMAT) return "it has another version of the format";
    if (!shape_is_valid(&header.shape)) return "its header is damaged";
    if (header.size != packed_size(&header.shape) || size != header.size)
        return "its length does not fit its header";
    *shape = header.shape;
    return NULL;
}
