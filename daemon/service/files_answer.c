/* files_answer.c - what is said about a file that was found: validators, conditions, ranges.
 *
 * Called by files.c. Only what fstat says of the descriptor counts, so that a file that is replaced meanwhile
 * is answered whole, as it was or as it is. Fails with a 500 when out of memory. */
#include "files_answer.h"

#include "files_body.h"

#include "http/conditional.h"
#include "http/exchange.h"
#include "http/response.h"

#include "base/clock.h"

#include <sys/random.h>

enum {
	WEAK_SECONDS = 2,       /* a clock of a file system ticks once in so much; most are faster */
	WARM_SECONDS = 3,       /* what changed just now may do so again; copying it costs three times */
	TRIES = 4,              /* to read a small file that is written to */
	FEW_PARTS = 16,         /* so many may make an answer longer than the whole file */
	ETAG_BYTES = 64,
};

/* One attempt to answer. */
struct attempt {
	struct exchange *exchange;
	struct file *file;
	struct validators validators;
	const char *weak_etag;          /* validators.etag begins behind its "W/" */
	time_t now;
};

/* ---- validators (RFC 9110, 8.8) ------------------------------------------------------------------------ */

/* True when `when` is less than `seconds` ago, or to come.  The clock is asked only when the second of this
 * turn leaves a doubt. */
static bool is_younger(struct timespec when, time_t seconds, time_t now)
{
	struct timespec precise;

	if (when.tv_sec < now - seconds)        /* a file may have the largest time that there is */
		return false;
	precise = clock_wall();
	precise.tv_sec -= seconds;
	return when.tv_sec > precise.tv_sec ||
	       (when.tv_sec == precise.tv_sec && when.tv_nsec > precise.tv_nsec);
}

static char *put_hex(char *out, uint64_t number)
{
	char digits[16];
	size_t at = sizeof(digits);

	do
		digits[--at] = "0123456789abcdef"[number % 16];
	while ((number /= 16) > 0);
	memcpy(out, digits + at, sizeof(digits) - at);
	return out + sizeof(digits) - at;
}

/* Size and time, in hexadecimal, and the coding: the file that holds the same in another one may have both.
 * The inode's number is nobody's business, and another one on each machine that serves the same tree. */
static const char *etag_of(const struct file *file, struct arena *arena)
{
	uint64_t mtime = (uint64_t)file->stat.st_mtim.tv_sec * CLOCK_S + (uint64_t)file->stat.st_mtim.tv_nsec;
	char *text = arena_alloc(arena, ETAG_BYTES + file->coding.len), *at = text;

	if (text == NULL)
		return NULL;
	memcpy(at, "W/\"", 3);
	at = put_hex(at + 3, (uint64_t)file->stat.st_size);
	*at++ = '-';
	at = put_hex(at, mtime);
	if (file->coding.len > 0) {
		*at++ = '-';
		memcpy(at, file->coding.at, file->coding.len);
		at += file->coding.len;
	}
	*at = '"';                      /* the arena's bytes are zeroes */
	return text;
}

/* 8.8.1: what may change again without another time is told by a weak tag only, and by no date at all. */
static bool take_validators(struct attempt *attempt)
{
	const struct file *file = attempt->file;
	time_t modified = file->stat.st_mtim.tv_sec;
	const char *text = etag_of(file, &attempt->exchange->arena);

	if (text == NULL)
		return false;
	attempt->weak_etag = text;
	attempt->validators = (struct validators){
		.etag = str_of(text + 2),
		.weak = is_younger(file->stat.st_mtim, WEAK_SECONDS, attempt->now),
		.modified = modified < attempt->now ? modified : attempt->now,  /* 8.8.2.1 */
	};
	attempt->validators.modified_strong = !attempt->validators.weak;
	return true;
}

/* ---- the head ------------------------------------------------------------------------------------------ */

static struct str vary_of(const struct file *file)
{
	return str_of(file->negotiable ? "Accept-Encoding" : NULL);
}

static struct str etag_sent(const struct attempt *attempt)
{
	return attempt->validators.weak ? str_of(attempt->weak_etag) : attempt->validators.etag;
}

static void fail(const struct attempt *attempt, unsigned status)
{
	exchange_error(attempt->exchange, status);
	if (status != 500)
		attempt->exchange->response.vary = vary_of(attempt->file);
}

/* RFC 9110, 15.4.5: the tag tells the client all; it has the rest. */
static void not_modified(const struct attempt *attempt)
{
	exchange_drop_body(attempt->exchange);
	attempt->exchange->response = (struct response){
		.status = 304,
		.media_type = attempt->file->type,
		.etag = etag_sent(attempt),
		.vary = vary_of(attempt->file),
		.file_fd = -1,
	};
}

static void fill_head(const struct attempt *attempt)
{
	const struct file *file = attempt->file;

	exchange_drop_body(attempt->exchange);
	attempt->exchange->response = (struct response){
		.status = 200,
		.content_type = file->type,
		.media_type = file->type,
		.content_encoding = file->coding.len > 0 ? file->coding : (struct str){ 0 },
		.etag = etag_sent(attempt),
		.last_modified_known = true,
		.last_modified = attempt->validators.modified,
		.vary = vary_of(file),
		.accept_ranges = true,
		.length_known = true,
		.length = (uint64_t)file->stat.st_size,
		.body = BODY_NONE,
		.file_fd = -1,
	};
}

/* ---- the body ------------------------------------------------------------------------------------------ */

static bool is_warm(const struct attempt *attempt)
{
	const struct stat *stat = &attempt->file->stat;

	return is_younger(stat->st_mtim, WARM_SECONDS, attempt->now) ||
	       is_younger(stat->st_ctim, WARM_SECONDS, attempt->now);
}

/* They are there already. */
static enum files_body give_bytes(const struct attempt *attempt, struct range range)
{
	attempt->exchange->response.body = BODY_MEMORY;
	attempt->exchange->response.memory = (struct str){ attempt->file->bytes + range.first, range.len };
	return FILES_BODY_DONE;
}

/* `small`: it may be read at once.  The client of a HEAD gets none, and costs no reading. */
static enum files_body give_range(const struct attempt *attempt, struct range range, bool small)
{
	enum files_body body = FILES_BODY_COLD;

	attempt->exchange->response.length = range.len;
	if (range.len == 0 || attempt->exchange->request.method == METHOD_HEAD)
		return FILES_BODY_DONE;
	if (attempt->file->bytes != NULL)
		return give_bytes(attempt, range);
	if (small && range.len <= FILES_BODY_SMALL_BYTES && !attempt->file->far)
		body = files_body_small(attempt->exchange, attempt->file, range);
	if (body != FILES_BODY_COLD)
		return body;
	exchange_drop_body(attempt->exchange);
	return files_body_large(attempt->exchange, attempt->file, range, is_warm(attempt));
}

static enum files_body give_whole(const struct attempt *attempt, bool small)
{
	return give_range(attempt, (struct range){ 0, (uint64_t)attempt->file->stat.st_size }, small);
}

static enum files_body give_part(const struct attempt *attempt, struct range range, bool small)
{
	struct response *response = &attempt->exchange->response;

	response->status = 206;
	response->content_range = multipart_content_range(range, (uint64_t)attempt->file->stat.st_size,
							  &attempt->exchange->arena);
	return response->content_range.at != NULL ? give_range(attempt, range, small) : FILES_BODY_FAILED;
}

/* Nobody can know it before, so no file contains it, not even one that was made for that. */
static struct str boundary_of(struct exchange *exchange)
{
	uint64_t random = exchange->number;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = exchange->number;
	return str_of(arena_printf(&exchange->arena, "%016llx%016llx",
				   (unsigned long long)exchange->instance, (unsigned long long)random));
}

static enum files_body give_parts(const struct attempt *attempt, const struct ranges *ranges, bool small)
{
	struct exchange *exchange = attempt->exchange;
	struct response *response = &exchange->response;
	uint64_t length = (uint64_t)attempt->file->stat.st_size;
	struct multipart multipart = { boundary_of(exchange), response->content_type, length };
	const char *type = arena_printf(&exchange->arena, "multipart/byteranges; boundary=%s",
					multipart.boundary.at != NULL ? multipart.boundary.at : "");

	if (multipart.boundary.at == NULL || type == NULL)
		return FILES_BODY_FAILED;
	if (ranges->count > FEW_PARTS && multipart_length(&multipart, ranges) >= length)
		return give_whole(attempt, small);
	response->status = 206;
	response->content_type = str_of(type);
	response->length = multipart_length(&multipart, ranges);
	return files_body_parts(exchange, attempt->file, ranges, &multipart);
}

/* The one Range field of a GET (RFC 9110, 14.2); two are no range set. */
static enum range_result wanted_ranges(const struct attempt *attempt, struct ranges *ranges)
{
	const struct exchange *exchange = attempt->exchange;
	const struct request *request = &exchange->request;
	struct header header;

	if (request->method != METHOD_GET || !request_only(request, HEADER_RANGE, &header) ||
	    !conditional_if_range(request, exchange->head, &attempt->validators, attempt->now))
		return RANGE_IGNORED;
	return range_parse(span_str(header.value, exchange->head), (uint64_t)attempt->file->stat.st_size,
			   ranges);
}

static enum files_body not_satisfiable(const struct attempt *attempt)
{
	struct response *response = &attempt->exchange->response;

	fail(attempt, 416);
	response->content_range = str_of(arena_printf(&attempt->exchange->arena, "bytes */%llu",
						      (unsigned long long)attempt->file->stat.st_size));
	response->accept_ranges = true;
	return FILES_BODY_DONE;
}

static enum files_body give_body(const struct attempt *attempt, bool small)
{
	struct ranges ranges;

	switch (wanted_ranges(attempt, &ranges)) {
	case RANGE_NONE:
		return not_satisfiable(attempt);
	case RANGE_SOME:
		return ranges.count == 1 ? give_part(attempt, ranges.at[0], small)
					 : give_parts(attempt, &ranges, small);
	default:
		return give_whole(attempt, small);
	}
}

/* ---- answering ----------------------------------------------------------------------------------------- */

static enum files_body answer_once(struct exchange *exchange, struct file *file, bool small)
{
	struct attempt attempt = { exchange, file, .now = wall_clock(exchange->engine->loop)->now };
	unsigned status;

	if (!take_validators(&attempt))
		return FILES_BODY_FAILED;
	status = conditional_status(&exchange->request, exchange->head, &attempt.validators, attempt.now);
	if (status == 0) {
		fill_head(&attempt);
		return give_body(&attempt, small);
	}
	if (status == 304)
		not_modified(&attempt);
	else
		fail(&attempt, status);
	return FILES_BODY_DONE;
}

/* A request with more to it than a name, and tags that the client has, would get another answer at another
 * time, as would one for a file whose tag is weak because it is young. */
static bool is_plain(const struct exchange *exchange)
{
	static const enum header_id more[] = { HEADER_RANGE, HEADER_IF_RANGE, HEADER_IF_MATCH,
					       HEADER_IF_UNMODIFIED_SINCE };
	const struct request *request = &exchange->request;
	unsigned status = exchange->response.status;

	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		if (request_saw(request, more[i]))
			return false;
	if (request_saw(request, HEADER_IF_MODIFIED_SINCE) && !request_saw(request, HEADER_IF_NONE_MATCH))
		return false;
	return (status == 200 || status == 304) &&
	       !str_has_prefix(exchange->response.etag, str_of("W/"));
}

/* What the answer is made of stays as long as it is sent. */
static void hold(struct exchange *exchange, const struct file *file)
{
	struct response *response = &exchange->response;

	if (file->holds == NULL || response->is_error)
		return;
	response->holds = lasting_pin(file->holds);
	response->memory_lasts = response->body == BODY_MEMORY && file->bytes != NULL;
	response->file_lasts = response->file_fd >= 0;
	if (file->kept && is_plain(exchange))
		response->lasting = lasting_pin(file->holds);
}

enum answer files_answer(struct exchange *exchange, struct file *file)
{
	enum files_body body = FILES_BODY_CHANGED;

	for (unsigned tries = 0; body == FILES_BODY_CHANGED; tries++)
		body = answer_once(exchange, file, tries < TRIES);      /* the last one is cut if it must */
	hold(exchange, file);
	if (body == FILES_BODY_FAILED)
		exchange_error(exchange, 500);
	return ANSWERED;
}
