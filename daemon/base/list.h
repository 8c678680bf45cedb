/* An intrusive doubly linked list: the link lives in the element, so that adding and removing neither
 * allocate nor fail, and both are O(1). */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* As a head: an empty list points to itself.  As an element: zeroed or pointing to itself when in no list. */
struct list {
	struct list *next, *prev;
};

/* The struct that holds the link `link_ptr` as its `member`. */
#define LIST_ENTRY(link_ptr, type, member) ((type *)(void *)((char *)(link_ptr) - offsetof(type, member)))

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

/* True while `element` is in a list. */
static inline bool list_linked(const struct list *element)
{
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what was freed is in no list any more */
	return element->next != NULL && element->next != element;
}

static inline void list_push_back(struct list *head, struct list *element)
{
	element->prev = head->prev;
	element->next = head;
	head->prev->next = element;
	head->prev = element;
}

static inline void list_push_front(struct list *head, struct list *element)
{
	list_push_back(head->next, element);
}

/* Takes `element` out; harmless when it is in no list. */
static inline void list_remove(struct list *element)
{
	if (!list_linked(element))
		return;
	element->prev->next = element->next;
	element->next->prev = element->prev;
	list_init(element);
}

/* Takes the first element out and returns it; NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *head)
{
	struct list *first = head->next;

	if (first == head)
		return NULL;
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what was freed is in no list any more */
	list_remove(first);
	return first;
}

/* Moves all of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_move_all(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#endif
