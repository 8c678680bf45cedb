/* fake_move.c - see the header.  Called by unit tests; fails the test. */
#include "fake_move.h"

#include "ipc/handover.h"

#include <fcntl.h>
#include <stdlib.h>

void fake_second_open(struct fake_second *second, struct fake_server *server)
{
	memset(second, 0, sizeof(*second));
	engine_init(&second->engine, &server->loop, server->engine.protocol, second->counters);
	second->engine.slot = server->engine.slot;
	engine_adopt(&second->engine, generation_pin(server->engine.generation));
}

void fake_second_close(struct fake_second *second)
{
	struct engine *engine = &second->engine;

	engine_cut(engine);
	engine->sweep.run(&engine->sweep);
	ck_assert_uint_eq(engine->slab.in_use, 0);
	ck_assert_uint_eq(engine->states.in_use, 0);
	ck_assert_uint_eq(engine->pool.in_use_bytes, 0);
	ck_assert_uint_eq(second->counters[COUNT_OPEN], 0);
	fake_check_levels(&second->engine);
	generation_unpin(engine->generation);
	engine_free(engine);
}

static int duplicate(int fd)
{
	return fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
}

/* The record lies in memory of its own, which ends with it and is gone when it was read. */
struct conn *fake_copy(struct conn *conn, struct engine *to, enum moving *moving)
{
	static char room[HANDOVER_RECORD_BYTES];
	struct record record = record_to(room, sizeof(room));
	struct conn *copy;
	char *bytes;
	int file_fd;

	*moving = move_write(conn, &record, &file_fd);
	if (*moving == MOVING_NOT)
		return NULL;
	move_freeze(conn);
	bytes = malloc(record.len);
	memcpy(bytes, room, record.len);
	record = record_from(bytes, record.len);
	copy = move_read(to, &record, duplicate(conn->source.fd), duplicate(file_fd));
	explicit_bzero(bytes, record.size);     /* a memset would be optimized away */
	free(bytes);
	return copy;
}

enum moving fake_move(struct conn *conn, struct engine *to)
{
	enum moving moving;
	struct conn *copy = fake_copy(conn, to, &moving);

	if (moving == MOVING_NOT)
		return moving;
	ck_assert_ptr_nonnull(copy);
	move_gone(conn);
	move_begin(copy);
	fake_check_levels(to);
	return moving;
}

static void move_list(struct list *conns, struct engine *to)
{
	for (struct list *link = conns->next, *next; link != conns; link = next) {
		next = link->next;
		fake_move(LIST_ENTRY(link, struct conn, link), to);
	}
}

void fake_move_all(struct engine *from, struct engine *to)
{
	move_list(&from->conns, to);
	move_list(&from->leaving, to);
}

struct conn *fake_only(struct engine *engine)
{
	struct list *conns = list_empty(&engine->conns) ? &engine->leaving : &engine->conns;

	ck_assert_uint_eq(engine->count, 1);
	return LIST_ENTRY(conns->next, struct conn, link);
}

void fake_mask_boundaries(struct fake_client *one)
{
	static const char name[] = "boundary=";
	const char *found = one->text;
	char boundary[33] = "";

	while ((found = memmem(found, one->len - (size_t)(found - one->text), name, sizeof(name) - 1)) !=
	       NULL) {
		found += sizeof(name) - 1;
		if (one->len - (size_t)(found - one->text) < 32)
			return;
		memcpy(boundary, found, 32);
		if (boundary[0] == '-')         /* masked already */
			continue;
		for (char *at; (at = memmem(one->text, one->len, boundary, 32)) != NULL;)
			memset(at, '-', 32);
	}
}
