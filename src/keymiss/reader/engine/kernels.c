/* kernels.c: which kernels this processor runs. */
#include "kernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Asked here and not of the compiler's runtime, whose answer depends on how the library is linked.
 * Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, CPUID, and volume 1,
 * XCR0. */
typedef struct Processor {
    unsigned b, c, d; /* leaf 7, registers ebx, ecx and edx */
    unsigned a1;      /* leaf 7, subleaf 1, register eax */
    unsigned c1;      /* leaf 1, register ecx */
    unsigned saved;   /* what the system saves when threads change: XCR0 */
} Processor;

enum {
    REQUEST_PERMISSION = 0x1023, /* ARCH_REQ_XCOMP_PERM of arch_prctl */
    TILE_DATA = 18,              /* the state component of AMX's tiles */
};

/* Bits of Processor.saved, c1, b, c, a1 and d. */
static const unsigned YMM = 0x6, ZMM = 0xe6, TILES = 1u << 17 | 1u << 18;
static const unsigned FMA = 1u << 12, OSXSAVE = 1u << 27;
static const unsigned AVX2 = 1u << 5;
static const unsigned AVX512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
static const unsigned VNNI = 1u << 11;
static const unsigned BF16 = 1u << 5;
static const unsigned AMX = 1u << 22 | 1u << 24 | 1u << 25; /* bf16, tiles, int8 */

static Processor this_processor(void) {
    Processor found = {0};
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &found.c1, &d) || !(found.c1 & OSXSAVE)) return found;
    __asm__ volatile("xgetbv" : "=a"(found.saved), "=d"(d) : "c"(0));
    if (__get_cpuid_count(7, 0, &a, &found.b, &found.c, &found.d))
        __get_cpuid_count(7, 1, &found.a1, &b, &c, &d);
    return found;
}

static int has(unsigned found, unsigned wanted) { return (found & wanted) == wanted; }

/* Each of these is asked only where the set before it runs. */
static int has_avx2(const Processor *found) {
    return has(found->saved, YMM) && has(found->c1, FMA) && has(found->b, AVX2);
}

static int has_avx512(const Processor *found) {
    return has(found->saved, ZMM) && has(found->b, AVX512);
}

static int has_vnni(const Processor *found) { return has(found->c, VNNI); }

static int has_bf16(const Processor *found) { return has(found->a1, BF16); }

/* Linux lets a process use the tiles after it has asked for them. */
static int has_amx(const Processor *found) {
    return has(found->saved, TILES) && has(found->d, AMX) &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

static void use_avx2(Kernels *kernels) {
    kernels->names[PRECISION_FP32] = kernels->names[PRECISION_INT8] = "avx2";
    kernels->products[PRECISION_FP32] = product_f32_avx2;
    kernels->products[PRECISION_INT8] = product_int8_avx2;
    kernels->rows = &ROW_LOOPS_AVX2;
}

static void use_avx512(Kernels *kernels) {
    kernels->names[PRECISION_FP32] = "avx512";
    kernels->products[PRECISION_FP32] = product_f32_avx512;
    kernels->rows = &ROW_LOOPS_AVX512;
}

static void use_vnni(Kernels *kernels) {
    kernels->names[PRECISION_INT8] = "avx512-vnni";
    kernels->products[PRECISION_INT8] = product_int8_vnni;
    kernels->offset = 128;
}

static void use_bf16(Kernels *kernels) {
    kernels->names[PRECISION_BF16] = "avx512-bf16";
    kernels->products[PRECISION_BF16] = product_bf16_avx512;
    kernels->bf16_is_native = 1;
    kernels->rows = &ROW_LOOPS_BF16;
}

static void use_amx(Kernels *kernels) {
    kernels->names[PRECISION_BF16] = kernels->names[PRECISION_INT8] = "amx";
    kernels->products[PRECISION_BF16] = product_bf16_amx;
    kernels->products[PRECISION_INT8] = product_int8_amx;
    kernels->offset = 0;
    kernels->begin = amx_begin;
    kernels->end = amx_end;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

typedef unsigned long Processor; /* what the system says that it has: AT_HWCAP */

static const unsigned long DOTPROD = 1ul << 20; /* HWCAP_ASIMDDP */

static Processor this_processor(void) { return getauxval(AT_HWCAP); }

/* Every processor of this architecture has NEON. */
static int has_neon(const Processor *found) {
    (void)found;
    return 1;
}

static int has_dotprod(const Processor *found) { return (*found & DOTPROD) != 0; }

static void use_neon(Kernels *kernels) {
    kernels->names[PRECISION_FP32] = "neon";
    kernels->products[PRECISION_FP32] = product_f32_neon;
}

static void use_dotprod(Kernels *kernels) {
    kernels->names[PRECISION_INT8] = "dotprod";
    kernels->products[PRECISION_INT8] = product_int8_dotprod;
}
#else
typedef int Processor;

static Processor this_processor(void) { return 0; }
#endif

typedef struct InstructionSet {
    const char *name;
    int (*runs)(const Processor *found);
    void (*use)(Kernels *kernels);
} InstructionSet;

/* Each needs those above it, and replaces what it does better. */
static const InstructionSet SETS[] = {
#if defined(__x86_64__)
    {"avx2", has_avx2, use_avx2},
    {"avx512", has_avx512, use_avx512},
    {"avx512-vnni", has_vnni, use_vnni},
    {"avx512-bf16", has_bf16, use_bf16},
    {"amx", has_amx, use_amx},
#elif defined(__aarch64__)
    {"neon", has_neon, use_neon},
    {"dotprod", has_dotprod, use_dotprod},
#endif
    {NULL, NULL, NULL},
};

int choose_kernels(Kernels *kernels, const char *named) {
    *kernels = (Kernels){
        .names = {"portable", "portable", "portable"},
        .products = {product_f32_portable, product_bf16_portable, product_int8_portable},
        .rows = &ROW_LOOPS_PORTABLE,
    };
    if (named && strcmp(named, "portable") == 0) return 1;
    Processor found = this_processor();
    for (const InstructionSet *set = SETS; set->name; set++) {
        if (!set->runs(&found)) return named == NULL;
        set->use(kernels);
        if (named && strcmp(named, set->name) == 0) return 1;
    }
    return named == NULL;
}
