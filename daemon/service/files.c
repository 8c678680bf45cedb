/* files.c - files below a root.
 *
 * Called through the struct. The root's path is resolved anew for each request (a deployment swaps a
 * symlink), the file is opened once and only what fstat says of that descriptor counts, so that a file
 * replaced meanwhile is answered whole, as it was or as it is. Fails with the answer that the errno stands
 * for. */
#include "files.h"

#include "beneath.h"

#include "http/date.h"
#include "http/exchange.h"
#include "http/mime.h"
#include "http/response.h"
#include "http/route.h"
#include "http/target.h"

#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

struct settings {
	const char *root;
	struct strings index;
	bool listing;
};

static const struct setting rows[] = {
	{ "root", SETTING_PATH, .required = true, .example = "\"/srv/www\"",
	  .offset = offsetof(struct settings, root),
	  .help = "the directory whose files are served; looked up anew for each request" },
	{ "index", SETTING_STRINGS, .def = "index.html", .example = "[ \"index.html\" ]",
	  .offset = offsetof(struct settings, index),
	  .help = "the files that answer for a directory; the first one that exists" },
	{ "listing", SETTING_BOOL, .def = "false",
	  .offset = offsetof(struct settings, listing),
	  .help = "list a directory that has no index. Not available in this version: true is refused, and "
		  "such a directory is 404" },
};

const struct schema files_schema = {
	.name = "files",
	.settings = rows,
	.count = sizeof(rows) / sizeof(rows[0]),
	.bytes = sizeof(struct settings),
	.help = "serves the files of a directory",
};

/* ---- opening ---------------------------------------------------------------------------------------- */

/* What is not listed is "there is nothing here": ENOENT, ENOTDIR, ENAMETOOLONG, ENXIO (a socket) ... */
static const struct {
	int error;
	unsigned status;
} statuses[] = {
	{ EACCES, 403 }, { EPERM, 403 }, { ELOOP, 403 },
	{ EXDEV, 403 },         /* leaves the root */
	{ EMFILE, 500 }, { ENFILE, 500 }, { ENOMEM, 500 }, { EIO, 500 }, { EAGAIN, 500 },
};

static unsigned status_of(int error)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].error == error)
			return statuses[i].status;
	return 404;
}

/* An opened file, and the name that tells its type. */
struct file {
	int fd;
	struct stat stat;
	struct str name;
};

static struct str last_segment(const char *path)
{
	const char *slash = strrchr(path, '/');

	return str_of(slash != NULL ? slash + 1 : path);
}

/* Opens `path` below `root`; 0, or the status that says why not. */
static unsigned open_file(int root, const char *path, struct file *file)
{
	file->fd = beneath_open(root, path);
	file->name = last_segment(path);
	if (file->fd < 0)
		return status_of(errno);
	return fstat(file->fd, &file->stat) < 0 ? status_of(errno) : 0;
}

/* `directory` ends with a slash or is empty.  A directory without an index is nothing to see. */
static unsigned open_index(int root, const struct strings *index, const char *directory,
			   struct exchange *exchange, struct file *file)
{
	unsigned status = 404;

	for (unsigned i = 0; i < index->count && status == 404; i++) {
		const char *path = arena_printf(&exchange->arena, "%s%s", directory, index->at[i]);

		if (path == NULL)
			return 500;
		fd_close(&file->fd);
		status = open_file(root, path, file);
		if (status == 0 && !S_ISREG(file->stat.st_mode))
			status = 404;
	}
	return status;
}

/* The part of the path that is below the route, without slashes in front. */
static const char *path_below(const struct exchange *exchange)
{
	const char *path = exchange->path.at + exchange->route->match.len;

	return path + strspn(path, "/");
}

static unsigned redirect(struct exchange *exchange)
{
	const struct request *request = &exchange->request;
	const char *location =
		target_slash_location(span_str(request->path, exchange->head),
				      span_str(request->query, exchange->head), &exchange->arena);

	if (location == NULL)
		return 500;
	exchange_error(exchange, 301);
	exchange->response.location = str_of(location);
	return 301;
}

/* 0 with a regular file, 301 with a filled answer, or the status of an error. */
static unsigned find_file(struct exchange *exchange, const struct settings *settings, int root,
			  struct file *file)
{
	const char *path = path_below(exchange);
	unsigned status;

	if (exchange->path.at[exchange->path.len - 1] == '/')
		return open_index(root, &settings->index, path, exchange, file);
	status = open_file(root, path[0] != '\0' ? path : ".", file);
	if (status != 0)
		return status;
	if (S_ISDIR(file->stat.st_mode))
		return redirect(exchange);
	return S_ISREG(file->stat.st_mode) ? 0 : 404;
}

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

static enum answer fail(struct exchange *exchange, unsigned status)
{
	exchange_error(exchange, status);
	return ANSWERED;
}

/* Takes the file over. */
static enum answer answer_file(struct exchange *exchange, struct file *file)
{
	time_t now = wall_clock(exchange->engine->loop)->now;
	time_t modified = file->stat.st_mtim.tv_sec < now ? file->stat.st_mtim.tv_sec : now;
	struct str etag = str_of(etag_of(&file->stat, &exchange->arena));

	if (etag.at == NULL)
		return fail(exchange, 500);
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

static enum answer files_start(struct exchange *exchange, const void *opaque)
{
	const struct settings *settings = opaque;
	int root AUTO_CLOSE = open(settings->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct file file = { .fd = -1 };
	unsigned status;
	enum answer answer = ANSWERED;

	if (root < 0)
		return fail(exchange, status_of(errno));
	status = find_file(exchange, settings, root, &file);
	if (status == 0)
		answer = answer_file(exchange, &file);
	else if (status != 301)
		answer = fail(exchange, status);
	fd_close(&file.fd);
	return answer;
}

/* ---- before it is served ------------------------------------------------------------------------------ */

/* Root who reads "permission denied" wants to know whose. */
static bool cannot_open_root(const char *root, int error, struct err *err)
{
	if (error != EACCES)
		return err_sys(err, error, "root %s", root);
	return err_set(err,
		       "root %s: %s (workers open it as uid %u: it and the directories above it must let them"
		       " in)",
		       root, strerror(error), geteuid());
}

static bool files_check(const void *opaque, const char **setting, struct err *err)
{
	const struct settings *settings = opaque;
	int root AUTO_CLOSE = open(settings->root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	*setting = "root";
	if (root < 0 || faccessat(root, ".", X_OK, AT_EACCESS) < 0)
		return cannot_open_root(settings->root, errno, err);
	*setting = "listing";
	if (settings->listing)
		return err_set(err, "listing: directory listings are not available in this version");
	return true;
}

const struct service service_files = {
	.name = "files", .settings = &files_schema, .check = files_check, .start = files_start,
};
