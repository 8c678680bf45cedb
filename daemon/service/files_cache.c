/* files_cache.c - what was found for the paths of requests, within bounds and as long as it is true.
 *
 * Called by files.c, and by watches when the kernel tells of a change. Made when the first request needs it,
 * closed with the engine. Names are watched before they are looked up, so no change is missed; a change that
 * was told ends the outcome at once. What has no room makes use of a second chance: what was used since its
 * turn to go came last gets another one. Outcomes without a file have a small room of their own, so that who
 * guesses at names cannot push out files. Nothing here fails: the caller looks for itself then. */
#include "files_cache.h"

#include "files_outcome.h"

#include "http/exchange.h"
#include "http/negotiate.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/hash.h"

#include <stdlib.h>
#include <sys/resource.h>

enum {
	BYTES_PER_PLACE = 1024,         /* of the table: half of what the smallest outcomes take */
	LEAST_PLACES = 64,
	MOST_PLACES = 1024 * 1024,
	MOST_CHAIN = 16,                /* in one place: whoever knows how to collide gains nothing */
	NOTHING_SHARE = 16,             /* of the memory, for outcomes without a file */
	FILE_SHARE = 4,                 /* of the memory, that one file's bytes may take */
	MOST_LOOKS = 64,                /* for a descriptor that may go, be all in use */
};

/* The kernel does not tell of everything: what is written through a mapping, or mounted over a name. */
#define LOOK_AGAIN_NS (5 * CLOCK_S)

/* For how long nobody tries to keep what could not be kept: it would cost more than it saves. */
#define UNKNOWN_NS (2 * CLOCK_S)

/* ---- leaving ---------------------------------------------------------------------------------------- */

static bool is_kept(const struct files_outcome *outcome)
{
	return list_linked(&outcome->link);
}

static struct files_outcome **place_of(const struct files_cache *cache, uint64_t hash)
{
	return &cache->places[hash_fold(hash) & cache->mask];
}

/* It is over, for whatever reason. Whoever has it may use what it holds; nobody finds it any more. */
static void drop(struct files_outcome *outcome)
{
	struct files_cache *cache = outcome->cache;
	struct files_outcome **place;

	if (!is_kept(outcome)) {                /* it is being made, or over already */
		lasting_end(&outcome->lasting);
		return;
	}
	place = place_of(cache, outcome->key.hash);
	while (*place != outcome)
		place = &(*place)->next;
	*place = outcome->next;
	list_remove(&outcome->link);
	if (outcome->status != 0)
		cache->nothing_bytes -= outcome->bytes;
	files_outcome_unwatch(outcome);
	lasting_end(&outcome->lasting);
	lasting_unpin(&outcome->lasting);
}

void files_cache_changed(struct files_outcome *outcome)
{
	drop(outcome);
}

static void evict(struct files_outcome *outcome)
{
	engine_count(outcome->cache->engine, COUNT_FILE_CACHE_EVICTED);
	drop(outcome);
}

/* Since it was considered last, by whatever way. */
static bool was_used(struct files_outcome *outcome)
{
	bool used = outcome->used || outcome->lasting.used;

	outcome->used = outcome->lasting.used = false;
	return used;
}

static void put_last(struct list *list, struct list *link)
{
	list_remove(link);
	list_push_back(list, link);
}

/* Takes the next one out whose turn it is; false when there is none but `except`. */
static bool evict_next(struct list *list, const struct files_outcome *except)
{
	struct files_outcome *first = NULL;

	while (!list_empty(list)) {
		struct files_outcome *outcome = LIST_ENTRY(list->next, struct files_outcome, link);

		if (outcome == except && list->next == list->prev)
			return false;
		if (outcome != except && (!was_used(outcome) || outcome == first)) {
			evict(outcome);
			return true;
		}
		if (outcome != except && first == NULL)
			first = outcome;
		put_last(list, &outcome->link);
	}
	return false;
}

/* Room for so many bytes more. What is over and still in use counts: then there is less for others. */
static bool make_room(struct files_cache *cache, const struct files_outcome *except, uint64_t bytes)
{
	while (cache->nothing_bytes > cache->most_bytes / NOTHING_SHARE)
		if (!evict_next(&cache->nothings, except))
			return false;
	while (cache->bytes + bytes > cache->most_bytes)
		if (!evict_next(&cache->files, except) && !evict_next(&cache->nothings, except))
			return false;
	return true;
}

static void drop_all(struct files_cache *cache)
{
	while (!list_empty(&cache->files))
		drop(LIST_ENTRY(cache->files.next, struct files_outcome, link));
	while (!list_empty(&cache->nothings))
		drop(LIST_ENTRY(cache->nothings.next, struct files_outcome, link));
}

/* True when one more descriptor may be kept: some other may have to be closed for that, but none that an
 * answer may be sent from. */
static bool make_file_room(struct files_cache *cache)
{
	unsigned chances = cache->open_count < MOST_LOOKS ? 2 * cache->open_count : MOST_LOOKS;

	while (cache->open_count >= cache->most_open && chances-- > 0 && !list_empty(&cache->open)) {
		struct files_copy *copy = LIST_ENTRY(cache->open.next, struct files_copy, link);
		struct files_outcome *outcome = copy->outcome;

		put_last(&cache->open, &copy->link);
		if (!was_used(outcome) && outcome->lasting.pins == 1) {
			engine_count(cache->engine, COUNT_FILE_CACHE_EVICTED);
			files_copy_close(copy);
		}
	}
	return cache->open_count < cache->most_open;
}

/* ---- the cache itself ------------------------------------------------------------------------------- */

static void close_cache(struct engine_part *part)
{
	struct files_cache *cache = LIST_ENTRY(part, struct files_cache, part);

	drop_all(cache);
	files_trees_forget(&cache->trees);
	free(cache->places);
	cache->engine->files_cache = NULL;
	cache->closed = true;
	if (cache->alive == 0)
		free(cache);
}

static size_t places_for(uint64_t bytes)
{
	size_t places = LEAST_PLACES;

	while (places < MOST_PLACES && places < bytes / BYTES_PER_PLACE)
		places *= 2;
	return places;
}

static unsigned open_files(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < UINT32_MAX ? (unsigned)limit.rlim_cur
										    : UINT32_MAX;
}

/* Goes by the bounds of the generation that is served, and drops what has no room in them. The size of the
 * table stays what it was made for. */
static void follow(struct files_cache *cache, const struct generation *generation)
{
	const struct config *config = generation->config;

	cache->generation = generation->number;
	cache->most_bytes = config->cache_bytes;
	cache->largest = config->cache_bytes / FILE_SHARE;
	if (cache->largest > config->cache_largest_bytes)
		cache->largest = config->cache_largest_bytes;
	cache->trust_ns = config->cache_trust_ns;
	cache->most_open = config_cached_files(config, open_files());
	if (cache->most_bytes == 0)
		drop_all(cache);
	make_room(cache, NULL, 0);
	if (cache->open_count > cache->most_open)
		make_file_room(cache);
}

static struct files_cache *make(struct engine *engine)
{
	struct files_cache *cache = calloc(1, sizeof(*cache));
	size_t places = places_for(engine->generation->config->cache_bytes);

	if (cache == NULL)
		return NULL;
	cache->places = calloc(places, sizeof(struct files_outcome *));
	if (cache->places == NULL) {
		free(cache);
		return NULL;
	}
	cache->mask = places - 1;
	cache->engine = engine;
	list_init(&cache->files);
	list_init(&cache->nothings);
	list_init(&cache->open);
	cache->part.close = close_cache;
	list_push_back(&engine->parts, &cache->part.link);
	engine->files_cache = cache;
	follow(cache, engine->generation);
	return cache;
}

/* NULL: there is none. */
static struct files_cache *cache_of(struct engine *engine)
{
	struct files_cache *cache = engine->files_cache;
	const struct generation *generation = engine->generation;

	if (cache == NULL)
		return generation->config->cache_bytes > 0 ? make(engine) : NULL;
	if (cache->generation != generation->number)
		follow(cache, generation);
	return cache->most_bytes > 0 ? cache : NULL;
}

/* ---- looking again ---------------------------------------------------------------------------------- */

static void set_look(struct files_outcome *outcome, uint64_t now_ns)
{
	if (outcome->status == FILES_UNKNOWN)
		outcome->look_ns = now_ns + UNKNOWN_NS;
	else
		outcome->look_ns = now_ns + (outcome->told ? LOOK_AGAIN_NS : outcome->cache->trust_ns);
}

/* That somebody asks is how it is known to be of use. */
static void look(struct lasting *lasting)
{
	struct files_outcome *outcome = LIST_ENTRY(lasting, struct files_outcome, lasting);
	uint64_t now_ns = outcome->cache->engine->loop->now_ns;

	outcome->used = true;
	if (now_ns < outcome->look_ns)
		return;
	if (outcome->status != FILES_UNKNOWN && !files_outcome_is_far(outcome) &&
	    files_outcome_is_same(outcome))
		set_look(outcome, now_ns);
	else
		drop(outcome);
}

/* ---- what is there ---------------------------------------------------------------------------------- */

static bool same_key(const struct files_key *a, const struct files_key *b)
{
	return a->hash == b->hash && a->tree == b->tree && a->directory == b->directory &&
	       a->is_match == b->is_match && str_equal(a->path, b->path);
}

static bool make_key(struct files_cache *cache, struct exchange *exchange,
		     const struct files_settings *settings, struct files_key *key)
{
	uint64_t hash;

	key->tree = files_tree_of(&cache->trees, exchange->generation, settings, &exchange->arena);
	if (key->tree == NULL)
		return false;
	key->path = str_of(files_path(exchange, settings, &key->directory, &key->is_match));
	hash = key->tree->hash ^ cache->engine->instance;
	for (size_t i = 0; i < key->path.len; i++)
		hash = hash_add(hash, key->path.at[i]);
	key->hash = hash_add(hash, (char)(key->directory | key->is_match << 1));
	return true;
}

/* With a pin; NULL when there is nothing that lasts. */
static struct files_outcome *look_up(const struct files_cache *cache, const struct files_key *key)
{
	struct files_outcome *outcome = *place_of(cache, key->hash);

	while (outcome != NULL && !same_key(&outcome->key, key))
		outcome = outcome->next;
	if (outcome == NULL)
		return NULL;
	lasting_pin(&outcome->lasting);
	if (lasting_lasts(&outcome->lasting))
		return outcome;
	lasting_unpin(&outcome->lasting);
	return NULL;
}

/* ---- finding it ------------------------------------------------------------------------------------- */

/* A search under way. */
struct finding {
	struct files_witness witness;
	struct files_outcome *outcome;
	bool failed;
};

static void on_name(struct files_witness *witness, struct str base, const char *path)
{
	struct finding *finding = LIST_ENTRY(witness, struct finding, witness);

	if (!finding->failed)
		finding->failed = !files_outcome_add_name(finding->outcome, base, path);
}

static bool add_siblings(struct finding *finding, struct exchange *exchange,
			 const struct files_settings *settings, const struct files_place *place,
			 const struct file *file)
{
	enum coding codings[FILES_CODINGS];
	unsigned count = files_codings(settings, codings);
	bool good = true;

	for (unsigned i = 0; i < count && good; i++) {
		struct stat stat;
		int fd = files_open_sibling(exchange, place, file->path, codings[i], &file->stat, &stat);

		if (fd >= 0)
			good = files_outcome_add_copy(finding->outcome, codings[i], fd, &stat);
	}
	return good;
}

/* The file, with all that may stand for it: which one it is, each request says. */
static bool take_file(struct finding *finding, struct exchange *exchange,
		      const struct files_settings *settings, const struct files_place *place,
		      struct file *file)
{
	struct stat stat = file->stat;

	return files_outcome_describe(finding->outcome, file) &&
	       files_outcome_add_copy(finding->outcome, CODING_IDENTITY, fd_take(&file->fd), &stat) &&
	       (!file->negotiable || add_siblings(finding, exchange, settings, place, file));
}

/* True when it is known for sure what the outcome is, and by which names. */
static bool find_below(struct finding *finding, struct exchange *exchange,
		       const struct files_settings *settings, struct files_place *place)
{
	struct file file = { .fd = -1 };
	unsigned status = files_find_plain(exchange, settings, place, &file);
	bool good = status == 301 || status == 403 || status == 404;

	finding->outcome->status = status;
	if (status == 0 && S_ISREG(file.stat.st_mode))
		good = files_is_there(settings, place, &file) &&
		       take_file(finding, exchange, settings, place, &file);
	else
		good = good && files_is_there(settings, place, &file);
	fd_close(&file.fd);
	return good;
}

/* A root that cannot be opened is looked for each time, and complained about. */
static bool find(struct finding *finding, struct exchange *exchange, const struct files_settings *settings)
{
	struct files_place place = { .root = -1, .witness = &finding->witness };
	bool good = files_locate(exchange, settings, &place) == 0 &&
		    find_below(finding, exchange, settings, &place);

	fd_close(&place.root);
	return good && !finding->failed;
}

/* ---- keeping it ------------------------------------------------------------------------------------- */

static unsigned chain_of(const struct files_outcome *outcome)
{
	unsigned count = 0;

	for (; outcome != NULL; outcome = outcome->next)
		count++;
	return count;
}

/* Descriptors that were found on the way and are not counted. */
static void close_spare(struct files_outcome *outcome)
{
	for (struct files_copy *copy = outcome->copies; copy != NULL; copy = copy->next)
		if (!list_linked(&copy->link))
			files_copy_close(copy);
}

/* Its file is not for the loop to look at, or it cannot be told from what will be there: nobody tells, and
 * a clock may stand still while a file is written to twice, or a symlink may lead elsewhere. */
static bool is_uncertain(struct files_outcome *outcome, const struct files_settings *settings)
{
	outcome->told = outcome->told && !files_outcome_has_links(outcome);
	if (outcome->told)
		return files_outcome_is_far(outcome);
	return files_outcome_is_far(outcome) || files_outcome_is_young(outcome) ||
	       (settings->symlinks != BENEATH_ALL && !files_outcome_add_ways(outcome));
}

/* What is kept then is that it is not worth a try, until it can be watched. */
static void give_up(struct files_outcome *outcome)
{
	close_spare(outcome);
	files_outcome_watch_less(outcome);
	outcome->status = FILES_UNKNOWN;
}

/* Unless it has no room. */
static void keep(struct files_cache *cache, struct files_outcome *outcome)
{
	struct files_outcome **place = place_of(cache, outcome->key.hash);

	if (chain_of(*place) >= MOST_CHAIN)
		evict(*place);
	outcome->lasting.look = look;
	set_look(outcome, cache->engine->loop->now_ns);
	lasting_pin(&outcome->lasting);
	outcome->next = *place;
	*place = outcome;
	list_push_back(outcome->status == 0 ? &cache->files : &cache->nothings, &outcome->link);
	if (outcome->status != 0)
		cache->nothing_bytes += outcome->bytes;
	if (!make_room(cache, outcome, 0))
		drop(outcome);
}

/* ---- its file --------------------------------------------------------------------------------------- */

/* The copy that the request wants most; NULL: it refuses all. As files_find chooses. */
static struct files_copy *choose(const struct files_outcome *outcome, const struct exchange *exchange,
				 const struct files_settings *settings)
{
	enum coding preferred[FILES_CODINGS], coding;
	struct codings codings;
	unsigned count;

	if (settings->precompressed.count == 0)
		return outcome->copies;
	codings = negotiate_codings(&exchange->request, exchange->head);
	count = files_codings(settings, preferred);
	while (outcome->copies->next != NULL &&
	       (coding = negotiate_next(&codings, preferred, count)) != CODING_IDENTITY)
		for (struct files_copy *copy = outcome->copies->next; copy != NULL; copy = copy->next)
			if (copy->coding == coding)
				return copy;
	return codings.weights[CODING_IDENTITY] > 0 ? outcome->copies : NULL;
}

static const char *path_of(const struct files_copy *copy, struct arena *arena)
{
	const struct str pieces[] = { copy->outcome->found, str_of("."),
				      str_of(coding_names[copy->coding].suffix) };

	return copy->coding == CODING_IDENTITY ? copy->outcome->found.at : arena_join(arena, pieces, 3);
}

/* Nobody wanted this one before, or its descriptor had to go. */
static bool open_again(struct files_copy *copy, struct exchange *exchange,
		       const struct files_settings *settings)
{
	struct files_place place = { .root = -1 };
	const char *path = path_of(copy, &exchange->arena);
	struct files_look now;
	struct stat stat;
	bool same = false;

	if (path == NULL || files_locate(exchange, settings, &place) != 0)
		return false;
	copy->fd = beneath_open(place.root, path, place.policy);
	fd_close(&place.root);
	if (copy->fd >= 0 && fstat(copy->fd, &stat) == 0) {
		now = files_look_of(&stat);
		same = files_look_same(&copy->look, &now);
	}
	if (same)
		return true;
	fd_close(&copy->fd);
	drop(copy->outcome);
	return false;
}

/* A descriptor that stays open, if there may be one more. */
static bool keep_open(struct files_copy *copy)
{
	struct files_cache *cache = copy->outcome->cache;

	if (!make_file_room(cache))
		return false;
	list_push_back(&cache->open, &copy->link);
	cache->open_count++;
	return true;
}

/* Has what it takes to answer with it. Clients that are slow and want many files do not fill the memory: what
 * has no room is not read. */
static bool load(struct files_copy *copy, struct exchange *exchange, const struct files_settings *settings)
{
	struct files_outcome *outcome = copy->outcome;
	enum files_read read;

	if (copy->look.size == 0 || copy->bytes != NULL || list_linked(&copy->link))
		return true;
	if (copy->fd < 0 && !open_again(copy, exchange, settings))
		return false;
	if ((uint64_t)copy->look.size > outcome->cache->largest)
		return keep_open(copy);
	if (!make_room(outcome->cache, outcome, (uint64_t)copy->look.size + FILES_BLOCK_BYTES))
		return false;
	read = files_copy_read(copy);
	if (read == FILES_READ_CHANGED)
		drop(outcome);
	return read == FILES_READ_DONE;
}

unsigned files_outcome_file(struct files_outcome *outcome, struct exchange *exchange,
			    const struct files_settings *settings, struct file *file)
{
	struct files_copy *copy = choose(outcome, exchange, settings);
	bool loaded = copy != NULL && load(copy, exchange, settings);

	close_spare(outcome);
	if (copy == NULL)
		return 406;
	if (!loaded)
		return 500;
	*file = (struct file){
		.fd = copy->fd,
		.bytes = copy->bytes,
		.stat = files_look_stat(&copy->look),
		.type = outcome->type,
		.coding = str_of(copy->coding != CODING_IDENTITY ? coding_names[copy->coding].name : NULL),
		.negotiable = outcome->negotiable,
		.holds = &outcome->lasting,
		.kept = is_kept(outcome),
	};
	return 0;
}

/* ---- for the service -------------------------------------------------------------------------------- */

unsigned files_outcome_status(const struct files_outcome *outcome)
{
	return outcome->status;
}

bool files_outcome_vouches(const struct lasting *lasting)
{
	watch_tell();
	return lasting != NULL && !lasting->over &&
	       LIST_ENTRY(lasting, const struct files_outcome, lasting)->told;
}

struct lasting *files_outcome_lasting(struct files_outcome *outcome)
{
	return &outcome->lasting;
}

bool files_outcome_is_kept(const struct files_outcome *outcome)
{
	return is_kept(outcome);
}

/* With a pin; NULL: out of memory. */
static struct files_outcome *find_anew(struct files_cache *cache, struct exchange *exchange,
				       const struct files_settings *settings, const struct files_key *key)
{
	struct finding finding = { .witness.tell = on_name };
	bool found;

	finding.outcome = files_outcome_new(cache, key);
	if (finding.outcome == NULL)
		return NULL;
	found = find(&finding, exchange, settings) && !finding.outcome->lasting.over;
	if (!found || is_uncertain(finding.outcome, settings))
		give_up(finding.outcome);
	if (!finding.outcome->lasting.over)
		keep(cache, finding.outcome);
	return finding.outcome;
}

struct files_outcome *files_cache_find(struct exchange *exchange, const struct files_settings *settings)
{
	struct files_cache *cache = cache_of(exchange->engine);
	struct files_outcome *outcome;
	struct files_key key;
	bool hit;

	watch_tell();
	if (cache == NULL || !make_key(cache, exchange, settings, &key))
		return NULL;
	outcome = look_up(cache, &key);
	hit = outcome != NULL && outcome->status != FILES_UNKNOWN;
	engine_count(cache->engine, hit ? COUNT_FILE_CACHE_HITS : COUNT_FILE_CACHE_MISSES);
	if (outcome == NULL)
		outcome = find_anew(cache, exchange, settings, &key);
	if (outcome == NULL || outcome->status != FILES_UNKNOWN)
		return outcome;
	lasting_unpin(&outcome->lasting);
	return NULL;
}
