/* listing.c - from an open directory to its listing: who asks for what, and what is done in which thread.
 *
 * Called by the files service, on the loop; the parts marked so run in the helper thread. Fails with 503 when
 * too many listings are under way or together too large, with 500 for a directory that cannot be read or is
 * beyond the bound. */
#include "listing.h"

#include "listing_page.h"

#include "http/accept.h"
#include "http/task.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

enum { READ_BYTES = 32 * 1024 };

/* Then others have their turn at the helper. */
#define STEP_NS (10 * CLOCK_MS)

enum progress { READING, SORTING, DONE, FAILED };

/* What the helper thread has. */
struct reading {
	struct task task;
	int root, directory;
	enum beneath_policy symlinks;
	bool dotfiles, descending;
	enum entry_key key;
	enum progress progress;
	enum entries_result result;     /* FAILED: why; ENTRIES_OK: `error` says it */
	int error;
	struct entries entries;
	char buffer[READ_BYTES] __attribute__((aligned(8)));
	size_t path_len;
	char path[];                    /* of the directory, and room for a name behind it */
};

/* ---- in the helper thread ----------------------------------------------------------------------------- */

/* What a request would find there; false when that is nothing. */
static bool look_at(struct reading *reading, const char *name, struct stat *stat)
{
	if (fstatat(reading->directory, name, stat, AT_SYMLINK_NOFOLLOW) < 0)
		return false;           /* it has gone in the meantime */
	if (S_ISLNK(stat->st_mode)) {
		strcpy(reading->path + reading->path_len, name);        /* it has room for any name */
		if (!beneath_stat(reading->root, reading->path, reading->symlinks, stat))
			return false;
	}
	return S_ISREG(stat->st_mode) || S_ISDIR(stat->st_mode);
}

static enum entries_result take_name(struct reading *reading, const char *name)
{
	struct stat stat;

	if (name[0] == '.' && (!reading->dotfiles || strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
		return ENTRIES_OK;
	if (strlen(name) > NAME_MAX || !look_at(reading, name, &stat))
		return ENTRIES_OK;
	return entries_add(&reading->entries, str_of(name), &stat);
}

static void fail(struct reading *reading, enum entries_result result, int error)
{
	reading->progress = FAILED;
	reading->result = result;
	reading->error = error;
}

static void read_some(struct reading *reading)
{
	ssize_t len = getdents64(reading->directory, reading->buffer, sizeof(reading->buffer));
	enum entries_result result = ENTRIES_OK;

	if (len < 0) {
		fail(reading, ENTRIES_OK, errno);
		return;
	}
	for (ssize_t at = 0; at < len && result == ENTRIES_OK;) {
		const struct dirent64 *one = (const void *)(reading->buffer + at);

		result = take_name(reading, one->d_name);
		at += one->d_reclen;
	}
	if (len == 0) {
		reading->progress = SORTING;
		result = entries_seal(&reading->entries, reading->key, reading->descending);
	}
	if (result != ENTRIES_OK)
		fail(reading, result, 0);
}

static void sort_some(struct reading *reading)
{
	if (!entries_sort_on(&reading->entries))
		reading->progress = DONE;
}

static bool is_under_way(const struct reading *reading)
{
	return reading->progress == READING || reading->progress == SORTING;
}

static void work(struct task *task)
{
	struct reading *reading = LIST_ENTRY(task, struct reading, task);
	uint64_t until_ns = clock_now_ns() + STEP_NS;

	while (is_under_way(reading) && !task_is_dropped(task) && clock_now_ns() < until_ns) {
		if (reading->progress == READING)
			read_some(reading);
		else
			sort_some(reading);
	}
}

/* ---- the answer --------------------------------------------------------------------------------------- */

/* Nothing is run or fetched, whatever a name may contain. A listing is stale with the next change. */
#define COMMON "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"
#define PAGE \
	"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; " \
	"base-uri 'none'; form-action 'none'\r\n"
#define VARY "Vary: Accept\r\n"

static const struct {
	const char *type, *chosen, *negotiated;
} forms[] = {
	[LISTING_HTML] = { "text/html; charset=utf-8", COMMON PAGE, COMMON PAGE VARY },
	[LISTING_JSON] = { "application/json", COMMON, COMMON VARY },
};

static enum io pull(struct exchange *exchange, char *buffer, size_t room, size_t *got)
{
	*got = listing_page_pull(exchange->service_state, buffer, room);
	return *got > 0 ? IO_OK : IO_EOF;
}

static void answer(struct exchange *exchange, struct reading *reading)
{
	struct listing_page *page = exchange->service_state;
	enum listing_form form = page->wish.form;

	page->entries = reading->entries;
	reading->entries = (struct entries){ 0 };
	exchange->response = (struct response){
		.status = 200,
		.content_type = str_of(forms[form].type),
		.extra = str_of(page->wish.has_form ? forms[form].chosen : forms[form].negotiated),
		.body = BODY_STREAM, .pull = pull,
		.file_fd = -1,
	};
}

static void answer_failure(struct exchange *exchange, const struct reading *reading)
{
	static const char *const reasons[] = {
		[ENTRIES_TOO_LARGE] = "it has more entries than a listing may have",
		[ENTRIES_NO_MEMORY] = "out of memory",
	};
	const char *reason = reading->result != ENTRIES_OK ? reasons[reading->result]
							   : strerror(reading->error);

	if (reading->result == ENTRIES_FULL) {
		engine_count(exchange->engine, COUNT_TASKS_REFUSED);
		task_refused(exchange);
		return;
	}
	if (reading->result == ENTRIES_OK && reading->error == ENOENT) {        /* it was removed meanwhile */
		exchange_error(exchange, 404);
		return;
	}
	log_event(LEVEL_WARNING, "listing_failed", log_text("path", exchange->path.at),
		  log_text("error", reason));
	exchange_error(exchange, 500);
}

static enum task_after done(struct task *task, struct exchange *exchange)
{
	struct reading *reading = LIST_ENTRY(task, struct reading, task);

	if (is_under_way(reading))
		return TASK_AGAIN;
	if (reading->progress == DONE)
		answer(exchange, reading);
	else
		answer_failure(exchange, reading);
	exchange_answer(exchange);
	return TASK_OVER;
}

static void release(struct task *task)
{
	struct reading *reading = LIST_ENTRY(task, struct reading, task);

	entries_free(&reading->entries);
	fd_close(&reading->directory);
	fd_close(&reading->root);
	free(reading);
}

/* ---- beginning ---------------------------------------------------------------------------------------- */

static struct listing_page *page_new(struct exchange *exchange)
{
	struct listing_page *page = arena_alloc(&exchange->arena, sizeof(*page));

	if (page == NULL)
		return NULL;
	page->path = exchange->path;
	page->wish = listing_wish(span_str(exchange->request.query, exchange->head));
	if (!page->wish.has_form && accept_prefers(&exchange->request, exchange->head,
						   str_of("application/json"), str_of("text/html")))
		page->wish.form = LISTING_JSON;
	return page;
}

static struct reading *reading_new(struct listing_place *place, const struct listing_wish *wish)
{
	size_t path_len = strlen(place->path);
	struct reading *reading = malloc(sizeof(*reading) + path_len + NAME_MAX + 1);

	if (reading == NULL)
		return NULL;
	memset(reading, 0, offsetof(struct reading, buffer));
	reading->task = (struct task){ .work = work, .done = done, .release = release, .yields = true };
	reading->task.helper = place->far ? TASK_FAR : TASK_COMMON;
	reading->root = fd_take(&place->root);
	reading->directory = fd_take(&place->directory);
	reading->symlinks = place->symlinks;
	reading->dotfiles = place->dotfiles;
	reading->key = wish->key;
	reading->descending = wish->descending;
	reading->path_len = path_len;
	memcpy(reading->path, place->path, path_len);
	return reading;
}

enum answer listing_start(struct exchange *exchange, struct listing_place *place)
{
	struct listing_page *page = page_new(exchange);
	struct reading *reading = page != NULL ? reading_new(place, &page->wish) : NULL;

	if (reading == NULL) {
		fd_close(&place->root);
		fd_close(&place->directory);
		exchange_error(exchange, 500);
		return ANSWERED;
	}
	exchange->service_state = page;
	if (task_submit(&reading->task, exchange))
		return ANSWER_LATER;
	task_refused(exchange);
	return ANSWERED;
}

void listing_cancel(struct exchange *exchange)
{
	struct listing_page *page = exchange->service_state;

	if (page != NULL)
		entries_free(&page->entries);
	exchange->service_state = NULL;
}
