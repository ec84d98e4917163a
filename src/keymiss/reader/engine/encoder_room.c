/* encoder_room.c: the memory of a call, which the next calls use again. */
#define _GNU_SOURCE /* MADV_HUGEPAGE */
#include "encoder_steps.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

typedef struct Room {
    char *bytes; /* NULL when only the size is wanted */
    size_t used;
} Room;

static void *take(Room *room, size_t count, size_t size) {
    void *found = room->bytes ? room->bytes + room->used : NULL;
    room->used += rounded_up(count * size, ALIGNMENT);
    return found;
}

static void take_thread(Room *room, const Encoder *encoder, ThreadScratch *scratch) {
    size_t keys = rounded_up((size_t)encoder->model.shape.positions, PANEL);
    size_t head = encoder->head.padded;
    scratch->keys = take(room, keys * head, encoder->number);
    scratch->values = take(room, keys * head, encoder->number);
    scratch->scores = take(room, keys / PANEL * SCORE_PANEL, sizeof(float));
    scratch->shares = take(room, BLOCK_ROWS * keys, encoder->number);
    scratch->factors = take(room, BLOCK_ROWS, sizeof(float));
    scratch->sums = take(room, BLOCKS_AT_ONCE * BLOCK_ROWS * PANEL, sizeof(float));
    scratch->row = take(room, encoder->width > encoder->inner ? encoder->width : encoder->inner,
                        sizeof(float));
}

static void take_room(Room *room, Encoder *encoder) {
    const Shape *shape = &encoder->model.shape;
    size_t tokens = (size_t)encoder->tokens;
    size_t rows = rounded_up(tokens, BLOCK_ROWS);
    encoder->table = table_of(rows + SLACK_ROWS);
    encoder->states = take(room, rows * encoder->width, sizeof(float));
    encoder->scales = take(room, rows, sizeof(float));
    encoder->input = take(room, rows * encoder->width, encoder->input_number);
    encoder->inner_input = take(room, rows * encoder->inner, encoder->input_number);
    encoder->projected = take(room, (rows + SLACK_ROWS) * 3 * encoder->heads, encoder->number);
    size_t context = rounded_up(encoder->heads, INPUT_STEP);
    encoder->context = take(room, (rows + SLACK_ROWS) * context, encoder->number);
    if (shape->precision == PRECISION_INT8)
        encoder->widened = take(room, (rows + SLACK_ROWS) * encoder->inner, encoder->number);
    encoder->places = take(room, tokens, sizeof(int32_t));
    encoder->kinds = take(room, tokens, sizeof(int32_t));
    encoder->starts = take(room, tokens, sizeof(int32_t));
    ThreadScratch *scratch = take(room, (size_t)encoder->threads, sizeof(ThreadScratch)), unused;
    encoder->scratch = scratch;
    for (int i = 0; i < encoder->threads; i++)
        take_thread(room, encoder, scratch ? &scratch[i] : &unused);
}

/* Zeros where nothing is written: products read them, and multiply them by zeros. In huge pages,
 * where the system has them: a short call touches each of them, so that a longer one, whose rows
 * lie among the same pages, does not wait for memory. */
static void *new_room(size_t bytes) {
    void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) return NULL;
    madvise(room, bytes, MADV_HUGEPAGE);
    return room;
}

void free_room(Encoder *encoder) {
    if (encoder->room) munmap(encoder->room, encoder->room_bytes);
    encoder->room = NULL;
    encoder->tokens = 0;
}

int make_room(Encoder *encoder, int tokens, int usual, int threads) {
    if (tokens <= encoder->tokens && threads <= encoder->threads) return 1;
    free_room(encoder);
    encoder->tokens = tokens > usual ? tokens : usual;
    encoder->threads = threads > encoder->threads ? threads : encoder->threads;
    Room room = {0};
    take_room(&room, encoder);
    encoder->room_bytes = rounded_up(room.used, HUGE_PAGE) + HUGE_PAGE;
    encoder->room = new_room(encoder->room_bytes);
    if (!encoder->room) {
        encoder->tokens = 0;
        return 0;
    }
    room = (Room){.bytes = (char *)rounded_up((uintptr_t)encoder->room, HUGE_PAGE)};
    take_room(&room, encoder);
    return 1;
}
