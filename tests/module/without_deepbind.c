/* Preloaded ahead of AddressSanitizer: Valkey opens modules with RTLD_DEEPBIND, which the sanitizer
 * cannot work with and refuses. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

typedef void *(*Dlopen)(const char *file, int mode);

void *dlopen(const char *file, int mode) {
    Dlopen next = (Dlopen)(size_t)dlsym(RTLD_NEXT, "dlopen");
    return next(file, mode & ~RTLD_DEEPBIND);
}
