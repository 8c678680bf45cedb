/* fake_service.c - see the header.  Called through exchanges in tests. */
#include "fake_service.h"

#include "http/exchange.h"

#include "base/clock.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

unsigned fake_cancels;

static void cancel(struct exchange *exchange)
{
	(void)exchange;
	fake_cancels++;
}

static struct exchange *exchange_of(struct timer *timer)
{
	return LIST_ENTRY(timer, struct exchange, timer);
}

static void later_fire(struct timer *timer, uint64_t now_ns)
{
	struct exchange *exchange = exchange_of(timer);
	const char *text = exchange->service_state;

	(void)now_ns;
	exchange->response = (struct response){
		.status = 200,
		.content_type = { "text/plain", 10 },
		.body = BODY_MEMORY,
		.memory = str_of(text),
		.length_known = true,
		.length = strlen(text),
		.file_fd = -1,
	};
	exchange_answer(exchange);
}

static enum answer later_start(struct exchange *exchange, const void *opaque)
{
	const struct later_settings *settings = opaque;

	exchange->service_state = (void *)settings->text;
	exchange->timer.fire = later_fire;
	exchange_timer(exchange, settings->after_ns);
	return ANSWER_LATER;
}

struct trickle {
	const char *text;
	uint64_t after_ns, at, breaks_after;
	bool ripe;
	struct ready ready;
	struct exchange *exchange;
};

static void trickle_fire(struct timer *timer, uint64_t now_ns)
{
	struct trickle *trickle = exchange_of(timer)->service_state;

	(void)now_ns;
	trickle->ripe = true;
	exchange_resume(trickle->exchange);
}

/* Another event: once a turn of the loop. */
static void trickle_ripe(struct ready *ready)
{
	struct trickle *trickle = LIST_ENTRY(ready, struct trickle, ready);

	trickle->ripe = true;
	exchange_resume(trickle->exchange);
}

static enum io trickle_pull(struct exchange *exchange, char *buffer, size_t room, size_t *got)
{
	struct trickle *trickle = exchange->service_state;

	if (trickle->breaks_after > 0 && trickle->at == trickle->breaks_after)
		return IO_ERROR;
	if (trickle->text[trickle->at] == '\0')
		return IO_EOF;
	if (!trickle->ripe || room == 0) {
		if (trickle->after_ns > 0)
			exchange_timer(exchange, trickle->after_ns);
		else
			loop_ready(exchange->engine->loop, &trickle->ready);
		return IO_AGAIN;
	}
	trickle->ripe = false;
	*buffer = trickle->text[trickle->at++];
	*got = 1;
	return IO_OK;
}

static void trickle_record(struct trickle *trickle, struct record *record, struct arena *arena)
{
	struct str text = str_of(trickle->text);

	record_text(record, &text, arena);
	record_u64(record, &trickle->after_ns);
	record_u64(record, &trickle->at);
	record_u64(record, &trickle->breaks_after);
	trickle->text = text.at;
}

static bool trickle_freeze(const struct exchange *exchange, struct record *record)
{
	struct trickle copy = *(const struct trickle *)exchange->service_state;

	trickle_record(&copy, record, NULL);
	return !record->bad;
}

static struct trickle *trickle_new(struct exchange *exchange)
{
	struct trickle *trickle = arena_alloc(&exchange->arena, sizeof(*trickle));

	trickle->ready.serve = trickle_ripe;
	trickle->exchange = exchange;
	exchange->timer.fire = trickle_fire;
	exchange->service_state = trickle;
	return trickle;
}

static bool trickle_thaw(struct exchange *exchange, struct record *record)
{
	struct trickle *trickle = trickle_new(exchange);

	trickle_record(trickle, record, &exchange->arena);
	trickle->ripe = true;           /* or one that moves all the time would never get on */
	exchange->response.pull = trickle_pull;
	exchange->response.freeze = trickle_freeze;
	return !record->bad && trickle->text != NULL && trickle->at <= strlen(trickle->text);
}

static enum answer trickle_start(struct exchange *exchange, const void *opaque)
{
	const struct trickle_settings *settings = opaque;
	struct trickle *trickle = trickle_new(exchange);

	trickle->text = settings->text;
	trickle->after_ns = settings->after_ns;
	trickle->breaks_after = settings->breaks_after;
	exchange->response = (struct response){
		.status = 200,
		.content_type = { "text/plain", 10 },
		.body = BODY_STREAM,
		.pull = trickle_pull,
		.freeze = trickle_freeze,
		.length_known = settings->length_known,
		.length = strlen(settings->text),
		.file_fd = -1,
	};
	return ANSWERED;
}

static void trickle_cancel(struct exchange *exchange)
{
	struct trickle *trickle = exchange->service_state;

	loop_unready(&trickle->ready);
	fake_cancels++;
}

/* ---- a file that is not in memory -------------------------------------------------------------------- */

static void cold_fire(struct timer *timer, uint64_t now_ns)
{
	struct exchange *exchange = exchange_of(timer);

	(void)now_ns;
	exchange->service_state = exchange;     /* now it is */
	exchange_resume(exchange);
}

/* Each piece has to be brought before it is there. */
static enum io cold_present(struct exchange *exchange, off_t at, size_t *len)
{
	(void)at;
	if (exchange->service_state == NULL) {
		exchange->timer.fire = cold_fire;
		exchange_timer(exchange, CLOCK_MS);
		return IO_AGAIN;
	}
	if (*len > FAKE_COLD_PIECE)
		*len = FAKE_COLD_PIECE;
	if (*len == FAKE_COLD_PIECE)            /* it is sent now, and the next one is not there */
		exchange->service_state = NULL;
	return IO_OK;
}

static enum answer cold_start(struct exchange *exchange, const void *opaque)
{
	const struct cold_settings *settings = opaque;
	int fd = memfd_create("cold", MFD_CLOEXEC);

	if (ftruncate(fd, FAKE_COLD_BYTES) < 0)
		abort();
	exchange->service_state = settings->warm ? exchange : NULL;
	exchange->response = (struct response){
		.status = 200,
		.content_type = { "text/plain", 10 },
		.body = BODY_FILE,
		.present = settings->warm ? NULL : cold_present,
		.length_known = true,
		.length = FAKE_COLD_BYTES,
		.file_fd = fd,
	};
	return ANSWERED;
}

const struct service service_later = { .name = "later", .start = later_start, .cancel = cancel };
const struct service service_trickle = { .name = "trickle",
					 .start = trickle_start,
					 .thaw = trickle_thaw,
					 .cancel = trickle_cancel };
const struct service service_cold = { .name = "cold", .start = cold_start, .cancel = cancel };
