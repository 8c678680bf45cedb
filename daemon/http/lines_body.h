/* What the implementations of lines.h have in common: the way through the lines. A source that includes this
 * has defined struct block (BLOCK bytes), struct constants (what the operations want to have at hand),
 * LINES_INLINE, and
 *
 *   constants_load
 *   block_load, block_store, block_zero
 *   block_not_token, block_not_path, block_not_query, block_not_text, block_not_host:
 *             a bit for each byte that is not, or may be not, in the set
 *   block_equals: a bit for each byte that is that of the text, which has no capitals, in capitals or not
 *
 * Lines are read where they are, but for those behind the last place where a whole block can be read: they
 * are read in a copy with zeros behind it. A zero is no byte of a line, so that no line ends there. */
#ifndef HTTP_LINES_BODY_H
#define HTTP_LINES_BODY_H

#include "header_id.h"

enum {
	BLOCK = 32,
	NAME_MOST = BLOCK - 3,          /* so that the block has the colon, the space and a byte behind it */
};

/* Where lines are read: in the head itself, and then in the copy. */
struct view {
	const char *last;               /* up to here a block can be read, and what it ends with */
	uintptr_t origin;               /* where the head's first byte is, or would be */
	char *copy;                     /* three blocks */
	struct constants constants;
};

LINES_INLINE uint32_t offset_of(const struct view *view, const char *at)
{
	return (uint32_t)((uintptr_t)at - view->origin);
}

LINES_INLINE const char *at_offset(const struct view *view, size_t offset)
{
	return (const char *)(view->origin + offset);
}

/* A view of a head's first `len` bytes; of less than a block and one it is a copy at once. The one is there
 * so that the byte behind a block can be read, too. */
LINES_INLINE void view_begin(struct view *view, const char *head, size_t len)
{
	if (len > BLOCK) {
		view->last = head + len - BLOCK - 1;
		view->origin = (uintptr_t)head;
		return;
	}
	block_store(view->copy, block_zero());
	block_store(view->copy + BLOCK, block_zero());
	memcpy(view->copy, head, len);
	view->last = view->copy + BLOCK;
	view->origin = (uintptr_t)view->copy;
}

/* Goes on in a copy of the last block that can be read at once, from where `line` is; where that is now. The
 * head's last byte is not in it: it is that of the empty line, or of a line that parse.c takes. */
LINES_INLINE const char *view_end(struct view *view, const char *head, size_t len, const char *line)
{
	size_t from = len - BLOCK - 1, at = offset_of(view, line);

	block_store(view->copy, block_load(head + from));
	block_store(view->copy + BLOCK, block_zero());
	view->origin = (uintptr_t)view->copy - from;
	view->last = view->copy + BLOCK;
	return at_offset(view, at);
}

/* Sees less of the head, but not less than the line at `line`; where that is now. */
LINES_INLINE const char *view_shorten(struct view *view, const char *head, size_t len, const char *line)
{
	size_t at = offset_of(view, line);

	view_begin(view, head, len);
	return at_offset(view, at);
}

/* The bits of a block's bytes from `at` on, which is behind `last`, where the block begins. */
LINES_INLINE uint32_t bits_behind(uint32_t bits, const char *last, const char *at)
{
	return (uint32_t)((uint64_t)bits >> (at - last));
}

LINES_INLINE uint16_t load_16(const char *at)
{
	uint16_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

LINES_INLINE uint32_t load_32(const char *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

LINES_INLINE uint64_t load_64(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* ---- the request line ---- */

/* The first byte from `at` on that is none of a path; NULL when there is none. */
LINES_INLINE const char *path_end(const struct view *view, const char *at)
{
	uint32_t others = 0;

	for (; others == 0 && at <= view->last; at += BLOCK)
		others = block_not_path(&view->constants, block_load(at));
	if (others != 0)
		return at - BLOCK + __builtin_ctz(others);
	others = bits_behind(block_not_path(&view->constants, block_load(view->last)), view->last, at);
	return others != 0 ? at + __builtin_ctz(others) : NULL;
}

/* The same of a query. */
LINES_INLINE const char *query_end(const struct view *view, const char *at)
{
	uint32_t others = 0;

	for (; others == 0 && at <= view->last; at += BLOCK)
		others = block_not_query(&view->constants, block_load(at));
	if (others != 0)
		return at - BLOCK + __builtin_ctz(others);
	others = bits_behind(block_not_query(&view->constants, block_load(view->last)), view->last, at);
	return others != 0 ? at + __builtin_ctz(others) : NULL;
}

/* The length of the method's word and its space; 0 when it is another one. */
LINES_INLINE uint32_t method_len(const char *line, enum method *method)
{
	uint32_t word = load_32(line);

	*method = word == load_32("GET ") ? METHOD_GET : METHOD_HEAD;
	if (word == load_32("GET "))
		return 4;
	return word == load_32("HEAD") && line[4] == ' ' ? 5 : 0;
}

LINES_INLINE bool is_version_1_1(const struct view *view, const char *at)
{
	return at + 11 <= view->last + BLOCK && load_64(at) == load_64(" HTTP/1.") &&
	       load_32(at + 7) == load_32(".1\r\n");
}

/* Where the next line begins; NULL when it was not taken. */
LINES_INLINE const char *take_request_line(const struct view *view, struct request *request, uint32_t most,
					   const char *line)
{
	uint32_t begin = offset_of(view, line), end;
	struct span path, query = { 0, 0 };
	enum method method;
	uint32_t skipped = method_len(line, &method);
	const char *at;

	if (skipped == 0 || line[skipped] != '/')
		return NULL;
	at = path_end(view, line + skipped);
	if (at == NULL)
		return NULL;
	end = offset_of(view, at);
	path = (struct span){ begin + skipped, end - begin - skipped };
	if (*at == '?') {
		query.at = end + 1;
		at = query_end(view, at + 1);
		if (at == NULL)
			return NULL;
		end = offset_of(view, at);
		query.len = end - query.at;
	}
	if (!is_version_1_1(view, at) || end + 9 - begin > most)
		return NULL;
	request->method = method;
	request->method_name = (struct span){ begin, skipped - 1 };
	request->target = (struct span){ path.at, end - path.at };
	request->path = path;
	request->query = query;
	request->minor = 1;
	return at + 11;
}

/* ---- fields ---- */

/* Letters, digits, "-" and ".", and perhaps a port, all of it in the line's first block. */
LINES_INLINE bool is_plain_host(const struct view *view, struct block block, const char *line,
				const char *text, const char *end)
{
	uint32_t port = 0;
	const char *at;

	if (end - line >= BLOCK || *text == '.')
		return false;
	at = text + __builtin_ctz(block_not_host(&view->constants, block) >> (text - line));
	if (at == end)
		return true;
	if (at == text || *at != ':' || end - at < 2 || end - at > 6)
		return false;
	while (++at < end) {
		uint32_t digit = (uint32_t)(unsigned char)*at - '0';

		if (digit > 9)
			return false;
		port = 10 * port + digit;
	}
	return port <= UINT16_MAX;
}

LINES_INLINE enum header_id known_id(const struct view *view, struct block block, const char *line,
				     const char *colon)
{
	/* of a name of one byte, what is in front of its last one is the line before */
	unsigned id = header_slots[header_slot((unsigned)(colon - line), (unsigned char)colon[-2])];

	if (id == HEADER_OTHER)
		return HEADER_OTHER;
	return (header_names[id].bits & ~block_equals(&view->constants, block, header_names[id].text)) == 0
		       ? (enum header_id)id
		       : HEADER_OTHER;
}

/* The first byte from `at` on, where `block` is, that is no text; NULL when there is none. */
LINES_INLINE const char *text_end(const struct view *view, const char *at, struct block block)
{
	uint32_t others = block_not_text(&view->constants, block);

	while (others == 0) {
		at += BLOCK;
		if (at > view->last) {
			others = block_not_text(&view->constants, block_load(view->last));
			others = bits_behind(others, view->last, at);
			break;
		}
		others = block_not_text(&view->constants, block_load(at));
	}
	return others != 0 ? at + __builtin_ctz(others) : NULL;
}

/* What is known of the fields so far, while lines are taken. */
struct taken {
	uint32_t count, seen;
};

LINES_INLINE void note_known(struct request *request, struct taken *taken, enum header_id id)
{
	if ((taken->seen >> id & 1U) != 0)
		request->again |= 1U << id;
	else
		request->first[id] = (uint16_t)taken->count;
	taken->seen |= 1U << id;
}

/* Takes the field that begins at `line` as `header`; where the next line begins, NULL when it was not
 * taken. */
LINES_INLINE const char *take_field(const struct view *view, struct request *request, struct taken *taken,
				    struct header *header, const char *line)
{
	const uint16_t colon_space = load_16(": "), crlf = load_16("\r\n");
	const struct block block = block_load(line);
	const char *colon = line + __builtin_ctz(block_not_token(&view->constants, block) | 1U << NAME_MOST),
		   *end;
	uint32_t begin;
	enum header_id id;

	if (colon == line || load_16(colon) != colon_space || colon[2] <= ' ')
		return NULL;
	end = text_end(view, line, block);
	if (end == NULL || load_16(end) != crlf || end[-1] == ' ')
		return NULL;
	id = known_id(view, block, line, colon);
	begin = offset_of(view, line);
	*header = (struct header){
		.name = { begin, (uint32_t)(colon - line) },
		.value = { begin + (uint32_t)(colon - line) + 2, (uint32_t)(end - colon) - 2 },
		.id = id,
	};
	if (id != HEADER_OTHER)
		note_known(request, taken, id);
	if (id == HEADER_HOST)
		request->host_is_plain = is_plain_host(view, block, line, colon + 2, end);
	return end + 2;
}

/* Takes fields from `line` on, while there is room for them and their lines end before head[len]; where it
 * has come to. */
LINES_INLINE uint32_t take_fields(struct view *view, struct request *request, uint32_t room, const char *head,
				  size_t len, const char *line)
{
	struct taken taken = { request->header_count, request->seen };
	struct header *header = request->headers + request->header_count;

	for (; taken.count < room; taken.count++, header++) {
		const char *next;

		if (line > view->last) {
			if (offset_of(view, line) + 2 >= len)   /* the empty line, or nothing */
				break;
			line = view_end(view, head, len, line);
		}
		next = take_field(view, request, &taken, header, line);
		if (next == NULL)
			break;
		line = next;
	}
	request->header_count = taken.count;
	request->seen = taken.seen;
	return offset_of(view, line);
}

LINES_INLINE bool lines_body(struct parse *parse, struct request *request, const struct parse_limits *limits,
			     const char *head, size_t len)
{
	char copy[3 * BLOCK];
	struct view view = { .copy = copy, .constants = constants_load() };
	uint32_t room = parse->header_room < limits->headers ? parse->header_room : limits->headers;
	const char *line;
	size_t stop = len;

	view_begin(&view, head, len);
	line = at_offset(&view, parse->line);
	if (parse->headers_at == 0) {
		if (line > view.last)
			line = view_end(&view, head, len, line);
		line = take_request_line(&view, request, limits->request_line_bytes, line);
		if (line == NULL)
			return false;
		parse->headers_at = offset_of(&view, line);
	}
	if (len - parse->headers_at > limits->header_bytes) {
		stop = parse->headers_at + limits->header_bytes;
		line = view_shorten(&view, head, stop, line);
	}
	parse->line = take_fields(&view, request, room, head, stop, line);
	parse->scanned = parse->line;
	if (len - parse->line < 2 || load_16(head + parse->line) != load_16("\r\n"))
		return false;
	parse->line += 2;
	parse->scanned = parse->line;
	return true;
}

#endif
