/* key_form.h: the exact form of a function's keys, where a prefix says too little.
 *
 * A form is text with fields in it: `greeting:{<tag>}:<number#>_<rest*>`.
 *   <name>    one byte or more, none of them { } :
 *   <name#>   a number of one to nine digits, without leading zeros
 *   <name*>   the rest of the key, which may be empty
 * A name consists of small letters. Fields of the same name must hold the same bytes. A field takes
 * as many bytes as it can, and the rest of the key must fit the rest of the form. Nothing is tried
 * twice, so that a key costs time linear in its length.
 *
 * These are pure functions over bytes, like those of function_options.h. */
#ifndef KEYMISS_KEY_FORM_H
#define KEYMISS_KEY_FORM_H

#include "text.h"

enum { MAX_FORM_BYTES = 256, MAX_FORM_FIELDS = 8 };

/* NULL when the text is a form, or what is wrong with it. */
const char *form_check(Text form);
/* The bytes before the first field; all bytes when there is none. */
Text form_prefix(Text form);
/* Whether a key has the form, which form_check must have accepted. */
int form_matches(Text form, Text key);

#endif
