/* escape.c - escaping for log lines and pages.  Pure; called for every line that is logged, by any thread. */
#include "escape.h"

#include "put.h"

static const char hex[] = "0123456789abcdef";

/* What needs no look at all, in both forms. */
static const bool plain[256] = {
	[' ' ... '!'] = true, ['#' ... '['] = true, [']' ... '~'] = true,
};

/* Copies as many plain bytes as there are at the beginning; returns how many. */
static size_t put_plain(char *out, struct str text)
{
	size_t len = 0;

	while (len < text.len && plain[(unsigned char)text.at[len]])
		len++;
	memcpy(out, text.at, len);
	return len;
}

static char *put_hex(char *out, unsigned char byte)
{
	*out++ = hex[byte >> 4];
	*out++ = hex[byte & 15];
	return out;
}

char *escape_text(char *out, struct str text)
{
	while (text.len > 0) {
		size_t len = put_plain(out, text);

		out += len;
		if (len == text.len)
			break;
		*out++ = '\\';
		*out++ = 'x';
		out = put_hex(out, (unsigned char)text.at[len]);
		text = (struct str){ text.at + len + 1, text.len - len - 1 };
	}
	return out;
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

/* How many bytes the UTF-8 sequence at the beginning has; 0 when there is none (RFC 3629, 4). */
static size_t utf8_len(struct str text)
{
	/* for each first byte: how long, and the range of the second byte */
	static const struct {
		unsigned char from, to, len, second_from, second_to;
	} forms[] = {
		{ 0xc2, 0xdf, 2, 0x80, 0xbf }, { 0xe0, 0xe0, 3, 0xa0, 0xbf }, { 0xe1, 0xec, 3, 0x80, 0xbf },
		{ 0xed, 0xed, 3, 0x80, 0x9f }, { 0xee, 0xef, 3, 0x80, 0xbf }, { 0xf0, 0xf0, 4, 0x90, 0xbf },
		{ 0xf1, 0xf3, 4, 0x80, 0xbf }, { 0xf4, 0xf4, 4, 0x80, 0x8f },
	};
	const unsigned char *at = (const unsigned char *)text.at;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (at[0] < forms[i].from || at[0] > forms[i].to || text.len < forms[i].len)
			continue;
		if (at[1] < forms[i].second_from || at[1] > forms[i].second_to)
			return 0;
		for (size_t j = 2; j < forms[i].len; j++)
			if ((at[j] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

/* C1, what ends a line for some readers (U+2028, U+2029), and the embeddings, overrides and isolates of
 * Unicode's bidirectional algorithm (U+202A to U+202E, U+2066 to U+2069); `text` begins with a character of
 * `len` bytes. */
static bool is_control(struct str text, size_t len)
{
	const unsigned char *at = (const unsigned char *)text.at;

	if (len == 2)
		return at[0] == 0xc2 && at[1] < 0xa0;
	if (len != 3 || at[0] != 0xe2)
		return false;
	return (at[1] == 0x80 && at[2] >= 0xa8 && at[2] <= 0xae) ||
	       (at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9);
}

/* Below U+10000. */
static char *put_code(char *out, unsigned code)
{
	memcpy(out, "\\u", 2);
	return put_hex(put_hex(out + 2, (unsigned char)(code >> 8)), (unsigned char)code);
}

/* Of a UTF-8 sequence of two or three bytes. */
static unsigned code_of(struct str text, size_t len)
{
	const unsigned char *at = (const unsigned char *)text.at;

	if (len == 2)
		return (at[0] & 0x1fu) << 6 | (at[1] & 0x3fu);
	return (at[0] & 0x0fu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
}

/* One character that is not plain; `*taken` says how many bytes it had. */
static char *put_special(char *out, struct str text, size_t *taken)
{
	unsigned char byte = (unsigned char)text.at[0];
	size_t len = utf8_len(text);

	*taken = len > 0 ? len : 1;
	if (byte == '"' || byte == '\\') {
		*out++ = '\\';
		*out++ = (char)byte;
	} else if (byte < 0x80) {               /* control characters and DEL */
		out = put_code(out, byte);
	} else if (is_control(text, len)) {
		out = put_code(out, code_of(text, len));
	} else if (len > 0) {
		memcpy(out, text.at, len);
		out += len;
	} else {
		memcpy(out, "\\\\x", 3);
		out = put_hex(out + 3, byte);
	}
	return out;
}

char *escape_json(char *out, struct str text)
{
	while (text.len > 0) {
		size_t len = put_plain(out, text), taken;

		out += len;
		if (len == text.len)
			break;
		text = (struct str){ text.at + len, text.len - len };
		out = put_special(out, text, &taken);
		text = (struct str){ text.at + taken, text.len - taken };
	}
	return out;
}

/* ---- HTML and URIs ------------------------------------------------------------------------------------ */

static const struct {
	char byte;
	const char *entity;
} entities[] = {
	{ '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" }, { '"', "&quot;" }, { '\'', "&#39;" },
};

/* An ASCII character. */
static char *put_ascii_html(char *out, char c)
{
	for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++)
		if (entities[i].byte == c)
			return put_text(out, entities[i].entity);
	if ((unsigned char)c >= 0x20 && c != 0x7f) {
		*out++ = c;
		return out;
	}
	out = put_text(out, "\xe2\x90");             /* U+2400 is the picture of NUL, U+2421 that of DEL */
	*out++ = (char)(0x80 + (c == 0x7f ? 0x21 : c));
	return out;
}

char *escape_html(char *out, struct str text)
{
	while (text.len > 0) {
		unsigned char byte = (unsigned char)text.at[0];
		size_t len = byte < 0x80 ? 1 : utf8_len(text);

		if (byte < 0x80) {
			out = put_ascii_html(out, text.at[0]);
		} else if (len == 0 || is_control(text, len)) {
			out = put_text(out, "\xef\xbf\xbd");
		} else {
			memcpy(out, text.at, len);
			out += len;
		}
		len = len > 0 ? len : 1;
		text = (struct str){ text.at + len, text.len - len };
	}
	return out;
}

static const bool unreserved[256] = {
	['-' ... '.'] = true, ['0' ... '9'] = true, ['A' ... 'Z'] = true,
	['_'] = true, ['a' ... 'z'] = true, ['~'] = true,
};

char *escape_uri(char *out, struct str text)
{
	static const char digits[] = "0123456789ABCDEF";        /* RFC 3986, 2.1 */

	for (size_t i = 0; i < text.len; i++) {
		unsigned char byte = (unsigned char)text.at[i];

		if (unreserved[byte]) {
			*out++ = (char)byte;
			continue;
		}
		*out++ = '%';
		*out++ = digits[byte >> 4];
		*out++ = digits[byte & 15];
	}
	return out;
}
