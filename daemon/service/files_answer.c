/* files_answer.c - what is said about a file that was found, and its bytes.
 *
 * Called by files.c. Only what fstat says of the descriptor counts. Fails with a 500 when out of memory. */
#include "files_answer.h"

#include "http/date.h"
#include "http/exchange.h"
#include "http/mime.h"
#include "http/response.h"

#include "base/clock.h"
#include "base/fd.h"

/* ---- validators (RFC 9110, 8.8 and 13.1) ------------------------------------------------------------ */

static const char *etag_of(const struct stat *stat, struct arena *arena)
{
	unsigned long long mtime = (unsigned long long)stat->st_mtim.tv_sec * CLOCK_S +
				   (unsigned long long)stat->st_mtim.tv_nsec;

	return arena_printf(arena, "\"%llx-%llx\"", (unsigned long long)stat->st_size, mtime);
}

/* The weak comparison: W/"x" equals "x". */
static bool list_has_etag(struct str list, struct str etag)
{
	struct str element;

	while (str_next_element(&list, &element)) {
		if (str_has_prefix(element, str_of("W/")))
			element = (struct str){ element.at + 2, element.len - 2 };
		if (str_equal(element, etag) || str_equal(element, str_of("*")))
			return true;
	}
	return false;
}

/* If-None-Match; `*present` says whether there was one at all. */
static bool none_match(const struct exchange *exchange, struct str etag, bool *present)
{
	struct header header;
	unsigned index = 0;

	while (request_next(&exchange->request, HEADER_IF_NONE_MATCH, &index, &header)) {
		*present = true;
		if (list_has_etag(span_str(header.value, exchange->head), etag))
			return true;
	}
	return false;
}

static bool unmodified_since(const struct exchange *exchange, time_t modified, time_t now)
{
	struct header header;
	unsigned index = 0;
	time_t since;

	return request_next(&exchange->request, HEADER_IF_MODIFIED_SINCE, &index, &header) &&
	       date_parse(span_str(header.value, exchange->head), now, &since) && modified <= since;
}

/* True when the client has it already. */
static bool is_fresh(const struct exchange *exchange, struct str etag, time_t modified, time_t now)
{
	bool present = false, match = none_match(exchange, etag, &present);

	return present ? match : unmodified_since(exchange, modified, now);
}

/* ---- answering ---------------------------------------------------------------------------------------- */

enum answer files_answer(struct exchange *exchange, struct file *file)
{
	time_t now = wall_clock(exchange->engine->loop)->now;
	time_t modified = file->stat.st_mtim.tv_sec < now ? file->stat.st_mtim.tv_sec : now;
	struct str etag = str_of(etag_of(&file->stat, &exchange->arena));

	if (etag.at == NULL) {
		exchange_error(exchange, 500);
		return ANSWERED;
	}
	exchange->response = (struct response){
		.status = 200,
		.content_type = mime_type(file->name),
		.etag = etag, .last_modified = modified > 0 ? modified : 0,
		.length_known = true, .length = (uint64_t)file->stat.st_size,
		.body = file->stat.st_size > 0 ? BODY_FILE : BODY_NONE,
		.file_fd = -1,
	};
	if (!is_fresh(exchange, etag, modified, now)) {
		exchange->response.file_fd = fd_take(&file->fd);
		return ANSWERED;
	}
	exchange->response.status = 304;
	exchange->response.body = BODY_NONE;
	return ANSWERED;
}
