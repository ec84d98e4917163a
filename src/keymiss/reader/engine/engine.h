/* engine.h: what Python calls. Functions that can fail return NULL, or what is wrong. */
#ifndef KEYMISS_ENGINE_H
#define KEYMISS_ENGINE_H

#include "encoder.h"

/* Everything else is hidden. */
#define PUBLIC __attribute__((visibility("default")))

typedef struct Engine Engine;

/* Which tensor of a checkpoint keymiss_pack is given. */
typedef enum Tensor {
    TENSOR_WORDS,
    TENSOR_PLACES,
    TENSOR_KINDS,
    TENSOR_EMBEDDED_NORM,
    TENSOR_EMBEDDED,
    TENSOR_QUERIES,
    TENSOR_KEYS,
    TENSOR_VALUES,
    TENSOR_ATTENDED,
    TENSOR_ATTENDED_NORM,
    TENSOR_WIDENED,
    TENSOR_NARROWED,
    TENSOR_NARROWED_NORM,
    TENSOR_SPAN_HEAD,
    TENSORS,
} Tensor;

/* The bytes of a packed model of this shape, 0 when a model cannot have this shape. */
PUBLIC uint64_t keymiss_packed_size(const Shape *shape);

/* Makes `bytes`, which are zeros, a packed model that lacks all tensors. */
PUBLIC const char *keymiss_begin_packing(const Shape *shape, void *bytes);

/* Packs one tensor: its weight (or table), and its bias, which tables do not have. */
PUBLIC const char *keymiss_pack(const Shape *shape, void *bytes, int32_t tensor, int32_t layer,
                                const float *weight, const float *bias);

/* Makes the model complete, so that it can be opened. */
PUBLIC void keymiss_end_packing(void *bytes);

/* Opens a packed model of this shape, which must outlive the engine. `isa` is the name of an
 * instruction set, or NULL for the best. */
PUBLIC const char *keymiss_open(const Shape *shape, const void *bytes, uint64_t size,
                                const char *isa, Engine **engine);
PUBLIC void keymiss_close(Engine *engine);

/* The instruction set that multiplies in this precision: at most the one that is named, or the best
 * that runs here for NULL. Returns NULL when the named one does not run here. */
PUBLIC const char *keymiss_isa(const char *isa, int32_t precision);

/* One product of up to 32 rows as in kernels.h, whose sums are float or int32 [rows][32]: so that a
 * set can be compared with another. Activations of int8 have no offset. */
PUBLIC const char *keymiss_product(const char *isa, int32_t precision, const void *a, const void *b,
                                   const int32_t *sums, int32_t inputs, int32_t rows, void *c);

/* See `encode` in encoder.h. Calls from several threads take turns. */
PUBLIC const char *keymiss_logits(Engine *engine, const int32_t *ids, const int32_t *lengths,
                                  const int32_t *passage_at, int32_t rows, int32_t threads,
                                  float *logits);

/* The vectors of rows whose tokens are of the first type. */
PUBLIC const char *keymiss_vectors(Engine *engine, const int32_t *ids, const int32_t *lengths,
                                   int32_t rows, int32_t threads, float *vectors);

#endif
