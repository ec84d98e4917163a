/* packing.h: writes the weights of a checkpoint into a packed model. */
#ifndef KEYMISS_PACKING_H
#define KEYMISS_PACKING_H

#include "packed_model.h"

/* A matrix [outputs][inputs] and its bias. */
typedef struct Matrix {
    const float *weights, *bias;
    size_t inputs, outputs;
    Heads of_inputs, of_outputs; /* where a head's numbers go in the dense layer */
    float factor;                /* of all numbers */
} Matrix;

/* Inputs or outputs that belong to no head. */
static const Heads NO_HEADS = {1, 1};

/* Packs a matrix into the columns of a dense layer from `first` on. Returns 0 when a number is not
 * finite. */
int pack_dense(const Dense *dense, int32_t precision, size_t first, const Matrix *matrix);

/* Copies numbers. Returns 0 when one is not finite. */
int pack_floats(float *out, const float *numbers, uint64_t count);

#endif
