/* packed_model.h: the weights of a model in the order in which the engine reads them.
 *
 * A packed model is one block of bytes, which may be a mapped file: a header, then the tensors,
 * each at a multiple of 64 bytes. Where a tensor lies follows from the shape alone, so the block
 * holds no offset that a stranger could have written.
 *
 * The matrix of a dense layer is cut into panels of 32 output columns. In a panel, the inputs come
 * in groups, and a group holds the weights of all 32 columns:
 *   fp32   groups of one input:    float [inputs][32]
 *   bf16   groups of two inputs:   [inputs / 2][32][2]
 *   int8   groups of four inputs:  [inputs / 4][32][4]
 * All instruction sets read these layouts. Inputs are filled up to a multiple of 64 and columns to
 * a multiple of 32, with zeros.
 *
 * A head's queries, keys, values and context are filled up to whole panels, too: columns of
 * `projections` and inputs of `attended`.
 *
 * In int8, a column's weights are its int8 numbers times its scale. `sums` holds the sum of each
 * column's numbers, for instruction sets that multiply by unsigned numbers only. */
#ifndef KEYMISS_PACKED_MODEL_H
#define KEYMISS_PACKED_MODEL_H

#include <stddef.h>
#include <stdint.h>

enum { PANEL = 32, INPUT_STEP = 64, WIDEST = 1 << 16 };

typedef enum Precision { PRECISION_FP32, PRECISION_BF16, PRECISION_INT8, PRECISIONS } Precision;

/* What EncoderConfig in Python knows, and the precision. All numbers are at least 1; types may be
 * 0. */
typedef struct Shape {
    int32_t precision;
    int32_t vocabulary;
    int32_t embedding;
    int32_t hidden;
    int32_t layers;
    int32_t heads;
    int32_t inner;
    int32_t positions;
    int32_t first_position;
    int32_t types;
    float epsilon;
} Shape;

/* How the numbers of heads stand: each head's `width` numbers are filled up to `padded`. */
typedef struct Heads {
    size_t width, padded;
} Heads;

typedef struct Dense {
    int32_t inputs, outputs;
    void *panels;
    float *bias;   /* one for each column of the panels */
    float *scales; /* int8 only */
    int32_t *sums; /* int8 only */
} Dense;

typedef struct Norm {
    float *scale, *bias;
} Norm;

typedef struct Layer {
    Dense projections; /* the queries of all heads, then their keys, then their values */
    Dense attended;
    Norm attended_norm;
    Dense widened;
    Dense narrowed;
    Norm narrowed_norm;
} Layer;

typedef struct Model {
    Shape shape;
    float *words, *places, *kinds; /* the embeddings of tokens, positions and types */
    Norm embedded_norm;
    Dense embedded; /* only when embedding and hidden differ */
    Layer *layers;
    float *span_head; /* [2][hidden], then the two biases */
} Model;

/* Whether a model can have this shape. */
int shape_is_valid(const Shape *shape);

Heads heads_of(const Shape *shape);

/* The width of the queries, the keys, the values or the context of all heads. */
size_t width_of_heads(const Shape *shape);

/* The bytes of a number that products multiply. */
size_t number_size(int32_t precision);

/* How many bytes a packed model of this shape has; 0 when a shape is not valid. */
uint64_t packed_size(const Shape *shape);

/* Finds the tensors in the bytes. The caller gives room for `shape->layers` layers in
 * model->layers, and the shape must be valid. */
void find_tensors(Model *model, const Shape *shape, void *bytes);

/* Writes the header of a model of this shape. Until seal_header, the model cannot be opened. */
void write_header(void *bytes, const Shape *shape);
void seal_header(void *bytes);

/* Reads the shape of a packed model. Returns NULL, or what is wrong with these bytes. */
const char *read_header(const void *bytes, uint64_t size, Shape *shape);

static inline size_t rounded_up(size_t number, size_t step) {
    return (number + step - 1) / step * step;
}

#endif
