/* user_file.c - reading files of users.  Called by auth.c: the check at PREPARE and in the checker, the
 * look-up by the helper thread.  Fails with `err`, which says the line but nothing of its content: a log is
 * no place for hashes. */
#include "user_file.h"

#include "base/fd.h"
#include "base/names.h"
#include "config/credential.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

enum {
	PIECE_BYTES = 16 * 1024,
	SETTLED_S = 2,          /* file systems keep times in seconds, some in two */
};

/* ---- marks ------------------------------------------------------------------------------------------- */

struct file_mark file_mark_of(const struct stat *stat)
{
	return (struct file_mark){
		.device = stat->st_dev,
		.inode = stat->st_ino,
		.bytes = (uint64_t)stat->st_size,
		.modified_s = (uint64_t)stat->st_mtim.tv_sec,
		.modified_ns = (uint64_t)stat->st_mtim.tv_nsec,
		.changed_s = (uint64_t)stat->st_ctim.tv_sec,
		.changed_ns = (uint64_t)stat->st_ctim.tv_nsec,
	};
}

bool user_file_settled(const struct file_mark *mark, int64_t now_s)
{
	return now_s - (int64_t)mark->changed_s >= SETTLED_S;
}

/* ---- a line ------------------------------------------------------------------------------------------ */

/* The methods whose result has a fixed length behind the last "$": a hash that was cut is found before
 * somebody cannot log in. */
static const struct method {
	struct str prefix;
	size_t digest;
} methods[] = {
	{ { "$y$", 3 }, 43 },  { { "$gy$", 4 }, 43 }, { { "$7$", 3 }, 43 },
	{ { "$2a$", 4 }, 53 }, { { "$2b$", 4 }, 53 }, { { "$2y$", 4 }, 53 },
	{ { "$6$", 3 }, 86 },  { { "$5$", 3 }, 43 },  { { "$1$", 3 }, 22 },
};

static bool is_whole(struct str hash)
{
	const char *last = memrchr(hash.at, '$', hash.len);

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (str_has_prefix(hash, methods[i].prefix))
			return (size_t)(hash.at + hash.len - last) - 1 == methods[i].digest;
	return true;
}

/* Without the "$" it would be a hash of the 1970s, which everybody breaks, or a password as it is. */
static bool check_hash(struct str hash, struct err *err)
{
	char text[USER_FILE_HASH_BYTES];
	int salt;

	if (hash.len == 0)
		return err_set(err, "no hash; who shall not log in has \"*\"");
	if (hash.at[0] == '*' || hash.at[0] == '!')
		return true;
	if (hash.len >= sizeof(text))
		return err_set(err, "the hash is longer than %d bytes", USER_FILE_HASH_BYTES - 1);
	memcpy(text, hash.at, hash.len);
	text[hash.len] = '\0';
	salt = crypt_checksalt(text);
	if (hash.at[0] != '$' || (salt != CRYPT_SALT_OK && salt != CRYPT_SALT_METHOD_LEGACY))
		return err_set(err, "no hash that crypt(3) takes; `mkpasswd` and `htpasswd -B` make some");
	return is_whole(hash) || err_set(err, "the hash is not whole");
}

/* What credentials can be (RFC 7617, 2): without a colon, which ended it here, and control characters. */
static bool check_user(struct str user, struct err *err)
{
	if (user.len == 0)
		return err_set(err, "no user in front of the colon");
	if (user.len > UINT8_MAX)
		return err_set(err, "the user's name is longer than %d bytes", UINT8_MAX);
	for (size_t i = 0; i < user.len; i++)
		if ((unsigned char)user.at[i] < 0x20 || user.at[i] == 0x7f)
			return err_set(err, "a control character in the user's name");
	return true;
}

bool user_line_parse(struct str text, struct user_line *line, struct err *err)
{
	struct user_line found = { 0 };
	const char *colon, *next;

	if (text.len > 0 && text.at[text.len - 1] == '\r')
		text.len--;
	if (text.len == 0 || text.at[0] == '#' || str_trim(text).len == 0) {
		*line = found;
		return true;
	}
	colon = memchr(text.at, ':', text.len);
	if (colon == NULL)
		return err_set(err, "no colon; a line is user:hash");
	found.user = (struct str){ text.at, (size_t)(colon - text.at) };
	found.hash = (struct str){ colon + 1, text.len - found.user.len - 1 };
	next = found.hash.len > 0 ? memchr(found.hash.at, ':', found.hash.len) : NULL;
	if (next != NULL)
		found.hash.len = (size_t)(next - found.hash.at);
	if (!check_user(found.user, err) || !check_hash(found.hash, err))
		return false;
	*line = found;
	return true;
}

/* ---- a file ------------------------------------------------------------------------------------------ */

static bool is_credential(const char *path)
{
	const char *directory = credential_directory();
	size_t len = directory != NULL ? strlen(directory) : 0;

	return len > 0 && strncmp(path, directory, len) == 0 && path[len] == '/';
}

/* It might have been replaced by a FIFO, whose open would wait, or by a device. */
static int open_file(const char *path, struct stat *stat, struct err *err)
{
	int fd AUTO_CLOSE = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 && errno == EACCES && is_credential(path))
		return err_set(err,
			       "%s: %s (workers read it as uid %u, and a credential is the unit's user's: "
			       "name"
			       " that by User= in the unit, not by user here)",
			       path, strerror(errno), geteuid()),
		       -1;
	if (fd < 0 && errno == EACCES)  /* root who reads "permission denied" wants to know whose */
		return err_set(err, "%s: %s (workers read it as uid %u)", path, strerror(errno), geteuid()),
		       -1;
	if (fd < 0 || fstat(fd, stat) < 0)
		return err_sys(err, errno, "%s", path), -1;
	if (!S_ISREG(stat->st_mode))
		return err_set(err, "%s: no regular file", path), -1;
	if (stat->st_size > USER_FILE_BYTES)
		return err_set(err, "%s: larger than %d MiB", path, USER_FILE_BYTES / 1024 / 1024), -1;
	return fd_take(&fd);
}

/* Lines of a file, a piece at a time. */
struct reader {
	int fd;
	const char *path;
	unsigned line;                  /* the number of the last one that was taken */
	size_t at, len, total;
	bool ended;
	char bytes[PIECE_BYTES];
};

enum next { NEXT_LINE, NEXT_END, NEXT_ERROR };

/* Moves what is left to the front and reads on. */
static bool fill(struct reader *reader, struct err *err)
{
	ssize_t got;

	memmove(reader->bytes, reader->bytes + reader->at, reader->len - reader->at);
	reader->len -= reader->at;
	reader->at = 0;
	do
		got = pread(reader->fd, reader->bytes + reader->len, sizeof(reader->bytes) - reader->len,
			    (off_t)reader->total);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_sys(err, errno, "%s", reader->path);
	reader->total += (size_t)got;
	if (reader->total > USER_FILE_BYTES)
		return err_set(err, "%s: it grows while it is read", reader->path);
	reader->ended = got == 0;
	reader->len += (size_t)got;
	return true;
}

/* The next line without its end, which the last one may lack. */
static enum next next_line(struct reader *reader, struct str *line, struct err *err)
{
	size_t left = reader->len - reader->at;
	const char *end = left > 0 ? memchr(reader->bytes + reader->at, '\n', left) : NULL;

	while (end == NULL && !reader->ended && left <= USER_FILE_LINE_BYTES) {
		if (!fill(reader, err))
			return NEXT_ERROR;
		left = reader->len;
		end = left > 0 ? memchr(reader->bytes, '\n', left) : NULL;
	}
	if (left == 0)
		return NEXT_END;
	*line = (struct str){ reader->bytes + reader->at,
			      end != NULL ? (size_t)(end - reader->bytes) - reader->at : left };
	reader->line++;
	if (line->len > USER_FILE_LINE_BYTES) {
		err_set(err, "%s:%u: longer than %d bytes", reader->path, reader->line, USER_FILE_LINE_BYTES);
		return NEXT_ERROR;
	}
	reader->at += line->len + (end != NULL);
	return NEXT_LINE;
}

/* The next line that names a user. */
static enum next next_user(struct reader *reader, struct user_line *user, struct err *err)
{
	enum next next;
	struct str line;

	do {
		*user = (struct user_line){ 0 };
		next = next_line(reader, &line, err);
		if (next != NEXT_LINE)
			return next;
		if (!user_line_parse(line, user, err)) {
			err_add(err, "%s:%u", reader->path, reader->line);
			return NEXT_ERROR;
		}
	} while (user->user.at == NULL);
	return NEXT_LINE;
}

/* ---- the look-up ------------------------------------------------------------------------------------- */

/* splitmix64: which of the others an unknown user is taken for. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);

	mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
	return mixed ^ mixed >> 31;
}

static void keep_hash(struct user_lookup *lookup, struct str hash)
{
	memcpy(lookup->hash, hash.at, hash.len);        /* check_hash saw to its length */
	lookup->hash[hash.len] = '\0';
}

/* One user of the file. An unknown one gets each hash with the same probability, so that nobody can tell a
 * stranger from a user by the kind of hash; whoever cannot log in is such a stranger. */
static void consider(struct user_lookup *lookup, const struct user_line *line, uint64_t *state,
		     uint64_t *count)
{
	bool is_it = str_equal(line->user, str_of(lookup->user));

	if (line->hash.at[0] == '*' || line->hash.at[0] == '!')
		return;
	++*count;
	if (lookup->known)              /* the first one counts; the check refuses a second one */
		return;
	lookup->known = is_it;
	if (next_random(state) % *count == 0 || is_it)
		keep_hash(lookup, line->hash);
}

static bool find(struct reader *reader, struct user_lookup *lookup, struct err *err)
{
	uint64_t state = lookup->seed, count = 0;
	struct user_line line;
	enum next next;

	for (next = next_user(reader, &line, err); next == NEXT_LINE; next = next_user(reader, &line, err))
		consider(lookup, &line, &state, &count);
	return next == NEXT_END;
}

bool user_file_find(const char *path, struct user_lookup *lookup, struct err *err)
{
	struct stat before, after;
	int fd AUTO_CLOSE = open_file(path, &before, err);
	struct reader reader = { .fd = fd, .path = path };
	struct file_mark now;

	lookup->known = lookup->steady = false;
	lookup->hash[0] = '\0';
	if (fd < 0 || !find(&reader, lookup, err))
		return false;
	if (fstat(fd, &after) < 0)
		return err_sys(err, errno, "%s", path);
	lookup->mark = file_mark_of(&before);
	now = file_mark_of(&after);
	lookup->steady = memcmp(&lookup->mark, &now, sizeof(now)) == 0;
	return true;
}

/* ---- the check --------------------------------------------------------------------------------------- */

static bool check_user_once(struct names *names, char *copy, struct reader *reader, struct err *err)
{
	enum names_result result = names_add(names, str_of(copy));

	if (result == NAMES_NEW)
		return true;
	if (result == NAMES_NO_MEMORY)
		return err_set(err, "%s: out of memory", reader->path);
	return err_set(err, "%s:%u: the user is there already", reader->path, reader->line);
}

/* `copies` has room for all names of a file of its size. */
static bool check_users(struct reader *reader, char *copies, size_t room, struct err *err)
{
	struct names names = { 0 };
	struct user_line line;
	bool good = true;
	enum next next;

	for (next = next_user(reader, &line, err); next == NEXT_LINE; next = next_user(reader, &line, err)) {
		if (line.user.len >= room) {
			good = err_set(err, "%s: it grows while it is read", reader->path);
			break;
		}
		memcpy(copies, line.user.at, line.user.len);
		copies[line.user.len] = '\0';
		good = check_user_once(&names, copies, reader, err);
		if (!good)
			break;
		copies += line.user.len + 1;
		room -= line.user.len + 1;
	}
	names_free(&names);
	return good && next == NEXT_END;
}

bool user_file_check(const char *path, struct err *err)
{
	struct stat stat;
	int fd AUTO_CLOSE = open_file(path, &stat, err);
	struct reader reader = { .fd = fd, .path = path };
	char *copies;
	bool good;

	if (fd < 0)
		return false;
	copies = malloc((size_t)stat.st_size + 1);
	if (copies == NULL)
		return err_set(err, "%s: out of memory", path);
	good = check_users(&reader, copies, (size_t)stat.st_size + 1, err);
	free(copies);
	return good;
}
