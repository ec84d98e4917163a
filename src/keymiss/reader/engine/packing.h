/* packing.h: writes the weights of a checkpoint into a packed model. */
#ifndef KEYMISS_PACKING_H
#define KEYMISS_PACKING_H

#include "packed_model.h"

/* Packs a matrix [outputs][inputs] and its bias into columns of the dense layer, from `first` on,
 * which is a multiple of 32 or continues what was packed before. Returns 0 when a number is not
 * finite. */
int pack_dense(const Dense *dense, int32_t precision, int32_t first, int32_t outputs,
               const float *matrix, const float *bias, float factor);

/* Copies numbers. Returns 0 when one is not finite. */
int pack_floats(float *out, const float *numbers, uint64_t count);

#endif
