/* quota.c - the table of what clients take. Called by the master (create, recount) and by workers. Without a
 * system call but for the memory; fails by not limiting.
 *
 * An entry's word says whose it is, in which epoch it counts and how many connections are open, so that a
 * connection is never added to another client's: whoever exchanges the word has seen all three. What a client
 * owes are two times in the future; when both have passed and nothing is open, the entry says nothing, and
 * may be anybody's. */
#include "quota.h"

#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
	SETS = QUOTA_ENTRIES / QUOTA_WAYS,
	COUNT_BITS = 20,
	EPOCH_BITS = 8,
	ID_SHIFT = COUNT_BITS + EPOCH_BITS,
	INDEX_BITS = 16,
	/* How often something is tried again that others change meanwhile: far more than happens, and far
	 * less than would be noticed. */
	TRIES = 1000,
	INSERT_TRIES = 4,
};

_Static_assert(sizeof(struct quota_entry) == 64, "a line of the cache");
_Static_assert(offsetof(struct quota, entries) == 64, "entries begin with a line");
_Static_assert(QUOTA_ENTRIES == 1 << INDEX_BITS, "every index is one of an entry");
_Static_assert(QUOTA_CONNECTIONS_MOST == (1 << COUNT_BITS) - 1, "what the word has room for");

/* Nobody owes for longer, whatever the limits are: what says more is no time. */
#define OWED_MOST_NS (UINT64_C(1) << 52)
/* What was seen so far in the future was seen by a worker whose turn began after ours. */
#define TURNS_APART_NS CLOCK_S
/* One does not dirty the line for less. */
#define SEEN_STEP_NS CLOCK_MS
#define SAY_PAUSE_NS (10 * CLOCK_S)
/* After the first second's bytes. */
#define BANDWIDTH_BURST_NS CLOCK_S
#define DEBT_MOST_NS (BANDWIDTH_BURST_NS + QUOTA_PAUSE_MOST_NS)
/* No send takes more at once; it keeps the product below within 64 bits. */
#define BYTES_MOST (UINT64_C(1) << 33)

enum { REQUESTS_DUE, BYTES_DUE };

static struct quota *map(int fd)
{
	struct quota *quota = mmap(NULL, sizeof(*quota), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return quota != MAP_FAILED ? quota : NULL;
}

struct quota *quota_create(int *fd, struct err *err)
{
	int memory AUTO_CLOSE = fd_memory("drover-clients", sizeof(struct quota));
	struct quota *quota = memory >= 0 ? map(memory) : NULL;

	if (quota == NULL)
		return err_sys(err, errno, "memory for what clients take"), NULL;
	randombytes_buf(quota->key, sizeof(quota->key));
	quota->version = QUOTA_VERSION;
	*fd = fd_take(&memory);
	return quota;
}

struct quota *quota_resume(int fd)
{
	struct stat info;
	struct quota *quota;

	if (fstat(fd, &info) < 0 || info.st_size != (off_t)sizeof(*quota))
		return NULL;
	quota = map(fd);
	if (quota != NULL && quota->version != QUOTA_VERSION) {
		quota_destroy(quota);
		return NULL;
	}
	return quota;
}

void quota_destroy(struct quota *quota)
{
	if (quota != NULL)
		munmap(quota, sizeof(*quota));
}

/* ---- the word --------------------------------------------------------------------------------------- */

static uint64_t word_of(uint64_t id, uint8_t epoch, unsigned count)
{
	return id << ID_SHIFT | (uint64_t)epoch << COUNT_BITS | count;
}

static uint64_t id_of(uint64_t word)
{
	return word >> ID_SHIFT;
}

static uint8_t epoch_of(uint64_t word)
{
	return (uint8_t)(word >> COUNT_BITS);
}

/* Of an earlier epoch nothing is left. */
static unsigned count_of(uint64_t word, uint8_t epoch)
{
	return epoch_of(word) == epoch ? (unsigned)(word & QUOTA_CONNECTIONS_MOST) : 0;
}

uint8_t quota_epoch(const struct quota *quota)
{
	return quota != NULL ? (uint8_t)atomic_load(&quota->epoch) : 0;
}

/* ---- places ----------------------------------------------------------------------------------------- */

/* Not 0, and with it a place is not. */
static uint32_t check_of(uint64_t id)
{
	return (uint32_t)(id | UINT64_C(1) << 15) << INDEX_BITS;
}

/* NULL: there is none, or it is somebody else's by now. */
static struct quota_entry *entry_at(struct quota *quota, uint32_t place)
{
	struct quota_entry *entry = &quota->entries[place % QUOTA_ENTRIES];

	if (place == 0 || check_of(id_of(atomic_load(&entry->word))) != place >> INDEX_BITS << INDEX_BITS)
		return NULL;
	return entry;
}

/* What is hashed: the same client gives the same bytes. */
struct name {
	uint8_t scope, family, bits, unused[5];
	uint8_t prefix[16];
};

static void cut(uint8_t *bytes, unsigned width, unsigned bits)
{
	for (unsigned i = 0; i < width / 8; i++) {
		unsigned kept = bits > i * 8 ? bits - i * 8 : 0;

		if (kept < 8)
			bytes[i] &= (uint8_t)(0xff00 >> kept);
	}
}

/* False: it has no address. */
static bool name_client(const struct quota_rules *rules, const union peer *client, enum quota_scope scope,
			struct name *name)
{
	const uint8_t *v6 = client->v6.sin6_addr.s6_addr;
	bool mapped = client->family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&client->v6.sin6_addr);

	*name = (struct name){ .scope = (uint8_t)scope };
	if (client->family == AF_INET || mapped) {
		name->family = AF_INET;
		name->bits = (uint8_t)rules->ipv4_bits[scope];
		memcpy(name->prefix, mapped ? v6 + 12 : (const uint8_t *)&client->v4.sin_addr, 4);
		cut(name->prefix, 32, name->bits);
	} else if (client->family == AF_INET6) {
		name->family = AF_INET6;
		name->bits = (uint8_t)rules->ipv6_bits[scope];
		memcpy(name->prefix, v6, sizeof(name->prefix));
		cut(name->prefix, 128, name->bits);
	}
	return name->family != 0;
}

/* A set and whose an entry in it is. */
struct aim {
	unsigned first;
	uint64_t id;
};

static struct aim aim_at(const struct quota *quota, const struct name *name)
{
	unsigned char hash[crypto_shorthash_BYTES];
	uint64_t number;

	_Static_assert(sizeof(hash) == sizeof(number) && sizeof(quota->key) == crypto_shorthash_KEYBYTES, "");
	crypto_shorthash(hash, (const unsigned char *)name, sizeof(*name), quota->key);
	memcpy(&number, hash, sizeof(number));
	return (struct aim){
		.first = (unsigned)(number % SETS) * QUOTA_WAYS,
		.id = number >> ID_SHIFT != 0 ? number >> ID_SHIFT : 1,
	};
}

/* The entry's index, always that of the first if there are two; -1: it has none. */
static int look_up(const struct quota *quota, struct aim aim)
{
	for (unsigned i = aim.first; i < aim.first + QUOTA_WAYS; i++)
		if (id_of(atomic_load(&quota->entries[i].word)) == aim.id)
			return (int)i;
	return -1;
}

static bool owes(uint64_t due_ns, uint64_t now_ns)
{
	return due_ns > now_ns && due_ns - now_ns < OWED_MOST_NS;
}

/* How long an entry was silent, if it may be given away. */
static bool is_spare(const struct quota_entry *entry, uint64_t word, uint64_t now_ns, uint64_t *silent_ns)
{
	uint64_t seen_ns = atomic_load_explicit(&entry->seen_ns, memory_order_relaxed);

	if (word == 0 || (seen_ns > now_ns && seen_ns - now_ns > TURNS_APART_NS))
		*silent_ns = UINT64_MAX;        /* nobody's, or no time */
	else
		*silent_ns = seen_ns < now_ns ? now_ns - seen_ns : 0;
	return !owes(atomic_load(&entry->due_ns[REQUESTS_DUE]), now_ns) &&
	       !owes(atomic_load(&entry->due_ns[BYTES_DUE]), now_ns);
}

/* The entry that makes room, and the word that it has; -1: none. Workers that look at the same time choose
 * the same one, so that only one of them gets it. */
static int choose(const struct quota *quota, struct aim aim, uint64_t now_ns, uint64_t *word)
{
	uint8_t epoch = quota_epoch(quota);
	uint64_t most_ns = 0;
	int chosen = -1;

	for (unsigned i = aim.first; i < aim.first + QUOTA_WAYS; i++) {
		uint64_t seen = atomic_load(&quota->entries[i].word), silent_ns;

		if (count_of(seen, epoch) > 0 || !is_spare(&quota->entries[i], seen, now_ns, &silent_ns))
			continue;
		if (chosen < 0 || silent_ns > most_ns) {
			chosen = (int)i;
			most_ns = silent_ns;
			*word = seen;
		}
	}
	return chosen;
}

/* Its index, made if there is none; -1: there is no room. What the one before has left behind are times that
 * have passed, and when lines were logged. */
static int insert(struct quota *quota, struct aim aim, uint64_t now_ns)
{
	int found = look_up(quota, aim);

	for (unsigned i = 0; found < 0 && i < INSERT_TRIES; i++) {
		uint64_t word = 0;
		int chosen = choose(quota, aim, now_ns, &word);

		if (chosen < 0)
			return -1;
		if (atomic_compare_exchange_strong(&quota->entries[chosen].word, &word,
						   word_of(aim.id, quota_epoch(quota), 0))) {
			struct quota_entry *entry = &quota->entries[chosen];

			atomic_store_explicit(&entry->seen_ns, now_ns, memory_order_relaxed);
			for (unsigned kind = 0; kind < QUOTA_KINDS; kind++)
				atomic_store_explicit(&entry->said_ns[kind], 0, memory_order_relaxed);
		}
		found = look_up(quota, aim);    /* whoever was faster may have taken another one */
	}
	return found;
}

static uint32_t place_of(struct quota *quota, const struct name *name, uint64_t now_ns)
{
	struct aim aim = aim_at(quota, name);
	int index = insert(quota, aim, now_ns);
	struct quota_entry *entry;

	if (index < 0)
		return 0;
	entry = &quota->entries[index];
	if (now_ns - atomic_load_explicit(&entry->seen_ns, memory_order_relaxed) > SEEN_STEP_NS)
		atomic_store_explicit(&entry->seen_ns, now_ns, memory_order_relaxed);
	return check_of(aim.id) | (uint32_t)index;
}

static bool is_limit(const struct quota_limit *limit)
{
	return limit->connections > 0 || limit->request_ns > 0 || limit->bandwidth > 0;
}

static bool same_networks(const struct networks *one, const struct networks *other)
{
	return one->count == other->count && one->local == other->local &&
	       (one->count == 0 || memcmp(one->at, other->at, one->count * sizeof(*one->at)) == 0);
}

bool quota_same_places(const struct quota_rules *one, const struct quota_rules *other)
{
	bool same = one->wanted == other->wanted && same_networks(&one->exempt, &other->exempt);

	for (enum quota_scope scope = 0; scope < QUOTA_SCOPES && same; scope++)
		same = one->ipv4_bits[scope] == other->ipv4_bits[scope] &&
		       one->ipv6_bits[scope] == other->ipv6_bits[scope] &&
		       is_limit(&one->limits[scope]) == is_limit(&other->limits[scope]);
	return same;
}

bool quota_find(struct quota *quota, const struct quota_rules *rules, const union peer *client,
		uint64_t now_ns, struct quota_places *places)
{
	bool has_room = true;
	struct name name;

	*places = (struct quota_places){ 0 };
	if (quota == NULL || !rules->wanted || networks_have(&rules->exempt, client))
		return true;
	places->epoch = quota_epoch(quota);
	for (enum quota_scope scope = 0; scope < QUOTA_SCOPES; scope++) {
		if (!is_limit(&rules->limits[scope]) || !name_client(rules, client, scope, &name))
			continue;
		places->at[scope] = place_of(quota, &name, now_ns);
		has_room &= places->at[scope] != 0;
	}
	return has_room;
}

/* ---- connections ------------------------------------------------------------------------------------ */

/* The epoch is read after the word: it is the word's, or a later one. In a later one than `epoch` nothing is
 * added, for whoever has that connection adds it again. */
static bool add(struct quota *quota, uint32_t *place, uint8_t epoch, unsigned most)
{
	struct quota_entry *entry = &quota->entries[*place % QUOTA_ENTRIES];

	for (unsigned i = 0; i < TRIES && entry_at(quota, *place) != NULL; i++) {
		uint64_t word = atomic_load(&entry->word);
		unsigned count = count_of(word, epoch);

		if (quota_epoch(quota) != epoch)
			return true;
		if (check_of(id_of(word)) != *place >> INDEX_BITS << INDEX_BITS ||
		    count == QUOTA_CONNECTIONS_MOST)
			break;
		if (most > 0 && count >= most)
			return false;
		if (atomic_compare_exchange_weak(&entry->word, &word,
						 word_of(id_of(word), epoch, count + 1)))
			return true;
	}
	*place = 0;
	return true;
}

static void take_away(struct quota *quota, uint32_t place, uint8_t epoch)
{
	struct quota_entry *entry = entry_at(quota, place);

	for (unsigned i = 0; i < TRIES && entry != NULL; i++) {
		uint64_t word = atomic_load(&entry->word);

		if (count_of(word, epoch) == 0 || atomic_compare_exchange_weak(&entry->word, &word, word - 1))
			return;
	}
}

static bool is_full(struct quota *quota, uint32_t place, uint8_t epoch, unsigned most)
{
	struct quota_entry *entry = entry_at(quota, place);

	return most > 0 && entry != NULL && count_of(atomic_load(&entry->word), epoch) >= most;
}

/* The first scope that has as many as it may; QUOTA_SCOPES: none. */
static enum quota_scope full_scope(struct quota *quota, const struct quota_rules *rules,
				   const struct quota_places *places)
{
	enum quota_scope scope = 0;

	while (scope < QUOTA_SCOPES &&
	       !is_full(quota, places->at[scope], places->epoch, rules->limits[scope].connections))
		scope++;
	return scope;
}

/* To each scope, or to none: the scope that has as many as it may. */
static enum quota_scope add_to_all(struct quota *quota, const struct quota_rules *rules,
				   struct quota_places *places, bool force)
{
	for (enum quota_scope scope = 0; scope < QUOTA_SCOPES; scope++) {
		unsigned most = force ? 0 : rules->limits[scope].connections;

		if (places->at[scope] == 0 || add(quota, &places->at[scope], places->epoch, most))
			continue;
		for (enum quota_scope other = 0; other < scope; other++)
			take_away(quota, places->at[other], places->epoch);
		return scope;
	}
	return QUOTA_SCOPES;
}

/* Looked at first: who is refused moves no other client's count, not even for a moment. */
bool quota_enter(struct quota *quota, const struct quota_rules *rules, struct quota_places *places,
		 bool force, struct quota_excess *excess)
{
	enum quota_scope full, met;

	if (quota == NULL || (places->at[QUOTA_ADDRESS] == 0 && places->at[QUOTA_NETWORK] == 0))
		return true;
	full = full_scope(quota, rules, places);
	if (full < QUOTA_SCOPES && !force && !rules->dry_run) {
		*excess = (struct quota_excess){ QUOTA_CONNECTIONS, full, 0 };
		return false;
	}
	met = add_to_all(quota, rules, places, force || rules->dry_run);
	full = met < QUOTA_SCOPES ? met : full;
	*excess = (struct quota_excess){ QUOTA_CONNECTIONS, full, 0 };
	return full == QUOTA_SCOPES;
}

void quota_leave(struct quota *quota, const struct quota_places *places)
{
	if (quota == NULL)
		return;
	for (enum quota_scope scope = 0; scope < QUOTA_SCOPES; scope++)
		take_away(quota, places->at[scope], places->epoch);
}

/* No count of an earlier epoch outlives this, so that none comes to life again when the number of an epoch
 * does. One that is changed meanwhile is changed to this epoch, or looked at again. */
static void forget_count(struct quota_entry *entry, uint8_t epoch)
{
	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t word = atomic_load(&entry->word);

		if (epoch_of(word) == epoch ||
		    atomic_compare_exchange_weak(&entry->word, &word,
						 id_of(word) == 0 ? 0 : word_of(id_of(word), epoch, 0)))
			return;
	}
}

void quota_recount(struct quota *quota)
{
	uint8_t epoch;

	if (quota == NULL)
		return;
	epoch = (uint8_t)(atomic_fetch_add(&quota->epoch, 1) + 1);
	for (unsigned i = 0; i < QUOTA_ENTRIES; i++)
		if (atomic_load_explicit(&quota->entries[i].word, memory_order_relaxed) != 0)
			forget_count(&quota->entries[i], epoch);
}

/* ---- rates ------------------------------------------------------------------------------------------ */

/* What is taken of one scope: `cost_ns`, if it is then owed for no longer than `most_ns` before. */
struct toll {
	uint64_t cost_ns, most_ns;
};

/* When nothing is owed any more; what is further away than it can be (the limits were lower, or it is no
 * time) counts as just so far. */
static uint64_t due_of(uint64_t due_ns, uint64_t now_ns, uint64_t furthest_ns)
{
	if (due_ns < now_ns)
		return now_ns;
	return due_ns - now_ns > furthest_ns ? now_ns + furthest_ns : due_ns;
}

/* Returns for how long it is owed too long; 0: it is not. What cannot be is made what can be, or it would be
 * owed until that time comes, whatever the limits are by then. */
static uint64_t wait_of(struct quota_entry *entry, const struct toll *toll, uint64_t now_ns)
{
	uint64_t furthest_ns = toll->most_ns + toll->cost_ns;
	uint64_t before_ns = atomic_load(&entry->due_ns[REQUESTS_DUE]);
	uint64_t due_ns = due_of(before_ns, now_ns, furthest_ns);

	if (before_ns > due_ns && before_ns - due_ns > TURNS_APART_NS)
		atomic_compare_exchange_strong(&entry->due_ns[REQUESTS_DUE], &before_ns, due_ns);
	return due_ns - now_ns > toll->most_ns ? due_ns - now_ns - toll->most_ns : 0;
}

/* Takes it if there is no wait (0), or nothing (the wait). */
static uint64_t take(struct quota_entry *entry, const struct toll *toll, uint64_t now_ns)
{
	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t before_ns = atomic_load(&entry->due_ns[REQUESTS_DUE]);
		uint64_t due_ns = due_of(before_ns, now_ns, toll->most_ns + toll->cost_ns);

		if (due_ns - now_ns > toll->most_ns)
			return due_ns - now_ns - toll->most_ns;
		if (atomic_compare_exchange_weak(&entry->due_ns[REQUESTS_DUE], &before_ns,
						 due_ns + toll->cost_ns))
			return 0;
	}
	return 0;
}

static struct quota_entry *entry_of(struct quota *quota, const struct quota_places *places,
				    enum quota_scope scope)
{
	return quota != NULL ? entry_at(quota, places->at[scope]) : NULL;
}

struct quota_excess quota_request(struct quota *quota, const struct quota_rules *rules,
				  const struct quota_places *places, uint64_t now_ns)
{
	struct quota_excess excess = { QUOTA_REQUESTS, 0, 0 };
	struct quota_entry *entries[QUOTA_SCOPES];
	struct toll tolls[QUOTA_SCOPES];

	for (enum quota_scope scope = 0; scope < QUOTA_SCOPES; scope++) {
		const struct quota_limit *limit = &rules->limits[scope];
		uint64_t wait_ns;

		tolls[scope] = (struct toll){ limit->request_ns, limit->burst_ns };
		entries[scope] = limit->request_ns > 0 ? entry_of(quota, places, scope) : NULL;
		wait_ns = entries[scope] != NULL ? wait_of(entries[scope], &tolls[scope], now_ns) : 0;
		if (wait_ns > excess.wait_ns)
			excess = (struct quota_excess){ QUOTA_REQUESTS, scope, wait_ns };
	}
	for (enum quota_scope scope = 0; scope < QUOTA_SCOPES && excess.wait_ns == 0; scope++) {
		excess.scope = scope;
		if (entries[scope] != NULL)
			excess.wait_ns = take(entries[scope], &tolls[scope], now_ns);
		/* the other worker was faster: the address gets back what it gave */
		if (excess.wait_ns > 0 && scope > 0 && entries[QUOTA_ADDRESS] != NULL)
			atomic_fetch_sub(&entries[QUOTA_ADDRESS]->due_ns[REQUESTS_DUE],
					 tolls[QUOTA_ADDRESS].cost_ns);
	}
	return excess;
}

/* Bytes have been sent whatever the limit says. */
static uint64_t owe(struct quota_entry *entry, uint64_t cost_ns, bool dry_run, uint64_t now_ns)
{
	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t before_ns = atomic_load(&entry->due_ns[BYTES_DUE]);
		uint64_t due_ns = due_of(before_ns, now_ns, DEBT_MOST_NS);
		uint64_t after_ns = due_of(due_ns + cost_ns, now_ns, DEBT_MOST_NS);
		bool waits = after_ns - now_ns > BANDWIDTH_BURST_NS;

		if ((waits && dry_run) ||
		    atomic_compare_exchange_weak(&entry->due_ns[BYTES_DUE], &before_ns, after_ns))
			return waits ? after_ns - now_ns - BANDWIDTH_BURST_NS : 0;
	}
	return 0;
}

struct quota_excess quota_sent(struct quota *quota, const struct quota_rules *rules,
			       const struct quota_places *places, uint64_t bytes, uint64_t now_ns)
{
	struct quota_excess excess = { QUOTA_BANDWIDTH, 0, 0 };

	if (bytes > BYTES_MOST)
		bytes = BYTES_MOST;
	for (enum quota_scope scope = 0; scope < QUOTA_SCOPES; scope++) {
		uint64_t bandwidth = rules->limits[scope].bandwidth, wait_ns;
		struct quota_entry *entry = bandwidth > 0 ? entry_of(quota, places, scope) : NULL;

		if (entry == NULL)
			continue;
		wait_ns = owe(entry, bytes * CLOCK_S / bandwidth, rules->dry_run, now_ns);
		if (wait_ns > excess.wait_ns)
			excess = (struct quota_excess){ QUOTA_BANDWIDTH, scope, wait_ns };
	}
	return excess;
}

/* ---- telling ---------------------------------------------------------------------------------------- */

static bool may_say_more(struct quota *quota, uint64_t now_ns)
{
	uint64_t second = now_ns / CLOCK_S << 16, before = atomic_load(&quota->said), after;

	after = before >> 16 << 16 == second ? before + 1 : second + 1;
	/* one whom another worker came before says nothing: that one does */
	return (after & UINT16_MAX) <= QUOTA_SAY_MOST &&
	       atomic_compare_exchange_strong(&quota->said, &before, after);
}

bool quota_may_say(struct quota *quota, const struct quota_places *places, const struct quota_excess *excess,
		   uint64_t now_ns)
{
	struct quota_entry *entry = entry_of(quota, places, excess->scope);
	uint64_t said_ns;

	if (entry == NULL)
		return false;
	said_ns = atomic_load(&entry->said_ns[excess->kind]);
	if (said_ns != 0 && said_ns <= now_ns && now_ns - said_ns < SAY_PAUSE_NS)
		return false;
	return atomic_compare_exchange_strong(&entry->said_ns[excess->kind], &said_ns, now_ns) &&
	       may_say_more(quota, now_ns);
}
