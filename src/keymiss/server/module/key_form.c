/* key_form.c: see key_form.h. */
#include "key_form.h"

#include <string.h>

typedef enum { NO_FIELD, WORD = 'w', NUMBER = '#', REST = '*' } FieldKind;

enum { MAX_DIGITS = 9 };

/* Cuts off the field that the form begins with. When the form begins with something else, or with a
 * malformed field, returns NO_FIELD and cuts nothing off. */
static FieldKind next_field(Text *form, Text *name) {
    if (!form->length || form->bytes[0] != '<') return NO_FIELD;
    size_t end = 1;
    while (end < form->length && form->bytes[end] >= 'a' && form->bytes[end] <= 'z') end++;
    if (end == 1 || end == form->length) return NO_FIELD;
    *name = (Text){form->bytes + 1, end - 1};
    FieldKind kind = WORD;
    if (form->bytes[end] == NUMBER || form->bytes[end] == REST)
        kind = (FieldKind)form->bytes[end++];
    if (end == form->length || form->bytes[end] != '>') return NO_FIELD;
    form->bytes += end + 1;
    form->length -= end + 1;
    return kind;
}

static int equal(Text a, Text b) {
    return a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

Text form_prefix(Text form) {
    const char *field = memchr(form.bytes, '<', form.length);
    if (field) form.length = (size_t)(field - form.bytes);
    return form;
}

const char *form_check(Text form) {
    if (!form.length || form.length > MAX_FORM_BYTES) return "FORM has 1 to 256 bytes";
    int fields = 0;
    while (form.length) {
        Text name;
        unsigned char byte = (unsigned char)form.bytes[0];
        if (byte == '<') {
            FieldKind kind = next_field(&form, &name);
            if (kind == NO_FIELD) return "FORM has fields like <name>, <name#> and <name*>";
            if (++fields > MAX_FORM_FIELDS) return "FORM has at most 8 fields";
            if (kind == REST && form.length) return "FORM ends with its field <name*>";
            continue;
        }
        if (byte <= ' ' || byte > '~' || byte == '\'' || byte == '>')
            return "FORM is printable text without spaces and ', with > only at a field's end";
        form.bytes++;
        form.length--;
    }
    return NULL;
}

static size_t run_of(FieldKind kind, Text key) {
    if (kind == REST) return key.length;
    size_t length = 0;
    size_t most = kind == NUMBER && key.length > MAX_DIGITS ? MAX_DIGITS : key.length;
    if (kind == NUMBER && key.length && *key.bytes == '0') most = 1;
    while (length < most) {
        char byte = key.bytes[length];
        if (kind == NUMBER ? byte < '0' || byte > '9' : byte == '{' || byte == '}' || byte == ':')
            break;
        length++;
    }
    return length;
}

int form_matches(Text form, Text key) {
    struct {
        Text name, held;
    } fields[MAX_FORM_FIELDS];
    int count = 0;
    while (form.length) {
        Text name;
        FieldKind kind = next_field(&form, &name);
        if (kind == NO_FIELD) {
            if (!key.length || *key.bytes != *form.bytes) return 0;
            form.bytes++, form.length--;
            key.bytes++, key.length--;
            continue;
        }
        Text held = {key.bytes, run_of(kind, key)};
        if (!held.length && kind != REST) return 0;
        for (int i = 0; i < count; i++)
            if (equal(fields[i].name, name) && !equal(fields[i].held, held)) return 0;
        if (count < MAX_FORM_FIELDS) {
            fields[count].name = name;
            fields[count++].held = held;
        }
        key.bytes += held.length;
        key.length -= held.length;
    }
    return !key.length;
}
