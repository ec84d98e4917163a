/* linked_list.h: intrusive, circular, doubly linked lists. A list is a node that points to itself
 * when it is empty. */
#ifndef KEYMISS_LINKED_LIST_H
#define KEYMISS_LINKED_LIST_H

#include <stddef.h>

typedef struct Node {
    struct Node *previous, *next;
} Node;
typedef Node List;

#define NODE_OWNER(node, type, field) ((type *)(void *)((char *)(node)-offsetof(type, field)))
#define FOR_EACH(list, variable, type, field)                                                      \
    for (type *variable = NODE_OWNER((list)->next, type, field); &variable->field != (list);       \
         variable = NODE_OWNER(variable->field.next, type, field))

static inline void list_init(List *list) { list->previous = list->next = list; }

static inline int list_empty(const List *list) { return list->next == list; }

static inline void list_link(Node *node, Node *previous, Node *next) {
    node->previous = previous;
    node->next = next;
    previous->next = node;
    next->previous = node;
}

static inline void list_append(List *list, Node *node) { list_link(node, list->previous, list); }

static inline void list_prepend(List *list, Node *node) { list_link(node, list, list->next); }

/* Also makes the node an empty list, so that it may be removed again. */
static inline void list_remove(Node *node) {
    node->previous->next = node->next;
    node->next->previous = node->previous;
    list_init(node);
}

#endif
