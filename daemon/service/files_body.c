/* files_body.c - how the bytes of a file get into an answer: read at once, sent by the kernel, or read piece
 * by piece.
 *
 * Called by files_answer.c, and by the protocol through the response. A file that is written to in place must
 * not be taken for whole: its size and times are compared with those that the head was made from before the
 * last byte goes out. Fails by cutting the connection once the head is out. */
#include "files_body.h"

#include "http/exchange.h"

#include "base/fd.h"

#include <unistd.h>

/* ---- whether it is still the same ---------------------------------------------------------------------- */

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* The status changes with the number of names, too: a file that is replaced by rename, or removed, while it
 * is sent has lost one, and is still whole. */
static bool same_version(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && same_time(a->st_mtim, b->st_mtim) &&
	       (same_time(a->st_ctim, b->st_ctim) || a->st_nlink != b->st_nlink);
}

/* What a body that is not in memory comes from. */
struct pieces {
	struct stat stat;               /* what the head was made from */
	struct multipart multipart;     /* its boundary is absent for one range without anything around it */
	struct str text;                /* what comes next: around the ranges */
	struct range range;             /* and then: what is left of this range */
	const struct range *next;
	unsigned left;                  /* how many there are at `next` */
	bool first, tail_done;
};

static bool is_unchanged(struct exchange *exchange)
{
	const struct pieces *pieces = exchange->response.source;
	struct stat now;

	return fstat(exchange->response.file_fd, &now) == 0 && same_version(&pieces->stat, &now);
}

/* ---- small: one send, head and body -------------------------------------------------------------------- */

static bool read_all(int fd, char *at, size_t len, uint64_t offset, ssize_t *got)
{
	*got = 0;
	while (len > 0) {
		*got = pread(fd, at, len, (off_t)offset);
		if (*got <= 0)
			return false;
		at += *got;
		len -= (size_t)*got;
		offset += (uint64_t)*got;
	}
	return true;
}

enum files_body files_body_small(struct exchange *exchange, struct file *file, struct range range)
{
	char *buffer = exchange_buffer(exchange, range.len);
	struct stat before = file->stat;
	ssize_t got;

	if (buffer == NULL)
		return FILES_BODY_FAILED;
	if (!read_all(file->fd, buffer, range.len, range.first, &got) && got < 0)
		return FILES_BODY_FAILED;
	if (fstat(file->fd, &file->stat) < 0)
		return FILES_BODY_FAILED;
	if (got == 0 || !same_version(&before, &file->stat))
		return FILES_BODY_CHANGED;
	exchange->response.body = BODY_MEMORY;
	exchange->response.memory = (struct str){ buffer, range.len };
	return FILES_BODY_DONE;
}

/* ---- piece by piece ------------------------------------------------------------------------------------ */

/* Prepares what follows a range that is done; false when out of memory. */
static bool next_part(struct pieces *pieces, struct arena *arena)
{
	bool first = pieces->first;

	pieces->first = false;
	if (pieces->left == 0) {
		pieces->tail_done = true;
		pieces->text = multipart_tail(&pieces->multipart, arena);
		return pieces->text.at != NULL;
	}
	pieces->range = *pieces->next++;
	pieces->left--;
	if (pieces->multipart.boundary.at == NULL)
		return true;
	pieces->text = multipart_head(&pieces->multipart, pieces->range, first, arena);
	return pieces->text.at != NULL;
}

static bool ranges_done(const struct pieces *pieces)
{
	return pieces->left == 0 && pieces->range.len == 0;
}

static bool all_done(const struct pieces *pieces)
{
	return ranges_done(pieces) && pieces->text.len == 0 &&
	       (pieces->tail_done || pieces->multipart.boundary.at == NULL);
}

static size_t take_text(struct pieces *pieces, char *buffer, size_t room)
{
	size_t len = pieces->text.len < room ? pieces->text.len : room;

	if (len > 0)
		memcpy(buffer, pieces->text.at, len);
	pieces->text.at += len;
	pieces->text.len -= len;
	return len;
}

/* Reads of the range under way; 0 or less when the file has no more, or cannot be read. */
static ssize_t take_bytes(struct pieces *pieces, int fd, char *buffer, size_t room)
{
	size_t len = pieces->range.len < room ? (size_t)pieces->range.len : room;
	ssize_t got = pread(fd, buffer, len, (off_t)pieces->range.first);

	if (got > 0) {
		pieces->range.first += (uint64_t)got;
		pieces->range.len -= (uint64_t)got;
	}
	return got;
}

static enum io cut(struct exchange *exchange, enum counter reason)
{
	engine_count(exchange->engine, reason);
	return IO_ERROR;
}

/* Nothing of a piece is sent when something goes wrong. */
static enum io pull(struct exchange *exchange, char *buffer, size_t room, size_t *got)
{
	struct pieces *pieces = exchange->response.source;
	bool was_done = ranges_done(pieces);
	size_t len = 0;
	ssize_t taken;

	while (len < room && !all_done(pieces)) {
		if (pieces->text.len > 0) {
			len += take_text(pieces, buffer + len, room - len);
		} else if (pieces->range.len > 0) {
			taken = take_bytes(pieces, exchange->response.file_fd, buffer + len, room - len);
			if (taken <= 0)
				return cut(exchange, COUNT_FILE_SHRANK);
			len += (size_t)taken;
		} else if (!next_part(pieces, &exchange->arena)) {
			return IO_ERROR;
		}
	}
	if (!was_done && ranges_done(pieces) && !is_unchanged(exchange))
		return cut(exchange, COUNT_FILE_CHANGED);
	*got = len;
	return len > 0 ? IO_OK : IO_EOF;
}

static struct pieces *pieces_of(struct exchange *exchange, struct file *file)
{
	struct pieces *pieces = arena_alloc(&exchange->arena, sizeof(*pieces));

	if (pieces == NULL)
		return NULL;
	pieces->stat = file->stat;
	exchange->response.source = pieces;
	exchange->response.file_fd = fd_take(&file->fd);
	return pieces;
}

enum files_body files_body_large(struct exchange *exchange, struct file *file, struct range range,
				 bool copied)
{
	struct pieces *pieces = pieces_of(exchange, file);

	if (pieces == NULL)
		return FILES_BODY_FAILED;
	pieces->range = range;
	exchange->response.body = copied ? BODY_STREAM : BODY_FILE;
	exchange->response.offset = (off_t)range.first;
	exchange->response.unchanged = is_unchanged;
	exchange->response.pull = pull;
	return FILES_BODY_DONE;
}

enum files_body files_body_parts(struct exchange *exchange, struct file *file, const struct ranges *ranges,
				 const struct multipart *multipart)
{
	size_t size = ranges->count * sizeof(ranges->at[0]);
	struct range *copy = arena_alloc(&exchange->arena, size);
	struct pieces *pieces = copy != NULL ? pieces_of(exchange, file) : NULL;

	if (pieces == NULL)
		return FILES_BODY_FAILED;
	memcpy(copy, ranges->at, size);
	pieces->multipart = *multipart;
	pieces->next = copy;
	pieces->left = ranges->count;
	pieces->first = true;
	exchange->response.body = BODY_STREAM;
	exchange->response.pull = pull;
	return FILES_BODY_DONE;
}
