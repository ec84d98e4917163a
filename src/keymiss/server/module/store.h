/* store.h: which computed values are stored. */
#ifndef KEYMISS_STORE_H
#define KEYMISS_STORE_H

#include "server.h"

void store_value(const Item *item, RedisModuleString *value);

#endif
