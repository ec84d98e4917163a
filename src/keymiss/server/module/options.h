/* options.h: what a function is registered with, read from what people and workers write.
 *
 * Pure functions over bytes: they allocate nothing, keep nothing and know nothing of the server,
 * so that a fuzzer can feed them. Each returns NULL, or what is wrong in words for the sender. */
#ifndef KEYMISS_OPTIONS_H
#define KEYMISS_OPTIONS_H

#include <stdint.h>

#include "form.h"

enum {
    MAX_NAME_BYTES = 64,
    MIN_PREFIX_BYTES = 3,
    MAX_PREFIX_BYTES = 256,
    MAX_SERVE_ARGUMENTS = 32,
    /* Of a registration as a line: four texts, each of whose bytes may be escaped, and the rest. */
    LINE_BYTES = 3 * (2 * MAX_NAME_BYTES + MAX_PREFIX_BYTES + MAX_FORM_BYTES) + 512,
};

typedef enum { ON_MISS, ON_WRITE } Kind;
enum { CACHE_OFF = 0, CACHE_FOREVER = -1 };

typedef struct Options {
    Kind kind;
    int each;          /* every worker gets every event */
    long long timeout; /* how long a client waits, in milliseconds like all that follow */
    long long cache;   /* time to live of a computed value; CACHE_OFF, CACHE_FOREVER */
    long long lease;   /* how long a worker may hold an item */
    long long limit;   /* items in a queue */
    char version[MAX_NAME_BYTES + 1];
    char form[MAX_FORM_BYTES + 1]; /* of the keys that are computed; empty: all under the prefix */
} Options;

typedef struct Registration {
    char name[MAX_NAME_BYTES + 1];
    char prefix[MAX_PREFIX_BYTES];
    size_t prefix_length;
    Options options;
    int clean; /* the sender says that no value of an older version is stored */
} Registration;

/* What is registered for the keys of a function; empty when there is no form. */
Text options_form(const Options *options);

int text_is(Text text, const char *word); /* whatever the case */
int text_number(Text text, long long low, long long high, long long *out);

/* The arguments of KEYMISS.SERVE behind the command's name. */
const char *read_serve(const Text *arguments, int count, Registration *out);
/* The next `name=prefix`, or `name=form`, of the setting keymiss.functions, cut off the rest; 0 in
 * out->name[0] when there is none. */
const char *read_setting(Text *rest, Registration *out);
/* "DB n" and the arguments of SERVE in one line, with spaces between; %XX stands for a byte. */
const char *read_line(Text line, Registration *out, long long *db);

/* The options ON and CACHE in words. */
const char *kind_text(const Options *options);
const char *cache_text(const Options *options, char digits[24]);

#endif
