/* parse.c - request heads, strictly by RFC 9112, from bytes that come in any portions.
 *
 * Pure but for the header array in the caller's arena.  Called by http1 for every read, and by the fuzzer.
 * Fails with the status to answer; after that the connection cannot be used any more, because nobody knows
 * where the next request would begin.
 *
 * A line that is as nearly all are is taken by lines.h. Any other is read twice: scan_line looks for its end
 * and at nothing but which bytes are allowed and how many; the functions above it see whole lines only.  What
 * needs all fields is checked at the empty line (fields.h). */
#include "parse.h"

#include "fields.h"
#include "header_id.h"
#include "lines.h"
#include "target.h"

enum {
	EMPTY_LINES = 4,                /* before the request line; old clients sent one behind a body */
	FIRST_HEADERS = 16,             /* most requests have fewer */
	CRLF_BYTES = 2,
};

/* What a call of parse_head works on. */
struct head {
	struct parse *parse;
	struct request *request;
	const struct parse_limits *limits;
	const char *bytes;
	size_t len;
	struct arena *arena;
};

/* VCHAR and SP.  The target is ASCII: other bytes have to be percent-encoded (RFC 3986, 2). */
static const bool request_line_bytes[256] = { [' ' ... '~'] = true };

/* VCHAR, SP, HTAB and obs-text (RFC 9110, 5.5). */
static const bool field_line_bytes[256] = { ['\t'] = true, [' ' ... '~'] = true, [0x80 ... 0xff] = true };

/* pchar and "/" (RFC 3986, 3.3), and what browsers leave as it is in a path all the same: "[", "]" and "|"
 * (names such as "a[1].jpg" have them); "%" only as the beginning of an escape. */
static const bool path_bytes[256] = {
	['!'] = true, ['$' ... ';'] = true, ['='] = true, ['@' ... '['] = true, [']'] = true, ['_'] = true,
	['a' ... 'z'] = true, ['|'] = true, ['~'] = true,
};

/* What browsers leave as it is in a query (the WHATWG's URL standard, 1.3), which is more than RFC 3986
 * allows there: brackets, braces, "|", "^", "\", "`", and "%" wherever. It names no file. */
static const bool query_bytes[256] = {
	['!'] = true, ['$' ... ';'] = true, ['='] = true, ['?' ... '~'] = true,
};

static const struct {
	const char *name;
	enum method method;
} methods[] = {
	{ "GET", METHOD_GET },         { "HEAD", METHOD_HEAD },   { "POST", METHOD_POST },
	{ "PUT", METHOD_PUT },         { "DELETE", METHOD_DELETE }, { "OPTIONS", METHOD_OPTIONS },
	{ "PATCH", METHOD_PATCH },     { "TRACE", METHOD_TRACE }, { "CONNECT", METHOD_CONNECT },
};

static struct str text_of(const struct head *head, struct span span)
{
	return span_str(span, head->bytes);
}

static bool consists_of(struct str text, const bool allowed[256])
{
	for (size_t i = 0; i < text.len; i++)
		if (!allowed[(unsigned char)text.at[i]])
			return false;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* --- the request line (RFC 9112, 3) --- */

static enum method method_of(struct str name)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (str_equal(name, str_of(methods[i].name)))
			return methods[i].method;
	return METHOD_OTHER;
}

/* Takes everything before the next space off `rest`, and that space; false when there is none. */
static bool take_word(const struct head *head, struct span *rest, struct span *word)
{
	struct str text = text_of(head, *rest);
	const char *space = memchr(text.at, ' ', text.len);

	if (space == NULL)
		return false;
	*word = (struct span){ rest->at, (uint32_t)(space - text.at) };
	rest->at += word->len + 1;
	rest->len -= word->len + 1;
	return true;
}

/* A later minor version is answered as 1.1; another major version may mean anything (RFC 9112, 2.3). */
static unsigned read_version(struct str version, unsigned *minor)
{
	if (version.len != strlen("HTTP/1.1") || !str_has_prefix(version, str_of("HTTP/")) ||
	    !is_digit(version.at[5]) || version.at[6] != '.' || !is_digit(version.at[7]))
		return parse_refusal(400, WRONG_VERSION);
	if (version.at[5] != '1')
		return parse_refusal(505, WRONG_VERSION);
	*minor = version.at[7] == '0' ? 0 : 1;
	return 0;
}

/* True when every percent sign begins an escape. */
static bool has_good_escapes(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] == '%' && (text.len - i < 3 || str_hex_value(text.at[i + 1]) < 0 ||
					  str_hex_value(text.at[i + 2]) < 0))
			return false;
	return true;
}

/* Splits what is behind the authority. */
static bool read_path_and_query(const struct head *head, struct span rest)
{
	struct str text = text_of(head, rest), path = text, query = { text.at, 0 };
	const char *mark = memchr(text.at, '?', text.len);

	if (mark != NULL) {
		path.len = (size_t)(mark - text.at);
		query = (struct str){ mark + 1, text.len - path.len - 1 };
	}
	if (!consists_of(path, path_bytes) || !has_good_escapes(path) || !consists_of(query, query_bytes))
		return false;
	head->request->path = (struct span){ rest.at, (uint32_t)path.len };
	if (mark != NULL)
		head->request->query = (struct span){ rest.at + (uint32_t)path.len + 1, (uint32_t)query.len };
	return true;
}

/* "host:port", for CONNECT only.  The port is not optional, nor may it be empty (RFC 9110, 9.3.6). */
static bool read_authority_form(const struct head *head, struct span target)
{
	struct str text = text_of(head, target);

	if (text.len == 0 || !is_digit(text.at[text.len - 1]) || !target_is_authority(text))
		return false;
	head->request->authority = target;
	while (text.len > 0 && is_digit(text.at[text.len - 1]))
		text.len--;
	return text.len > 0 && text.at[text.len - 1] == ':';
}

/* The length of "http://" or "https://" at the beginning of `text`; 0 when there is none. */
static uint32_t scheme_len(struct str text)
{
	static const char *const schemes[] = { "http://", "https://" };

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		struct str scheme = str_of(schemes[i]);

		if (str_has_prefix_nocase(text, scheme))
			return (uint32_t)scheme.len;
	}
	return 0;
}

static bool read_absolute_form(const struct head *head, struct span target)
{
	struct str text = text_of(head, target);
	uint32_t begin = scheme_len(text), end = begin;
	struct span authority;

	if (begin == 0)
		return false;
	while (end < target.len && text.at[end] != '/' && text.at[end] != '?')
		end++;
	authority = (struct span){ target.at + begin, end - begin };
	if (!target_is_authority(text_of(head, authority)) ||
	    !read_path_and_query(head, (struct span){ target.at + end, target.len - end }))
		return false;
	head->request->authority = authority;
	head->request->https = begin == sizeof("https://") - 1;
	if (head->request->path.len == 0)       /* an empty path is "/" (RFC 9110, 4.2.3): borrow one */
		head->request->path = (struct span){ authority.at - 1, 1 };
	return true;
}

static bool read_target(const struct head *head, struct span target)
{
	struct str text = text_of(head, target);

	if (head->request->method == METHOD_CONNECT)
		return read_authority_form(head, target);
	if (text.len > 0 && text.at[0] == '/')
		return read_path_and_query(head, target);
	if (!str_equal(text, str_of("*")))
		return read_absolute_form(head, target);
	head->request->path = target;
	return head->request->method == METHOD_OPTIONS;
}

/* The version is looked at before the target, because it says what a target may be: an HTTP/2 client's
 * "PRI * HTTP/2.0" is no bad request, only one for somebody else. */
static unsigned take_request_line(const struct head *head, struct span line)
{
	struct request *request = head->request;
	struct span method, target;
	unsigned status;

	if (!take_word(head, &line, &method))
		return parse_refusal(400, WRONG_LINE);
	request->method = method_of(text_of(head, method));
	if (!take_word(head, &line, &target) || !str_is_token(text_of(head, method)))
		return parse_refusal(400, WRONG_LINE);
	request->method_name = method;
	request->target = target;
	status = read_version(text_of(head, line), &request->minor);
	if (status != 0)
		return status;
	return read_target(head, target) ? 0 : parse_refusal(400, WRONG_TARGET);
}

/* --- field lines (RFC 9112, 5) --- */

/* Makes room for one more header; false when out of memory. */
static bool grow_headers(const struct head *head)
{
	struct request *request = head->request;
	uint32_t room = head->parse->header_room, limit = head->limits->headers;
	struct header *headers;

	if (request->header_count < room || request->header_count >= limit)
		return true;
	room = room == 0 ? FIRST_HEADERS : room > limit / 2 ? limit : room * 2;
	headers = arena_alloc(head->arena, room * sizeof(*headers));
	if (headers == NULL)
		return false;
	if (request->header_count > 0)
		memcpy(headers, request->headers, request->header_count * sizeof(*headers));
	request->headers = headers;
	head->parse->header_room = room;
	return true;
}

/* A name that is no token refuses more than odd names: white space before the colon, and a folded line, which
 * begins with white space (RFC 9112, 5.1 and 5.2). */
static unsigned take_field_line(const struct head *head, struct span line)
{
	struct request *request = head->request;
	struct str text = text_of(head, line), name = text, value;
	const char *colon = memchr(text.at, ':', text.len);
	enum header_id id;

	if (colon == NULL)
		return parse_refusal(400, WRONG_FIELD);
	name.len = (size_t)(colon - text.at);
	if (!str_is_token(name))
		return parse_refusal(400, WRONG_FIELD);
	if (!grow_headers(head))
		return 500;
	value = str_trim((struct str){ colon + 1, text.len - name.len - 1 });
	id = header_id_of(name);
	request->headers[request->header_count++] = (struct header){
		.name = { line.at, (uint32_t)name.len },
		.value = { line.at + (uint32_t)(value.at - text.at), (uint32_t)value.len },
		.id = id,
	};
	if (id == HEADER_OTHER)
		return 0;
	if (request_saw(request, id))
		request->again |= 1U << id;
	else
		request->first[id] = (uint16_t)(request->header_count - 1);
	request->seen |= 1U << id;
	return 0;
}

/* --- lines (RFC 9112, 2.2) --- */

/* The first place that a byte of the line under way must not have.  Nothing fits a field line too many. */
static size_t line_limit(const struct head *head)
{
	const struct parse *parse = head->parse;

	if (parse->headers_at == 0)
		return (size_t)parse->line + head->limits->request_line_bytes;
	if (head->request->header_count >= head->limits->headers)
		return parse->line;
	return (size_t)parse->headers_at + head->limits->header_bytes;
}

/* What is too long about a request line: the target, or the method, which is then none that is known (RFC
 * 9112, 3). */
static unsigned too_long(const struct head *head, size_t at)
{
	struct str line = { head->bytes + head->parse->line, at - head->parse->line };

	if (memchr(line.at, ' ', line.len) != NULL)
		return parse_refusal(414, WRONG_LONG);
	return str_is_token(line) ? parse_refusal(501, WRONG_LONG) : parse_refusal(400, WRONG_LINE);
}

static unsigned too_large(const struct head *head)
{
	bool many = head->request->header_count >= head->limits->headers;

	return parse_refusal(431, many ? WRONG_MANY : WRONG_LARGE);
}

static unsigned bad_byte(const struct head *head)
{
	return parse_refusal(400, head->parse->headers_at != 0 ? WRONG_FIELD : WRONG_LINE);
}

/* Moves over the line's bytes up to its CR or to the end of what is there. */
static unsigned scan_text(const struct head *head, size_t limit)
{
	struct parse *parse = head->parse;
	bool in_fields = parse->headers_at != 0;
	const bool *allowed = in_fields ? field_line_bytes : request_line_bytes;
	size_t stop = limit < head->len ? limit : head->len, at = parse->scanned;

	while (at < stop && allowed[(unsigned char)head->bytes[at]])
		at++;
	parse->scanned = (uint32_t)at;
	if (at == head->len)
		return 0;
	if (allowed[(unsigned char)head->bytes[at]])
		return in_fields ? too_large(head) : too_long(head, at);
	return head->bytes[at] == '\r' ? 0 : bad_byte(head);
}

/* Moves over a CR or a LF; those of field lines count, that of the empty line at the end does not. */
static unsigned scan_end(const struct head *head, size_t limit, char expected)
{
	struct parse *parse = head->parse;
	size_t text_end = parse->cr ? parse->scanned - 1 : parse->scanned;

	if (head->bytes[parse->scanned] != expected)
		return bad_byte(head);
	if (parse->headers_at != 0 && text_end != parse->line && parse->scanned >= limit)
		return too_large(head);
	parse->scanned++;
	parse->cr = expected == '\r';
	return 0;
}

/* Goes on to the end of the line or of what is there. */
static unsigned scan_line(const struct head *head, bool *ended)
{
	struct parse *parse = head->parse;
	size_t limit = line_limit(head);
	unsigned status = 0;

	if (!parse->cr) {
		status = scan_text(head, limit);
		if (status != 0 || parse->scanned == head->len)
			return status;
		status = scan_end(head, limit, '\r');
	}
	if (status != 0 || parse->scanned == head->len)
		return status;
	status = scan_end(head, limit, '\n');   /* a CR alone is no line end and no white space here */
	*ended = status == 0;
	return status;
}

/* Acts on a whole line; `*last` says whether it was the empty one that ends the head. */
static unsigned take_line(const struct head *head, bool *last)
{
	struct parse *parse = head->parse;
	struct span line = { parse->line, parse->scanned - CRLF_BYTES - parse->line };
	unsigned status;

	parse->line = parse->scanned;
	if (parse->headers_at != 0) {
		*last = line.len == 0;
		return *last ? fields_check(head->request, head->bytes) : take_field_line(head, line);
	}
	if (line.len == 0)                      /* all lines so far were empty */
		return line.at < EMPTY_LINES * CRLF_BYTES ? 0 : parse_refusal(400, WRONG_LINE);
	status = take_request_line(head, line);
	parse->headers_at = parse->scanned;
	return status;
}

void parse_begin(struct parse *parse, struct request *request)
{
	*parse = (struct parse){ 0 };
	*request = (struct request){ 0 };
}

void parse_begin_with(struct parse *parse, struct request *request, struct header *headers, uint32_t room)
{
	parse_begin(parse, request);
	request->headers = headers;
	parse->header_room = room;
}

/* The first word of a line that has not ended says if the answer has content: an error of a HEAD has none
 * (RFC 9110, 9.3.2). */
static void know_method(const struct head *head)
{
	const struct parse *parse = head->parse;
	struct span line = { parse->line, parse->scanned - parse->line }, method;

	if (parse->headers_at == 0 && take_word(head, &line, &method))
		head->request->method = method_of(text_of(head, method));
}

/* What parse_head does where the head is not at its end yet, or has something unusual; line by line. */
static __attribute__((noinline)) unsigned take_lines(const struct head *head, bool *last)
{
	struct parse *parse = head->parse;
	bool ended = true;
	unsigned status = 0;

	while (status == 0 && ended && !*last) {
		ended = false;
		if (parse->scanned == parse->line && grow_headers(head) &&
		    lines_used->take(parse, head->request, head->limits, head->bytes, head->len)) {
			*last = true;
			return fields_check(head->request, head->bytes);
		}
		status = scan_line(head, &ended);
		if (ended)
			status = take_line(head, last);
	}
	if (status != 0)
		know_method(head);
	return status;
}

static __attribute__((noinline)) enum parse_result take_anything(struct parse *parse, struct request *request,
								 const struct parse_limits *limits,
								 const char *head, size_t len,
								 struct arena *arena, unsigned *status)
{
	const struct head all = { parse, request, limits, head, len, arena };
	bool last = false;
	unsigned problem = take_lines(&all, &last);

	if (problem != 0)
		*status = problem & WRONG_STATUS;
	parse->wrong = (uint8_t)(problem >> WRONG_SHIFT);
	return problem != 0 ? PARSE_ERROR : last ? PARSE_DONE : PARSE_MORE;
}

bool parse_usual(struct parse *parse, struct request *request, const struct parse_limits *limits,
		 const char *head, size_t len)
{
	if (parse->scanned != parse->line || request->header_count >= parse->header_room ||
	    !lines_used->take(parse, request, limits, head, len))
		return false;
	if (fields_check(request, head) == 0)
		return true;
	parse->line -= CRLF_BYTES;      /* parse_head shall find the same */
	parse->scanned = parse->line;
	return false;
}

enum parse_result parse_head(struct parse *parse, struct request *request, const struct parse_limits *limits,
			     const char *head, size_t len, struct arena *arena, unsigned *status)
{
	if (parse_usual(parse, request, limits, head, len))
		return PARSE_DONE;
	return take_anything(parse, request, limits, head, len, arena, status);
}
