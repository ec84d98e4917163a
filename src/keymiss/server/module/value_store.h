/* value_store.h: which computed values are stored. */
#ifndef KEYMISS_VALUE_STORE_H
#define KEYMISS_VALUE_STORE_H

#include "module_state.h"

void store_value(const Item *item, RedisModuleString *value);

#endif
