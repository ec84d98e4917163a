/* kernels.c: which kernels this processor runs. */
#include "kernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    REQUEST_PERMISSION = 0x1023,            /* ARCH_REQ_XCOMP_PERM of arch_prctl */
    TILE_DATA = 18,                         /* the state component of AMX's tiles */
    AMX_BITS = 1 << 22 | 1 << 24 | 1 << 25, /* bf16, tiles, int8: cpuid 7, edx */
};

/* Linux lets a process use the tiles after it has asked for them. */
static int has_amx(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & AMX_BITS) != AMX_BITS) return 0;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

static int has_vnni(void) { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }

static int has_bf16(void) { return has_vnni() && __builtin_cpu_supports("avx512bf16"); }

static int has_amx_and_bf16(void) { return has_bf16() && has_amx(); }

static void use_avx2(Kernels *kernels) {
    kernels->f32_name = kernels->int8_name = "avx2";
    kernels->product_f32 = product_f32_avx2;
    kernels->product_int8 = product_int8_avx2;
    kernels->rows = &ROW_LOOPS_AVX2;
}

static void use_avx512(Kernels *kernels) {
    kernels->f32_name = "avx512";
    kernels->product_f32 = product_f32_avx512;
    kernels->rows = &ROW_LOOPS_AVX512;
}

static void use_vnni(Kernels *kernels) {
    kernels->int8_name = "avx512-vnni";
    kernels->product_int8 = product_int8_vnni;
    kernels->offset = 128;
}

static void use_bf16(Kernels *kernels) {
    kernels->bf16_name = "avx512-bf16";
    kernels->product_bf16 = product_bf16_avx512;
    kernels->bf16_is_native = 1;
    kernels->rows = &ROW_LOOPS_BF16;
}

static void use_amx(Kernels *kernels) {
    kernels->bf16_name = kernels->int8_name = "amx";
    kernels->product_bf16 = product_bf16_amx;
    kernels->product_int8 = product_int8_amx;
    kernels->offset = 0;
    kernels->begin = amx_begin;
    kernels->end = amx_end;
}
#endif

typedef struct InstructionSet {
    const char *name;
    int (*runs)(void);
    void (*use)(Kernels *kernels);
} InstructionSet;

/* Each needs those above it, and replaces what it does better. */
static const InstructionSet SETS[] = {
#if defined(__x86_64__)
    {"avx2", has_avx2, use_avx2},
    {"avx512", has_avx512, use_avx512},
    {"avx512-vnni", has_vnni, use_vnni},
    {"avx512-bf16", has_bf16, use_bf16},
    {"amx", has_amx_and_bf16, use_amx},
#endif
    {NULL, NULL, NULL},
};

int choose_kernels(Kernels *kernels, const char *named) {
    *kernels = (Kernels){
        .f32_name = "portable",
        .bf16_name = "portable",
        .int8_name = "portable",
        .product_f32 = product_f32_portable,
        .product_bf16 = product_bf16_portable,
        .product_int8 = product_int8_portable,
        .rows = &ROW_LOOPS_PORTABLE,
    };
    if (named && strcmp(named, "portable") == 0) return 1;
    for (const InstructionSet *set = SETS; set->name; set++) {
        if (!set->runs()) return named == NULL;
        set->use(kernels);
        if (named && strcmp(named, set->name) == 0) return 1;
    }
    return named == NULL;
}
