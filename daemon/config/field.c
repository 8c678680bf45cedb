/* field.c - the grammar of header fields, and which of them are not an operator's to write.
 *
 * Pure. Called by the rows of the settings and by http/rules.c. A check fails with a text that says what is
 * allowed. */
#include "field.h"

enum { SET = 1, ADD = 2, REMOVE = 4, ANYHOW = SET | ADD | REMOVE };

static const char framing[] =
	"how an answer is delimited, and what becomes of its connection, drover alone can say";
static const char content[] = "it belongs to the bytes that are sent";
static const char validator[] = "requests are compared with drover's own; it can only be removed";
static const char challenge[] = "drover says it with the status that needs it; headers.add appends to it";
static const char once[] = "an answer has it once; headers.set replaces it";

/* What is refused, in which lists, and why. */
static const struct {
	const char *name;
	unsigned lists;
	const char *why;
} refused[] = {
	{ "Content-Length", ANYHOW, framing },
	{ "Transfer-Encoding", ANYHOW, framing },
	{ "Connection", ANYHOW, framing },
	{ "Keep-Alive", ANYHOW, framing },
	{ "Proxy-Connection", ANYHOW, framing },
	{ "Trailer", ANYHOW, framing },
	{ "Upgrade", ANYHOW, framing },
	{ "TE", ANYHOW, framing },
	{ "Date", ANYHOW, "it is the time of the answer, which drover alone can say" },
	{ "Content-Range", ANYHOW, content },
	{ "Content-Encoding", ANYHOW, content },
	{ "ETag", SET | ADD, validator },
	{ "Last-Modified", SET | ADD, validator },
	{ "Vary", SET | REMOVE,
	  "caches would mix up what depends on the request; headers.add appends to it" },
	{ "Allow", SET | REMOVE, challenge },
	{ "WWW-Authenticate", SET | REMOVE, challenge },
	{ "Content-Type", ADD, once },
	{ "Content-Location", ADD, once },
	{ "Location", ADD, once },
	{ "Server", ADD, once },
	{ "Expires", ADD, once },
	{ "Age", ADD, once },
	{ "Retry-After", ADD, once },
};

/* field-content: no control characters but the tab (RFC 9110, 5.5). */
static bool is_value(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

void field_split(const char *text, struct str *name, struct str *value)
{
	const char *colon = strchr(text, ':');

	*name = (struct str){ text, colon != NULL ? (size_t)(colon - text) : strlen(text) };
	*value = (struct str){ NULL, 0 };
	if (colon != NULL)
		*value = str_trim(str_of(colon + 1));
}

static bool check_name(struct str name, unsigned list, struct err *err)
{
	if (!str_is_token(name))
		return err_set(err, "\"%.*s\" is no name of a header field",
			       (int)(name.len < 64 ? name.len : 64), name.at);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if ((refused[i].lists & list) != 0 && str_equal_nocase(name, str_of(refused[i].name)))
			return err_set(err, "%s: %s", refused[i].name, refused[i].why);
	return true;
}

static bool check_line(const char *text, unsigned list, struct err *err)
{
	struct str name, value;

	field_split(text, &name, &value);
	if (value.at == NULL)
		return err_set(err, "\"%.*s\" has no colon; write \"Name: value\"", /* no more: a secret? */
			       (int)strcspn(text, " \t") < 64 ? (int)strcspn(text, " \t") : 64, text);
	if (strlen(text) > FIELD_MOST_BYTES)
		return err_set(err, "longer than %d bytes", FIELD_MOST_BYTES);
	return check_name(name, list, err) &&
	       (is_value(value) || err_set(err, "%.*s: a value has no control characters",
					   (int)(name.len < 64 ? name.len : 64), name.at));
}

bool field_check_set(const char *text, struct err *err)
{
	return check_line(text, SET, err);
}

bool field_check_add(const char *text, struct err *err)
{
	return check_line(text, ADD, err);
}

bool field_check_remove(const char *text, struct err *err)
{
	return check_name(str_of(text), REMOVE, err);
}

/* Names of custom fields follow a pattern: X-Api-Key, X-Auth-Token, Client-Secret. */
bool field_is_secret(struct str name)
{
	static const char *const words[] = { "authorization", "authentication-info",
					     "cookie",        "token",
					     "secret",        "password",
					     "passwd",        "api-key",
					     "apikey",        "session" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct str word = str_of(words[i]);

		for (size_t at = 0; at + word.len <= name.len; at++)
			if (str_equal_nocase((struct str){ name.at + at, word.len }, word))
				return true;
	}
	return false;
}

bool field_check_value(const char *text, struct err *err)
{
	if (str_trim(str_of(text)).len != strlen(text))
		return err_set(err, "white space around it");
	if (strlen(text) > FIELD_MOST_BYTES)
		return err_set(err, "longer than %d bytes", FIELD_MOST_BYTES);
	return is_value(str_of(text)) || err_set(err, "a value has no control characters");
}
