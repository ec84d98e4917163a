// The vectors of many documents' sentences, and those among them that are nearest to a question.
//
// A vector of length 1 is kept as whole numbers from -127 to 127 with a scale, and as the signs of
// these, which are looked at first. Documents are named by numbers that the store gives, which are
// used again when a document has been dropped. The caller sees to it that no two threads use a
// store at once.
#ifndef KEYMISS_VECTOR_STORE_H
#define KEYMISS_VECTOR_STORE_H

#include "found_sentence.h"

typedef struct VectorStore VectorStore;

// A store of vectors of this width, 1 to 1984; NULL when memory is short.
VectorStore *keymiss_new_vectors(int32_t width);
void keymiss_free_vectors(VectorStore *store);

// Adds the vectors of a document, codes [count][width] and scales [count]; returns the document's
// number, or -1 when memory is short: nothing is added then.
int32_t keymiss_put_vectors(VectorStore *store, const int8_t *codes, const float *scales,
                            int32_t count);
void keymiss_drop_vectors(VectorStore *store, int32_t document);

// The `limit` vectors with the largest products with the question, float [width] of length 1, the
// largest first. Those `looked_at` are multiplied whose signs agree best. Returns how many there
// are, or -1 when memory is short. `isa` names a set of sign_scan.h, or is NULL for the best.
int32_t keymiss_nearest(const VectorStore *store, const char *isa, const float *question,
                        int32_t looked_at, int32_t limit, FoundSentence *found, float *products);

// The products of the question with these vectors; NaN where there is no such vector.
void keymiss_products(const VectorStore *store, const float *question, const FoundSentence *wanted,
                      int32_t count, float *products);

#endif
