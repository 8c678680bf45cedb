/* listing.c - the worker's connections, written into a file for people (droverctl connections).
 *
 * Called on LIST, and from the ready list. There may be very many: all are looked at, in steps that leave
 * the loop to the clients, and a bounded number is kept, those that are wanted most. Fails by an empty file,
 * which its reader notices. */
#include "worker.h"

#include "base/clock.h"
#include "base/fd.h"

#include <linux/tcp.h>
#include <stdlib.h>

#define STEP_NS (CLOCK_MS / 2)

enum {
	LOOKS = 64,                     /* places in memory between two looks at the clock */
	WRITE_BYTES = 64 * 1024,        /* a step */
};

struct listing_place {
	uint64_t key;                   /* the greater, the more it is wanted */
	uint32_t record;
};

static struct listed *records_of(const struct listing *listing)
{
	return (void *)(listing->file + 1);
}

/* ---- a connection -------------------------------------------------------------------------------------- */

static enum count_state state_of(const struct conn *conn)
{
	static const enum count_state states[DOINGS] = {
		[DOING_IDLE] = COUNTED_IDLE,       [DOING_HEAD] = COUNTED_HEAD,
		[DOING_WAITING] = COUNTED_WAITING, [DOING_SENDING] = COUNTED_SENDING,
		[DOING_LEAVING] = COUNTED_LEAVING,
	};

	return conn->frozen ? COUNTED_MOVING : states[conn_protocol(conn)->doing(conn)];
}

static uint64_t age_ns(const struct worker *worker, const struct conn *conn)
{
	return worker->loop.now_ns > conn->since_ns ? worker->loop.now_ns - conn->since_ns : 0;
}

static bool is_in(const struct list_note *wanted, const struct account *account)
{
	struct cidr network = { .family = (int)wanted->family, .bits = wanted->bits };
	const struct networks networks = { .count = 1, .at = &network };

	if (wanted->family == 0)
		return true;
	memcpy(network.bytes, wanted->network, sizeof(network.bytes));
	return network.bits <= 8 * sizeof(network.bytes) && networks_have(&networks, &account->client);
}

/* What the kernel knows of its bytes; nothing of a unix socket. */
static struct tcp_info kernel_of(const struct conn *conn)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(conn->source.fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return (struct tcp_info){ 0 };
	return info;
}

static void put_peer(char *out, const union peer *peer)
{
	struct addr addr;

	peer_describe(peer, &addr);
	memcpy(out, addr.text, strnlen(addr.text, LISTED_CLIENT_BYTES - 1));
}

static void fill(struct listed *record, const struct conn *conn, const struct account *account)
{
	struct tcp_info info = kernel_of(conn);

	*record = (struct listed){
		.since_ns = conn->since_ns,
		.begun_ns = account->begun_ns,
		.bytes_out = info.tcpi_bytes_acked,
		.bytes_in = info.tcpi_bytes_received,
		.answer_bytes = account->sent,
		.served = conn->served,
		.state = state_of(conn),
	};
	put_peer(record->client, &account->client);
	if (conn_is_proxied(conn)) {
		union peer peer = conn_peer(conn);

		put_peer(record->peer, &peer);
	}
	memcpy(record->host, account->host, account->host_bytes);
	memcpy(record->request, account->request, account->request_bytes);
}

/* ---- the ones that are wanted most --------------------------------------------------------------------- */

static void swap(struct listing_place *a, struct listing_place *b)
{
	struct listing_place kept = *a;

	*a = *b;
	*b = kept;
}

static void sift_up(struct listing_place *heap, unsigned at)
{
	for (; at > 0 && heap[(at - 1) / 2].key > heap[at].key; at = (at - 1) / 2)
		swap(&heap[(at - 1) / 2], &heap[at]);
}

static void sift_down(struct listing_place *heap, unsigned count)
{
	unsigned at = 0, least = 0;

	do {
		at = least;
		for (unsigned child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
			if (heap[child].key < heap[least].key)
				least = child;
		swap(&heap[at], &heap[least]);
	} while (least != at);
}

/* The place that the next record goes to; NULL: those that are there are all wanted more. */
static struct listed *place_for(struct listing *listing, uint64_t key)
{
	struct listing_place *heap = listing->places;
	unsigned count = listing->file->count;
	struct listed *record;

	if (count < listing->wanted.limit) {
		heap[count] = (struct listing_place){ key, count };
		listing->file->count++;
		sift_up(heap, count);
		return &records_of(listing)[count];
	}
	if (count == 0 || key <= heap[0].key)
		return NULL;
	heap[0].key = key;
	record = &records_of(listing)[heap[0].record];
	sift_down(heap, count);
	return record;
}

static void look_at(struct worker *worker, const struct conn *conn)
{
	struct listing *listing = &worker->listing;
	const struct list_note *wanted = &listing->wanted;
	struct account account;
	struct listed *record;

	listing->file->open++;
	if ((wanted->states >> state_of(conn) & 1) == 0 || age_ns(worker, conn) < wanted->older_ns)
		return;
	conn_account(conn, &account);
	if (!is_in(wanted, &account))
		return;
	listing->file->matched++;
	record = place_for(listing, wanted->sort == LISTED_BY_BYTES ? kernel_of(conn).tcpi_bytes_acked
								    : age_ns(worker, conn));
	if (record != NULL)
		fill(record, conn, &account);
}

/* ---- step by step -------------------------------------------------------------------------------------- */

void listing_say(const struct worker *worker, uint64_t number)
{
	struct err err;

	channel_tell(worker->channel.fd, MESSAGE_LISTED, number, &err);
}

static void forget(struct listing *listing)
{
	loop_unready(&listing->step);
	fd_close(&listing->fd);
	free(listing->file);
	free(listing->places);
	listing->file = NULL;
	listing->places = NULL;
}

static void walk_on(struct worker *worker)
{
	struct listing *listing = &worker->listing;
	uint64_t until_ns = clock_now_ns() + STEP_NS;

	do {
		const struct conn *conn = engine_next(&worker->engine, &listing->walk, LOOKS);

		if (conn != NULL)
			look_at(worker, conn);
	} while (listing->walk.chunk != NULL && clock_now_ns() < until_ns);
	listing->walked = listing->walk.chunk == NULL;
}

/* True: that was all, or it cannot be written. */
static bool write_on(struct listing *listing)
{
	size_t left = listed_bytes(listing->file->count) - listing->written;
	size_t len = left < WRITE_BYTES ? left : WRITE_BYTES;
	ssize_t n = write(listing->fd, (const char *)listing->file + listing->written, len);

	listing->written += n > 0 ? (size_t)n : 0;
	return n <= 0 || (size_t)n == left;
}

static void step(struct ready *ready)
{
	struct worker *worker = LIST_ENTRY(ready, struct worker, listing.step);
	struct listing *listing = &worker->listing;

	if (!listing->walked) {
		walk_on(worker);
	} else if (write_on(listing)) {
		forget(listing);
		listing_say(worker, listing->number);
		return;
	}
	loop_ready(&worker->loop, &listing->step);
}

void listing_init(struct worker *worker)
{
	worker->listing.fd = -1;
	worker->listing.step.serve = step;
}

/* What cannot be written there is not, and its reader notices. */
void listing_begin(struct worker *worker, uint64_t number, const struct list_note *wanted, int fd)
{
	struct listing *listing = &worker->listing;

	forget(listing);
	listing->fd = fd;
	listing->number = number;
	listing->wanted = *wanted;
	if (wanted->version == LISTED_VERSION && wanted->limit <= LISTED_MOST) {
		listing->file = calloc(1, listed_bytes(wanted->limit));
		listing->places = calloc(wanted->limit + 1, sizeof(*listing->places));
	}
	if (listing->file == NULL || listing->places == NULL) {
		forget(listing);
		listing_say(worker, number);
		return;
	}
	listing->file->version = LISTED_VERSION;
	listing->file->record_bytes = sizeof(struct listed);
	listing->walk = slab_begin(&worker->engine.slab);
	listing->walked = false;
	listing->written = 0;
	loop_ready(&worker->loop, &listing->step);
}

void listing_end(struct worker *worker)
{
	forget(&worker->listing);
}
