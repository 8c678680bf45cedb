/* watch_tree.c - the directories and names that a watcher knows, and how they end.
 *
 * Called by watch.c and watch_walk.c.  Fails only for want of memory, and then leaves nothing behind. */
#include "watch_tree.h"

#include <limits.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_ROOM = 4 };                /* of a table of names */

void tree_init(struct watch_tree *tree, int inotify_fd)
{
	*tree = (struct watch_tree){ .inotify_fd = inotify_fd };
	_Static_assert(sizeof(tree->key) == crypto_shorthash_KEYBYTES, "");
	crypto_shorthash_keygen(tree->key);
	list_init(&tree->idle);
	list_init(&tree->links);
	list_init(&tree->told);
}

/* ---- a place's table of names ------------------------------------------------------------------------- */

/* The same for upper and lower case. */
static uint32_t hash_of_text(const struct watch_tree *tree, struct str text)
{
	unsigned char hashed[crypto_shorthash_BYTES], lower[NAME_MAX];
	uint32_t hash;

	for (size_t i = 0; i < text.len; i++)
		lower[i] = (unsigned char)str_lower(text.at[i]);
	crypto_shorthash(hashed, lower, text.len, tree->key);
	memcpy(&hash, hashed, sizeof(hash));
	return hash;
}

static struct watched_name *find(struct watch_tree *tree, struct watched_place *place, struct str text,
				 bool (*is)(struct str, struct str))
{
	uint32_t hash, at;

	if (place->count == 0 || text.len > NAME_MAX)
		return NULL;
	hash = hash_of_text(tree, text);
	for (at = hash & (place->room - 1); place->names[at] != NULL; at = (at + 1) & (place->room - 1)) {
		struct watched_name *name = place->names[at];

		if (name->hash == hash && is((struct str){ name->text, name->len }, text))
			return name;
	}
	return NULL;
}

struct watched_name *tree_find(struct watch_tree *tree, struct watched_place *place, struct str text)
{
	return find(tree, place, text, str_equal);
}

struct watched_name *tree_find_alike(struct watch_tree *tree, struct watched_place *place, struct str text)
{
	return find(tree, place, text, str_equal_nocase);
}

static void put(struct watched_place *place, struct watched_name *name)
{
	uint32_t at = name->hash & (place->room - 1);

	while (place->names[at] != NULL)
		at = (at + 1) & (place->room - 1);
	place->names[at] = name;
}

/* Room for one more, with a quarter of gaps left. */
static bool make_room(struct watched_place *place)
{
	uint32_t before = place->room;
	struct watched_name **names = place->names, **more;

	if (place->count + 1 <= before - before / 4)
		return true;
	more = calloc(before == 0 ? LEAST_ROOM : 2 * (size_t)before, sizeof(struct watched_name *));
	if (more == NULL)
		return false;
	place->names = more;
	place->room = before == 0 ? LEAST_ROOM : 2 * before;
	for (uint32_t i = 0; i < before; i++)
		if (names[i] != NULL)
			put(place, names[i]);
	free(names);
	return true;
}

/* Takes `name` out; those behind it move up, so that none is cut off from where its search begins. */
static void take_out(struct watched_place *place, const struct watched_name *name)
{
	uint32_t mask = place->room - 1, gap = name->hash & mask;

	while (place->names[gap] != name)
		gap = (gap + 1) & mask;
	for (uint32_t at = (gap + 1) & mask; place->names[at] != NULL; at = (at + 1) & mask) {
		uint32_t home = place->names[at]->hash & mask;

		if (((at - home) & mask) < ((at - gap) & mask))
			continue;
		place->names[gap] = place->names[at];
		gap = at;
	}
	place->names[gap] = NULL;
	place->count--;
}

/* ---- adding ------------------------------------------------------------------------------------------- */

struct watched_name *tree_add_name(struct watch_tree *tree, struct watched_place *in, struct str text)
{
	struct watched_name *name;

	if (in != NULL && !make_room(in))
		return NULL;
	name = calloc(1, offsetof(struct watched_name, text) + text.len);
	if (name == NULL)
		return NULL;
	name->in = in;
	name->hash = hash_of_text(tree, text);
	name->len = (uint8_t)text.len;
	memcpy(name->text, text.at, text.len);
	list_init(&name->watches);
	if (in == NULL) {
		tree->top = name;
		return name;
	}
	put(in, name);
	in->count++;
	return name;
}

struct watched_place *tree_add_place(struct watch_tree *tree, struct watched_name *name,
				     struct watched_inode *inode)
{
	struct watched_place *place = calloc(1, sizeof(*place));

	if (place == NULL) {
		tree_drop_inode(tree, inode);
		return NULL;
	}
	place->name = name;
	place->real = place;
	place->inode = inode;
	tree_use_inode(tree, inode);
	list_push_back(&inode->places, &place->same);
	if (tree_is_link(name))
		name->link->below = place;
	else
		name->below = place;
	return place;
}

/* ---- ending ------------------------------------------------------------------------------------------- */

void tree_refuse(struct watch_tree *tree, struct watched_name *name, uint64_t until_ns)
{
	struct watched_refusal *refusal = &tree->refused[tree->next_refused++ % WATCH_REFUSED];

	name->kind = WATCHED_REFUSED;
	if (refusal->name != NULL)
		tree_end(tree, refusal->name);
	*refusal = (struct watched_refusal){ name, until_ns };
}

uint64_t tree_refused_until(const struct watch_tree *tree, const struct watched_name *name)
{
	for (unsigned i = 0; i < WATCH_REFUSED; i++)
		if (tree->refused[i].name == name)
			return tree->refused[i].until_ns;
	return 0;
}

void tree_forget(struct watch_tree *tree, struct watched_name *name)
{
	name->kind = WATCHED_OTHER;
	for (unsigned i = 0; i < WATCH_REFUSED; i++)
		if (tree->refused[i].name == name)
			tree->refused[i].name = NULL;
}

static void on_target(struct watch *watch);

static void tell(struct watch_tree *tree, struct watch *watch)
{
	list_remove(&watch->link);
	watch->name = NULL;
	list_push_back(watch->changed == on_target ? &tree->links : &tree->told, &watch->link);
}

bool tree_tell_owners(struct watch_tree *tree, struct watched_name *name)
{
	bool told = false;

	for (struct list *link = name->watches.next, *next = link->next; link != &name->watches;
	     link = next, next = next->next) {
		struct watch *watch = LIST_ENTRY(link, struct watch, link);

		if (watch->changed == on_target)
			continue;
		tell(tree, watch);
		told = true;
	}
	return told;
}

void tree_tell_all(struct watch_tree *tree, struct list *watches)
{
	while (!list_empty(watches))
		tell(tree, LIST_ENTRY(watches->next, struct watch, link));
}

static void free_name(struct watch_tree *tree, struct watched_name *name);

static void free_place(struct watch_tree *tree, struct watched_place *place)
{
	for (uint32_t i = 0; i < place->room; i++)
		if (place->names[i] != NULL)
			free_name(tree, place->names[i]);
	free(place->names);
	list_remove(&place->same);
	tree_drop_inode(tree, place->inode);
	free(place);
}

/* With all below it, but not out of its place's table. */
static void free_name(struct watch_tree *tree, struct watched_name *name)
{
	tree_tell_all(tree, &name->watches);
	if (tree_below(name) != NULL)
		free_place(tree, tree_below(name));
	if (tree_is_link(name) && name->link != NULL) {
		name->link->name = NULL;
		name->link->next = tree->over;
		tree->over = name->link;
	}
	if (name->kind == WATCHED_REFUSED)
		tree_forget(tree, name);
	free(name);
}

/* Of a name that somebody depends on. */
static struct watch_tree *tree_of(const struct watched_name *name)
{
	return (name->in != NULL ? name->in : name->below)->inode->tree;
}

static bool is_needed(const struct watched_name *name)
{
	return !list_empty(&name->watches) || (tree_below(name) != NULL && tree_below(name)->count > 0) ||
	       name->kind == WATCHED_REFUSED || name->kind == WATCHED_LINK_IN_WORK;
}

/* Takes it away; returns the name above, which may be needed no more. */
static struct watched_name *remove_name(struct watch_tree *tree, struct watched_name *name)
{
	struct watched_name *above = NULL;

	if (name->in == NULL) {
		tree->top = NULL;
	} else {
		above = name->in->name;
		take_out(name->in, name);
	}
	free_name(tree, name);
	return above;
}

void tree_release(struct watch_tree *tree, struct watched_name *name)
{
	while (name != NULL && !is_needed(name))
		name = remove_name(tree, name);
}

void tree_drop(struct watch_tree *tree, struct watched_name *name)
{
	if (!is_needed(name))
		remove_name(tree, name);
}

void tree_end(struct watch_tree *tree, struct watched_name *name)
{
	tree_release(tree, remove_name(tree, name));
}

void tree_end_all(struct watch_tree *tree)
{
	if (tree->top != NULL)
		tree_end(tree, tree->top);
}

/* ---- telling ------------------------------------------------------------------------------------------ */

/* Where a symlink leads to has changed: told by tree_settle itself, which knows the tree. */
static void on_target(struct watch *watch)
{
	(void)watch;
}

struct watched_link *tree_add_link(struct watched_name *name)
{
	struct watched_link *link = calloc(1, sizeof(*link));

	name->kind = WATCHED_LINK_IN_WORK;
	if (link == NULL)
		return NULL;
	link->target.changed = on_target;
	link->name = name;
	name->link = link;
	return link;
}

void tree_watch(struct watched_name *name, struct watch *watch)
{
	watch->name = name;
	list_push_back(&name->watches, &watch->link);
}

static void unwatch(struct watch *watch)
{
	struct watched_name *name = watch->name;

	watch->name = NULL;
	list_remove(&watch->link);
	if (name != NULL)
		tree_release(tree_of(name), name);
}

static void end_links(struct watch_tree *tree)
{
	struct watched_link *link;

	while ((link = tree->over) != NULL) {
		tree->over = link->next;
		unwatch(&link->target);
		free(link);
	}
}

void tree_unwatch(struct watch *watch)
{
	struct watch_tree *tree = watch->name != NULL ? tree_of(watch->name) : NULL;

	unwatch(watch);
	if (tree != NULL)
		end_links(tree);
}

void tree_settle(struct watch_tree *tree)
{
	struct list *link;

	for (;;) {
		end_links(tree);
		if ((link = list_pop_front(&tree->links)) != NULL) {
			struct watch *target = LIST_ENTRY(link, struct watch, link);

			/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): end_links unlinks */
			tree_end(tree, LIST_ENTRY(target, struct watched_link, target)->name);
		} else if ((link = list_pop_front(&tree->told)) != NULL) {
			struct watch *watch = LIST_ENTRY(link, struct watch, link);

			watch->changed(watch);
		} else {
			return;
		}
	}
}

/* ---- paths -------------------------------------------------------------------------------------------- */

char *tree_path(const struct watched_name *name, char *room, size_t bytes)
{
	char *at = room + bytes - 1;

	*at = '\0';
	for (; name->in != NULL; name = name->in->real->name) {
		if ((size_t)(at - room) < name->len + 1U)
			return NULL;
		at -= name->len;
		memcpy(at, name->text, name->len);
		*--at = '/';
	}
	if (*at == '\0')
		*--at = '/';
	return at;
}
