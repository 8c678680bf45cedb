/* auth.c - who is let in: from the Authorization field to a verdict.
 *
 * Called by exchange.c (stage, drop) and route.c (prepare). At run time it fails by an answer: 401, 500 for a
 * file that cannot be used (said in the log, not for each request), 503 when too many wait.
 *
 * A verification is what all exchanges with the same credentials wait for: IDLE, in `waiting` behind others,
 * or UNDER_WAY, one at a time in the helper thread. The thread reads the verification under way and writes
 * `hashing`; the loop touches neither before done(). Passwords are wiped when the verdict is there. */
#include "auth.h"

#include "exchange.h"
#include "route.h"
#include "task.h"
#include "verified.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "config/credential.h"

#include <crypt.h>
#include <errno.h>
#include <sodium.h>

enum {
	MOST_WAITING = 32,              /* with 50 ms a hash, the last one waits for less than two seconds */
	MOST_OF_A_CLIENT = 8,           /* of these: one client's guesses shall not shut out the others */
};

#define SAY_AGAIN_NS (10 * CLOCK_S)

/* The helper thread may hang, in a file of users or in somebody else's directory. */
#define LONGEST_NS (30 * CLOCK_S)
#define DEFAULT_REALM "restricted"

enum verdict { RIGHT, WRONG, UNKNOWN, REFUSED };       /* REFUSED: nobody looked */

struct verification {
	struct list link;               /* in `idle` or `waiting` */
	struct list exchanges;          /* their verifying_link */
	struct generation *generation;  /* pinned, for it has `file` */
	const char *file;
	struct engine *engine;
	union peer client;              /* who was the first to ask */
	struct credentials credentials;
	struct file_mark mark;
	struct proof proof;
	uint64_t seed;
};

/* What the helper thread works with; there is one. */
static struct hashing {
	struct offload_job job;
	struct user_lookup lookup;
	enum verdict verdict;
	struct err err;                 /* of UNKNOWN */
	struct crypt_data data;
} hashing;

static struct verification verifications[MOST_WAITING];
static struct list idle, waiting;
static struct verification *under_way;  /* NULL: then nothing waits either */

/* ---- settings ---------------------------------------------------------------------------------------- */

/* A quoted-string (RFC 9110, 5.6.4); what cannot stand in one was refused with the configuration. */
static const char *challenge(const char *realm, struct arena *arena)
{
	char *quoted = arena_alloc(arena, 2 * strlen(realm) + 1), *out = quoted;

	if (quoted == NULL)
		return NULL;
	for (; *realm != '\0'; realm++) {
		if (*realm == '"' || *realm == '\\')
			*out++ = '\\';
		*out++ = *realm;
	}
	return arena_printf(arena, "WWW-Authenticate: Basic realm=\"%s\", charset=\"UTF-8\"\r\n", quoted);
}

static bool is_same(const struct auth *auth, const char *file, const char *realm)
{
	return auth != NULL && strcmp(auth->file, file) == 0 && strcmp(auth->realm, realm) == 0;
}

bool auth_prepare(const struct route_config *route, const struct site_config *site, struct arena *arena,
		  const struct auth **auth, struct err *err)
{
	const char *file = route->auth_file != NULL ? route->auth_file : site->auth_file;
	const char *realm = route->auth_realm != NULL ? route->auth_realm : site->auth_realm;
	struct auth *made;

	if (realm == NULL)
		realm = DEFAULT_REALM;
	if (file == NULL || strcmp(file, "off") == 0) {
		*auth = NULL;
		return true;
	}
	if (is_same(*auth, file, realm))
		return true;
	/* one that is still as it was written is looked at by who has it: -t and -T say so */
	if (!credential_is(file) && !user_file_check(file, err))
		return err_add(err, "auth.file");
	made = arena_alloc(arena, sizeof(*made));
	if (made != NULL)
		*made = (struct auth){ file, realm, str_of(challenge(realm, arena)) };
	if (made == NULL || made->challenge.at == NULL)
		return err_set(err, "auth.file: out of memory");
	*auth = made;
	return true;
}

/* ---- in the helper thread ---------------------------------------------------------------------------- */

/* crypt(3) takes memory of its own for yescrypt, and gives it back. */
static enum verdict compare(const char *password, const char *hash)
{
	const char *result = crypt_rn(password, hash, &hashing.data, (int)sizeof(hashing.data));
	size_t len = strlen(hash);
	bool same;

	if (result == NULL) {
		err_sys(&hashing.err, errno, "a hash in it cannot be computed");
		return UNKNOWN;
	}
	same = strlen(result) == len && sodium_memcmp(result, hash, len) == 0;
	return same && hashing.lookup.known ? RIGHT : WRONG;
}

static void work(struct offload_job *job)
{
	const struct verification *verification = under_way;
	struct user_lookup *lookup = &hashing.lookup;

	(void)job;
	hashing.verdict = UNKNOWN;
	*lookup = (struct user_lookup){ .user = verification->credentials.user, .seed = verification->seed };
	if (!user_file_find(verification->file, lookup, &hashing.err))
		return;
	hashing.verdict =
		lookup->hash[0] == '\0' ? WRONG : compare(verification->credentials.password, lookup->hash);
	if (hashing.verdict == UNKNOWN)
		err_add(&hashing.err, "%s", verification->file);
	sodium_memzero(&hashing.data, sizeof(hashing.data));
	sodium_memzero(lookup->hash, sizeof(lookup->hash));
}

/* ---- verdicts ---------------------------------------------------------------------------------------- */

/* One line for many requests: the file stays wrong until somebody mends it. */
static void say_unusable(const struct engine *engine, const char *why)
{
	static uint64_t said_ns;

	if (said_ns != 0 && engine->loop->now_ns - said_ns < SAY_AGAIN_NS)
		return;
	said_ns = engine->loop->now_ns;
	log_event(LEVEL_ERROR, "auth_file_failed", log_text("error", why));
}

static unsigned let_in(struct exchange *exchange, const char *user)
{
	exchange->user = str_of(arena_copy(&exchange->arena, str_of(user)));
	return exchange->user.at != NULL ? 0 : 500;
}

static void tell(struct exchange *exchange, enum verdict verdict, const char *user)
{
	unsigned status = verdict == RIGHT ? let_in(exchange, user) : verdict == WRONG ? 401 : 500;

	exchange->verifying = NULL;
	timer_cancel(&exchange->timer);
	if (status == 0) {
		exchange_go_on(exchange);
		return;
	}
	if (verdict == WRONG)
		engine_count(exchange->engine, COUNT_AUTH_FAILED);
	if (verdict == REFUSED)
		task_refused(exchange);
	else
		exchange_error(exchange, status);
	exchange_answer(exchange);
}

static void release(struct verification *verification)
{
	credentials_wipe(&verification->credentials);
	generation_unpin(verification->generation);
	verification->generation = NULL;
	list_push_back(&idle, &verification->link);
}

static void tell_all(struct verification *verification, enum verdict verdict)
{
	struct list turn, *link;

	list_init(&turn);
	list_move_all(&turn, &verification->exchanges);
	for (link = list_pop_front(&turn); link != NULL; link = list_pop_front(&turn))
		tell(LIST_ENTRY(link, struct exchange, verifying_link), verdict,
		     verification->credentials.user);
	release(verification);
}

/* The verdict is about the state of the file that the proof names, and no change can have been missed. */
static bool may_remember(const struct verification *verification)
{
	return hashing.verdict == RIGHT && hashing.lookup.steady &&
	       memcmp(&hashing.lookup.mark, &verification->mark, sizeof(verification->mark)) == 0 &&
	       user_file_settled(&verification->mark, clock_wall().tv_sec);
}

static bool submit(struct verification *verification)
{
	struct offload *offload = verification->engine->offload;

	under_way = verification;
	if (offload != NULL && offload_submit(offload, &hashing.job))
		return true;
	under_way = NULL;
	engine_count(verification->engine, COUNT_TASKS_REFUSED);
	return false;
}

static void start_next(void)
{
	struct list *link = list_pop_front(&waiting);

	while (link != NULL && !submit(LIST_ENTRY(link, struct verification, link))) {
		tell_all(LIST_ENTRY(link, struct verification, link), REFUSED);
		link = list_pop_front(&waiting);
	}
}

static void done(struct offload_job *job)
{
	struct verification *verification = under_way;

	(void)job;
	under_way = NULL;
	engine_count(verification->engine, COUNT_AUTH_HASHES);
	if (hashing.verdict == UNKNOWN)
		say_unusable(verification->engine, hashing.err.text);
	if (may_remember(verification))
		verified_add(&verification->proof);
	tell_all(verification, hashing.verdict);
	start_next();
}

/* ---- who waits --------------------------------------------------------------------------------------- */

static void set_up(void)
{
	if (idle.next != NULL)
		return;
	list_init(&idle);
	list_init(&waiting);
	for (unsigned i = 0; i < MOST_WAITING; i++) {
		list_init(&verifications[i].exchanges);
		list_push_back(&idle, &verifications[i].link);
	}
	hashing.job = (struct offload_job){ .work = work, .done = done };
}

/* One customer of a provider has a /64, all of IPv4 is in one. A unix socket's clients are told apart by
 * nothing, and trusted. */
static bool is_same_client(const union peer *one, const union peer *other)
{
	const struct in6_addr *v6 = &one->v6.sin6_addr;

	if (one->family != other->family)
		return false;
	if (one->family == AF_INET)
		return one->v4.sin_addr.s_addr == other->v4.sin_addr.s_addr;
	return one->family == AF_INET6 &&
	       memcmp(v6, &other->v6.sin6_addr, IN6_IS_ADDR_V4MAPPED(v6) ? sizeof(*v6) : 8) == 0;
}

static bool has_too_many(const union peer *client)
{
	unsigned count = under_way != NULL && is_same_client(&under_way->client, client) ? 1 : 0;

	for (const struct list *link = waiting.next; link != &waiting; link = link->next)
		if (is_same_client(&LIST_ENTRY(link, struct verification, link)->client, client))
			count++;
	return count >= MOST_OF_A_CLIENT;
}

/* The one with the same proof that has no verdict yet. */
static struct verification *find(const struct proof *proof)
{
	if (under_way != NULL && verified_same(&under_way->proof, proof))
		return under_way;
	for (const struct list *link = waiting.next; link != &waiting; link = link->next)
		if (verified_same(&LIST_ENTRY(link, struct verification, link)->proof, proof))
			return LIST_ENTRY(link, struct verification, link);
	return NULL;
}

/* What a request's credentials are to be held against. */
struct question {
	struct credentials credentials;
	struct file_mark mark;
	struct proof proof;
};

static struct verification *begin(struct exchange *exchange, const struct question *question)
{
	struct list *link = has_too_many(&exchange->client) ? NULL : list_pop_front(&idle);
	struct verification *verification;

	if (link == NULL) {
		engine_count(exchange->engine, COUNT_TASKS_REFUSED);
		return NULL;
	}
	verification = LIST_ENTRY(link, struct verification, link);
	verification->generation = generation_pin(exchange->generation);
	verification->file = exchange->route->auth->file;
	verification->engine = exchange->engine;
	verification->client = exchange->client;
	verification->credentials = question->credentials;
	verification->mark = question->mark;
	verification->proof = question->proof;
	verification->seed = verified_seed(question->credentials.user);
	if (under_way != NULL) {
		list_push_back(&waiting, &verification->link);
	} else if (!submit(verification)) {
		release(verification);
		return NULL;
	}
	return verification;
}

static void give_up(struct timer *timer, uint64_t now_ns)
{
	struct exchange *exchange = LIST_ENTRY(timer, struct exchange, timer);

	(void)now_ns;
	auth_drop(exchange);
	engine_count(exchange->engine, COUNT_TASKS_REFUSED);
	task_refused(exchange);
	exchange_answer(exchange);
}

static unsigned wait_for_verdict(struct exchange *exchange, const struct question *question)
{
	struct verification *verification;

	set_up();
	verification = find(&question->proof);
	if (verification == NULL)
		verification = begin(exchange, question);
	if (verification == NULL) {
		task_refused(exchange);
		return STAGE_ANSWERED;
	}
	exchange->verifying = verification;
	list_push_back(&verification->exchanges, &exchange->verifying_link);
	exchange->timer.fire = give_up;
	exchange_timer(exchange, LONGEST_NS);
	return STAGE_WAITS;
}

void auth_drop(struct exchange *exchange)
{
	struct verification *verification = exchange->verifying;

	if (verification == NULL)
		return;
	exchange->verifying = NULL;
	list_remove(&exchange->verifying_link);
	if (verification == under_way || !list_empty(&verification->exchanges))
		return;                 /* a hash under way goes on: its verdict may be of use later */
	list_remove(&verification->link);
	release(verification);
}

/* ---- the stage --------------------------------------------------------------------------------------- */

static unsigned ask(struct exchange *exchange, struct question *question)
{
	const char *file = exchange->route->auth->file;
	struct stat stat_;
	struct err err;

	if (stat(file, &stat_) < 0) {
		err_sys(&err, errno, "%s", file);
		say_unusable(exchange->engine, err.text);
		return 500;
	}
	question->mark = file_mark_of(&stat_);
	verified_proof(file, &question->mark, &question->credentials, &question->proof);
	if (verified_has(&question->proof))
		return let_in(exchange, question->credentials.user);
	return wait_for_verdict(exchange, question);
}

/* Two fields may mean anything: no list can be made of credentials (RFC 9110, 5.3 and 11.6.2). */
unsigned auth_stage(struct exchange *exchange)
{
	const struct request *request = &exchange->request;
	struct header header, second;
	struct question question;
	unsigned index = 0, status = 401;

	if (exchange->route == NULL || exchange->route->auth == NULL)
		return 0;
	if (!request_next(request, HEADER_AUTHORIZATION, &index, &header))
		return 401;
	if (request_next(request, HEADER_AUTHORIZATION, &index, &second))
		return 400;
	if (credentials_parse(span_str(header.value, exchange->head), &question.credentials))
		status = ask(exchange, &question);
	credentials_wipe(&question.credentials);
	return status;
}
