/* files_find.c - which file answers a request.
 *
 * Called by files.c and files_cache.c. Every path is looked up anew and each file is opened once, so that
 * a request that comes after a rename or an unlink sees what is there now. Fails with the status that the
 * errno stands for. */
#include "files_find.h"

#include "http/exchange.h"
#include "http/mime.h"
#include "http/route.h"
#include "http/target.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define COMPLAINT_NS (10 * CLOCK_S)

enum { SWAPS = 4 };     /* of the root, under one request */

/* What is not listed is the server's own trouble: a disk or a network that fails. */
static const struct {
	int error;
	unsigned status;
} statuses[] = {
	{ ENOENT, 404 }, { ENOTDIR, 404 }, { ENAMETOOLONG, 404 },
	{ EINVAL, 404 }, { EILSEQ, 404 },       /* a name that this file system cannot have */
	{ ENXIO, 404 }, { ENODEV, 404 },        /* a socket, a device without a driver */
	{ ESTALE, 404 },                        /* of a network file system: it is gone */
	{ EACCES, 403 }, { EPERM, 403 }, { ELOOP, 403 },
	{ EXDEV, 403 },                         /* leaves the root */
	{ EAGAIN, 503 },                        /* a lease of another process; a tree that never rests */
	{ EMFILE, 503 }, { ENFILE, 503 },       /* those who are served have them all: it passes */
};

static unsigned status_of(int error)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].error == error)
			return statuses[i].status;
	return 500;
}

/* ---- where ------------------------------------------------------------------------------------------ */

/* The part of the path that is below the route, without slashes in front; of a route for one path, the name
 * that it ends with. */
static const char *path_below(const struct exchange *exchange, const struct files_settings *settings)
{
	const char *path = exchange->path.at + exchange->route->match.len;

	if (exchange->route->exact && settings->root != NULL)
		return strrchr(exchange->path.at, '/') + 1;
	return path + strspn(path, "/");
}

/* True for the match's own path; that of "/" ends with its slash. */
static bool is_match(const struct exchange *exchange)
{
	size_t len = exchange->route->match.len;

	return exchange->path.len == (len > 0 ? len : 1);
}

const char *files_path(const struct exchange *exchange, const struct files_settings *settings,
		       bool *directory, bool *match)
{
	*directory = exchange->path.at[exchange->path.len - 1] == '/';
	*match = is_match(exchange);
	return path_below(exchange, settings);
}

bool files_is_hidden(const struct exchange *exchange, const struct files_settings *settings)
{
	return !settings->dotfiles && target_is_hidden(exchange->path, exchange->route->match.len);
}

/* An alias may be a file, for the path of the match alone: its directory is the root then.  How it gets there
 * is the operator's business. */
static unsigned locate_file(const struct exchange *exchange, const char *alias, struct files_place *place)
{
	const char *slash = strrchr(alias, '/');
	char directory[PATH_MAX];
	size_t len = slash != NULL ? (size_t)(slash - alias) : 0;

	if (slash == NULL || len >= sizeof(directory) || !is_match(exchange))
		return 404;
	memcpy(directory, alias, len);
	memcpy(directory + len, "/", 2);
	place->root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place->root < 0)
		return status_of(errno);
	place->base = (struct str){ alias, len };
	place->path = slash + 1;
	place->directory = false;
	place->policy = BENEATH_ALL;
	return 0;
}

static const char *root_of(const struct files_settings *settings)
{
	return settings->root != NULL ? settings->root : settings->alias;
}

void files_root_failed(const struct files_settings *settings, int error)
{
	static uint64_t next_ns;
	uint64_t now_ns = clock_now_ns();

	if (now_ns < next_ns)
		return;
	next_ns = now_ns + COMPLAINT_NS;
	log_event(LEVEL_WARNING, "root_failed", log_text("root", root_of(settings)),
		  log_text("error", strerror(error)));
}

/* A file system that is not mounted: clients are told that nothing is there, and only the log knows more. */
static unsigned without_root(const struct exchange *exchange, const struct files_settings *settings,
			     int error)
{
	if (exchange->engine != NULL)   /* it is none that stands in for one, in another thread */
		files_root_failed(settings, error);
	errno = error;
	return status_of(error);
}

unsigned files_locate(const struct exchange *exchange, const struct files_settings *settings,
		      struct files_place *place)
{
	const char *root = root_of(settings);

	bool match;

	place->base = str_of(root);
	place->path = files_path(exchange, settings, &place->directory, &match);
	place->policy = settings->symlinks;
	place->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place->root >= 0)
		return 0;
	if (errno == ENOTDIR && settings->alias != NULL)
		return locate_file(exchange, root, place);
	return without_root(exchange, settings, errno);
}

/* ---- which ------------------------------------------------------------------------------------------ */

/* A search under way. */
struct search {
	struct exchange *exchange;
	const struct files_settings *settings;
	const struct files_place *place;
	struct file *file;
};

static struct str last_segment(const char *path)
{
	const char *slash = strrchr(path, '/');

	return str_of(slash != NULL ? slash + 1 : path);
}

static void tell(const struct files_place *place, const char *path)
{
	if (place->witness != NULL)
		place->witness->tell(place->witness, place->base, path);
}

/* Opens `path`, whatever it is; 0, or the status that says why not. */
static unsigned open_any(const struct search *search, const char *path)
{
	struct file *file = search->file;

	fd_close(&file->fd);
	tell(search->place, path);
	file->path = path;
	file->fd = beneath_open(search->place->root, path, search->place->policy);
	file->name = last_segment(path);
	if (file->fd < 0)
		return status_of(errno);
	return fstat(file->fd, &file->stat) < 0 ? status_of(errno) : 0;
}

/* One that is older was made of what the file held before; unpacking an archive may turn the two around. */
static bool is_current(const struct stat *sibling, const struct stat *original)
{
	enum { TOLERANCE_S = 2 };
	time_t latest;

	if (__builtin_add_overflow(sibling->st_mtim.tv_sec, TOLERANCE_S, &latest))
		return true;
	return original->st_mtim.tv_sec < latest || (original->st_mtim.tv_sec == latest &&
						     original->st_mtim.tv_nsec <= sibling->st_mtim.tv_nsec);
}

int files_open_sibling(struct exchange *exchange, const struct files_place *place, const char *path,
		       enum coding coding, const struct stat *original, struct stat *stat)
{
	const struct str pieces[] = { str_of(path), str_of("."), str_of(coding_names[coding].suffix) };
	const char *name = arena_join(&exchange->arena, pieces, 3);
	int fd AUTO_CLOSE = -1;

	if (name == NULL)
		return -1;
	tell(place, name);
	fd = beneath_open(place->root, name, place->policy);
	/* an empty one was never finished: even of nothing, every coding makes some bytes */
	if (fd < 0 || fstat(fd, stat) < 0 || !S_ISREG(stat->st_mode) || stat->st_size == 0 ||
	    !is_current(stat, original))
		return -1;
	return fd_take(&fd);
}

/* Puts the sibling that is in `coding` in the file's place; false when there is no good one. */
static bool take_sibling(const struct search *search, enum coding coding)
{
	struct file *file = search->file;
	struct stat stat;
	int fd = files_open_sibling(search->exchange, search->place, file->path, coding, &file->stat, &stat);

	if (fd < 0)
		return false;
	fd_close(&file->fd);
	file->fd = fd;
	file->stat = stat;
	file->coding = str_of(coding_names[coding].name);
	return true;
}

unsigned files_codings(const struct files_settings *settings, enum coding codings[FILES_CODINGS])
{
	const struct strings *suffixes = &settings->precompressed;
	unsigned count = 0;

	for (unsigned i = 0; i < suffixes->count && count < FILES_CODINGS; i++)
		codings[count++] = negotiate_by_suffix(suffixes->at[i]);
	return count;
}

/* The sibling that the client wants most; false when there is none that it wants. */
static bool take_best_sibling(const struct search *search, struct codings codings)
{
	enum coding preferred[FILES_CODINGS], coding;
	unsigned count = files_codings(search->settings, preferred);

	while ((coding = negotiate_next(&codings, preferred, count)) != CODING_IDENTITY)
		if (take_sibling(search, coding))
			return true;
	return false;
}

/* The file is open as it is: looks for what the client would rather have. */
static unsigned negotiate(const struct search *search)
{
	struct codings codings = negotiate_codings(&search->exchange->request, search->exchange->head);

	if (search->file->negotiable && negotiate_wants_any(&codings) && take_best_sibling(search, codings))
		return 0;
	return codings.weights[CODING_IDENTITY] > 0 ? 0 : 406;
}

/* What belongs to the generation goes with it, and the parts of a body may name the type later. */
static struct str type_of(struct exchange *exchange, struct str name)
{
	const struct mime_table *table = exchange->generation->types;
	struct str type = mime_type(table, name);

	return table != NULL ? str_of(arena_copy(&exchange->arena, type)) : type;
}

/* A directory is 301: it has no body, but its own place. */
static unsigned open_file(const struct search *search, const char *path)
{
	unsigned status = open_any(search, path);
	struct file *file = search->file;

	if (status != 0)
		return status;
	if (S_ISDIR(file->stat.st_mode))
		return 301;
	if (!S_ISREG(file->stat.st_mode))
		return 404;
	file->type = type_of(search->exchange, file->name);
	if (file->type.at == NULL)
		return 500;
	file->negotiable = search->settings->precompressed.count > 0 && !mime_is_compressed(file->type);
	return 0;
}

/* `directory` ends with a slash or is empty.  The first index that exists counts, readable or not. */
static unsigned open_index(const struct search *search, const char *directory)
{
	const struct strings *index = &search->settings->index;
	unsigned status = 404;

	for (unsigned i = 0; i < index->count && status == 404; i++) {
		const struct str pieces[] = { str_of(directory), str_of(index->at[i]) };
		const char *path = arena_join(&search->exchange->arena, pieces, 2);

		if (path == NULL)
			return 500;
		status = open_file(search, path);
		if (status == 301)
			status = 404;
	}
	return status;
}

/* The directory itself, where it may be looked into. */
static unsigned open_listing(const struct search *search, const char *directory)
{
	unsigned status = search->settings->listing ? open_any(search, directory) : 404;

	if (status != 0)
		return status;
	return S_ISDIR(search->file->stat.st_mode) ? 0 : 404;
}

static unsigned open_directory(const struct search *search, const char *directory)
{
	unsigned status = open_index(search, directory);

	return status == 404 ? open_listing(search, directory) : status;
}

/* What stands in for a file that is not there.  It sends nobody elsewhere. */
static unsigned open_fallback(const struct search *search, const char *path)
{
	size_t len;
	unsigned status;

	path += strspn(path, "/");
	len = strlen(path);
	if (len == 0 || path[len - 1] == '/')
		return open_index(search, path);
	status = open_file(search, path);
	return status == 301 ? 404 : status;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool files_is_there(const struct files_settings *settings, const struct files_place *place,
		    const struct file *file)
{
	struct stat there, now;

	if (stat(root_of(settings), &now) < 0)
		return false;
	if (S_ISREG(now.st_mode))       /* an alias that is a file */
		return file->fd >= 0 && is_same(&file->stat, &now);
	return place->base.len == strlen(root_of(settings)) && fstat(place->root, &there) == 0 &&
	       is_same(&there, &now);
}

/* True when the root's path leads to another directory by now, which is the place's root then.  A look at the
 * path is enough for most of what is not found, which never was. */
static bool is_swapped(const struct search *search, struct files_place *place)
{
	struct files_place again = { .root = -1 };
	struct stat old, new;
	bool swapped;

	if (fstat(place->root, &old) < 0 || stat(root_of(search->settings), &new) < 0 || is_same(&old, &new))
		return false;
	swapped = files_locate(search->exchange, search->settings, &again) == 0 &&
		  fstat(again.root, &new) == 0 && !is_same(&old, &new);
	if (swapped) {
		fd_close(&place->root);
		place->root = fd_take(&again.root);
	}
	fd_close(&again.root);
	return swapped;
}

static unsigned open_path(const struct search *search)
{
	const char *path = search->place->path;

	return search->place->directory ? open_directory(search, path) : open_file(search, path);
}

unsigned files_find_plain(struct exchange *exchange, const struct files_settings *settings,
			  struct files_place *place, struct file *file)
{
	struct search search = { exchange, settings, place, file };
	unsigned status;

	/* as if they were not there; and nothing stands in for them, which would say that they are nothing */
	if (files_is_hidden(exchange, settings))
		return 404;
	status = open_path(&search);
	/* a deployment may remove the old directory as soon as the root leads to the new one */
	for (unsigned tries = 0; status == 404 && tries < SWAPS && is_swapped(&search, place); tries++)
		status = open_path(&search);
	for (unsigned i = 0; i < settings->try.count && status == 404; i++)
		status = open_fallback(&search, settings->try.at[i]);
	return status;
}

unsigned files_find(struct exchange *exchange, const struct files_settings *settings,
		    struct files_place *place, struct file *file)
{
	struct search search = { exchange, settings, place, file };
	unsigned status = files_find_plain(exchange, settings, place, file);

	if (status != 0 || !S_ISREG(file->stat.st_mode) || settings->precompressed.count == 0)
		return status;
	return negotiate(&search);
}
