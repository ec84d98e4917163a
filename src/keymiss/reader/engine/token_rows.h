/* token_rows.h: the input of a call: rows of token ids, one after the other. */
#ifndef KEYMISS_TOKEN_ROWS_H
#define KEYMISS_TOKEN_ROWS_H

#include <stdint.h>

typedef struct TokenRows {
    const int32_t *ids;        /* of all rows */
    const int32_t *lengths;    /* of each row */
    const int32_t *passage_at; /* where each row's second type of tokens begins */
    int count;
} TokenRows;

#endif
