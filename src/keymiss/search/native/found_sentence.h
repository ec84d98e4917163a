// A sentence that a search has found.
#ifndef KEYMISS_FOUND_SENTENCE_H
#define KEYMISS_FOUND_SENTENCE_H

#include <stdint.h>

// The number of its document, and its row there. Everything that gives or takes one says what
// numbers documents have.
typedef struct {
    int32_t document, row;
} FoundSentence;

#endif
