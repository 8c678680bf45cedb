/* ready.c - the table of ready answers: look-up, bounds, eviction.
 *
 * Called by express.c. No system call but that of a lasting's `look`. Fails by not keeping an answer: the
 * request is answered the general way then. */
#include "ready.h"

#include "base/must.h"

#include <stdlib.h>
#include <sys/random.h>

enum { BUCKETS = READY_MOST };

_Static_assert((BUCKETS & (BUCKETS - 1)) == 0, "an index is a part of the hash");

/* ---- the hash ---------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t word_at(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* Up to 8 bytes, with no loop over them; different texts of the same length give different words. */
static inline uint64_t short_word(struct str text)
{
	uint32_t first, last;

	if (text.len == 8)
		return word_at(text.at);
	if (text.len >= 4) {
		memcpy(&first, text.at, sizeof(first));
		memcpy(&last, text.at + text.len - 4, sizeof(last));
		return (uint64_t)first << 32 | last;
	}
	if (text.len == 0)
		return 0;
	return (uint64_t)(unsigned char)text.at[0] << 16 |
	       (uint64_t)(unsigned char)text.at[text.len / 2] << 8 |
	       (unsigned char)text.at[text.len - 1];
}

/* Two texts of the same length; a call would cost more than most of them have bytes. */
static inline bool same_text(const char *a, const char *b, size_t len)
{
	size_t at = 0;

	if (len <= 8)
		return short_word((struct str){ a, len }) == short_word((struct str){ b, len });
	while (at < len - 8 && word_at(a + at) == word_at(b + at))
		at += 8;
	return at >= len - 8 && word_at(a + len - 8) == word_at(b + len - 8);
}

/* Eight bytes a step, the last eight perhaps twice. */
static inline uint64_t add_text(uint64_t hash, struct str text)
{
	hash ^= text.len * UINT64_C(0x9e3779b97f4a7c15);
	if (text.len <= 8)
		return mix(hash ^ short_word(text), UINT64_C(0xa0761d6478bd642f));
	for (size_t at = 0; at < text.len - 8; at += 8)
		hash = mix(hash ^ word_at(text.at + at), UINT64_C(0xe7037ed1a0b428db));
	return mix(hash ^ word_at(text.at + text.len - 8), UINT64_C(0xa0761d6478bd642f));
}

static inline uint32_t hash_key(const struct ready_table *ready, const struct ready_key *key)
{
	uint64_t hash = add_text(ready->seed ^ key->codings, key->target);

	hash = add_text(hash, key->authority);
	if (key->condition.len > 0)
		hash = add_text(hash, key->condition);
	return (uint32_t)(hash ^ hash >> 32);
}

/* ---- one answer -------------------------------------------------------------------------------------- */

static struct ready_answer **bucket_of(struct ready_table *ready, uint32_t hash)
{
	return &ready->buckets[hash & (BUCKETS - 1)];
}

static void drop(struct ready_answer *answer)
{
	struct ready_table *ready = answer->ready;
	struct ready_answer **at = bucket_of(ready, answer->hash);

	while (*at != answer)
		at = &(*at)->next;
	*at = answer->next;
	list_remove(&answer->link);
	list_remove(&answer->holder.link);
	ready->count--;
	ready->bytes -= answer->bytes;
	lasting_unpin(answer->terms.lasting);
	free(answer);
}

static void let_go(struct lasting_holder *holder)
{
	drop(LIST_ENTRY(holder, struct ready_answer, holder));
}

static bool has_key(const struct ready_answer *answer, uint32_t hash, const struct ready_key *key)
{
	return answer->hash == hash && answer->codings == key->codings &&
	       answer->target.len == key->target.len && answer->authority.len == key->authority.len &&
	       answer->condition.len == key->condition.len &&
	       same_text(answer->target.at, key->target.at, key->target.len) &&
	       same_text(answer->authority.at, key->authority.at, key->authority.len) &&
	       (key->condition.len == 0 ||
		same_text(answer->condition.at, key->condition.at, key->condition.len));
}

static inline struct ready_answer *find(struct ready_table *ready, uint32_t hash, const struct ready_key *key)
{
	struct ready_answer *answer = *bucket_of(ready, hash);

	while (answer != NULL && !has_key(answer, hash, key))
		answer = answer->next;
	return answer;
}

/* A look may end the lasting, with which the answer goes. */
static bool lasts(struct ready_answer *answer)
{
	struct lasting *lasting = lasting_pin(answer->terms.lasting);
	bool lasts = lasting_lasts(lasting);

	lasting_unpin(lasting);
	return lasts;
}

/* ---- room -------------------------------------------------------------------------------------------- */

/* Each that was asked for again since has another round. */
static void evict_one(struct ready_table *ready)
{
	struct ready_answer *answer = LIST_ENTRY(ready->answers.next, struct ready_answer, link);

	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): drop() unlinks it */
	while (answer->used) {
		answer->used = false;
		list_remove(&answer->link);
		list_push_back(&ready->answers, &answer->link);
		answer = LIST_ENTRY(ready->answers.next, struct ready_answer, link);
	}
	drop(answer);
}

/* Whatever the seed is, no look-up goes through more than so many. */
static void shorten(struct ready_table *ready, uint32_t hash)
{
	struct ready_answer *answer = *bucket_of(ready, hash), *last = NULL;
	unsigned count = 0;

	for (; answer != NULL; answer = answer->next, count++)
		last = answer;
	if (count >= READY_CHAIN)
		drop(last);
}

static void make_room(struct ready_table *ready, uint32_t hash, size_t bytes)
{
	shorten(ready, hash);
	while (ready->count >= READY_MOST || ready->bytes + bytes > READY_BYTES)
		evict_one(ready);
}

/* ---- for express.c ----------------------------------------------------------------------------------- */

void ready_init(struct ready_table *ready)
{
	*ready = (struct ready_table){ 0 };
	list_init(&ready->answers);
	if (getrandom(&ready->seed, sizeof(ready->seed), GRND_NONBLOCK) < 0)
		ready->seed = (uint64_t)(uintptr_t)ready;       /* the chains are bounded all the same */
}

void ready_free(struct ready_table *ready)
{
	while (!list_empty(&ready->answers))
		drop(LIST_ENTRY(ready->answers.next, struct ready_answer, link));
	free(ready->buckets);
	ready->buckets = NULL;
}

const struct ready_answer *ready_find(struct ready_table *ready, const struct ready_key *key,
				      uint64_t generation, uint64_t now_ns)
{
	struct ready_answer *answer;

	if (ready->buckets == NULL)
		return NULL;
	answer = find(ready, hash_key(ready, key), key);
	if (answer == NULL)
		return NULL;
	if (answer->terms.generation != generation || answer->terms.until_ns <= now_ns) {
		drop(answer);
		return NULL;
	}
	if (answer->terms.lasting->look != NULL && !lasts(answer))
		return NULL;
	answer->used = true;
	answer->terms.lasting->used = true;
	return answer;
}

static bool has_buckets(struct ready_table *ready)
{
	if (ready->buckets == NULL)
		ready->buckets = calloc(BUCKETS, sizeof(struct ready_answer *));
	return ready->buckets != NULL;
}

static struct str copy(char **at, struct str text)
{
	struct str there = { *at, text.len };

	if (text.len > 0)
		memcpy(*at, text.at, text.len);
	*at += text.len;
	return there;
}

static struct ready_answer *make(struct ready_table *ready, const struct ready_key *key,
				 const struct ready_terms *terms, size_t bytes)
{
	struct ready_answer *answer = malloc(bytes);
	char *at;

	if (answer == NULL)
		return NULL;
	*answer = (struct ready_answer){
		.hash = hash_key(ready, key), .codings = (uint16_t)key->codings, .terms = *terms,
		.holder.let_go = let_go, .ready = ready, .bytes = bytes,
	};
	at = answer->text;
	answer->target = copy(&at, key->target);
	answer->authority = copy(&at, key->authority);
	answer->condition = copy(&at, key->condition);
	answer->terms.head = copy(&at, terms->head);
	if (!terms->body_lasts)
		answer->terms.body = copy(&at, terms->body);
	return answer;
}

static void enter(struct ready_table *ready, struct ready_answer *answer)
{
	struct ready_answer **bucket = bucket_of(ready, answer->hash);

	answer->next = *bucket;
	*bucket = answer;
	list_push_back(&ready->answers, &answer->link);
	lasting_hold(lasting_pin(answer->terms.lasting), &answer->holder);
	ready->count++;
	ready->bytes += answer->bytes;
}

bool ready_keep(struct ready_table *ready, const struct ready_key *key, const struct ready_terms *terms)
{
	size_t bytes = sizeof(struct ready_answer) + key->authority.len + key->target.len +
		       key->condition.len + terms->head.len + (terms->body_lasts ? 0 : terms->body.len);
	struct ready_answer *answer, *before;

	if (terms->lasting->over || bytes > READY_ANSWER_BYTES || !has_buckets(ready))
		return false;
	answer = make(ready, key, terms, bytes);
	if (answer == NULL)
		return false;
	before = find(ready, answer->hash, key);
	if (before != NULL)
		drop(before);
	make_room(ready, answer->hash, bytes);
	enter(ready, answer);
	return true;
}
