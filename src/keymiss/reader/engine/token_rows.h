/* token_rows.h: the input of a call, rows of token ids, one after the other, and its result. */
#ifndef KEYMISS_TOKEN_ROWS_H
#define KEYMISS_TOKEN_ROWS_H

#include <stdint.h>

typedef struct TokenRows {
    const int32_t *ids;        /* of all rows */
    const int32_t *lengths;    /* of each row */
    const int32_t *passage_at; /* where each row's second type of tokens begins */
    int count;
} TokenRows;

/* Where the result goes; one of them is NULL. Logits: the start and end logits of each token, float
 * [tokens][2]. Vectors: the mean of the last states of each row's tokens, scaled to the length 1,
 * float [rows][hidden]. */
typedef struct Result {
    float *logits, *vectors;
} Result;

#endif
