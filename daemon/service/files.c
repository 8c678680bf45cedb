/* files.c - files below a root.
 *
 * Called through the struct. What is found is kept (files_cache.h) as long as nothing has changed; else
 * the root's path is resolved anew (a deployment swaps a symlink), the file is opened once and only what
 * fstat says of that descriptor counts, so that a file replaced meanwhile is answered whole, as it was or
 * as it is. Fails with the answer that the errno stands for. */
#include "files.h"

#include "files_answer.h"
#include "files_body.h"
#include "files_cache.h"
#include "files_far.h"
#include "files_find.h"
#include "listing.h"

#include "http/error_page.h"
#include "http/exchange.h"
#include "http/location.h"
#include "http/negotiate.h"
#include "http/task.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* In the order of enum beneath_policy. */
static const char *const policies[] = { "deny", "inside", "all", NULL };

#define AT(member) .offset = offsetof(struct files_settings, member)

static bool has_dots(const char *path)
{
	for (; *path != '\0'; path += strcspn(path, "/")) {
		path += strspn(path, "/");
		if (path[0] == '.' && strspn(path, ".") <= 2 && strcspn(path, "/") == strspn(path, "."))
			return true;
	}
	return false;
}

static bool check_try(const char *text, struct err *err)
{
	if (text[0] != '/' || has_dots(text))
		return err_set(err, "\"%s\" is no path below the root: such as \"/index.html\", without"
				    " \".\" and \"..\"", text);
	return true;
}

static bool check_index(const char *text, struct err *err)
{
	if (text[0] == '/' || text[strlen(text) - 1] == '/' || has_dots(text))
		return err_set(err, "\"%s\" is no file in a directory: such as \"index.html\"", text);
	return true;
}

static bool check_suffix(const char *text, struct err *err)
{
	return negotiate_by_suffix(text) != CODING_IDENTITY ||
	       err_set(err, "\"%.64s\" is none of \"zst\", \"br\" and \"gz\"", text);
}

static const struct setting rows[] = {
	{ "root", SETTING_PATH, .required = true, .opened = true, .instead = "alias",
	  .example = "\"/srv/www\"", AT(root),
	  HELP("the directory whose files are served: what the request's path has behind the route's match"
		  " (or, if that is exact, its last name) is looked for in it; where a symlink in its path "
		  "leads"
		  " counts from the next request on") },
	{ "alias", SETTING_PATH, .opened = true, .example = "\"/usr/share/icons/drover.ico\"", AT(alias),
	  HELP("what stands for the route's match: a directory, as with root, or a single file, which"
		  " answers for the match itself") },
	{ "index", SETTING_STRINGS, .def = "index.html", .example = "[ \"index.html\" ]",
	  .check = check_index, AT(index),
	  HELP("the files that answer for a directory; the first one that exists") },
	{ "try", SETTING_STRINGS, .example = "[ \"/index.html\" ]", .check = check_try, AT(try),
	  HELP("paths below the root, the first of which that exists answers, with 200, where there is"
		  " nothing else: for an application that has its own routes; absent: 404") },
	{ "listing", SETTING_BOOL, .def = "false", AT(listing),
	  HELP("list a directory that has no index; otherwise it is 404. See LISTINGS") },
	{ "precompressed", SETTING_STRINGS, .def = "zst br gz", .check = check_suffix, AT(precompressed),
	  .example = "[ \"br\", \"gz\" ]",
	  HELP("the endings of files beside the one that is asked for that hold the same, compressed: to a"
		  " client that takes that coding one of them is sent, the first of those that it wants most."
		  " One that is older than the file by more than two seconds is passed over; media that are"
		  " compressed already are never looked for. An empty array: none") },
	{ "symlinks", SETTING_CHOICE, .def = "inside", .choices = policies, AT(symlinks),
	  .example = "\"deny\"",
	  HELP("which symlinks below the root are followed: none (deny), those that lead to something"
		  " below the root, by whatever way (inside), or all. Others get 403. Those in the path of"
		  " the root itself always are. With sandbox.landlock, what they lead to has to be below"
		  " sandbox.read") },
	{ "dotfiles", SETTING_BOOL, .def = "false", AT(dotfiles),
	  HELP("serve what has a name that begins with a dot; otherwise it is 404, but for .well-known at"
		  " the top") },
};

const struct schema files_schema = {
	.name = "files",
	.settings = rows,
	.count = sizeof(rows) / sizeof(rows[0]),
	.bytes = sizeof(struct files_settings),
	HELP("serves the files of a directory"),
};

/* ---- starting ----------------------------------------------------------------------------------------- */

static unsigned redirect(struct exchange *exchange)
{
	struct str query = span_str(exchange->request.query, exchange->head);
	const char *location = location_with_slash(exchange->path, query, &exchange->arena);

	if (location == NULL)
		return 500;
	exchange_redirect(exchange, 301, location);
	return 301;
}

static enum answer fail(struct exchange *exchange, unsigned status)
{
	if (status == 503) {            /* it passes: the client is told when to come again */
		task_refused(exchange);
		return ANSWERED;
	}
	exchange_error(exchange, status);
	if (status == 406)
		exchange->response.vary = str_of("Accept-Encoding");
	return ANSWERED;
}

static enum answer list(struct exchange *exchange, const struct files_settings *settings,
			struct files_place *place, struct file *directory)
{
	struct listing_place listing = {
		.root = fd_take(&place->root), .directory = fd_take(&directory->fd), .path = place->path,
		.symlinks = place->policy, .dotfiles = settings->dotfiles, .far = directory->far,
	};

	return listing_start(exchange, &listing);
}

static enum answer give(struct exchange *exchange, const struct files_settings *settings,
			struct files_place *place, struct file *file, unsigned status)
{
	if (status == 0 && S_ISREG(file->stat.st_mode))
		return files_answer(exchange, file);
	if (status == 0)
		return list(exchange, settings, place, file);
	if (status == 301 && redirect(exchange) == 301)
		return ANSWERED;
	return fail(exchange, status != 301 ? status : 500);
}

static enum answer answer(struct exchange *exchange, const struct files_settings *settings,
			  struct files_place *place)
{
	struct file file = { .fd = -1 };
	unsigned status = files_find(exchange, settings, place, &file);
	enum answer answer;

	if (file.fd >= 0)
		files_far_notice(exchange, settings, &file.stat);
	answer = give(exchange, settings, place, &file, status);
	fd_close(&file.fd);
	return answer;
}

/* Looks for the file, whatever is kept. */
static enum answer find(struct exchange *exchange, const struct files_settings *settings)
{
	struct files_place place = { .root = -1 };
	unsigned status = files_locate(exchange, settings, &place);
	enum answer result;

	if (status != 0)
		return fail(exchange, status);
	result = answer(exchange, settings, &place);
	fd_close(&place.root);
	return result;
}

/* Nothing is there, as long as `lasting` says; our own page for that is the same for everybody. */
static enum answer answer_nothing(struct exchange *exchange, unsigned status, struct lasting *lasting)
{
	fail(exchange, status);
	if (lasting != NULL && exchange->response.memory.at != NULL &&
	    !error_page_is_file(exchange->site, status))
		exchange->response.lasting = lasting_pin(lasting);
	return ANSWERED;
}

static bool has_ranges(const struct exchange *exchange)
{
	struct header header;

	return request_only(&exchange->request, HEADER_RANGE, &header) &&
	       memchr(exchange->head + header.value.at, ',', header.value.len) != NULL;
}

/* ANSWER_LATER: it is not known. */
static enum answer answer_kept(struct exchange *exchange, const struct files_settings *settings,
			       struct files_outcome *outcome)
{
	unsigned status = files_outcome_status(outcome);
	struct file file;

	if (status == 301)
		return redirect(exchange) == 301 ? ANSWERED : fail(exchange, 500);
	if (status != 0)
		return answer_nothing(exchange, status,
				      files_outcome_is_kept(outcome) ? files_outcome_lasting(outcome) : NULL);
	status = files_outcome_file(outcome, exchange, settings, &file);
	if (status == 500)
		return ANSWER_LATER;
	if (status == 0)
		files_far_notice(exchange, settings, &file.stat);
	return status == 0 ? files_answer(exchange, &file) : fail(exchange, status);
}

static enum answer files_start(struct exchange *exchange, const void *opaque)
{
	static struct lasting for_ever = { .pins = 1 };
	const struct files_settings *settings = opaque;
	struct files_outcome *outcome = NULL;
	enum answer answer;

	if (files_is_hidden(exchange, settings))
		return answer_nothing(exchange, 404, &for_ever);
	if (files_far_is(exchange, settings))
		return files_far_find(exchange, settings, give);
	if (!has_ranges(exchange))      /* several parts are read from the file */
		outcome = files_cache_find(exchange, settings);
	if (outcome == NULL)
		return find(exchange, settings);
	answer = answer_kept(exchange, settings, outcome);
	lasting_unpin(files_outcome_lasting(outcome));
	return answer == ANSWERED ? ANSWERED : find(exchange, settings);
}

/* ---- before it is served ------------------------------------------------------------------------------ */

/* A unit's ProtectHome= makes it look as if it were not there, or closed to everybody. */
static bool may_be_hidden(const char *path, int error)
{
	static const char *const homes[] = { "/home/", "/root/", "/run/user/" };
	bool found = false;

	for (size_t i = 0; i < sizeof(homes) / sizeof(homes[0]); i++)
		found |= strncmp(path, homes[i], strlen(homes[i])) == 0;
	return found && (error == ENOENT || error == EACCES) && getenv("INVOCATION_ID") != NULL;
}

/* Root who reads "permission denied" wants to know whose. */
static bool cannot_open(const char *setting, const char *path, int error, struct err *err)
{
	if (may_be_hidden(path, error))         /* INVOCATION_ID: it is a unit of systemd (systemd.exec(5)) */
		return err_set(err,
			       "%s %s: %s (the unit may hide it: ProtectHome=; drover(8) says how to serve"
			       " from a home)",
			       setting, path, strerror(error));
	if (error != EACCES)
		return err_sys(err, error, "%s %s", setting, path);
	return err_set(err,
		       "%s %s: %s (workers open it as uid %u: it and the directories above it must let them"
		       " in)",
		       setting, path, strerror(error), geteuid());
}

static bool check_alias(const char *alias, int fd, struct err *err)
{
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) < 0)
		return cannot_open("alias", alias, errno, err);
	if (!S_ISDIR(stat.st_mode) && !S_ISREG(stat.st_mode))
		return err_set(err, "alias %s: neither a directory nor a file", alias);
	if (faccessat(AT_FDCWD, alias, S_ISDIR(stat.st_mode) ? X_OK : R_OK, AT_EACCESS) < 0)
		return cannot_open("alias", alias, errno, err);
	return true;
}

static bool check_root(const char *path, int root, struct err *err)
{
	return (root >= 0 && faccessat(root, ".", X_OK, AT_EACCESS) == 0) ||
	       cannot_open("root", path, errno, err);
}

/* Nobody looks anything up in it before: what is seen of it here counts from the first request on. */
static bool files_check(const void *opaque, const char **setting, struct err *err)
{
	const struct files_settings *settings = opaque;
	int fd AUTO_CLOSE = settings->alias != NULL
				    ? open(settings->alias, O_PATH | O_CLOEXEC)
				    : open(settings->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool good;

	*setting = settings->alias != NULL ? "alias" : "root";
	good = settings->alias != NULL ? check_alias(settings->alias, fd, err)
				       : check_root(settings->root, fd, err);
	if (good)
		files_far_check((struct files_settings *)opaque, fd);
	return good;
}

const struct service service_files = {
	.name = "files", .settings = &files_schema, .check = files_check, .start = files_start,
	.thaw = files_body_thaw, .cancel = listing_cancel,
};
