/* files_outcome.c - what an outcome consists of: names, copies, memory.
 *
 * Called by files_cache.c. Fails by false, or NULL, when out of memory; what an outcome has by then goes with
 * it. */
#include "files_outcome.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/present.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

enum {
	MOST_NAMES = 64,                /* of an index, or of `try`, with siblings */
	WATCH_BYTES = 96,               /* what a watch takes besides, roughly */
	YOUNG_SECONDS = 2,              /* a clock of a file system ticks once in so much; most are faster */
};

static void charge(struct files_outcome *outcome, size_t bytes)
{
	outcome->bytes += bytes + FILES_BLOCK_BYTES;
	outcome->cache->bytes += bytes + FILES_BLOCK_BYTES;
}

/* ---- the end ---------------------------------------------------------------------------------------- */

void files_outcome_unwatch(struct files_outcome *outcome)
{
	for (struct files_name *name = outcome->names; name != NULL; name = name->next)
		watch_end(&name->watch);
}

void files_outcome_watch_less(struct files_outcome *outcome)
{
	for (struct files_name *name = outcome->names; name != NULL; name = name->next)
		if (!watch_waits(&name->watch))
			watch_end(&name->watch);
}

void files_copy_close(struct files_copy *copy)
{
	if (list_linked(&copy->link)) {
		list_remove(&copy->link);
		copy->outcome->cache->open_count--;
	}
	fd_close(&copy->fd);
}

static void free_names(struct files_outcome *outcome)
{
	struct files_name *next;

	files_outcome_unwatch(outcome);
	for (struct files_name *name = outcome->names; name != NULL; name = next) {
		next = name->next;
		free(name);
	}
}

static void free_ways(struct files_outcome *outcome)
{
	struct files_way *next;

	for (struct files_way *way = outcome->ways; way != NULL; way = next) {
		next = way->next;
		free(way);
	}
}

static void free_copies(struct files_outcome *outcome)
{
	struct files_copy *next;

	for (struct files_copy *copy = outcome->copies; copy != NULL; copy = next) {
		next = copy->next;
		files_copy_close(copy);
		free(copy->bytes);
		free(copy);
	}
}

static void release(struct lasting *lasting)
{
	struct files_outcome *outcome = LIST_ENTRY(lasting, struct files_outcome, lasting);
	struct files_cache *cache = outcome->cache;

	free_names(outcome);
	free_ways(outcome);
	free_copies(outcome);
	free((char *)outcome->type.at);
	free((char *)outcome->found.at);
	files_tree_unpin(&cache->trees, outcome->key.tree);
	cache->bytes -= outcome->bytes;
	free(outcome);
	if (--cache->alive == 0 && cache->closed)
		free(cache);
}

/* ---- making it -------------------------------------------------------------------------------------- */

struct files_outcome *files_outcome_new(struct files_cache *cache, const struct files_key *key)
{
	struct files_outcome *outcome = calloc(1, sizeof(*outcome) + key->path.len + 1);

	if (outcome == NULL)
		return NULL;
	outcome->lasting = (struct lasting){ .pins = 1, .release = release };
	outcome->cache = cache;
	outcome->key = *key;
	memcpy(outcome->path, key->path.at, key->path.len);
	outcome->key.path.at = outcome->path;
	files_tree_pin(key->tree);
	outcome->told = true;
	cache->alive++;
	charge(outcome, sizeof(*outcome) + key->path.len + 1);
	return outcome;
}

/* Drops what was noted of a name whose watch has fired, with all the rest. */
static void on_change(struct watch *watch)
{
	struct files_name *name = LIST_ENTRY(watch, struct files_name, watch);

	files_cache_changed(name->outcome);
}

bool files_outcome_add_name(struct files_outcome *outcome, struct str base, const char *path)
{
	struct watcher *watcher = outcome->cache->engine->watcher;
	size_t len = strlen(path), bytes = sizeof(struct files_name) + base.len + 1 + len + 1;
	struct files_name *name;

	if (outcome->name_count == MOST_NAMES || base.len + 1 + len >= PATH_MAX)
		return false;
	name = calloc(1, bytes);
	if (name == NULL)
		return false;
	memcpy(name->path, base.at, base.len);
	if (len > 0)
		name->path[base.len] = '/';
	memcpy(name->path + base.len + 1, path, len);
	name->base_len = base.len;
	name->outcome = outcome;
	name->watch.changed = on_change;
	name->next = outcome->names;
	outcome->names = name;
	outcome->name_count++;
	charge(outcome, bytes + WATCH_BYTES);
	if (watcher == NULL || !watch_path(watcher, &name->watch, name->path))
		outcome->told = false;
	name->look = files_look_at(name->path); /* after the watch was laid, before it is opened */
	return true;
}

static bool has_way(const struct files_outcome *outcome, struct str path)
{
	for (const struct files_way *way = outcome->ways; way != NULL; way = way->next)
		if (str_equal(path, (struct str){ way->path, way->len }))
			return true;
	return false;
}

static bool add_way(struct files_outcome *outcome, struct str path)
{
	struct files_way *way;

	if (has_way(outcome, path))
		return true;
	way = outcome->name_count < MOST_NAMES ? calloc(1, sizeof(*way) + path.len + 1) : NULL;
	if (way == NULL)
		return false;
	memcpy(way->path, path.at, path.len);
	way->len = path.len;
	way->look = files_look_at_name(way->path);
	way->next = outcome->ways;
	outcome->ways = way;
	outcome->name_count++;
	charge(outcome, sizeof(*way) + path.len + 1);
	return way->look.error != 0 || !S_ISLNK(way->look.mode);
}

bool files_outcome_add_ways(struct files_outcome *outcome)
{
	for (const struct files_name *name = outcome->names; name != NULL; name = name->next) {
		const char *slash = strchr(name->path + name->base_len + 1, '/');

		for (; slash != NULL; slash = strchr(slash + 1, '/'))
			if (!add_way(outcome, (struct str){ name->path, (size_t)(slash - name->path) }))
				return false;
	}
	return true;
}

bool files_outcome_add_copy(struct files_outcome *outcome, enum coding coding, int fd,
			    const struct stat *stat)
{
	struct files_copy *copy = calloc(1, sizeof(*copy)), **end = &outcome->copies;

	if (copy == NULL) {
		fd_close(&fd);
		return false;
	}
	*copy = (struct files_copy){
		.outcome = outcome,
		.coding = coding,
		.fd = fd,
		.look = files_look_of(stat),
	};
	while (*end != NULL)
		end = &(*end)->next;
	*end = copy;
	charge(outcome, sizeof(*copy));
	return true;
}

static bool keep_text(struct files_outcome *outcome, struct str text, struct str *kept)
{
	char *copy = malloc(text.len + 1);

	if (copy == NULL)
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	*kept = (struct str){ copy, text.len };
	charge(outcome, text.len + 1);
	return true;
}

bool files_outcome_describe(struct files_outcome *outcome, const struct file *file)
{
	outcome->negotiable = file->negotiable;
	return keep_text(outcome, file->type, &outcome->type) &&
	       keep_text(outcome, str_of(file->path), &outcome->found);
}

/* ---- whether it is still the same ------------------------------------------------------------------- */

static bool are_ways_same(const struct files_outcome *outcome)
{
	for (const struct files_way *way = outcome->ways; way != NULL; way = way->next) {
		struct files_look now = files_look_at_name(way->path);

		if (!files_look_same(&way->look, &now))
			return false;
	}
	return true;
}

bool files_outcome_is_same(const struct files_outcome *outcome)
{
	for (const struct files_name *name = outcome->names; name != NULL; name = name->next) {
		struct files_look now;

		if (outcome->told && name->look.error != 0 && name->next != NULL)
			continue;
		now = files_look_at(name->path);
		if (!files_look_same(&name->look, &now))
			return false;
	}
	return are_ways_same(outcome);
}

bool files_outcome_is_young(const struct files_outcome *outcome)
{
	time_t since = clock_wall().tv_sec - YOUNG_SECONDS;

	for (const struct files_name *name = outcome->names; name != NULL; name = name->next)
		if (name->look.error == 0 && !S_ISDIR(name->look.mode) &&
		    (name->look.modified.tv_sec >= since || name->look.changed.tv_sec >= since))
			return true;
	return false;
}

bool files_outcome_has_links(const struct files_outcome *outcome)
{
	for (const struct files_copy *copy = outcome->copies; copy != NULL; copy = copy->next)
		if (copy->look.links > 1)
			return true;
	return false;
}

bool files_outcome_is_far(const struct files_outcome *outcome)
{
	uint64_t now_ns = outcome->cache->engine->loop->now_ns;

	for (const struct files_name *name = outcome->names; name != NULL; name = name->next)
		if (name->look.error == 0 && present_place(name->look.device, now_ns) == PLACE_FAR)
			return true;
	return false;
}

/* ---- what is in it ------------------------------------------------------------------------------------ */

static enum files_read read_all(const struct files_copy *copy, char *at)
{
	uint64_t now_ns = copy->outcome->cache->engine->loop->now_ns;
	struct stat stat = files_look_stat(&copy->look);
	size_t len = (size_t)stat.st_size;
	ssize_t got;

	for (size_t done = 0; done < len; done += (size_t)got) {
		got = present_read(copy->fd, &stat, at + done, len - done, (off_t)done, now_ns);
		if (got < 0 && errno == EAGAIN)
			return FILES_READ_COLD;
		if (got <= 0)
			return FILES_READ_CHANGED;
	}
	return FILES_READ_DONE;
}

static bool is_same(const struct files_copy *copy)
{
	struct files_look now;
	struct stat stat;

	if (fstat(copy->fd, &stat) < 0)
		return false;
	now = files_look_of(&stat);
	return files_look_same(&copy->look, &now);
}

enum files_read files_copy_read(struct files_copy *copy)
{
	char *bytes = malloc((size_t)copy->look.size);
	enum files_read read = bytes != NULL ? read_all(copy, bytes) : FILES_READ_CHANGED;

	if (read == FILES_READ_DONE && !is_same(copy))
		read = FILES_READ_CHANGED;
	files_copy_close(copy);
	if (read != FILES_READ_DONE) {
		free(bytes);
		return read;
	}
	copy->bytes = bytes;
	charge(copy->outcome, (size_t)copy->look.size);
	return FILES_READ_DONE;
}
