/* command_table.c: see command_table.h. A test compares this table with docs/commands.md. */
#include "command_table.h"

#include <stddef.h>

#include "get_command.h"
#include "function_commands.h"
#include "item_commands.h"

#define SINCE "0.1.0"
#define OPTION(token_, name_, type_, summary_)                                                     \
    {                                                                                              \
        .name = (name_), .type = (type_), .key_spec = -1, .token = (token_),                       \
        .summary = (summary_), .flags = ARG_OPTIONAL                                               \
    }
#define NEEDED(token_, name_, type_)                                                               \
    { .name = (name_), .type = (type_), .key_spec = -1, .token = (token_) }
#define FLAG(token_, name_, summary_) OPTION(token_, name_, ARG_PURE_TOKEN, summary_)

static RedisModuleCommandArg get_arguments[] = {
    {.name = "key", .type = ARG_KEY, .key_spec = 0},
    {0},
};
static RedisModuleCommandArg kinds[] = {
    NEEDED("MISS", "miss", ARG_PURE_TOKEN),
    NEEDED("WRITE", "write", ARG_PURE_TOKEN),
    {0},
};
static RedisModuleCommandArg serve_arguments[] = {
    NEEDED(NULL, "name", ARG_STRING),
    {.name = "kind", .type = ARG_ONE_OF, .key_spec = -1, .token = "ON", .parts = kinds},
    NEEDED("PREFIX", "prefix", ARG_STRING),
    OPTION("FORM", "form", ARG_STRING, "The exact form of the keys."),
    OPTION("VERSION", "version", ARG_STRING, "The version of the code that computes."),
    OPTION("TIMEOUT", "milliseconds", ARG_INTEGER, "How long a client waits."),
    OPTION("CACHE", "milliseconds|off|forever", ARG_STRING, "How long a computed value lives."),
    OPTION("LEASE", "milliseconds", ARG_INTEGER, "How long a worker may hold an item."),
    OPTION("PENDING", "items", ARG_INTEGER, "How many items may wait."),
    FLAG("EACH", "each", "Every worker gets every event."),
    FLAG("CLEAN", "clean", "No value of an older version is stored."),
    {0},
};
static RedisModuleCommandArg take_arguments[] = {
    NEEDED("COUNT", "count", ARG_INTEGER),
    NEEDED("BLOCK", "milliseconds", ARG_INTEGER),
    {.name = "name", .type = ARG_STRING, .key_spec = -1, .flags = ARG_MULTIPLE},
    {0},
};
static RedisModuleCommandArg answer_arguments[] = {
    NEEDED(NULL, "id", ARG_STRING),
    OPTION(NULL, "value", ARG_STRING, "The value; without it the answer is nil."),
    {0},
};
static RedisModuleCommandArg fail_arguments[] = {
    NEEDED(NULL, "id", ARG_STRING),
    NEEDED(NULL, "message", ARG_STRING),
    {0},
};
static RedisModuleCommandArg drop_arguments[] = {
    {.name = "key", .type = ARG_KEY, .key_spec = 0, .flags = ARG_MULTIPLE},
    {0},
};
static RedisModuleCommandArg forget_arguments[] = {
    NEEDED(NULL, "name", ARG_STRING),
    {0},
};

/* Without this, a user who may only read the keys (%R~) could not compute them. */
static RedisModuleCommandKeySpec read_keys[] = {
    {.flags = REDISMODULE_CMD_KEY_RO | REDISMODULE_CMD_KEY_ACCESS,
     .begin_search = KEY_BEGIN_INDEX,
     .begin.index = 1,
     .find_keys = KEY_FIND_RANGE,
     .find.range = {0, 1, 0}},
    {0},
};

typedef struct Command {
    const char *name;
    CommandFn function;
    const char *flags;
    int first_key, last_key, key_step;
    const char *categories; /* of the ACL */
    int arity;              /* counts the name, too; a negative number is a minimum */
    const char *summary;
    RedisModuleCommandArg *arguments;
    RedisModuleCommandKeySpec *keys; /* NULL when first_key, last_key and key_step say all */
} Command;

static const Command commands[] = {
    {"KEYMISS.GET", get_command, "readonly", 1, 1, 1, "read string", 2,
     "Computes the value of a missing function key.", get_arguments, read_keys},
    {"KEYMISS.SERVE", serve_command, "write deny-script", 0, 0, 0, "admin dangerous", -6,
     "Registers a function, and this connection as its worker.", serve_arguments, NULL},
    {"KEYMISS.TAKE", take_command, "deny-script", 0, 0, 0, "admin dangerous", -6,
     "Takes items to work on, and waits when there are none.", take_arguments, NULL},
    {"KEYMISS.ANSWER", answer_command, "deny-script", 0, 0, 0, "admin dangerous", -2,
     "Answers a miss, or acknowledges a write event.", answer_arguments, NULL},
    {"KEYMISS.FAIL", fail_command, "deny-script", 0, 0, 0, "admin dangerous", 3,
     "Sends an error to the clients that wait for an item.", fail_arguments, NULL},
    {"KEYMISS.DROP", drop_command, "write", 1, -1, 1, "admin dangerous", -2,
     "Deletes computed values. Values in computation are answered, but not stored.", drop_arguments,
     NULL},
    {"KEYMISS.FORGET", forget_command, "write deny-script", 0, 0, 0, "admin dangerous", 2,
     "Unregisters a function.", forget_arguments, NULL},
    {"KEYMISS.LIST", list_command, "readonly", 0, 0, 0, "read slow", 1,
     "Lists the functions, with their options and counters.", NULL, NULL},
};

static int describe(RedisModuleCommand *known, const Command *command) {
    const RedisModuleCommandInfoVersion version = {1, 16, sizeof(RedisModuleCommandKeySpec),
                                                   sizeof(RedisModuleCommandArg)};
    const RedisModuleCommandInfo info = {
        .version = &version,
        .summary = command->summary,
        .since = SINCE,
        .arity = command->arity,
        .key_specs = command->keys,
        .arguments = command->arguments,
    };
    return RM_SetCommandInfo(known, &info);
}

static int create(RedisModuleCtx *ctx, const Command *command) {
    int done = RM_CreateCommand(ctx, command->name, command->function, command->flags,
                                command->first_key, command->last_key, command->key_step);
    if (done != REDISMODULE_OK || !RM_GetCommand) return done;
    RedisModuleCommand *known = RM_GetCommand(ctx, command->name);
    if (RM_SetCommandACLCategories) done = RM_SetCommandACLCategories(known, command->categories);
    if (done == REDISMODULE_OK && RM_SetCommandInfo) done = describe(known, command);
    return done;
}

int create_commands(RedisModuleCtx *ctx) {
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (create(ctx, &commands[i]) != REDISMODULE_OK) return REDISMODULE_ERR;
    return REDISMODULE_OK;
}
