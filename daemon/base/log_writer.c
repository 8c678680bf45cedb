/* log_writer.c - the ring and its life on the loop; log_output.c is the part that runs in the helper thread.
 *
 * Called by the event log and the access log.  Nothing here blocks and nothing fails: what cannot be kept is
 * counted. */
#include "log_writer.h"

#include "clock.h"
#include "fd.h"
#include "log_output.h"

#include <stdlib.h>
#include <string.h>

enum {
	RING_BYTES = 1024 * 1024,       /* 150 ms of 70,000 requests a second, untouched while not needed */
	BATCH_BYTES = 32 * 1024,        /* so much is worth a wake-up before the delay is over */
	RETRY_MS = 5,                   /* doubled while nothing is taken, up to MOST_RETRY_MS */
	MOST_RETRY_MS = 200,
	DATAGRAM_WAIT_MS = 20,
	RETIRE_SECONDS = 5,
	MOST_RETIRED = 8,               /* at a time: with a target that hangs, each reload adds one */
};

/* The ring: records lie in [tail, head), or, once it has wrapped, in [tail, end) and [0, head); each in one
 * piece.  Datagrams have their length in front. */
struct log_writer {
	struct offload_job job;
	struct timer timer;             /* the delay of a batch, or the pause before a retry */
	struct list link;
	struct log_writers *writers;
	struct log_owner *owner;        /* NULL: retired */
	struct log_output out;
	uint64_t *lost_counter;
	uint64_t delay_ns, give_up_ns;  /* give_up: 0 while in use */
	uint64_t gap;                   /* lines lost since the owner last said so */
	uint64_t retry_ns;
	size_t head, tail, end, record;
	bool wrapped, busy, failed, closing, saying;
	bool ended;                     /* all is over, but for the thread, which has it still */
	char ring[RING_BYTES];
};

static void count_lost(struct log_writer *writer, uint64_t lines)
{
	writer->gap += lines;
	if (writer->lost_counter != NULL)
		*writer->lost_counter += lines;
}

/* ---- the ring ---------------------------------------------------------------------------------------- */

static size_t prefix_of(const struct log_writer *writer)
{
	return writer->out.kind == LOG_STREAM ? 0 : LOG_OUTPUT_PREFIX;
}

/* The bytes that can be written next, in one piece. */
static size_t first_piece(const struct log_writer *writer)
{
	return (writer->wrapped ? writer->end : writer->head) - writer->tail;
}

static void consume(struct log_writer *writer, size_t bytes)
{
	writer->tail += bytes;
	if (writer->wrapped && writer->tail == writer->end) {
		writer->tail = 0;
		writer->wrapped = false;
	}
	if (!writer->wrapped && writer->tail == writer->head)
		writer->tail = writer->head = 0;        /* stay where the cache is warm */
}

static bool fits_behind(const struct log_writer *writer, size_t bytes)
{
	if (writer->wrapped)
		return writer->tail - writer->head > bytes;
	return RING_BYTES - writer->head >= bytes;
}

static bool fits(const struct log_writer *writer, size_t bytes)
{
	return fits_behind(writer, bytes) || (!writer->wrapped && writer->tail > bytes);
}

/* Where `bytes`, which fit, begin. */
static size_t make_room(struct log_writer *writer, size_t bytes)
{
	if (fits_behind(writer, bytes))
		return writer->head;
	writer->end = writer->head;
	writer->wrapped = true;
	writer->head = 0;
	return 0;
}

/* ---- handing over ------------------------------------------------------------------------------------ */

static void pause_for(struct log_writer *writer, uint64_t ns)
{
	if (!timer_armed(&writer->timer))
		loop_timer(writer->writers->loop, &writer->timer, ns);
}

/* It was not taken, or not all of it. */
static void retry_later(struct log_writer *writer)
{
	if (writer->out.written > 0 || writer->retry_ns == 0)
		writer->retry_ns = RETRY_MS * CLOCK_MS;
	else if (writer->retry_ns < MOST_RETRY_MS * CLOCK_MS)
		writer->retry_ns *= 2;
	pause_for(writer, writer->retry_ns);
}

/* How long the thread may wait for a slow reader: at the end, as long as there is time; a datagram socket
 * holds so few (net.unix.max_dgram_qlen) that a reader which is awake should find the next ones at once. */
static uint64_t wait_until(const struct log_writer *writer)
{
	if (writer->closing)
		return writer->give_up_ns;
	return writer->out.kind == LOG_STREAM ? 0 : clock_now_ns() + DATAGRAM_WAIT_MS * CLOCK_MS;
}

static void submit(struct log_writer *writer)
{
	size_t bytes = first_piece(writer);

	if (writer->busy || bytes == 0)
		return;
	timer_cancel(&writer->timer);
	writer->out.bytes = writer->ring + writer->tail;
	writer->out.len = bytes;
	writer->out.wait_until_ns = wait_until(writer);
	writer->busy = offload_submit(writer->writers->offload, &writer->job);
	if (!writer->busy)
		retry_later(writer);
}

static void on_timer(struct timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	submit(LIST_ENTRY(timer, struct log_writer, timer));
}

static void work(struct offload_job *job)
{
	log_output_write(&LIST_ENTRY(job, struct log_writer, job)->out);
}

/* What is left will not be written. */
static void give_up(struct log_writer *writer)
{
	while (first_piece(writer) > 0) {
		size_t bytes = first_piece(writer);

		count_lost(writer, log_output_count(&writer->out, writer->ring + writer->tail, bytes));
		consume(writer, bytes);
	}
}

static void release(struct log_writer *writer)
{
	timer_cancel(&writer->timer);
	list_remove(&writer->link);
	log_output_close(&writer->out);
	free(writer);
}

static void say_failure(struct log_writer *writer)
{
	struct log_owner *owner = writer->owner;
	bool first = writer->out.error != 0 && !writer->failed;

	writer->failed = writer->out.error != 0;
	if (first && owner != NULL && owner->say_failed != NULL)
		owner->say_failed(owner, writer->out.error);
}

/* False while there is a gap that nothing says yet: then nothing may follow it. */
static bool say_gap(struct log_writer *writer)
{
	struct log_owner *owner = writer->owner;
	uint64_t lines = writer->gap;

	if (lines == 0 || writer->saying || owner == NULL || owner->say_lost == NULL)
		return true;
	if (!fits(writer, LOG_NOTICE_BYTES + prefix_of(writer)))
		return false;
	writer->gap = 0;
	writer->saying = true;
	owner->say_lost(owner, writer, lines);
	writer->saying = false;
	return true;
}

static bool is_stuck(const struct log_writer *writer)
{
	return writer->out.error != 0 || writer->out.written < writer->out.len;
}

static void done(struct offload_job *job)
{
	struct log_writer *writer = LIST_ENTRY(job, struct log_writer, job);
	bool stuck = is_stuck(writer), is_retired = writer->give_up_ns != 0;

	if (writer->ended) {
		release(writer);
		return;
	}
	writer->busy = false;
	consume(writer, writer->out.written);
	count_lost(writer, writer->out.lost);
	say_failure(writer);
	say_gap(writer);
	if (writer->closing) {          /* the next job waits for a slow reader, until the deadline */
		if (writer->out.error == 0 && clock_now_ns() < writer->give_up_ns)
			submit(writer);
		return;
	}
	if (is_retired && (first_piece(writer) == 0 || clock_now_ns() >= writer->give_up_ns)) {
		give_up(writer);
		release(writer);
	} else if (stuck) {
		retry_later(writer);
	} else if (is_retired || writer->delay_ns == 0 || first_piece(writer) >= BATCH_BYTES) {
		submit(writer);
	} else if (first_piece(writer) > 0) {
		pause_for(writer, writer->delay_ns);
	}
}

/* ---- for the owner ----------------------------------------------------------------------------------- */

struct log_writer *log_writer_open(struct log_writers *writers, const struct log_target *target,
				   struct log_owner *owner)
{
	struct log_writer *writer = malloc(sizeof(*writer));    /* not calloc: the ring stays untouched */
	int fd AUTO_CLOSE = target->fd;

	if (writer == NULL)
		return NULL;
	memset(writer, 0, offsetof(struct log_writer, ring));
	writer->writers = writers;
	writer->owner = owner;
	writer->lost_counter = owner->lost;
	writer->delay_ns = owner->delay_ns;
	writer->gap = owner->gap;
	owner->gap = 0;
	writer->job.work = work;
	writer->job.done = done;
	writer->timer.fire = on_timer;
	log_output_open(&writer->out, target);
	fd_take(&fd);
	list_push_back(&writers->all, &writer->link);
	return writer;
}

char *log_writer_room(struct log_writer *writer, size_t bytes)
{
	size_t prefix = prefix_of(writer);

	if (!say_gap(writer) || !fits(writer, bytes + prefix)) {
		count_lost(writer, 1);
		return NULL;
	}
	writer->record = make_room(writer, bytes + prefix);
	return writer->ring + writer->record + prefix;
}

void log_writer_put(struct log_writer *writer, size_t bytes)
{
	uint32_t len = (uint32_t)bytes;
	size_t prefix = prefix_of(writer);

	if (prefix > 0)
		memcpy(writer->ring + writer->record, &len, prefix);
	writer->head = writer->record + prefix + bytes;
	if (writer->busy || writer->closing || writer->saying)
		return;
	/* a target that does not take anything is left alone until its pause is over */
	if (writer->delay_ns == 0 ? !timer_armed(&writer->timer)
				  : first_piece(writer) >= BATCH_BYTES && !is_stuck(writer))
		submit(writer);
	else
		pause_for(writer, writer->delay_ns);
}

static unsigned count_retired(const struct log_writers *writers)
{
	unsigned count = 0;

	for (const struct list *link = writers->all.next; link != &writers->all; link = link->next)
		count += LIST_ENTRY(link, struct log_writer, link)->owner == NULL;
	return count;
}

/* What it has will not be written any more; false when the thread is at it just now. */
static bool drop(struct log_writer *writer)
{
	bool is_mine = !writer->busy || offload_cancel(writer->writers->offload, &writer->job);

	if (!is_mine)
		return false;
	give_up(writer);
	release(writer);
	return true;
}

void log_writer_retire(struct log_writer *writer)
{
	if (writer == NULL)
		return;
	writer->owner->gap += writer->gap;
	writer->owner = NULL;
	writer->give_up_ns = clock_now_ns() + RETIRE_SECONDS * CLOCK_S;
	if (!writer->busy && first_piece(writer) == 0)
		release(writer);
	else if (count_retired(writer->writers) <= MOST_RETIRED || !drop(writer))
		submit(writer);
}

/* ---- all of them ------------------------------------------------------------------------------------- */

void log_writers_init(struct log_writers *writers, struct loop *loop, struct offload *offload)
{
	*writers = (struct log_writers){ .loop = loop, .offload = offload };
	list_init(&writers->all);
}

#define FOR_EACH_LINK(writers, link, next) \
	for (struct list *link = (writers)->all.next, *next = link->next; link != &(writers)->all; \
	     link = next, next = link->next)

/* What could not be written is counted.  One whose job cannot be stopped is freed when that is done, or
 * never. */
static void end(struct log_writer *writer)
{
	if (drop(writer))
		return;
	give_up(writer);
	timer_cancel(&writer->timer);
	list_remove(&writer->link);
	writer->ended = true;
}

void log_writers_close(struct log_writers *writers, uint64_t deadline_ns)
{
	struct log_writer *writer;

	FOR_EACH_LINK(writers, link, next) {
		writer = LIST_ENTRY(link, struct log_writer, link);
		writer->closing = true;
		writer->give_up_ns = deadline_ns;
		submit(writer);
	}
	offload_wait(writers->offload, deadline_ns);
	FOR_EACH_LINK(writers, link, next)
		end(LIST_ENTRY(link, struct log_writer, link));
}

/* The thread may just have been closing a descriptor: its number could be another file's by now. */
void log_writers_forget(struct log_writers *writers)
{
	FOR_EACH_LINK(writers, link, next) {
		struct log_writer *writer = LIST_ENTRY(link, struct log_writer, link);

		writer->out.fd = -1;
		release(writer);
	}
}
