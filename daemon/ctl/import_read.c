/* import_read.c - nginx's syntax: words, quotes, escapes, comments, blocks, include.
 *
 * Called by import.c and the fuzz target. Fails with file and line: at what is no nginx syntax, and at what
 * is deeper, larger or more than anybody writes. It reads regular files only, and runs nothing. */
#include "import.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	MOST_INCLUDES = 10,             /* one in the other */
	MOST_FILES = 1024,
	MOST_BYTES = 16 * 1024 * 1024,  /* of all files together */
	MOST_DEPTH = 32,                /* of blocks */
	MOST_ARGS = 4096,
};

struct reader {
	struct import *import;
	const char *directory;          /* of the main file, as it was given: includes are relative to it */
	unsigned depth, files;
	size_t bytes;
	struct err *err;
};

struct source {
	struct reader *reader;
	const char *file, *at;
	char *word;                     /* as much room as there is text */
	unsigned line, includes;        /* how deep this file is */
};

enum token { TOKEN_WORD, TOKEN_SEMICOLON, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_END, TOKEN_BAD };

static bool fail(const struct source *source, const char *what)
{
	return err_set(source->reader->err, "%s:%u: %s", source->file, source->line, what);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct source *source)
{
	for (; is_space(*source->at) || *source->at == '#'; source->at++) {
		if (*source->at == '#')
			source->at += strcspn(source->at, "\n");
		if (*source->at == '\0')
			return;
		source->line += *source->at == '\n';
	}
}

/* A backslash takes the meaning off what follows; these are the letters that it gives one, all others it
 * stays in front of (as in regular expressions). */
static void take_escaped(struct source *source, char **out)
{
	static const char from[] = "\"'\\ntr", to[] = "\"'\\\n\t\r";
	const char *found = source->at[1] != '\0' ? strchr(from, source->at[1]) : NULL;

	if (found != NULL) {
		*(*out)++ = to[found - from];
		source->at += 2;
		return;
	}
	*(*out)++ = *source->at++;
	if (*source->at != '\0') {
		source->line += *source->at == '\n';
		*(*out)++ = *source->at++;
	}
}

static enum token take_quoted(struct source *source)
{
	char *out = source->word;
	char quote = *source->at++;

	while (*source->at != quote) {
		if (*source->at == '\0')
			return fail(source, "the quotes are not closed"), TOKEN_BAD;
		source->line += *source->at == '\n';
		if (*source->at == '\\')
			take_escaped(source, &out);
		else
			*out++ = *source->at++;
	}
	*out = '\0';
	source->at++;
	if (!is_space(*source->at) && strchr(";{)", *source->at) == NULL)
		return fail(source, "expected a space or \";\" behind the quotes"), TOKEN_BAD;
	return TOKEN_WORD;
}

static enum token take_plain(struct source *source)
{
	char *out = source->word;

	while (*source->at != '\0' && !is_space(*source->at) && *source->at != ';' && *source->at != '{') {
		if (*source->at == '\\') {
			take_escaped(source, &out);
		} else if (source->at[0] == '$' && source->at[1] == '{') {      /* a variable, and no block */
			*out++ = *source->at++;
			*out++ = *source->at++;
		} else {
			*out++ = *source->at++;
		}
	}
	*out = '\0';
	return TOKEN_WORD;
}

static enum token take_token(struct source *source)
{
	skip_space(source);
	switch (*source->at) {
	case '\0':
		return TOKEN_END;
	case ';':
		return source->at++, TOKEN_SEMICOLON;
	case '{':
		return source->at++, TOKEN_OPEN;
	case '}':
		return source->at++, TOKEN_CLOSE;
	case '"':
	case '\'':
		return take_quoted(source);
	default:
		return take_plain(source);
	}
}

static void append(struct directive *parent, struct directive *child)
{
	child->parent = parent;
	if (parent->last_child != NULL)
		parent->last_child->next = child;
	else
		parent->children = child;
	parent->last_child = child;
	parent->names |= name_bit(child->name);
}

static struct directive *new_directive(struct source *source, const struct texts *words)
{
	struct import *import = source->reader->import;
	struct directive *directive = import_alloc(import, sizeof(*directive));

	*directive = (struct directive){
		.name = words->at[0],
		.file = source->file,
		.line = source->line,
		.args = words->at + 1,
		.arg_count = words->count - 1,
		.notes = import_no_notes(import),
	};
	return directive;
}

/* Words up to the token that ends them. */
static enum token take_words(struct source *source, struct texts *words)
{
	struct import *import = source->reader->import;
	enum token token;

	for (token = take_token(source); token == TOKEN_WORD; token = take_token(source)) {
		if (words->count > MOST_ARGS)
			return fail(source, "a directive of too many words"), TOKEN_BAD;
		texts_add(import, words, arena_copy(&import->arena, str_of(source->word)));
	}
	return token;
}

static bool read_file(struct reader *reader, const char *path, struct directive *block, unsigned includes);

static int go_on(const char *path, int error)
{
	(void)path;
	(void)error;
	return 0;                       /* glob(3): a directory that cannot be read has no matches */
}

/* The files in the order of their names; one without wildcards has to be there. */
static bool include(struct source *source, const struct texts *words, struct directive *block)
{
	struct reader *reader = source->reader;
	const char *pattern = words->count == 2 ? words->at[1] : "";
	glob_t found = { 0 };
	bool good = true;

	if (pattern[0] == '\0')
		return fail(source, "include wants one file");
	if (source->includes == MOST_INCLUDES)
		return fail(source, "includes in includes, more than 10 deep");
	if (pattern[0] != '/')
		pattern = import_printf(reader->import, "%s/%s", reader->directory, pattern);
	if (glob(pattern, GLOB_NOMAGIC, go_on, &found) == 0)
		for (size_t i = 0; good && i < found.gl_pathc; i++)
			good = read_file(reader,
					 arena_copy(&reader->import->arena, str_of(found.gl_pathv[i])), block,
					 source->includes + 1) ||
			       err_add(reader->err, "%s:%u: include", source->file, source->line);
	globfree(&found);
	return good;
}

static bool read_block(struct source *source, struct directive *block);

/* What the words begin: a directive, or a block of them. */
static bool take_directive(struct source *source, const struct texts *words, enum token token,
			   struct directive *block)
{
	struct directive *directive = new_directive(source, words);

	if (token == TOKEN_SEMICOLON && strcmp(words->at[0], "include") == 0)
		return include(source, words, block);
	append(block, directive);
	if (token == TOKEN_SEMICOLON)
		return true;
	directive->block = true;
	if (++source->reader->depth > MOST_DEPTH)
		return fail(source, "blocks in blocks, more than 32 deep");
	if (!read_block(source, directive))
		return false;
	source->reader->depth--;
	return true;
}

/* Up to the brace that closes the block; that of the whole file up to its end. */
static bool read_block(struct source *source, struct directive *block)
{
	bool whole = block->line == 0 || block->file != source->file;
	unsigned begin = source->line;

	for (;;) {
		struct texts words = { 0 };
		enum token token = take_words(source, &words);

		if (token == TOKEN_BAD)
			return false;
		if (token == TOKEN_END && words.count > 0)
			return fail(source, "the file ends where \";\" or \"{\" was expected");
		if (token == TOKEN_END && !whole)
			return err_set(source->reader->err, "%s:%u: the block is not closed", source->file,
				       begin);
		if (token == TOKEN_END || (token == TOKEN_CLOSE && words.count == 0 && !whole))
			return true;
		if (token == TOKEN_CLOSE || words.count == 0)
			return fail(source, token == TOKEN_CLOSE ? "unexpected \"}\""
					    : token == TOKEN_OPEN ? "unexpected \"{\""
								  : "unexpected \";\"");
		if (!take_directive(source, &words, token, block))
			return false;
	}
}

/* A FIFO or a device would hang, or never end. */
static char *read_text(struct reader *reader, const char *path, size_t *len)
{
	int fd AUTO_CLOSE = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat stat;
	char *text;

	if (fd < 0 || fstat(fd, &stat) != 0)
		return err_sys(reader->err, errno, "%s", path), NULL;
	if (!S_ISREG(stat.st_mode))
		return err_set(reader->err, "%s: no regular file", path), NULL;
	text = fd_read_all(fd, MOST_BYTES - reader->bytes, len, reader->err);
	if (text == NULL)
		return err_add(reader->err, "%s", path), NULL;
	reader->bytes += *len;
	if (strlen(text) == *len)
		return text;
	free(text);
	return err_set(reader->err, "%s: it has NULs in it: no text", path), NULL;
}

static bool read_file(struct reader *reader, const char *path, struct directive *block, unsigned includes)
{
	struct source source = { .reader = reader, .file = path, .line = 1, .includes = includes };
	size_t len = 0;
	char *text;
	bool good;

	if (++reader->files > MOST_FILES)
		return err_set(reader->err, "%s: more than %d files are included", path, MOST_FILES);
	text = read_text(reader, path, &len);
	if (text == NULL)
		return false;
	source.word = import_alloc(reader->import, len + 1);
	source.at = text;
	if (strncmp(text, "\xef\xbb\xbf", 3) == 0)     /* a mark of UTF-8 is passed over, as nginx does */
		source.at += 3;
	good = read_block(&source, block);
	free(text);
	return good;
}

bool import_read(struct import *import, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	struct str text = { path, slash != NULL ? (size_t)(slash - path) : 0 };
	struct reader reader = { .import = import, .err = err };
	char *real;

	reader.directory = slash == NULL ? "." : slash == path ? "/" : arena_copy(&import->arena, text);
	real = realpath(reader.directory, NULL);
	import->directory = real != NULL ? arena_copy(&import->arena, str_of(real)) : reader.directory;
	free(real);
	import->root = (struct directive){ .name = "", .file = path, .notes = import_no_notes(import) };
	return read_file(&reader, path, &import->root, 0);
}
