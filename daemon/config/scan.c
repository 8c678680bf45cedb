/* scan.c - the grammar of libconfig, walked for its places only; the values are libconfig's business.
 *
 * Recursive descent, bounded by SCAN_MAX_DEPTH.  Runs in the checker.  Fails at the first error. */
#include "scan.h"

#include "base/names.h"

#include <ctype.h>
#include <stdlib.h>

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_STRING, TOKEN_NUMBER, TOKEN_PUNCTUATION, TOKEN_BROKEN };

struct token {
	enum token_kind kind;
	struct str text;
	unsigned line, column;
};

struct scanner {
	struct scan *scan;
	const char *at, *end;
	unsigned line;
	const char *line_start;
	struct token token;             /* the next one */
	unsigned comment_line, comment_column;  /* where the last one begins */
	unsigned error_line, error_column;
	struct err *err;
};

/* ---- tokens ---------------------------------------------------------------------------------------- */

static unsigned column_of(const struct scanner *s, const char *at)
{
	return (unsigned)(at - s->line_start) + 1;
}

static void skip_newline(struct scanner *s)
{
	s->line++;
	s->line_start = s->at + 1;
}

static bool starts(const struct scanner *s, const char *prefix)
{
	return str_has_prefix((struct str){ s->at, (size_t)(s->end - s->at) }, str_of(prefix));
}

/* False at a comment without an end. */
static bool skip_comment(struct scanner *s)
{
	bool block = starts(s, "/*");

	s->comment_line = s->line;
	s->comment_column = column_of(s, s->at);
	if (block)              /* else the star of an opening would do for a closing one */
		s->at += 2;
	for (; s->at < s->end; s->at++) {
		if (block && starts(s, "*/")) {
			s->at += 2;
			return true;
		}
		if (*s->at == '\n' && !block)
			return true;
		if (*s->at == '\n')
			skip_newline(s);
	}
	return !block;
}

static bool skip_space(struct scanner *s)
{
	while (s->at < s->end) {
		if (*s->at == '\n')
			skip_newline(s);
		if (*s->at == '#' || starts(s, "//") || starts(s, "/*")) {
			if (!skip_comment(s))
				return false;
		} else if (isspace((unsigned char)*s->at)) {
			s->at++;
		} else {
			return true;
		}
	}
	return true;
}

/* Strings may not span lines here, although libconfig lets them: a forgotten quote is found where it is. */
static enum token_kind string_token(struct scanner *s)
{
	for (s->at++; s->at < s->end && *s->at != '\n'; s->at++) {
		if (*s->at == '\\' && s->at + 1 < s->end && s->at[1] != '\n')
			s->at++;
		else if (*s->at == '"') {
			s->at++;
			return TOKEN_STRING;
		}
	}
	return TOKEN_BROKEN;
}

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '*';
}

static enum token_kind word_token(struct scanner *s)
{
	enum token_kind kind = isalpha((unsigned char)*s->at) || *s->at == '*' ? TOKEN_NAME : TOKEN_NUMBER;

	s->at++;
	while (s->at < s->end && (is_name_char(*s->at) || (kind == TOKEN_NUMBER && strchr(".+", *s->at))))
		s->at++;
	return kind;
}

static void next(struct scanner *s)
{
	const char *start;
	bool good = skip_space(s);

	start = s->at;
	s->token = (struct token){ .kind = TOKEN_BROKEN, .line = s->line, .column = column_of(s, start) };
	if (good && s->at == s->end)
		s->token.kind = TOKEN_END;
	else if (good && *s->at == '"')
		s->token.kind = string_token(s);
	else if (good && (isalnum((unsigned char)*s->at) || strchr("*-+.", *s->at)))
		s->token.kind = word_token(s);
	else if (good && strchr("=:;,{}()[]", *s->at)) {
		s->token.kind = TOKEN_PUNCTUATION;
		s->at++;
	} else if (s->at < s->end) {
		s->at++;
	}
	s->token.text = (struct str){ start, (size_t)(s->at - start) };
}

/* ---- errors and places ------------------------------------------------------------------------------ */

static bool fail_at(struct scanner *s, const struct token *token, const char *what)
{
	int len = token->text.len > 40 ? 40 : (int)token->text.len;

	s->error_line = token->line;
	s->error_column = token->column;
	if (token->kind == TOKEN_END)
		return err_set(s->err, "%s, but the file ends here", what);
	if (token->kind == TOKEN_BROKEN && token->text.len > 0 && token->text.at[0] == '"')
		return err_set(s->err, "this string has no closing quote on its line");
	if (token->kind == TOKEN_BROKEN && token->text.len == 0) {
		s->error_line = s->comment_line;
		s->error_column = s->comment_column;
		return err_set(s->err, "the comment that begins here with /* never ends");
	}
	if (token->kind == TOKEN_BROKEN && (unsigned char)token->text.at[0] >= 0x80)
		return err_set(s->err,
			       "%s, found the byte 0x%02x (only strings and comments may hold others"
			       " than ASCII)",
			       what, (unsigned char)token->text.at[0]);
	return err_set(s->err, "%s, found \"%.*s\"", what, len, token->text.at);
}

static bool fail(struct scanner *s, const char *what)
{
	return fail_at(s, &s->token, what);
}

static bool is(const struct scanner *s, char punctuation)
{
	return s->token.kind == TOKEN_PUNCTUATION && s->token.text.at[0] == punctuation;
}

static bool record(struct scanner *s, const struct token *name)
{
	struct scan *scan = s->scan;

	if (scan->count == scan->room) {
		unsigned room = scan->room == 0 ? 128 : scan->room * 2;
		struct scan_place *grown = reallocarray(scan->places, room, sizeof(*grown));

		if (grown == NULL)
			return fail(s, "out of memory");
		scan->places = grown;
		scan->room = room;
	}
	scan->places[scan->count++] = (struct scan_place){
		name->line, name->column, s->token.line, s->token.column
	};
	return true;
}

/* ---- grammar ---------------------------------------------------------------------------------------- */

static bool value(struct scanner *s, unsigned depth);

/* libconfig reads an integer without the suffix L as 32 bits and wraps it silently. */
static bool number(struct scanner *s)
{
	char copy[64] = "", *end;
	size_t len = s->token.text.len;
	bool is_long = len > 0 && s->token.text.at[len - 1] == 'L';
	bool is_hex = len > 1 && str_lower(s->token.text.at[1]) == 'x';
	long long parsed;

	if (len >= sizeof(copy))
		return fail(s, "expected a number of fewer digits");
	memcpy(copy, s->token.text.at, len);
	if (!is_hex && strpbrk(copy, ".eE") != NULL) {
		strtod(copy, &end);
		return *end == '\0' || fail(s, "expected a number");
	}
	parsed = strtoll(copy, &end, is_hex ? 16 : 10);
	if (end == copy || (*end != '\0' && strcmp(end, "L") != 0 && strcmp(end, "LL") != 0))
		return fail(s, "expected a number (sizes and durations are strings: \"64k\", \"30s\")");
	if (!is_long && (parsed > INT32_MAX || parsed < INT32_MIN))
		return fail(s, "expected a number of at most 2147483647");
	return true;
}

static bool scalar(struct scanner *s)
{
	struct str word = s->token.text;

	if (s->token.kind == TOKEN_NUMBER && !number(s))
		return false;
	if (s->token.kind == TOKEN_NAME && !str_equal_nocase(word, str_of("true")) &&
	    !str_equal_nocase(word, str_of("false")))
		return fail(s,
			    "expected a value: a string in quotes, a number, true, false, { }, ( ) or [ ]");
	if (s->token.kind != TOKEN_STRING) {
		next(s);
		return true;
	}
	while (s->token.kind == TOKEN_STRING)   /* neighbours are one string */
		next(s);
	return true;
}

static bool elements(struct scanner *s, char close, unsigned depth)
{
	next(s);
	if (is(s, close)) {
		next(s);
		return true;
	}
	for (;;) {
		if (!record(s, &s->token) || !value(s, depth))
			return false;
		if (is(s, close)) {
			next(s);
			return true;
		}
		if (!is(s, ','))
			return fail(s, close == ')' ? "expected \",\" or \")\"" : "expected \",\" or \"]\"");
		next(s);
		if (is(s, close)) {     /* libconfig 1.5 does not take a comma behind the last element */
			return fail(s, "expected another element behind \",\"");
		}
	}
}

static bool remember(struct scanner *s, struct names *names)
{
	if (names->count == SCAN_MAX_NAMES)
		return fail(s, "expected fewer names in one group");
	switch (names_add(names, s->token.text)) {
	case NAMES_NEW:
		return true;
	case NAMES_KNOWN:
		fail(s, "");    /* the place */
		return err_set(s->err, "\"%.*s\" is in this group already, and may be there only once",
			       (int)(s->token.text.len > 40 ? 40 : s->token.text.len), s->token.text.at);
	default:
		return fail(s, "out of memory");
	}
}

static bool one_setting(struct scanner *s, struct names *names, unsigned depth)
{
	struct token name = s->token;

	if (name.kind != TOKEN_NAME)
		return fail(s, depth == 0 ? "expected the name of a setting"
					  : "expected the name of a setting or \"}\"");
	if (!remember(s, names))
		return false;
	next(s);
	if (s->token.text.len > 0 && s->token.text.at[0] == '.')
		return fail(s, "expected \"=\" behind the name (what belongs to a group is written in it:"
			       " group = { name = value; })");
	if (!is(s, '=') && !is(s, ':'))
		return fail(s, "expected \"=\" behind the name");
	next(s);
	if (!record(s, &name) || !value(s, depth))
		return false;
	if (is(s, ';') || is(s, ','))
		next(s);
	else if (s->token.kind == TOKEN_PUNCTUATION && !is(s, '}'))
		return fail(s, "expected \";\" behind the value");
	return true;
}

/* Settings up to `}` or the end of the text, which the caller takes. */
static bool settings(struct scanner *s, unsigned depth)
{
	struct names names = { 0 };
	bool good = true;

	while (good && s->token.kind != TOKEN_END && !(depth > 0 && is(s, '}')))
		good = one_setting(s, &names, depth);
	names_free(&names);
	return good;
}

static bool group(struct scanner *s, unsigned depth)
{
	struct token open = s->token;

	next(s);
	if (!settings(s, depth))
		return false;
	if (!is(s, '}'))
		return fail_at(s, &open, "expected a closing \"}\" for the group that begins here");
	next(s);
	return true;
}

static bool value(struct scanner *s, unsigned depth)
{
	if (depth >= SCAN_MAX_DEPTH)
		return fail(s, "expected fewer than 16 levels of nesting");
	if (is(s, '{'))
		return group(s, depth + 1);
	if (is(s, '('))
		return elements(s, ')', depth + 1);
	if (is(s, '['))
		return elements(s, ']', depth + 1);
	if (s->token.kind == TOKEN_STRING || s->token.kind == TOKEN_NUMBER || s->token.kind == TOKEN_NAME)
		return scalar(s);
	return fail(s, "expected a value");
}

bool scan_text(const char *text, size_t len, struct scan *scan, unsigned *line, unsigned *column,
	       struct err *err)
{
	struct scanner s = {
		.scan = scan, .at = text, .end = text + len, .line = 1, .line_start = text, .err = err
	};

	*scan = (struct scan){ 0 };
	next(&s);
	if (settings(&s, 0))
		return true;
	*line = s.error_line;
	*column = s.error_column;
	return false;
}

void scan_release(struct scan *scan)
{
	free(scan->places);
	*scan = (struct scan){ 0 };
}
