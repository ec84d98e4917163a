/* function_options.h: the options of a function, read from what people and workers write.
 *
 * These are pure functions over bytes: they allocate nothing, keep nothing and know nothing of the
 * server, so that a fuzzer can feed them. The read_ functions return NULL, or tell the sender what
 * is wrong. */
#ifndef KEYMISS_FUNCTION_OPTIONS_H
#define KEYMISS_FUNCTION_OPTIONS_H

#include <stdint.h>

#include "key_form.h"

enum {
    MAX_NAME_BYTES = 64,
    MIN_PREFIX_BYTES = 3,
    MAX_PREFIX_BYTES = 256,
    MAX_SERVE_ARGUMENTS = 32,
    /* The length of a registration as a line, at most: four texts, whose bytes may all be escaped
     * as three bytes, and the rest. */
    LINE_BYTES = 3 * (2 * MAX_NAME_BYTES + MAX_PREFIX_BYTES + MAX_FORM_BYTES) + 512,
};

typedef enum { ON_MISS, ON_WRITE } Kind;
enum { CACHE_OFF = 0, CACHE_FOREVER = -1 };

typedef struct Options {
    Kind kind;
    int each;          /* every worker gets every event */
    long long timeout; /* how long a client waits, in milliseconds like cache and lease */
    long long cache;   /* how long a computed value lives, or CACHE_OFF, CACHE_FOREVER */
    long long lease;   /* how long a worker may hold an item */
    long long limit;   /* how many items a queue may have */
    char version[MAX_NAME_BYTES + 1];
    char form[MAX_FORM_BYTES + 1]; /* of the computed keys; empty for all keys under the prefix */
} Options;

typedef struct Registration {
    char name[MAX_NAME_BYTES + 1];
    char prefix[MAX_PREFIX_BYTES];
    size_t prefix_length;
    Options options;
    int clean; /* the sender says that no value of an older version is stored */
} Registration;

/* The registered form of a function's keys; empty when there is none. */
Text options_form(const Options *options);

int text_is(Text text, const char *word); /* in upper or lower case */
int text_number(Text text, long long low, long long high, long long *out);

/* Reads the arguments of KEYMISS.SERVE that follow the command's name. */
const char *read_serve(const Text *arguments, int count, Registration *out);
/* Reads the next `name=prefix` or `name=form` of the setting keymiss.functions, and cuts it off
 * `rest`. When there is none, out->name[0] is 0. */
const char *read_setting(Text *rest, Registration *out);
/* Reads a line that holds "DB n" and the arguments of SERVE, with spaces between them; %XX stands
 * for a byte. */
const char *read_line(Text line, Registration *out, long long *db);

/* The options ON and CACHE in words. */
const char *kind_text(const Options *options);
const char *cache_text(const Options *options, char digits[24]);

#endif
