/* source.c - the files of a configuration, expanded into one text.
 *
 * Runs in the checker only, never in the master: open() and read() of what a user names may take for ever.
 * Fails by returning false with the place in `err`. */
#include "source.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* One file being expanded; the chain of them is what a cycle is found by. */
struct file {
	const struct file *includer;
	const char *path;
	unsigned depth, line;           /* the line that is being read */
	dev_t device;
	ino_t inode;
};

static bool append(struct source_text *source, const char *text, size_t len)
{
	if (source->len + len + 1 > source->room) {
		size_t room = (source->len + len + 1) * 2;
		char *grown = realloc(source->text, room);

		if (grown == NULL)
			return false;
		source->text = grown;
		source->room = room;
	}
	memcpy(source->text + source->len, text, len);
	source->len += len;
	source->text[source->len] = '\0';
	return true;
}

static bool append_line(struct source_text *source, const char *text, size_t len, const char *file,
			unsigned line)
{
	if (source->line_count == source->line_room) {
		unsigned room = source->line_room == 0 ? 256 : source->line_room * 2;
		struct source_line *grown = reallocarray(source->lines, room, sizeof(*grown));

		if (grown == NULL)
			return false;
		source->lines = grown;
		source->line_room = room;
	}
	if (!append(source, text, len) || !append(source, "\n", 1))
		return false;
	source->lines[source->line_count++] = (struct source_line){ .file = file, .line = line };
	return true;
}

static bool is_cycle(const struct file *file)
{
	for (const struct file *outer = file->includer; outer != NULL; outer = outer->includer)
		if (outer->device == file->device && outer->inode == file->inode)
			return true;
	return false;
}

/* What a person can do about it. */
static bool cannot_open(const struct file *file, int error, struct err *err)
{
	err_sys(err, error, "open");
	if (error == ENOENT && file->includer == NULL)
		return err_set(err, "%s (drover -c names another file, drover -r DIR serves a directory"
				    " without one)", strerror(error));
	if (error == EACCES)
		return err_set(err, "%s (it is read as uid %u, and so must be the directories above it)",
			       strerror(error), geteuid());
	return false;
}

static bool not_regular(const struct file *file, const struct stat *info, struct err *err)
{
	if (S_ISDIR(info->st_mode))
		return err_set(err, "a directory, not a regular file (%s)",
			       file->includer == NULL ? "name a file in it"
						      : "a pattern includes all in it: *.conf");
	return err_set(err, "a device, FIFO or socket, not a regular file (only those are read)");
}

/* The whole of a regular file, malloc'ed. */
static char *slurp(struct file *file, size_t *len, struct err *err)
{
	int fd AUTO_CLOSE = open(file->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct stat info;
	char *text;

	if (fd < 0 || fstat(fd, &info) < 0)
		return cannot_open(file, errno, err), NULL;
	if (!S_ISREG(info.st_mode))
		return not_regular(file, &info, err), NULL;
	file->device = info.st_dev;
	file->inode = info.st_ino;
	if (is_cycle(file))
		return err_set(err, "includes itself, which would never end"), NULL;
	text = fd_read_all(fd, SOURCE_MAX_BYTES, len, err);
	if (text != NULL && memchr(text, '\0', *len) != NULL) {
		free(text);
		return err_set(err, "contains a NUL byte: this is no text file"), NULL;
	}
	return text;
}

/* The path in `@include "path"`; an absent slice when the line is no include, an empty one when it is
 * broken. */
static struct str include_of(struct str line)
{
	struct str rest = str_trim(line);
	const char *end;

	if (!str_has_prefix(rest, str_of("@include")))
		return (struct str){ NULL, 0 };
	rest = str_trim((struct str){ rest.at + 8, rest.len - 8 });
	if (rest.len > 0 && rest.at[rest.len - 1] == '\r')
		rest.len--;
	if (rest.len < 3 || rest.at[0] != '"')
		return (struct str){ "", 0 };
	end = memchr(rest.at + 1, '"', rest.len - 1);
	return end == NULL ? (struct str){ "", 0 } : (struct str){ rest.at + 1, (size_t)(end - rest.at - 1) };
}

/* Moves over a string, a comment that ends with the line, or one byte. */
static size_t step_over(struct str rest)
{
	size_t len = 1;

	if (rest.at[0] == '#' || str_has_prefix(rest, str_of("//")))
		return rest.len;
	if (rest.at[0] != '"')
		return 1;
	while (len < rest.len && rest.at[len] != '"')
		len += rest.at[len] == '\\' && len + 1 < rest.len ? 2 : 1;
	return len < rest.len ? len + 1 : len;
}

/* True when the line, which begins inside of a block comment or not, ends inside of one. */
static bool ends_in_comment(struct str line, bool inside)
{
	while (line.len > 0) {
		bool edge = str_has_prefix(line, str_of(inside ? "*/" : "/*"));
		size_t len = edge ? 2 : inside ? 1 : step_over(line);

		inside ^= edge;
		line = (struct str){ line.at + len, line.len - len };
	}
	return inside;
}

/* Puts the place in front, once, and behind it how the reader got there. */
static bool fail_at(struct source_text *source, const struct file *file, struct err *err)
{
	const char *sign = " (included from ";
	size_t len;

	if (source->failed)
		return false;
	source->failed = true;
	err_add(err, "%s:%u:1", file->path, file->line);
	for (const struct file *outer = file->includer; outer != NULL; outer = outer->includer, sign = ", ") {
		len = strlen(err->text);
		snprintf(err->text + len, sizeof(err->text) - len, "%s%s:%u%s", sign, outer->path,
			 outer->line, outer->includer == NULL ? ")" : "");
	}
	return false;
}

static bool expand(struct source_text *source, struct file *file, struct err *err);

/* The pattern, put behind the directory of the file that it is written in. */
static char *pattern_of(struct source_text *source, const struct file *file, struct str pattern)
{
	const char *slash = strrchr(file->path, '/');

	if (pattern.at[0] == '/' || slash == NULL)
		return arena_copy(&source->arena, pattern);
	return arena_printf(&source->arena, "%.*s/%.*s", (int)(slash - file->path), file->path,
			    (int)pattern.len, pattern.at);
}

static bool expand_match(struct source_text *source, const struct file *file, const char *path,
			 struct err *err)
{
	struct file inner = {
		.includer = file, .path = arena_copy(&source->arena, str_of(path)), .depth = file->depth + 1
	};

	return inner.path != NULL ? expand(source, &inner, err) : err_set(err, "out of memory");
}

/* A directory that is missing has no matches; one that may not be read could have some. */
static int cannot_list(const char *path, int error)
{
	(void)path;
	return error != ENOENT && error != ENOTDIR;
}

/* A pattern without a match is fine (conf.d may be empty); a plain name without a file is not. */
static bool include(struct source_text *source, const struct file *file, struct str path, struct err *err)
{
	char *pattern = path.len > 0 ? pattern_of(source, file, path) : NULL;
	glob_t found = { 0 };
	bool good = true;

	if (path.len == 0)
		return err_set(err, "@include needs a path in quotes");
	if (file->depth >= SOURCE_MAX_DEPTH)
		return err_set(err, "includes are nested more than %d deep", SOURCE_MAX_DEPTH);
	if (pattern == NULL)
		return err_set(err, "out of memory");
	if (strpbrk(pattern, "*?[") == NULL)
		return expand_match(source, file, pattern, err);
	if (glob(pattern, 0, cannot_list, &found) == GLOB_ABORTED)
		good = err_sys(err, errno, "look for %s", pattern);
	for (size_t i = 0; i < found.gl_pathc && good; i++)
		good = expand_match(source, file, found.gl_pathv[i], err);
	globfree(&found);
	return good;
}

static bool expand_lines(struct source_text *source, struct file *file, struct str text, struct err *err)
{
	for (file->line = 1; text.len > 0; file->line++) {
		const char *end = memchr(text.at, '\n', text.len);
		struct str line = { text.at, end != NULL ? (size_t)(end - text.at) : text.len };
		struct str path = source->in_comment ? (struct str){ NULL, 0 } : include_of(line);

		if (path.at == NULL)
			source->in_comment = ends_in_comment(line, source->in_comment);
		text.len -= line.len + (end != NULL);
		text.at += line.len + (end != NULL);
		if (source->len + line.len > SOURCE_MAX_BYTES) {
			err_set(err, "the configuration is longer than %d bytes", SOURCE_MAX_BYTES);
			return fail_at(source, file, err);
		}
		if (path.at == NULL && !append_line(source, line.at, line.len, file->path, file->line)) {
			err_set(err, "out of memory");
			return fail_at(source, file, err);
		}
		if (path.at != NULL && !include(source, file, path, err))
			return fail_at(source, file, err);
	}
	return true;
}

/* Without the bound, ten files that include each other a few times, and nothing else, would be read for
 * days. */
static char *next_file(struct source_text *source, struct file *file, size_t *len, struct err *err)
{
	if (source->file_count++ < SOURCE_MAX_FILES)
		return slurp(file, len, err);
	return err_set(err, "the configuration has more than %d files", SOURCE_MAX_FILES), NULL;
}

static bool expand(struct source_text *source, struct file *file, struct err *err)
{
	size_t len;
	char *text = next_file(source, file, &len, err);
	bool good;

	if (text == NULL)               /* and the includer adds its place */
		return err_add(err, "%s", file->path);
	good = expand_lines(source, file, (struct str){ text, len }, err);
	free(text);
	return good;
}

bool source_read(const char *path, struct source_text *source, struct err *err)
{
	struct file file = { .path = path };

	*source = (struct source_text){ 0 };
	if (!append(source, "", 0))
		return err_set(err, "%s: out of memory", path);
	return expand(source, &file, err);
}

bool source_take(const char *name, const char *text, struct source_text *source, struct err *err)
{
	struct file file = { .path = name };

	*source = (struct source_text){ 0 };
	if (!append(source, "", 0))
		return err_set(err, "%s: out of memory", name);
	return expand_lines(source, &file, str_of(text), err);
}

/* The last comment of the line: "  # FILE:LINE:COLUMN", "  # default"; an absent slice when it has none. */
static struct str comment_of(struct str line)
{
	static const char mark[] = "  # ";

	for (size_t at = line.len; at >= sizeof(mark) - 1; at--)
		if (memcmp(line.at + at - (sizeof(mark) - 1), mark, sizeof(mark) - 1) == 0)
			return (struct str){ line.at + at, line.len - at };
	return (struct str){ NULL, 0 };
}

/* Takes ":NUMBER" off the end; false when there is none. */
static bool take_number(struct str *text, unsigned *number)
{
	size_t at = text->len;
	uint64_t value;

	while (at > 0 && text->at[at - 1] != ':')
		at--;
	if (at == 0 || !str_to_u64((struct str){ text->at + at, text->len - at }, &value) ||
	    value > UINT32_MAX)
		return false;
	*number = (unsigned)value;
	text->len = at - 1;
	return true;
}

/* Names are shared with the line before, which is most often of the same file. */
static bool place_line(struct source_text *source, struct str comment)
{
	struct source_line *line = &source->lines[source->line_count - 1];
	unsigned row, column;

	line->is_default = str_equal(comment, str_of("default"));
	if (comment.at == NULL || !take_number(&comment, &column) || !take_number(&comment, &row))
		return true;
	line->line = row;
	line->column = column;
	if (source->last_named == NULL || !str_equal(str_of(source->last_named), comment))
		source->last_named = arena_copy(&source->arena, comment);
	line->file = source->last_named;
	return line->file != NULL;
}

bool source_take_canonical(const char *name, const char *text, struct source_text *source, struct err *err)
{
	struct str rest = str_of(text);

	*source = (struct source_text){ 0 };
	if (!append(source, "", 0))
		return err_set(err, "%s: out of memory", name);
	for (unsigned number = 1; rest.len > 0; number++) {
		const char *end = memchr(rest.at, '\n', rest.len);
		struct str line = { rest.at, end != NULL ? (size_t)(end - rest.at) : rest.len };

		str_take(&rest, line.len + (end != NULL));
		if (!append_line(source, line.at, line.len, name, number) ||
		    !place_line(source, comment_of(line)))
			return err_set(err, "%s: out of memory", name);
	}
	return true;
}

void source_release(struct source_text *source)
{
	free(source->text);
	free(source->lines);
	arena_free(&source->arena);
	*source = (struct source_text){ 0 };
}

struct source_line source_where(const struct source_text *source, unsigned line)
{
	if (source->line_count == 0)
		return (struct source_line){ .file = "configuration", .line = 1 };
	if (line == 0 || line > source->line_count)
		line = source->line_count;
	return source->lines[line - 1];
}
