/* encoder_steps.h: a call of the encoder as a list of steps, and the work that each does.
 *
 * A step is divided into items for the threads. Steps that go token by token have an item for every
 * TOKENS_OF_ITEM tokens. */
#ifndef KEYMISS_ENCODER_STEPS_H
#define KEYMISS_ENCODER_STEPS_H

#include "kernels.h"
#include "packed_model.h"
#include "row_blocks.h"
#include "token_rows.h"

typedef struct Encoder Encoder;

enum {
    TOKENS_OF_ITEM = 16,
    BLOCKS_AT_ONCE = 4, /* are multiplied by a panel before what follows their sums */
    SLACK_ROWS = 32,    /* of tables: attention may read some rows more */
};

/* How a dense layer is divided into items: the panels of the first group of rows come first. */
typedef struct Grid {
    int row_groups, panel_groups;
} Grid;

typedef struct Step Step;
typedef void Work(Encoder *encoder, const Step *step, int item, int thread);

struct Step {
    Work *work;
    const Dense *dense;
    const Norm *norm;
    const void *input; /* of a product or of rounding */
    Layout from;       /* of the input */
    void *output;      /* the input of a product */
    Layout to;         /* of the output, or of what a product's Finish writes; in int8 rounding may
                          come between */
    size_t used;       /* how many numbers of a row are rounded */
    Finish finish;     /* what follows a product */
    Grid grid;
};

typedef struct ThreadScratch {
    void *keys, *values; /* of a head, packed like panels */
    float *scores;       /* of a block of queries, see SCORE_PANEL */
    void *shares;        /* the scores after softmax, as a block */
    float *factors;      /* of the shares of each row */
    float *sums;         /* of products, for BLOCKS_AT_ONCE blocks */
    float *row;
} ThreadScratch;

struct Encoder {
    Model model;
    Kernels kernels;
    int is_half;         /* numbers between products are bf16, otherwise float */
    size_t number;       /* their size */
    size_t input_number; /* the size of what products multiply */
    size_t width, inner; /* of rows of `input` and `inner_input`, in numbers */
    size_t heads;        /* the width of the queries, keys, values or context of all heads */
    Heads head;
    int tokens, threads; /* that there is room for */
    void *room;
    size_t room_bytes;
    float *states, *scales;              /* scales of int8 inputs, one a token */
    void *input, *inner_input;           /* of products: blocks */
    void *projected, *context, *widened; /* tables; `widened` in int8 only */
    Layout table;
    int32_t *places, *kinds, *starts;
    ThreadScratch *scratch;
    Step *steps;
    int *items;
    int step_count;
    TokenRows rows; /* of this call */
    int token_count;
    Result result;
};

static inline int divided(int number, int by) { return (number + by - 1) / by; }

/* How sums become numbers in chunks of this layout, from `out` on. */
static inline Finish to_chunks(const Encoder *encoder, Layout layout, void *out) {
    Finish finish = {
        .stride = CHUNK_BYTES / encoder->number,
        .half_gap = encoder->is_half ? PANEL / 2 : layout.chunk / encoder->number,
    };
    if (encoder->is_half) finish.halves = out;
    else finish.floats = out;
    return finish;
}

/* Tokens -> states, and the input of the next product. */
Work embed;
/* States -> the input of a product, after a projection of the embeddings. */
Work round_states;
/* States -> their norm, in their place, and the input of the next product. */
Work normalise;
/* A table -> the input of a product, in int8. */
Work round_rows;
/* States -> logits. */
Work judge;
/* The states of one row -> their mean. */
Work average;

/* A dense layer for some tokens and some panels, with what follows each sum. */
Work multiply;
/* Divides a dense layer so that each thread has several items, and an item's inputs and weights
 * stay in a processor's own cache. */
Grid grid_of(const Encoder *encoder, const Dense *dense, int threads);

/* One head of one row. */
Work attend;

/* Makes room for a call of this size, and for usual ones, from the first call on. Returns 0 when
 * memory is short. */
int make_room(Encoder *encoder, int tokens, int usual, int threads);
void free_room(Encoder *encoder);

#endif
