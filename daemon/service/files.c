/* files.c - files below a root.
 *
 * Called through the struct. The root's path is resolved anew for each request (a deployment swaps a
 * symlink), the file is opened once and only what fstat says of that descriptor counts, so that a file
 * replaced meanwhile is answered whole, as it was or as it is. Fails with the answer that the errno stands
 * for. */
#include "files.h"

#include "beneath.h"
#include "files_answer.h"

#include "http/exchange.h"
#include "http/location.h"
#include "http/route.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

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

static struct str last_segment(const char *path)
{
	const char *slash = strrchr(path, '/');

	return str_of(slash != NULL ? slash + 1 : path);
}

/* Opens `path` below `root`; 0, or the status that says why not. */
static unsigned open_file(int root, const char *path, struct file *file)
{
	file->fd = beneath_open(root, path, BENEATH_INSIDE);
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
	struct str query = span_str(exchange->request.query, exchange->head);
	const char *location = location_with_slash(exchange->path, query, &exchange->arena);

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

/* ---- starting ----------------------------------------------------------------------------------------- */

static enum answer fail(struct exchange *exchange, unsigned status)
{
	exchange_error(exchange, status);
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
		answer = files_answer(exchange, &file);
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
