/* function_options.c: see function_options.h. */
#include "function_options.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MAX_OPTION_MS (INT64_C(24) * 3600 * 1000)
#define MAX_CACHE_MS (INT64_C(366) * 24 * 3600 * 1000)
enum { MAX_LIMIT = 1000 * 1000, MOST_LINE_WORDS = MAX_SERVE_ARGUMENTS + 2 };

int text_is(Text text, const char *word) {
    return text.length == strlen(word) && strncasecmp(text.bytes, word, text.length) == 0;
}

int text_number(Text text, long long low, long long high, long long *out) {
    if (!text.length || text.length > 18) return 0; /* 18 digits always fit */
    long long number = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9') return 0;
        number = 10 * number + (text.bytes[i] - '0');
    }
    *out = number;
    return number >= low && number <= high;
}

Text options_form(const Options *options) { return (Text){options->form, strlen(options->form)}; }

static int read_name(Text text, char *name) {
    if (text.length > MAX_NAME_BYTES) return 0;
    for (size_t i = 0; i < text.length; i++)
        if (text.bytes[i] <= ' ' || text.bytes[i] == '\'' || text.bytes[i] > '~') return 0;
    memcpy(name, text.bytes, text.length);
    name[text.length] = '\0';
    return 1;
}

static const char *read_identity(Text name, Text prefix, Registration *out) {
    if (!name.length || !read_name(name, out->name))
        return "a name has 1 to 64 printable characters, without spaces and '";
    if (prefix.length < MIN_PREFIX_BYTES || prefix.length > MAX_PREFIX_BYTES)
        return "PREFIX has 3 to 256 bytes";
    memcpy(out->prefix, prefix.bytes, prefix.length);
    out->prefix_length = prefix.length;
    return NULL;
}

static void set_defaults(Registration *out) {
    memset(out, 0, sizeof *out); /* clears padding, too: options are compared as bytes */
    out->options.timeout = 10 * 1000;
    out->options.cache = 3600 * 1000;
    out->options.lease = 5 * 1000;
    out->options.limit = 10 * 1000;
}

static const char *read_option(Text option, Text value, Options *options) {
    if (text_is(option, "ON")) {
        if (text_is(value, "MISS")) options->kind = ON_MISS;
        else if (text_is(value, "WRITE")) options->kind = ON_WRITE;
        else return "ON is MISS or WRITE";
    } else if (text_is(option, "VERSION")) {
        if (!read_name(value, options->version))
            return "VERSION has at most 64 printable characters, without spaces and '";
    } else if (text_is(option, "FORM")) {
        const char *wrong = form_check(value);
        if (wrong) return wrong;
        memcpy(options->form, value.bytes, value.length);
        options->form[value.length] = '\0';
    } else if (text_is(option, "TIMEOUT")) {
        if (!text_number(value, 1, MAX_OPTION_MS, &options->timeout))
            return "TIMEOUT is 1 to 86400000 milliseconds";
    } else if (text_is(option, "LEASE")) {
        if (!text_number(value, 1, MAX_OPTION_MS, &options->lease))
            return "LEASE is 1 to 86400000 milliseconds";
    } else if (text_is(option, "PENDING")) {
        if (!text_number(value, 1, MAX_LIMIT, &options->limit))
            return "PENDING is 1 to 1000000 items";
    } else if (text_is(option, "CACHE")) {
        if (text_is(value, "off")) options->cache = CACHE_OFF;
        else if (text_is(value, "forever")) options->cache = CACHE_FOREVER;
        else if (!text_number(value, 1, MAX_CACHE_MS, &options->cache))
            return "CACHE is off, forever, or 1 to 31622400000 milliseconds";
    } else {
        return "an option is unknown; see docs/commands.md";
    }
    return NULL;
}

static const char *check_form(const Registration *registration) {
    Text form = options_form(&registration->options);
    if (!form.length) return NULL;
    if (registration->options.kind == ON_WRITE) return "FORM goes with ON MISS only";
    if (form_prefix(form).length < registration->prefix_length ||
        memcmp(form.bytes, registration->prefix, registration->prefix_length) != 0)
        return "FORM begins with the PREFIX";
    return NULL;
}

const char *read_serve(const Text *arguments, int count, Registration *out) {
    set_defaults(out);
    Text prefix = {NULL, 0};
    int kind_seen = 0;
    for (int i = 1; i < count; i++) {
        if (text_is(arguments[i], "EACH")) {
            out->options.each = 1;
            continue;
        }
        if (text_is(arguments[i], "CLEAN")) {
            out->clean = 1;
            continue;
        }
        if (i + 1 == count) return "an option lacks its value, or is unknown";
        if (text_is(arguments[i], "PREFIX")) {
            prefix = arguments[++i];
            continue;
        }
        kind_seen |= text_is(arguments[i], "ON");
        const char *wrong = read_option(arguments[i], arguments[i + 1], &out->options);
        if (wrong) return wrong;
        i++;
    }
    if (!kind_seen || !prefix.bytes) return "ON and PREFIX are required";
    if (out->options.each && out->options.kind == ON_MISS) return "EACH goes with ON WRITE only";
    const char *wrong = read_identity(arguments[0], prefix, out);
    return wrong ? wrong : check_form(out);
}

static int is_space(char byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

static size_t skip(Text *rest, int spaces) {
    size_t length = 0;
    while (length < rest->length && is_space(rest->bytes[length]) == spaces) length++;
    rest->bytes += length;
    rest->length -= length;
    return length;
}

const char *read_setting(Text *rest, Registration *out) {
    set_defaults(out);
    skip(rest, 1);
    if (!rest->length) return NULL;
    Text word = *rest;
    word.length = skip(rest, 0);
    const char *equals = memchr(word.bytes, '=', word.length);
    if (!equals) return "keymiss.functions holds name=prefix words, separated by spaces";
    Text name = {word.bytes, (size_t)(equals - word.bytes)};
    Text form = {equals + 1, word.length - name.length - 1};
    Text prefix = form_prefix(form);
    const char *wrong = NULL;
    if (prefix.length < form.length) wrong = read_option((Text){"FORM", 4}, form, &out->options);
    return wrong ? wrong : read_identity(name, prefix, out);
}

static int hex_digit(char letter) {
    if (letter >= '0' && letter <= '9') return letter - '0';
    return letter >= 'A' && letter <= 'F' ? letter - 'A' + 10 : -1;
}

/* Cuts the next word off a line, and writes it without escapes to `out`, which has room for the
 * line. At the end of the line the word is empty. */
static Text next_word(Text *line, char *out) {
    Text word = {out, 0};
    size_t i = 0;
    while (i < line->length && line->bytes[i] == ' ') i++;
    while (i < line->length && line->bytes[i] != ' ') {
        char byte = line->bytes[i++];
        if (byte == '%' && i + 1 < line->length && hex_digit(line->bytes[i]) >= 0 &&
            hex_digit(line->bytes[i + 1]) >= 0) {
            byte = (char)(hex_digit(line->bytes[i]) << 4 | hex_digit(line->bytes[i + 1]));
            i += 2;
        }
        out[word.length++] = byte;
    }
    line->bytes += i;
    line->length -= i;
    return word;
}

const char *read_line(Text line, Registration *out, long long *db) {
    char room[LINE_BYTES];
    size_t used = 0;
    Text words[MOST_LINE_WORDS];
    int count = 0;
    if (line.length > sizeof room) return "a line is too long";
    while (count < MOST_LINE_WORDS) {
        words[count] = next_word(&line, room + used);
        if (!words[count].length) break;
        used += words[count++].length;
    }
    if (count < 3 || !text_is(words[0], "DB") || !text_number(words[1], 0, INT32_MAX, db))
        return "a line begins with DB and a number";
    return read_serve(words + 2, count - 2, out);
}

const char *cache_text(const Options *options, char digits[24]) {
    if (options->cache == CACHE_OFF) return "off";
    if (options->cache == CACHE_FOREVER) return "forever";
    snprintf(digits, 24, "%lld", options->cache);
    return digits;
}

const char *kind_text(const Options *options) {
    return options->kind == ON_MISS ? "miss" : "write";
}
