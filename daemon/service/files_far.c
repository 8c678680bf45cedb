/* files_far.c - finding files where every look may wait for a network or another process.
 *
 * Called by files.c, on the loop; what is marked so runs in a helper thread. The search is that of
 * files_find.c, for a stand-in of the exchange that has all it reads; the generation with the settings is
 * pinned meanwhile. Fails with 503: there are too many such requests, or no answer in 30 seconds. */
#include "files_far.h"

#include "files_read.h"

#include "http/task.h"

#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>

struct finding {
	struct task task;
	const struct files_settings *settings;
	files_found *found;
	struct exchange stand_in;       /* what a search reads of one, with its own arena */
	struct engine *engine;
	struct files_place place;
	struct file file;
	unsigned status;
	int root_error;                 /* the root could not be opened; 0: it could */
	enum place root_place, file_place;
};

/* ---- which roots ------------------------------------------------------------------------------------ */

/* What was seen of a root is not said by its settings, but it is kept with them, in each worker. */
static struct files_settings *seen_with(const struct files_settings *settings)
{
	return (struct files_settings *)settings;
}

void files_far_check(struct files_settings *settings, int root)
{
	settings->seen.place = present_look(root);
}

bool files_far_is(const struct exchange *exchange, const struct files_settings *settings)
{
	const struct engine *engine = exchange->engine;

	return (settings->seen.place == PLACE_FAR || settings->seen.far_below) &&
	       (engine->far != NULL || engine->offload != NULL);
}

void files_far_notice(const struct exchange *exchange, const struct files_settings *settings,
		      const struct stat *stat)
{
	if (present_place(stat->st_dev, exchange->engine->loop->now_ns) == PLACE_FAR)
		seen_with(settings)->seen.far_below = true;
}

/* The root's path may lead elsewhere by now. */
static void notice_all(const struct finding *finding, uint64_t now_ns)
{
	struct files_settings *settings = seen_with(finding->settings);

	if (finding->root_place != PLACE_UNKNOWN)
		settings->seen.place = finding->root_place;
	if (finding->file_place == PLACE_FAR && finding->root_place != PLACE_FAR)
		settings->seen.far_below = true;
	if (finding->file.fd >= 0)
		present_note(finding->file.stat.st_dev, finding->file_place, now_ns);
}

/* ---- in a helper thread ----------------------------------------------------------------------------- */

static void work(struct task *task)
{
	struct finding *finding = LIST_ENTRY(task, struct finding, task);
	struct exchange *exchange = &finding->stand_in;

	finding->status = files_locate(exchange, finding->settings, &finding->place);
	if (finding->status != 0) {
		finding->root_error = errno;
		return;
	}
	finding->status = files_find(exchange, finding->settings, &finding->place, &finding->file);
	finding->root_place = present_look(finding->place.root);
	if (finding->file.fd >= 0)
		finding->file_place = present_look(finding->file.fd);
}

/* ---- on the loop ------------------------------------------------------------------------------------ */

/* The stand-in goes, and with it where the type may be. */
static bool take_type(struct file *file, struct exchange *exchange)
{
	if (file->type.at == NULL)
		return true;
	file->type = str_of(arena_copy(&exchange->arena, file->type));
	return file->type.at != NULL;
}

static enum task_after done(struct task *task, struct exchange *exchange)
{
	struct finding *finding = LIST_ENTRY(task, struct finding, task);
	struct file *file = &finding->file;

	if (finding->root_error != 0)
		files_root_failed(finding->settings, finding->root_error);
	notice_all(finding, exchange->engine->loop->now_ns);
	file->far = finding->file_place == PLACE_FAR;
	if (finding->status == 0 && !take_type(file, exchange))
		finding->status = 500;
	if (finding->found(exchange, finding->settings, &finding->place, file, finding->status) == ANSWERED)
		exchange_answer(exchange);
	return TASK_OVER;
}

static void release(struct task *task)
{
	struct finding *finding = LIST_ENTRY(task, struct finding, task);

	fd_close(&finding->place.root);
	files_far_close(finding->engine, &finding->file.fd);
	generation_unpin(finding->stand_in.generation);
	arena_free(&finding->stand_in.arena);
	free(finding);
}

/* Of the request's fields the search reads those of one name. */
static bool copy_codings(struct exchange *copy, const struct exchange *exchange)
{
	const struct request *request = &exchange->request;
	struct header *headers = arena_alloc(&copy->arena, (request->header_count + 1) * sizeof(*headers));
	struct header header;
	struct str head = { "", 0 };
	unsigned index = 0, count = 0;

	copy->request.seen = request->seen & 1U << HEADER_ACCEPT_ENCODING;
	copy->request.headers = headers;
	while (headers != NULL && head.at != NULL &&
	       request_next(request, HEADER_ACCEPT_ENCODING, &index, &header)) {
		const struct str pieces[] = { head, span_str(header.value, exchange->head) };

		header.value.at = (uint32_t)head.len;
		headers[count++] = header;
		head = (struct str){ arena_join(&copy->arena, pieces, 2), head.len + header.value.len };
	}
	copy->request.header_count = count;
	copy->head = head.at;
	return headers != NULL && head.at != NULL;
}

/* The search reads the path, the codings, the route and the types. */
static bool stand_in(struct exchange *copy, const struct exchange *exchange)
{
	copy->route = exchange->route;
	copy->generation = generation_pin(exchange->generation);
	copy->path = str_of(arena_copy(&copy->arena, exchange->path));
	return copy->path.at != NULL && copy_codings(copy, exchange);
}

static struct finding *finding_new(struct exchange *exchange, const struct files_settings *settings,
				   files_found *found)
{
	struct finding *finding = calloc(1, sizeof(*finding));

	if (finding == NULL)
		return NULL;
	finding->task = (struct task){ .work = work, .done = done, .release = release, .helper = TASK_FAR };
	finding->settings = settings;
	finding->found = found;
	finding->engine = exchange->engine;
	finding->place.root = finding->file.fd = -1;
	if (stand_in(&finding->stand_in, exchange))
		return finding;
	release(&finding->task);
	return NULL;
}

enum answer files_far_find(struct exchange *exchange, const struct files_settings *settings,
			   files_found *found)
{
	struct finding *finding = finding_new(exchange, settings, found);

	if (finding == NULL)
		exchange_error(exchange, 500);
	else if (task_submit(&finding->task, exchange))
		return ANSWER_LATER;
	else
		task_refused(exchange);
	return ANSWERED;
}
