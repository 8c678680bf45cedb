/* fields.c - what the fields of a request say about its host, its body, its connection and what it expects.
 *
 * Pure. Called by parse.c at the end of a head. Fails with the status to answer; the first check that fails
 * decides. */
#include "fields.h"

#include "parse.h"
#include "target.h"

/* See parse_refusal. */
enum {
	BAD_HOST = 400 | WRONG_HOST << WRONG_SHIFT,
	BAD_FRAMING = 400 | WRONG_FRAMING << WRONG_SHIFT,
	NO_CODING = 501 | WRONG_FRAMING << WRONG_SHIFT,
};

struct message {
	struct request *request;
	const char *head;
};

static struct str text_of(const struct message *message, struct span span)
{
	return span_str(span, message->head);
}

static bool has_field(const struct request *request, enum header_id id)
{
	struct header header;
	unsigned index = 0;

	return request_next(request, id, &index, &header);
}

/* True when `token` is a whole element of one of the fields with this id. */
static bool lists(const struct message *message, enum header_id id, const char *token)
{
	struct header header;
	unsigned index = 0;

	while (request_next(message->request, id, &index, &header)) {
		struct str rest = text_of(message, header.value), element;

		while (str_next_element(&rest, &element))
			if (str_equal_nocase(element, str_of(token)))
				return true;
	}
	return false;
}

/* RFC 9112, 3.2.  An empty Host is that of a target without an authority; the target's own wins (3.2.2), but
 * does not excuse a Host that is wrong. */
static unsigned check_host(const struct message *message)
{
	struct request *request = message->request;
	struct header header, second;
	unsigned index = 0;

	if (!request_next(request, HEADER_HOST, &index, &header))
		return request->minor == 0 ? 0 : BAD_HOST;
	if (request_next(request, HEADER_HOST, &index, &second))
		return BAD_HOST;
	if (header.value.len > 0 && !target_is_authority(text_of(message, header.value)))
		return BAD_HOST;
	if (request->authority.len == 0)
		request->authority = header.value;
	return 0;
}

/* What Transfer-Encoding says. */
struct codings {
	unsigned chunked;               /* how often */
	unsigned registered, unknown;
	bool chunked_last, malformed;
};

/* Parameters belong to a coding; "chunked" has none, and what comes with some is not that (RFC 9112, 7.1). */
static void count_coding(struct codings *codings, struct str element)
{
	static const char *const names[] = {
		"gzip", "x-gzip", "deflate", "compress", "x-compress", "identity"
	};
	const char *mark = memchr(element.at, ';', element.len);
	struct str name = str_trim(
		(struct str){ element.at, mark != NULL ? (size_t)(mark - element.at) : element.len });
	bool registered = false;

	codings->chunked_last = mark == NULL && str_equal_nocase(name, str_of("chunked"));
	if (codings->chunked_last) {
		codings->chunked++;
		return;
	}
	codings->malformed |= !str_is_token(name) || str_equal_nocase(name, str_of("chunked"));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		registered |= str_equal_nocase(name, str_of(names[i]));
	codings->registered += registered ? 1 : 0;
	codings->unknown += registered ? 0 : 1;
}

/* "chunked" must come once and last, or the body's end cannot be known: 400 (RFC 9112, 6.1 and 6.3). No other
 * coding is supported: 501, also where one that nobody has registered stands alone, for it might have said
 * where the body ends. */
static unsigned check_codings(const struct message *message)
{
	struct codings codings = { 0 };
	struct header header;
	unsigned index = 0;

	while (request_next(message->request, HEADER_TRANSFER_ENCODING, &index, &header)) {
		struct str rest = text_of(message, header.value), coding;

		while (str_next_element(&rest, &coding))
			count_coding(&codings, coding);
	}
	if (codings.malformed || codings.chunked > 1)
		return BAD_FRAMING;
	if (codings.chunked == 1 && codings.chunked_last)
		return codings.registered + codings.unknown > 0 ? NO_CODING : 0;
	return codings.chunked == 0 && codings.registered == 0 && codings.unknown > 0 ? NO_CODING
										      : BAD_FRAMING;
}

/* RFC 9112, 6.2 lets a recipient repair several equal lengths; nobody honest sends them. */
static unsigned check_length(const struct message *message)
{
	struct header header;
	unsigned index = 0;
	uint64_t length = 0;

	if (!request_next(message->request, HEADER_CONTENT_LENGTH, &index, &header))
		return 0;
	if (!str_to_u64(text_of(message, header.value), &length) || length > INT64_MAX)
		return BAD_FRAMING;
	message->request->has_body = length > 0;
	message->request->body_bytes = length;
	return request_next(message->request, HEADER_CONTENT_LENGTH, &index, &header) ? BAD_FRAMING : 0;
}

/* Both fields at once, or chunked from a client that cannot know it, is how requests are smuggled (RFC 9112,
 * 6.1). */
static unsigned check_framing(const struct message *message)
{
	struct request *request = message->request;

	if (!has_field(request, HEADER_TRANSFER_ENCODING))
		return check_length(message);
	if (request->minor == 0 || has_field(request, HEADER_CONTENT_LENGTH))
		return BAD_FRAMING;
	request->has_body = request->chunked = true;
	return check_codings(message);
}

/* RFC 9112, 9.3. */
static void check_connection(const struct message *message)
{
	struct request *request = message->request;

	request->keep_alive = !lists(message, HEADER_CONNECTION, "close") &&
			      (request->minor == 1 || lists(message, HEADER_CONNECTION, "keep-alive"));
}

/* RFC 9110, 10.1.1: from an HTTP/1.0 client it must be ignored; what else one may expect is not known. */
static void check_expect(const struct message *message)
{
	struct request *request = message->request;
	struct header header;
	unsigned index = 0;

	while (request->minor > 0 && request_next(request, HEADER_EXPECT, &index, &header)) {
		struct str rest = text_of(message, header.value), element;

		while (str_next_element(&rest, &element)) {
			if (str_equal_nocase(element, str_of("100-continue")))
				request->expects_continue = true;
			else
				request->expects_other = true;
		}
	}
}

static __attribute__((noinline)) unsigned check_all(struct request *request, const char *head)
{
	const struct message message = { request, head };
	unsigned status = check_host(&message);

	if (status == 0)
		status = check_framing(&message);
	if (status == 0) {
		check_connection(&message);
		check_expect(&message);
	}
	return status;
}

/* True when nothing is said of the connection, or one word, spelled as nearly everybody does. */
static bool is_plain(const struct request *request, const char *head, bool *keep_alive)
{
	const struct header *header = &request->headers[request->first[HEADER_CONNECTION]];
	struct str value;

	*keep_alive = true;
	if (!request_saw(request, HEADER_CONNECTION))
		return true;
	value = (struct str){ head + header->value.at, header->value.len };
	*keep_alive = !str_equal(value, str_of("close"));
	return !request_saw_again(request, HEADER_CONNECTION) &&
	       (!*keep_alive || str_equal(value, str_of("keep-alive")));
}

/* The request of nearly everybody who wants to have something: there is nothing that has to be looked at. */
static bool is_usual(const struct request *request)
{
	const uint32_t others =
		1U << HEADER_TRANSFER_ENCODING | 1U << HEADER_CONTENT_LENGTH | 1U << HEADER_EXPECT;

	return request->minor == 1 && request->host_is_plain && !request_saw_again(request, HEADER_HOST) &&
	       request->authority.len == 0 && (request->seen & others) == 0;
}

unsigned fields_check(struct request *request, const char *head)
{
	bool keep_alive;

	if (!is_usual(request) || !is_plain(request, head, &keep_alive))
		return check_all(request, head);
	request->authority = request->headers[request->first[HEADER_HOST]].value;
	request->keep_alive = keep_alive;
	return 0;
}
