/* Feeds the dispatcher and the argument parsers with bytes, and checks what must hold after each
 * step.
 *
 * The bytes are a program: each asks for one act of a client, a worker, an administrator or the
 * clock. Built with clang's -fsanitize=fuzzer it is a libFuzzer target; built with -DSEEDED it
 * makes its own bytes from a seed: `fuzz_dispatcher SEED RUNS`. */
#include "dispatcher.h"
#include "items.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { LIFETIME = 100, VALUES = 256 };
enum { NAMES = 4, KEYS = 5, WORKERS = 4, WAITERS = 8, HELD = 64, MAX_TAKE = 8 };

typedef struct Input {
    const uint8_t *bytes;
    size_t left;
} Input;

typedef struct Held {
    char id[ID_BYTES + 1];
} Held;

typedef struct Value {
    long long stored_at, bytes;
} Value;

static Dispatcher dispatcher;
static Budget budget;
static Value values[VALUES];
static size_t value_count;
static long long blocks, now;
static uint64_t next_id;
static Waiter *waiting[WAITERS];
static Held held[HELD];
static size_t held_count;

static void *allocate(size_t size) {
    blocks++;
    return malloc(size);
}

static void release(void *block) {
    blocks--;
    free(block);
}

static void number_id(char *hex, size_t length) {
    char digits[64];
    snprintf(digits, sizeof digits, "%032llx", (unsigned long long)next_id++);
    memcpy(hex, digits, length);
}

static unsigned next(Input *input, unsigned below) {
    if (!input->left) return 0;
    input->left--;
    return *input->bytes++ % below;
}

/* ---- what must hold ---- */

static long long count_waiters(const Item *item) {
    long long count = 0;
    FOR_EACH(&item->waiters, waiter, Waiter, node) {
        CHECK(waiter->item == item);
        count++;
    }
    return count;
}

static long long item_bytes(const Item *item) {
    long long waiter = WAITER_BYTES + (long long)item->key_length;
    return (long long)(sizeof *item + item->key_length + item->value_bytes) +
           count_waiters(item) * waiter;
}

static void check_item(const Queue *queue, const Item *item, State state) {
    CHECK(item->queue == queue && item->state == state);
    CHECK((state == TAKEN) == (item->worker != NULL));
    int known = 0;
    FOR_EACH(&dispatcher.workers, worker, Worker, node) { known |= worker == item->worker; }
    CHECK(known == (state == TAKEN));
    CHECK(item->deaths < MAX_DEATHS);
    if (queue->function->options.kind == ON_MISS && state == READY)
        CHECK(!list_empty(&item->waiters));
    Item *found = dispatcher_find(&dispatcher, item->queue, item->key, item->key_length);
    CHECK(item->dropped ? found != item : found == item);
    if (!list_empty(&item->waiters))
        CHECK(dispatcher_is_awaited(&dispatcher, item->queue, item->key, item->key_length));
}

static void check_queue(const Queue *queue, long long *items, long long *bytes,
                        long long *waiters) {
    long long pending = 0, size = 0, waiting_here = 0, last = -1;
    FOR_EACH(&queue->ready, item, Item, node) {
        check_item(queue, item, READY);
        pending++;
        size += item_bytes(item);
        waiting_here += count_waiters(item);
    }
    FOR_EACH(&queue->taken, item, Item, node) {
        check_item(queue, item, TAKEN);
        CHECK(item->taken_at >= last);
        last = item->taken_at;
        pending++;
        size += item_bytes(item);
        waiting_here += count_waiters(item);
    }
    FOR_EACH(&dispatcher.answered, item, Item, node) {
        if (item->queue != queue) continue;
        check_item(queue, item, ANSWERED);
        pending++;
        size += item_bytes(item);
        waiting_here += count_waiters(item);
    }
    CHECK(queue->pending == pending);
    *items += pending;
    *bytes += size;
    *waiters += waiting_here;
}

/* Never less than is alive, and nothing from long ago. */
static void check_budget(void) {
    long long alive = 0, recent = 0;
    for (size_t i = 0; i < value_count; i++) {
        if (values[i].stored_at + LIFETIME > now) alive += values[i].bytes;
        if (values[i].stored_at + SPANS * (LIFETIME / (SPANS - 1) + 1) > now)
            recent += values[i].bytes;
    }
    long long counted = budget_at(&budget, LIFETIME, now);
    CHECK(counted >= alive && counted <= recent);
}

static void check_all(void) {
    check_budget();
    long long items = 0, bytes = 0, waiters = 0;
    int functions = 0;
    const Function *some = NULL;
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = dispatcher.functions[slot];
        if (!function) continue;
        some = function;
        functions++;
        CHECK(dispatcher_match(&dispatcher, function->prefix, function->prefix_length) == function);
        int workers = 0;
        long long before = bytes;
        check_queue(&function->queue, &items, &bytes, &waiters);
        FOR_EACH(&function->attachments, attachment, Attachment, of_function) {
            workers += dispatcher_is_current(attachment);
            check_queue(&attachment->events, &items, &bytes, &waiters);
        }
        CHECK(function->workers == workers && function->bytes == bytes - before);
    }
    CHECK(dispatcher.function_count == functions);
    CHECK(dispatcher.items == items && dispatcher.bytes == bytes && dispatcher.waiters == waiters);
    long long unfreed = 0;
    for (unsigned client = 0; client < WAITERS; client++) {
        if (!waiting[client]) continue;
        unfreed++;
        CHECK(waiting[client]->client == client);
        CHECK(!some || !dispatcher_may_wait(&dispatcher, some, client, 0));
    }
    CHECK(dispatcher.leaving == unfreed - waiters);
    long long due = dispatcher_due(&dispatcher);
    CHECK(due < 0 || due > now);
}

/* ---- acts ---- */

static void discard_all(List *lost) {
    while (!list_empty(lost)) {
        Item *item = NODE_OWNER(lost->next, Item, node);
        while (dispatcher_next_waiter(&dispatcher, item)) continue;
        dispatcher_discard(&dispatcher, item);
    }
}

static Function *any_function(Input *input) {
    char name[] = {'f', (char)('0' + next(input, NAMES)), '\0'};
    return dispatcher_named(&dispatcher, name, 2);
}

static Worker *any_worker(Input *input) {
    return dispatcher_worker(&dispatcher, next(input, WORKERS));
}

static size_t any_key(Input *input, const Function *function, char *key) {
    memcpy(key, function->prefix, function->prefix_length);
    key[function->prefix_length] = (char)('a' + next(input, KEYS));
    return function->prefix_length + 1;
}

static void serve(Input *input) {
    Registration registration;
    memset(&registration, 0, sizeof registration);
    unsigned number = next(input, NAMES);
    snprintf(registration.name, sizeof registration.name, "f%u", number);
    registration.prefix_length =
        (size_t)snprintf(registration.prefix, sizeof registration.prefix, "p%u:", number);
    registration.options.kind = number % 2 ? ON_WRITE : ON_MISS;
    registration.options.each = number == 3;
    registration.options.lease = 1 + (long long)next(input, 20);
    registration.options.limit = 1 + (long long)next(input, 6);
    registration.options.version[0] = "\0ab"[next(input, 3)];
    Function *function;
    CHECK(!dispatcher_serve(&dispatcher, &registration, 0, now, &function));
    uint64_t client = next(input, WORKERS);
    Worker *worker = dispatcher_worker(&dispatcher, client);
    if (!worker)
        worker = dispatcher_add_worker(&dispatcher, client, dispatcher_user(&dispatcher, "u", 1));
    dispatcher_attach(&dispatcher, function, worker);
    CHECK(dispatcher_is_current(dispatcher_attachment(function, worker)));
}

static void ask(Input *input) {
    Function *function = any_function(input);
    if (!function) return;
    char key[MAX_PREFIX_BYTES + 1];
    size_t length = any_key(input, function, key);
    if (function->options.kind == ON_WRITE) {
        FOR_EACH(&function->attachments, attachment, Attachment, of_function) {
            if (function->options.each)
                dispatcher_written(&dispatcher, &attachment->events, key, length);
        }
        if (!function->options.each) dispatcher_written(&dispatcher, &function->queue, key, length);
        return;
    }
    Item *item = dispatcher_find(&dispatcher, &function->queue, key, length);
    if (item && item->state == ANSWERED) return;
    unsigned client = next(input, WAITERS);
    if (!dispatcher_may_wait(&dispatcher, function, client, length)) return;
    CHECK(!waiting[client]);
    if (!item) item = dispatcher_enqueue(&dispatcher, &function->queue, key, length);
    if (!item) return;
    waiting[client] = calloc(1, sizeof **waiting);
    dispatcher_wait(&dispatcher, item, waiting[client], client);
}

static void check_sleeper(Input *input) {
    Function *function = any_function(input);
    Worker *worker = function ? dispatcher_sleeper(&function->queue) : NULL;
    if (!worker) return;
    CHECK(worker->parked && dispatcher_is_current(dispatcher_attachment(function, worker)));
    worker->parked = NULL;
}

static void free_waiter(unsigned client) {
    if (waiting[client]) dispatcher_free_waiter(&dispatcher, waiting[client]);
    free(waiting[client]);
    waiting[client] = NULL;
}

static void leave(Input *input) {
    unsigned client = next(input, WAITERS);
    if (next(input, 3)) free_waiter(client);
    else if (waiting[client]) dispatcher_leave(&dispatcher, waiting[client]);
}

static void take(Input *input) {
    Worker *worker = any_worker(input);
    if (!worker) return;
    worker->wanted = 0;
    FOR_EACH(&worker->attachments, attachment, Attachment, of_worker) {
        worker->wanted |= UINT64_C(1) << attachment->function->slot;
    }
    worker->count = 1 + (long long)next(input, MAX_TAKE);
    Item *items[MAX_TAKE];
    size_t count = dispatcher_take(worker, now, items);
    CHECK(count <= (size_t)worker->count);
    worker->parked = count ? NULL : worker;
    for (size_t i = 0; i < count; i++) {
        if (items[i]->deaths) CHECK(count == 1);
        if (items[i]->queue->function->options.each) {
            dispatcher_discard(&dispatcher, items[i]);
            continue;
        }
        memcpy(held[held_count++ % HELD].id, items[i]->id, ID_BYTES + 1);
    }
}

static void settle(Input *input) {
    const char *id = held[next(input, HELD)].id;
    Item *item = dispatcher_find_id(&dispatcher, id, strlen(id));
    if (!item || item->state == ANSWERED) return;
    if (item->queue->function->options.kind == ON_WRITE) {
        CHECK(item->state == TAKEN);
        dispatcher_acknowledge(&dispatcher, item);
        return;
    }
    if (!item->dropped && next(input, 2)) dispatcher_adopt(&dispatcher, item);
    unsigned told = next(input, 4); /* of many, one turn may tell some only */
    while ((!told || told-- > 1) && dispatcher_next_waiter(&dispatcher, item)) continue;
    if (!list_empty(&item->waiters) && !item->dropped && next(input, 2))
        dispatcher_hide(&dispatcher, item);
    if (!list_empty(&item->waiters) || (!item->dropped && next(input, 2)))
        dispatcher_hold(&dispatcher, item, &dispatcher, 10);
    else dispatcher_discard(&dispatcher, item);
}

static void store(void) {
    if (list_empty(&dispatcher.answered)) return;
    Item *item = NODE_OWNER(dispatcher.answered.next, Item, node);
    while (dispatcher_next_waiter(&dispatcher, item)) continue;
    dispatcher_discard(&dispatcher, item);
}

static void store_value(Input *input) {
    if (value_count == VALUES) return;
    Value value = {now, 1 + next(input, 100)};
    values[value_count++] = value;
    budget_add(&budget, LIFETIME, now, value.bytes);
}

static void drop(Input *input) {
    Function *function = any_function(input);
    if (!function || function->options.kind != ON_MISS) return;
    char key[MAX_PREFIX_BYTES + 1];
    size_t length = any_key(input, function, key);
    Item *item = dispatcher_find(&dispatcher, &function->queue, key, length);
    if (item) dispatcher_drop(&dispatcher, item);
    item = dispatcher_find(&dispatcher, &function->queue, key, length);
    CHECK(!item || item->state == READY);
}

static void lose(Input *input) {
    List lost;
    list_init(&lost);
    Worker *worker = any_worker(input);
    if (worker) dispatcher_worker_lost(&dispatcher, worker, now, &lost);
    discard_all(&lost);
}

static void forget_or_drain(Input *input) {
    List lost;
    list_init(&lost);
    Function *function = any_function(input);
    if (!function) return;
    int forget = next(input, 4) == 0;
    if (forget) dispatcher_forget(&dispatcher, function, &lost);
    else dispatcher_drain(&dispatcher, function, &lost);
    discard_all(&lost);
    if (forget) dispatcher_free_function(&dispatcher, function);
}

/* What is due now happens now. */
static void expire(void) {
    List lost, abandoned;
    list_init(&lost);
    list_init(&abandoned);
    dispatcher_expire(&dispatcher, now, &lost, &abandoned);
    discard_all(&lost);
    discard_all(&abandoned);
}

static void run(Input *input) {
    memset(&dispatcher, 0, sizeof dispatcher);
    dispatcher.allocate = allocate;
    dispatcher.release = release;
    dispatcher.random_id = number_id;
    dispatcher.max_bytes = 6 * WAITER_BYTES;
    dispatcher_init(&dispatcher);
    memset(held, 0, sizeof held);
    memset(&budget, 0, sizeof budget);
    blocks = held_count = value_count = 0;
    while (input->left) {
        switch (next(input, 17)) {
        case 0:
        case 1:
            serve(input);
            break;
        case 2:
        case 3:
        case 4:
        case 5:
            ask(input);
            break;
        case 6:
        case 7:
            take(input);
            break;
        case 8:
        case 9:
            settle(input);
            break;
        case 10:
            store();
            break;
        case 11:
            leave(input);
            check_sleeper(input);
            break;
        case 12:
            drop(input);
            break;
        case 13:
            lose(input);
            break;
        case 16:
            store_value(input);
            break;
        case 14:
            forget_or_drain(input);
            break;
        default:
            now += next(input, 8) ? (long long)next(input, 10) : ALONE_MS;
        }
        expire();
        check_all();
    }
    for (unsigned client = 0; client < WAITERS; client++) free_waiter(client);
    List lost;
    list_init(&lost);
    while (!list_empty(&dispatcher.workers))
        dispatcher_worker_lost(&dispatcher, NODE_OWNER(dispatcher.workers.next, Worker, node), now,
                               &lost);
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = dispatcher.functions[slot];
        if (!function) continue;
        dispatcher_forget(&dispatcher, function, &lost);
        discard_all(&lost);
        dispatcher_free_function(&dispatcher, function);
    }
    discard_all(&lost);
    while (!list_empty(&dispatcher.users)) { /* a user begins with its node */
        Node *user = dispatcher.users.next;
        list_remove(user);
        release(user);
    }
    CHECK(blocks == 0 && dispatcher.items == 0 && dispatcher.bytes == 0 && dispatcher.waiters == 0);
    CHECK(dispatcher.leaving == 0);
    CHECK(!dispatcher.by_key && !dispatcher.by_id && !dispatcher.dropped && !dispatcher.by_client);
}

/* ---- the parsers ---- */

static void check_registration(const Registration *registration) {
    CHECK(*registration->name && strlen(registration->name) <= MAX_NAME_BYTES);
    CHECK(registration->prefix_length >= MIN_PREFIX_BYTES);
    CHECK(registration->prefix_length <= MAX_PREFIX_BYTES);
    const Options *options = &registration->options;
    CHECK(options->timeout > 0 && options->lease > 0 && options->limit > 0);
    CHECK(options->cache >= CACHE_FOREVER && strlen(options->version) <= MAX_NAME_BYTES);
    CHECK(!options->each || options->kind == ON_WRITE);
    Text form = options_form(options);
    if (!form.length) return;
    CHECK(options->kind == ON_MISS && !form_check(form));
    CHECK(form_prefix(form).length >= registration->prefix_length);
    CHECK(!memcmp(form.bytes, registration->prefix, registration->prefix_length));
}

/* A key that was made for a form has it, and any other key is looked at without harm. */
static void match(Input *input) {
    static const char *pieces[] = {"<a>", "<b#>", "<a>", "{", "}_", ":", "<c", "<d*>", "x", ">"};
    static const char *filled[] = {"word", "123", "word", "{", "}_", ":", "<c", "a{b}:", "x", ">"};
    char form[80] = "", key[120] = "";
    while (next(input, 8) && strlen(form) < 60) {
        unsigned which = next(input, sizeof pieces / sizeof *pieces);
        strcat(form, pieces[which]);
        strcat(key, filled[which]);
    }
    Text text = {form, strlen(form)};
    if (form_check(text)) return;
    /* A word takes all that it can: what is like it must not follow. */
    int greedy = strstr(form, "<a><") || strstr(form, "<a>x") || strstr(form, "<b#><b") ||
                 strstr(form, "<c");
    if (!greedy) CHECK(form_matches(text, (Text){key, strlen(key)}));
    form_matches(text, (Text){(const char *)input->bytes, input->left});
}

/* Words with a known beginning and a random end, so that many are nearly right. */
static void parse(Input *input) {
    static const char *words[] = {"f",       "ON",    "miss",    "WRITE", "PREFIX",
                                  "abc:",    "CACHE", "forever", "LEASE", "PENDING",
                                  "9",       "",      "EACH",    "CLEAN", "VERSION",
                                  "TIMEOUT", "off",   "-1",      "FORM",  "abc:<a>:<b#>_<a>"};
    char buffer[MAX_SERVE_ARGUMENTS][400];
    Text texts[MAX_SERVE_ARGUMENTS];
    int count = 1 + (int)next(input, MAX_SERVE_ARGUMENTS - 1);
    for (int i = 0; i < count; i++) {
        const char *word = words[next(input, sizeof words / sizeof *words)];
        size_t length = strlen(word), more = next(input, 4) ? 0 : next(input, 256);
        memcpy(buffer[i], word, length);
        for (size_t n = 0; n < more; n++) buffer[i][length + n] = (char)next(input, 256);
        texts[i] = (Text){buffer[i], length + more};
    }
    Registration registration;
    if (!read_serve(texts, count, &registration)) check_registration(&registration);
    char line[LINE_BYTES + 64] = "DB 0";
    size_t used = 4;
    for (int i = 0; i < count && used + texts[i].length + 1 < sizeof line; i++) {
        line[used++] = ' ';
        memcpy(line + used, texts[i].bytes, texts[i].length);
        used += texts[i].length;
    }
    long long db;
    if (!read_line((Text){line, used}, &registration, &db)) check_registration(&registration);
    Text setting = {(const char *)input->bytes, input->left};
    size_t before = setting.length + 1;
    while (!read_setting(&setting, &registration) && *registration.name) {
        check_registration(&registration);
        CHECK(setting.length < before);
        before = setting.length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    Input input = {bytes, length};
    unsigned what = next(&input, 8);
    if (what > 2) run(&input);
    else if (what) parse(&input);
    else match(&input);
    return 0;
}

#ifdef SEEDED
int main(int argc, char **argv) {
    if (argc != 3) return 2;
    srandom((unsigned)atoi(argv[1]));
    for (int runs = atoi(argv[2]); runs; runs--) {
        uint8_t bytes[1200];
        size_t length = (size_t)random() % sizeof bytes;
        for (size_t i = 0; i < length; i++) bytes[i] = (uint8_t)random();
        LLVMFuzzerTestOneInput(bytes, length);
    }
    printf("done\n");
    return 0;
}
#endif
