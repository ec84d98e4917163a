/* form.h: the exact form of the keys of a function, which a prefix says too little of.
 *
 * A form is text with fields in it: `greeting:{<tag>}:<number#>_<rest*>`.
 *   <name>    one byte or more, none of them { } :
 *   <name#>   a number of one to nine digits, without zeros in front
 *   <name*>   the rest of the key, whatever it is, if anything
 * A name is made of small letters. A field whose name stood before must hold the same bytes. Fields
 * take all that they can, and what follows must fit; nothing is tried twice, so that a key costs
 * time linear in its length.
 *
 * Pure functions over bytes, like options.h. */
#ifndef KEYMISS_FORM_H
#define KEYMISS_FORM_H

#include "text.h"

enum { MAX_FORM_BYTES = 256, MAX_FORM_FIELDS = 8 };

/* NULL when the text is a form, or what is wrong with it. */
const char *form_check(Text form);
/* The bytes in front of the first field, all of them when there is none. */
Text form_prefix(Text form);
/* Whether a key has the form, which has been checked. */
int form_matches(Text form, Text key);

#endif
