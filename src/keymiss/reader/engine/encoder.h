/* encoder.h: computes span logits or vectors of token rows with a packed model.
 *
 * The network is BERT's encoder with a span head (Devlin et al. 2018, arXiv:1810.04805); Shape says
 * what differs between its relatives. The tokens of all rows stand one after the other, without
 * padding: only attention looks at where a row begins and ends. */
#ifndef KEYMISS_ENCODER_H
#define KEYMISS_ENCODER_H

#include "kernels.h"
#include "packed_model.h"
#include "token_rows.h"

typedef struct Encoder Encoder;

/* Returns NULL when memory is short. The model's tensors must outlive the encoder. */
Encoder *new_encoder(const Model *model, const Kernels *kernels);
void free_encoder(Encoder *encoder);

typedef enum Outcome { COMPUTED, WRONG_ROWS, NO_MEMORY } Outcome;

/* Computes the result of these rows. WRONG_ROWS: an id is not in the vocabulary, a row is empty or
 * longer than the model's positions, or there are more tokens than MAX_TOKENS. In place of a number
 * of threads, ALONE is the calling thread, which waits for no others, and YIELDING is one that
 * computes when no other thread wants the processor. One call at a time for each encoder. */
enum { MAX_TOKENS = 1 << 16, YIELDING = 0, ALONE = -1 };
Outcome encode(Encoder *encoder, const TokenRows *rows, int threads, Result result);

#endif
