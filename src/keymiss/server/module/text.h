/* text.h: bytes that somebody else owns. */
#ifndef KEYMISS_TEXT_H
#define KEYMISS_TEXT_H

#include <stddef.h>

typedef struct Text {
    const char *bytes; /* not terminated */
    size_t length;
} Text;

#endif
