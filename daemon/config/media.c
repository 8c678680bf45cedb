/* media.c - media types as an operator writes them.
 *
 * The checks are called for each value by the table of settings; read.c has the file read when all else is
 * right. What it holds becomes part of the configuration, so that whoever gets the canonical text reads no
 * file. Fails by adding problems. */
#include "media.h"

#include "base/fd.h"
#include "base/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- grammar ----------------------------------------------------------------------------------------- */

/* The length of the token at the beginning of `text` (RFC 9110, 5.6.2). */
static size_t token_len(const char *text)
{
	return strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

/* The length of the quoted string (RFC 9110, 5.6.4); 0 when there is none. */
static size_t quoted_len(const char *text)
{
	size_t len = 1;

	if (text[0] != '"')
		return 0;
	while (text[len] != '"') {
		len += text[len] == '\\';
		if ((unsigned char)text[len] < ' ' || text[len] == 0x7f)
			return 0;
		len++;
	}
	return len + 1;
}

/* "; name=value" any number of times, and nothing else. */
static bool are_parameters(const char *text)
{
	size_t len;

	while (*text != '\0') {
		text += strspn(text, " ");
		if (*text++ != ';')
			return false;
		text += strspn(text, " ");
		len = token_len(text);
		if (len == 0 || text[len] != '=')
			return false;
		text += len + 1;
		len = text[0] == '"' ? quoted_len(text) : token_len(text);
		if (len == 0)
			return false;
		text += len;
	}
	return true;
}

bool media_check_type(const char *text, struct err *err)
{
	size_t type = token_len(text), subtype = text[type] == '/' ? token_len(text + type + 1) : 0;

	if (type > 0 && subtype > 0 && are_parameters(text + type + 1 + subtype) &&
	    strlen(text) <= MEDIA_TYPE_BYTES)
		return true;
	return err_set(err, "\"%.64s\" is no media type; allowed is a text such as \"text/plain\", of at"
			    " most %d bytes", text, MEDIA_TYPE_BYTES);
}

bool media_check_extension(const char *text, struct err *err)
{
	size_t len = strlen(text);

	for (const char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '/')
			len = 0;
	if (len > 0 && text[0] != '.' && len <= MEDIA_EXTENSION_BYTES)
		return true;
	return err_set(err, "\"%.64s\" is no extension: what stands behind a dot of a name, such as \"html\"",
		       text);
}

/* ---- a file ------------------------------------------------------------------------------------------ */

struct media_file {
	const char *path;
	const struct schema *schema;
	struct arena *arena;
	struct problems *problems;
	struct names known;             /* extensions, in lower case */
	struct items items;             /* what there was, and what was found */
	unsigned room, line, extensions;
	bool failed;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Takes the next word off `rest`; an absent slice at the end. */
static struct str next_word(struct str *rest)
{
	struct str word = { NULL, 0 };

	while (rest->len > 0 && is_blank(rest->at[0]))
		*rest = (struct str){ rest->at + 1, rest->len - 1 };
	if (rest->len > 0 && rest->at[0] != '#')
		word.at = rest->at;
	while (word.at != NULL && word.len < rest->len && !is_blank(rest->at[word.len]))
		word.len++;
	*rest = (struct str){ rest->at + word.len, rest->len - word.len };
	return word;
}

static bool out_of_memory(struct media_file *file)
{
	problems_add(file->problems, "%s:%u:1: out of memory", file->path, file->line);
	file->failed = true;
	return false;
}

/* A terminated copy that has passed its check; NULL otherwise. */
static char *checked(struct media_file *file, struct str word, bool (*check)(const char *, struct err *))
{
	char *copy = arena_copy(file->arena, word);
	struct err err;

	if (copy == NULL)
		return out_of_memory(file), NULL;
	if (strlen(copy) != word.len)
		err_set(&err, "a NUL byte");
	else if (check(copy, &err))
		return copy;
	problems_blank(err.text);
	problems_add(file->problems, "%s:%u:1: %s", file->path, file->line, err.text);
	file->failed = true;
	return NULL;
}

/* True when it has no type yet.  `extension` is put in lower case. */
static bool is_new(struct media_file *file, char *extension)
{
	enum names_result result;

	for (char *c = extension; *c != '\0'; c++)
		*c = str_lower(*c);
	result = names_add(&file->known, str_of(extension));
	if (result == NAMES_NO_MEMORY)
		return out_of_memory(file);
	return result == NAMES_NEW;
}

static void append(struct media_file *file, const struct mime_config *entry)
{
	struct mime_config *instance = setting_instance(file->schema, file->arena);
	const char *origin = arena_printf(file->arena, "%s:%u:1", file->path, file->line);

	if (file->items.count == file->room) {
		unsigned room = file->room * 2 + 16;
		void **grown = arena_alloc(file->arena, room * sizeof(*grown));

		if (grown == NULL) {
			out_of_memory(file);
			return;
		}
		if (file->items.count > 0)
			memcpy(grown, file->items.at, file->items.count * sizeof(*grown));
		file->items.at = grown;
		file->room = room;
	}
	if (instance == NULL || origin == NULL) {
		out_of_memory(file);
		return;
	}
	*instance = *entry;
	for (unsigned i = 0; i < file->schema->count; i++)
		*setting_origin(file->schema, instance, i) = origin;
	file->items.at[file->items.count++] = instance;
}

static void read_line(struct media_file *file, struct str line)
{
	struct str word = next_word(&line);
	struct mime_config entry = { 0 };

	if (word.at == NULL)
		return;
	entry.type = checked(file, word, media_check_type);
	/* as many as there can be words in it */
	entry.extensions.at = arena_alloc(file->arena, (line.len / 2 + 1) * sizeof(*entry.extensions.at));
	if (entry.extensions.at == NULL)
		out_of_memory(file);
	while (!file->failed && (word = next_word(&line)).at != NULL) {
		char *extension = checked(file, word, media_check_extension);

		if (extension != NULL && is_new(file, extension))
			entry.extensions.at[entry.extensions.count++] = extension;
	}
	file->extensions += entry.extensions.count;
	if (!file->failed && file->extensions > MEDIA_MOST) {
		problems_add(file->problems, "%s:%u:1: more than %d extensions", file->path, file->line,
			     MEDIA_MOST);
		file->failed = true;
	}
	if (!file->failed && entry.extensions.count > 0)
		append(file, &entry);
}

/* Those of the configuration itself come first. */
static void know(struct media_file *file, const struct config *config)
{
	for (unsigned i = 0; i < config->mime_types.count; i++) {
		const struct strings *extensions = &config_mime(config, i)->extensions;

		for (unsigned j = 0; j < extensions->count; j++) {
			char *copy = arena_copy(file->arena, str_of(extensions->at[j]));

			if (copy == NULL)
				out_of_memory(file);
			else
				is_new(file, copy);
		}
	}
}

bool media_parse(const char *path, struct str text, struct config *config, struct arena *arena,
		 struct problems *problems)
{
	char *name = arena_copy(arena, str_of(path));
	struct media_file file = { .path = name, .schema = setting_find(&config_schema, "mime", "types")->of,
				   .arena = arena, .problems = problems, .items = config->mime_types,
				   .room = config->mime_types.count };

	if (name == NULL)
		return problems_add(problems, "mime.file: out of memory"), false;
	problems_blank(name);           /* it becomes a comment in the canonical text */
	know(&file, config);
	while (text.len > 0 && !file.failed) {
		const char *end = memchr(text.at, '\n', text.len);
		struct str line = { text.at, end != NULL ? (size_t)(end - text.at) : text.len };

		file.line++;
		read_line(&file, line);
		text.at += line.len + (end != NULL);
		text.len -= line.len + (end != NULL);
	}
	names_free(&file.known);
	if (!file.failed)
		config->mime_types = file.items;
	return !file.failed;
}

/* Only a regular file: a FIFO would block.  malloc'ed. */
static char *read_file(const char *path, size_t *len, struct err *err)
{
	int fd AUTO_CLOSE = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) < 0)
		return err_set(err, "%s", strerror(errno)), NULL;
	if (!S_ISREG(stat.st_mode))
		return err_set(err, "no regular file"), NULL;
	return fd_read_all(fd, MEDIA_FILE_BYTES, len, err);
}

bool media_read(struct config *config, struct arena *arena, struct problems *problems)
{
	struct err err, problem;
	size_t len;
	char *text;
	bool good;

	if (config->mime_file == NULL)
		return true;
	text = read_file(config->mime_file, &len, &err);
	if (text == NULL) {
		err_set(&problem, "mime.file %s: %s", config->mime_file, err.text);
		problems_blank(problem.text);
		problems_add(problems, "%s: %s", config_origin(config, "mime.file"), problem.text);
		return false;
	}
	good = media_parse(config->mime_file, (struct str){ text, len }, config, arena, problems);
	free(text);
	return good;
}
