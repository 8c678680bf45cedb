/* files_body.c - how the bytes of a file get into an answer: read at once, sent by the kernel, or read piece
 * by piece; and those that are not in memory brought by a helper thread before.
 *
 * Called by files_answer.c, and by the protocol through the response; in place of the former through the
 * service's thaw, where an answer under way came from another worker. A file that is written to in place must
 * not be taken for whole: its size and times are compared with those that the head was made from before the
 * last byte goes out. Fails by cutting the connection once the head is out. */
#include "files_body.h"

#include "files_cache.h"
#include "files_read.h"

#include "http/exchange.h"

#include "base/fd.h"
#include "base/hash.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* What a body that is not in memory comes from. */
struct pieces {
	struct stat stat;               /* what the head was made from */
	uint64_t name;                  /* a hash of where the file is; 0: not looked at yet */
	struct multipart multipart;     /* its boundary is absent for one range without anything around it */
	struct str text;                /* what comes next: around the ranges */
	struct range range;             /* and then: what is left of this range */
	const struct range *next;
	unsigned left;                  /* how many there are at `next` */
	bool tail_done;
	bool far;                       /* the loop must not touch the descriptor: `brought` has its bytes */
	bool failed;                    /* a helper thread could not bring it, or not in time */
	off_t brought_at, brought_end;  /* what one has brought, last */
	uint64_t brought_ns;
	char *brought;                  /* of a far file, in the exchange's arena; NULL: nothing was yet */
};

enum { FAR_BYTES = 32 * 1024 };         /* of a far file, at a time: a client that is slow holds so many */

/* ---- whether it is still the same ---------------------------------------------------------------------- */

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_content(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && same_time(a->st_mtim, b->st_mtim);
}

/* A hash of the path that the kernel has for it now; 0 when that cannot be found out. */
static uint64_t name_of(int fd)
{
	char link[32], path[PATH_MAX];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path));
	return len > 0 ? hash_of((struct str){ path, (size_t)len }) : 0;
}

/* The time of the status changes with a file's names, too: one that was renamed, replaced by rename,
 * removed or linked while it is sent is still whole. Who writes to a file and sets its old time again is seen
 * by it. */
static bool same_but_for_names(struct pieces *pieces, int fd, const struct stat *now)
{
	uint64_t name = pieces->name;

	if (now->st_nlink == pieces->stat.st_nlink) {
		name = name_of(fd);
		if (pieces->name == 0 || name == 0 || name == pieces->name)
			return false;
	}
	pieces->stat = *now;
	pieces->name = name;
	return true;
}

static bool is_same(struct exchange *exchange, const struct stat *now)
{
	struct pieces *pieces = exchange->response.source;
	int fd = exchange->response.file_fd;

	if (!same_content(&pieces->stat, now))
		return false;
	if (!same_time(pieces->stat.st_ctim, now->st_ctim))
		return same_but_for_names(pieces, fd, now);
	if (pieces->name == 0 && exchange->sent_bytes > 0)      /* it takes longer than one transfer */
		pieces->name = name_of(fd);
	return true;
}

/* The kernel has told of nothing, which is enough between two transfers, and for what goes out in one. It
 * does not tell of what is stored through a mapping, nor of a write(2) that has not returned. */
static bool is_vouched_for(struct exchange *exchange)
{
	struct pieces *pieces = exchange->response.source;

	if (pieces->far || !files_outcome_vouches(exchange->response.holds))    /* it holds something else */
		return false;
	if (pieces->name == 0 && exchange->sent_bytes > 0)
		pieces->name = name_of(exchange->response.file_fd);
	return true;
}

/* Of a far file that was asked when its last bytes were brought. */
static bool is_unchanged(struct exchange *exchange, bool last)
{
	const struct pieces *pieces = exchange->response.source;
	struct stat now;

	if ((!last || exchange->sent_bytes == 0) && is_vouched_for(exchange))
		return true;
	return pieces->far || (fstat(exchange->response.file_fd, &now) == 0 && is_same(exchange, &now));
}

/* ---- small: one send, head and body -------------------------------------------------------------------- */

static uint64_t now_of(const struct exchange *exchange)
{
	return exchange->engine->loop->now_ns;
}

/* Reads what is in memory: 0 or less in *got says why that is not all. */
static bool read_all(const struct exchange *exchange, const struct file *file, char *at, struct range range,
		     ssize_t *got)
{
	uint64_t now_ns = now_of(exchange);

	*got = 0;
	while (range.len > 0) {
		*got = present_read(file->fd, &file->stat, at, range.len, (off_t)range.first, now_ns);
		if (*got <= 0)
			return false;
		at += *got;
		range.len -= (uint64_t)*got;
		range.first += (uint64_t)*got;
	}
	return true;
}

/* A file that gets another name at every moment has another time of its status each time, and is whole all
 * the same. What a writer was in the middle of would not be read twice alike: its time is older than both. */
static bool reads_alike(struct exchange *exchange, const struct file *file, struct range range,
			const char *bytes)
{
	struct pool *pool = &exchange->engine->pool;
	size_t size = 0;
	char *again = pool_get(pool, range.len, &size);
	ssize_t got;
	bool alike = again != NULL && read_all(exchange, file, again, range, &got) &&
		     memcmp(again, bytes, range.len) == 0;

	pool_put(pool, again, size);
	return alike;
}

enum files_body files_body_small(struct exchange *exchange, struct file *file, struct range range)
{
	char *buffer = exchange_buffer(exchange, range.len);
	struct stat before = file->stat;
	ssize_t got;

	if (buffer == NULL)
		return FILES_BODY_FAILED;
	if (!read_all(exchange, file, buffer, range, &got) && got < 0)
		return errno == EAGAIN ? FILES_BODY_COLD : FILES_BODY_FAILED;
	if (fstat(file->fd, &file->stat) < 0)
		return FILES_BODY_FAILED;
	if (got == 0 || !same_content(&before, &file->stat))
		return FILES_BODY_CHANGED;
	if (!same_time(before.st_ctim, file->stat.st_ctim) && !reads_alike(exchange, file, range, buffer))
		return FILES_BODY_CHANGED;
	exchange->response.body = BODY_MEMORY;
	exchange->response.memory = (struct str){ buffer, range.len };
	return FILES_BODY_DONE;
}

/* ---- piece by piece ------------------------------------------------------------------------------------ */

/* Prepares what follows a range that is done; false when out of memory. */
static bool next_part(struct pieces *pieces, struct arena *arena)
{
	if (pieces->left == 0) {
		pieces->tail_done = true;
		pieces->text = multipart_tail(&pieces->multipart, arena);
		return pieces->text.at != NULL;
	}
	pieces->range = *pieces->next++;
	pieces->left--;
	if (pieces->multipart.boundary.at == NULL)
		return true;
	pieces->text = multipart_head(&pieces->multipart, pieces->range, arena);
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

/* Is the next byte of the range in what a helper thread has brought, not too long ago? */
static bool is_brought(const struct pieces *pieces, off_t at, uint64_t now_ns)
{
	return at >= pieces->brought_at && at < pieces->brought_end &&
	       (pieces->far || now_ns < pieces->brought_ns + PRESENT_TRUST_NS);
}

static ssize_t copy_brought(const struct pieces *pieces, char *buffer, size_t len)
{
	memcpy(buffer, pieces->brought + (pieces->range.first - (uint64_t)pieces->brought_at), len);
	return (ssize_t)len;
}

static ssize_t read_some(const struct exchange *exchange, char *buffer, size_t len)
{
	const struct pieces *pieces = exchange->response.source;
	off_t at = (off_t)pieces->range.first;
	int fd = exchange->response.file_fd;

	if (is_brought(pieces, at, now_of(exchange))) {
		if (len > (size_t)(pieces->brought_end - at))
			len = (size_t)(pieces->brought_end - at);
		return pieces->far ? copy_brought(pieces, buffer, len) : pread(fd, buffer, len, at);
	}
	if (!pieces->far)
		return present_read(fd, &pieces->stat, buffer, len, at, now_of(exchange));
	errno = EAGAIN;
	return -1;
}

/* Takes of the range under way; 0 or less when the file has no more, or cannot be read: with EAGAIN, not
 * yet. */
static ssize_t take_bytes(const struct exchange *exchange, char *buffer, size_t room)
{
	struct pieces *pieces = exchange->response.source;
	size_t len = pieces->range.len < room ? (size_t)pieces->range.len : room;
	ssize_t got = read_some(exchange, buffer, len);

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

/* A helper thread has something, or nothing (NULL). */
static void arrived(struct exchange *exchange, const struct files_piece *piece)
{
	struct pieces *pieces = exchange->response.source;

	if (piece == NULL || piece->got < 0 || !piece->stat_known ||
	    (pieces->far && !is_same(exchange, &piece->stat))) {
		pieces->failed = true;
	} else {
		pieces->brought_at = piece->at;
		pieces->brought_end = pieces->far ? piece->at + piece->got : present_window_end(piece->at);
		pieces->brought_ns = now_of(exchange);
		if (pieces->far)
			memcpy(pieces->brought, piece->bytes, (size_t)piece->got);
	}
	exchange_resume(exchange);
}

/* Has a helper thread bring what comes at `at`, unless one is at it. */
static enum io bring(struct exchange *exchange, off_t at, uint64_t wanted)
{
	struct pieces *pieces = exchange->response.source;
	size_t len = wanted < FAR_BYTES ? (size_t)wanted : FAR_BYTES;

	if (pieces->failed)
		return IO_ERROR;
	if (exchange->task != NULL)
		return IO_AGAIN;
	if (!pieces->far) {
		files_read_ahead(exchange, &pieces->stat, at, arrived);
		return IO_AGAIN;
	}
	if (pieces->brought == NULL)
		pieces->brought = arena_alloc(&exchange->arena, FAR_BYTES);
	if (pieces->brought == NULL)
		return IO_ERROR;
	files_read_bytes(exchange, at, len, arrived);
	return IO_AGAIN;
}

/* See response.present. */
static enum io present(struct exchange *exchange, off_t at, size_t *len)
{
	const struct pieces *pieces = exchange->response.source;
	uint64_t now_ns = now_of(exchange);
	size_t ahead;

	if (is_brought(pieces, at, now_ns))
		ahead = (size_t)(pieces->brought_end - at);
	else
		ahead = present_ahead(exchange->response.file_fd, &pieces->stat, at, *len, now_ns);
	if (ahead == 0)
		return bring(exchange, at, *len);
	if (ahead < *len)
		*len = ahead;
	return IO_OK;
}

/* What take_bytes did not get. */
static enum io without_bytes(struct exchange *exchange, ssize_t taken, size_t *got)
{
	const struct pieces *pieces = exchange->response.source;

	if (taken == 0 || errno != EAGAIN)
		return cut(exchange, COUNT_FILE_SHRANK);
	return *got > 0 ? IO_OK : bring(exchange, (off_t)pieces->range.first, pieces->range.len);
}

/* Fills the buffer as far as that goes without waiting; IO_OK with nothing at the end. */
static enum io fill(struct exchange *exchange, char *buffer, size_t room, size_t *got)
{
	struct pieces *pieces = exchange->response.source;
	ssize_t taken;

	while (*got < room && !all_done(pieces)) {
		if (pieces->text.len > 0) {
			*got += take_text(pieces, buffer + *got, room - *got);
		} else if (pieces->range.len > 0) {
			taken = take_bytes(exchange, buffer + *got, room - *got);
			if (taken <= 0)
				return without_bytes(exchange, taken, got);
			*got += (size_t)taken;
		} else if (!next_part(pieces, &exchange->arena)) {
			return IO_ERROR;
		}
	}
	return IO_OK;
}

/* Nothing of a piece is sent when something goes wrong. */
static enum io pull(struct exchange *exchange, char *buffer, size_t room, size_t *got)
{
	struct pieces *pieces = exchange->response.source;
	bool was_done = ranges_done(pieces);
	size_t len = 0;
	enum io io = fill(exchange, buffer, room, &len);

	if (io != IO_OK)
		return io;
	if (!was_done && ranges_done(pieces) && !is_unchanged(exchange, true))
		return cut(exchange, COUNT_FILE_CHANGED);
	if (pieces->name == 0 && !ranges_done(pieces))
		pieces->name = name_of(exchange->response.file_fd);
	*got = len;
	return len > 0 ? IO_OK : IO_EOF;
}

/* ---- to another worker --------------------------------------------------------------------------------- */

/* Of the stat only what is compared. What is read is copied into `arena`. */
static void record_pieces(struct pieces *pieces, struct record *record, struct arena *arena)
{
	struct stat *stat = &pieces->stat;
	struct str ranges = { (const char *)pieces->next, pieces->left * sizeof(pieces->next[0]) };

	record_raw(record, &stat->st_dev, sizeof(stat->st_dev));
	record_raw(record, &stat->st_ino, sizeof(stat->st_ino));
	record_raw(record, &stat->st_size, sizeof(stat->st_size));
	record_raw(record, &stat->st_nlink, sizeof(stat->st_nlink));
	record_raw(record, &stat->st_mtim, sizeof(stat->st_mtim));
	record_raw(record, &stat->st_ctim, sizeof(stat->st_ctim));
	record_u64(record, &pieces->name);
	record_text(record, &pieces->multipart.boundary, arena);
	record_text(record, &pieces->multipart.type, arena);
	record_u64(record, &pieces->multipart.length);
	record_text(record, &pieces->text, arena);
	record_raw(record, &pieces->range, sizeof(pieces->range));
	record_text(record, &ranges, arena);
	record_bool(record, &pieces->tail_done);
	record_bool(record, &pieces->far);
	pieces->next = (const void *)ranges.at;
	pieces->left = (unsigned)(ranges.len / sizeof(pieces->next[0]));
}

static bool freeze(const struct exchange *exchange, struct record *record)
{
	struct pieces copy = *(const struct pieces *)exchange->response.source;

	record_pieces(&copy, record, NULL);
	return !record->bad;
}

static void use_pieces(struct response *response)
{
	response->unchanged = is_unchanged;
	response->present = present;
	response->pull = pull;
	response->freeze = freeze;
}

bool files_body_thaw(struct exchange *exchange, struct record *record)
{
	struct pieces *pieces = arena_alloc(&exchange->arena, sizeof(*pieces));

	if (pieces == NULL)
		return false;
	record_pieces(pieces, record, &exchange->arena);
	exchange->response.source = pieces;
	use_pieces(&exchange->response);
	return !record->bad && (!pieces->far || files_far_hold(exchange));
}

/* ---- large, or several --------------------------------------------------------------------------------- */

static struct pieces *pieces_of(struct exchange *exchange, struct file *file)
{
	struct pieces *pieces = arena_alloc(&exchange->arena, sizeof(*pieces));

	if (pieces == NULL)
		return NULL;
	pieces->stat = file->stat;
	pieces->far = file->far;
	exchange->response.source = pieces;
	exchange->response.file_fd = fd_take(&file->fd);
	if (!pieces->far)
		return pieces;
	pieces->name = name_of(exchange->response.file_fd);     /* it may be renamed while it is brought */
	return files_far_hold(exchange) ? pieces : NULL;
}

enum files_body files_body_large(struct exchange *exchange, struct file *file, struct range range,
				 bool copied)
{
	struct pieces *pieces = pieces_of(exchange, file);

	if (pieces == NULL)
		return FILES_BODY_FAILED;
	pieces->range = range;
	exchange->response.body = copied || pieces->far ? BODY_STREAM : BODY_FILE;
	exchange->response.offset = (off_t)range.first;
	use_pieces(&exchange->response);
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
	exchange->response.body = BODY_STREAM;
	use_pieces(&exchange->response);
	return FILES_BODY_DONE;
}
