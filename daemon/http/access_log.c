/* access_log.c - which exchanges are logged, and where to.
 *
 * Called by exchange.c (pins), by http1.c for each finished exchange, and by the worker for the target.
 * Never blocks and never fails: what the target does not take is dropped, and the lines are counted. */
#include "access_log.h"

#include "access_format.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

enum {
	DELAY_MS = 50,                  /* how long a line may wait for others to be written with it */
	MOST_OLD = 8,                   /* logs that only exchanges under way still have */
	SERVER_ERROR = 500,             /* from here on every answer is logged */
};

struct access_log {
	struct log_owner owner;
	struct list link;               /* in engine->access_logs, the current one last */
	struct engine *engine;
	struct log_writer *writer;      /* NULL: its lines go to the current log */
	struct access_style style;
	uint64_t slow_ns;
	unsigned sample, skipped;       /* skipped: since the last one that was logged */
	unsigned pins;                  /* the current one has one for being current */
	char target[];                  /* log.access */
};

/* ---- what the writer has to say ---------------------------------------------------------------------- */

static void say_lost(struct log_owner *owner, struct log_writer *writer, uint64_t lines)
{
	struct access_log *log = LIST_ENTRY(owner, struct access_log, owner);
	char *out = log_writer_room(writer, ACCESS_NOTICE_BYTES);

	if (out != NULL)
		log_writer_put(writer, access_put_lost(&log->style, lines, out));
	log_event(LEVEL_WARNING, "access_log_lost", log_number("lines", lines));
}

static void say_failed(struct log_owner *owner, int error)
{
	const struct access_log *log = LIST_ENTRY(owner, struct access_log, owner);

	log_event(LEVEL_ERROR, "access_log_failed", log_text("target", log->target),
		  log_text("error", strerror(error)));
}

/* ---- logs come and go -------------------------------------------------------------------------------- */

/* New settings make a new log; a new descriptor alone does not. */
static bool is_same(const struct access_log *log, const struct config *config)
{
	return log != NULL && log->style.format == config->access_format &&
	       log->style.query == config->log_query && log->slow_ns == config->access_slow_ns &&
	       log->sample == config->access_sample && strcmp(log->target, config->log_access) == 0;
}

static struct access_log *log_new(struct engine *engine, const struct config *config)
{
	size_t bytes = strlen(config->log_access) + 1;
	struct access_log *log = calloc(1, sizeof(*log) + bytes);

	if (log == NULL) {
		engine_count(engine, COUNT_OUT_OF_MEMORY);
		return NULL;
	}
	log->engine = engine;
	log->owner = (struct log_owner){ say_lost, say_failed, &engine->counters[COUNT_ACCESS_LOG_DROPPED],
					 DELAY_MS * CLOCK_MS, 0 };
	access_style_init(&log->style, config->access_format);
	log->style.query = config->log_query;
	log->slow_ns = config->access_slow_ns;
	log->sample = config->access_sample;
	log->pins = 1;
	memcpy(log->target, config->log_access, bytes);
	list_push_back(&engine->access_logs, &log->link);
	return log;
}

static void stop_writing(struct access_log *log)
{
	log_writer_retire(log->writer);
	log->writer = NULL;
}

void access_log_unpin(struct access_log *log)
{
	if (log == NULL || --log->pins > 0)
		return;
	stop_writing(log);
	list_remove(&log->link);
	free(log);
}

/* Old logs beyond the bound, or all when the files were opened anew, write no more. */
static void stop_old(struct engine *engine, unsigned keep)
{
	unsigned writing = 0;

	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a list has no end that is NULL */
	for (struct list *link = engine->access_logs.prev; link != &engine->access_logs; link = link->prev) {
		struct access_log *log = LIST_ENTRY(link, struct access_log, link);

		if (log != engine->access_log && log->writer != NULL && writing++ >= keep)
			stop_writing(log);
	}
}

static void start_writing(struct access_log *log, const struct config *config, int fd)
{
	struct log_target target = config_log_target(config, config->log_access, fd);

	if (target.kind == LOG_SYSLOG)
		tzset();
	log->style.kind = target.kind;
	log->writer = log_writer_open(log->engine->log_writers, &target, &log->owner);
	if (log->writer == NULL)
		engine_count(log->engine, COUNT_OUT_OF_MEMORY);
}

void access_log_open(struct engine *engine, const struct config *config, int fd)
{
	struct access_log *before = engine->access_log;

	if (config != NULL && config_log_target(config, config->log_access, fd).kind == LOG_OFF)
		config = NULL;
	if (config != NULL && is_same(before, config)) {
		stop_writing(before);
		stop_old(engine, 0);
	} else {
		engine->access_log = config != NULL ? log_new(engine, config) : NULL;
		access_log_unpin(before);
		stop_old(engine, MOST_OLD);
	}
	if (config != NULL && engine->access_log != NULL)
		start_writing(engine->access_log, config, fd);
	else
		fd_close(&fd);
}

struct access_log *access_log_pin(struct engine *engine)
{
	struct access_log *log = engine->access_log;

	if (log != NULL)
		log->pins++;
	return log;
}

/* ---- a line ------------------------------------------------------------------------------------------ */

/* Slow ones only, if that is wanted, and of those one in `sample`; but every server's error. */
static bool is_wanted(struct access_log *log, const struct exchange *exchange, uint64_t duration_ns)
{
	if (exchange->response.status >= SERVER_ERROR)
		return true;
	if (duration_ns < log->slow_ns)
		return false;
	if (++log->skipped < log->sample)
		return false;
	log->skipped = 0;
	return true;
}

void access_log_exchange(struct exchange *exchange, uint64_t now_ns)
{
	struct access_log *log = exchange->log;
	struct access_entry entry;
	uint64_t duration_ns;
	char *out;

	if (log == NULL)
		return;
	duration_ns = now_ns - exchange->started_ns;
	if (!is_wanted(log, exchange, duration_ns))
		return;
	if (log->writer == NULL)
		log = exchange->engine->access_log;
	if (log == NULL || log->writer == NULL)
		return;
	access_entry_fill(&entry, &log->style, exchange, duration_ns);
	out = log_writer_room(log->writer, access_room(&log->style, &entry));
	if (out != NULL)                /* else it is counted by the writer */
		log_writer_put(log->writer, access_put(&log->style, &entry, out));
}
