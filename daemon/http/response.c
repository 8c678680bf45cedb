/* response.c - renders response heads.  Called by http1.c; pure but for the clock, cannot fail.
 *
 * On every request's path, so it copies bytes and formats nothing but numbers. */
#include "response.h"

#include "reason.h"
#include "rules.h"

#include "base/clock.h"
#include "base/put.h"

/* The fixed parts of the longest head: status line, every field's name, the dates, two numbers. */
enum { FIXED_BYTES = 640 };

const struct wall *wall_clock(const struct loop *loop)
{
	static struct wall wall;
	struct timespec now;

	if (loop->now_ns < wall.until_ns)
		return &wall;
	now = clock_wall();
	wall.until_ns = loop->now_ns + CLOCK_S - (uint64_t)now.tv_nsec;
	if (wall.now != now.tv_sec || wall.date[0] == '\0') {
		wall.now = now.tv_sec;
		date_format(wall.now, wall.date);
	}
	return &wall;
}

/* ---- framing ---------------------------------------------------------------------------------------- */

/* RFC 9110, 6.4.1: these never have content. */
static bool status_without_body(unsigned status)
{
	return status == 204 || status == 304;
}

struct framing response_framing(const struct exchange *exchange, bool keep_alive)
{
	const struct response *response = &exchange->response;
	bool content = !status_without_body(response->status);
	bool unknown = content && response->body == BODY_STREAM && !response->length_known;
	struct framing framing = {
		.body = content && exchange->request.method != METHOD_HEAD && response->body != BODY_NONE,
		.chunked = unknown && exchange->request.minor > 0,
		.keep_alive = keep_alive,
		.old_client = exchange->request.minor == 0,
	};

	if (unknown && !framing.chunked)        /* its end is the connection's, and HEAD says so too */
		framing.keep_alive = false;
	return framing;
}

/* ---- writing ---------------------------------------------------------------------------------------- */

/* `name` with its colon and space; nothing when there is no value. */
static char *put_field(char *out, const char *name, struct str value)
{
	if (value.at == NULL)
		return out;
	out = put_text(out, name);
	out = put(out, value);
	return put_text(out, "\r\n");
}

static char *put_status_line(char *out, unsigned status)
{
	if (status == 200)
		return put_text(out, "HTTP/1.1 200 OK\r\n");
	out = put_text(out, "HTTP/1.1 ");
	out = put_number(out, status);
	*out++ = ' ';
	out = put_text(out, reason_phrase(status));
	return put_text(out, "\r\n");
}

static char *put_length(char *out, const struct response *response, struct framing framing)
{
	if (framing.chunked)
		return put_text(out, "Transfer-Encoding: chunked\r\n");
	if (!response->length_known || status_without_body(response->status))
		return out;
	out = put_text(out, "Content-Length: ");
	out = put_number(out, response->length);
	return put_text(out, "\r\n");
}

static char *put_modified(char *out, const struct response *response)
{
	char date[DATE_BYTES];

	if (!response->last_modified_known)
		return out;
	date_format(response->last_modified, date);
	return put_field(out, "Last-Modified: ", str_of(date));
}

/* The hint is for clients that would otherwise send into our FIN; what belongs to this connection only has to
 * be named in Connection (RFC 9110, 7.6.1), and the option's name happens to be the field's. */
static char *put_connection(char *out, struct framing framing)
{
	if (!framing.keep_alive)
		return put_text(out, "Connection: close\r\n");
	if (framing.keep_alive_s == 0)
		return framing.old_client ? put_text(out, "Connection: keep-alive\r\n") : out;
	out = put_text(out, "Connection: keep-alive\r\nKeep-Alive: timeout=");
	out = put_number(out, framing.keep_alive_s);
	return put_text(out, "\r\n");
}

size_t response_connection(struct framing framing, char *out)
{
	return (size_t)(put_connection(out, framing) - out);
}

size_t response_head_room(const struct exchange *exchange)
{
	const struct response *response = &exchange->response;

	return rules_room(exchange_rules(exchange)) + FIXED_BYTES + response->content_type.len +
	       response->location.len + response->etag.len + response->allow.len +
	       response->content_encoding.len + response->content_range.len + response->vary.len +
	       response->extra.len;
}

static size_t apply_rules(const struct exchange *exchange, char *head, size_t len)
{
	const struct rules *rules = exchange_rules(exchange);
	const struct response *response = &exchange->response;
	enum method method = exchange->request.method;
	struct rules_answer answer;

	if (rules == NULL)
		return len;
	answer = (struct rules_answer){
		.status = response->status,
		.content_type = response->content_type,
		.media_type = response->media_type.at != NULL ? response->media_type : response->content_type,
		.is_error = response->is_error,
		.can_be_kept = response->status < 400 && (method == METHOD_GET || method == METHOD_HEAD),
		.now = wall_clock(exchange->engine->loop)->now,
	};
	return rules_apply(rules, &answer, head, len);
}

size_t response_head(const struct exchange *exchange, struct framing framing, char *out)
{
	const struct response *response = &exchange->response;
	char *at = put_status_line(out, response->status);

	at = put_text(at, "Server: drover\r\n");
	at = put_field(at, "Date: ", str_of(wall_clock(exchange->engine->loop)->date));
	if (!status_without_body(response->status))
		at = put_field(at, "Content-Type: ", response->content_type);
	at = put_field(at, "Content-Encoding: ", response->content_encoding);
	at = put_field(at, "Content-Range: ", response->content_range);
	at = put_length(at, response, framing);
	at = put_modified(at, response);
	at = put_field(at, "ETag: ", response->etag);
	at = put_field(at, "Vary: ", response->vary);
	if (response->accept_ranges)
		at = put_text(at, "Accept-Ranges: bytes\r\n");
	at = put_field(at, "Location: ", response->location);
	at = put_field(at, "Allow: ", response->allow);
	at = put(at, response->extra);
	at = put_connection(at, framing);
	at = put_text(at, "\r\n");
	return apply_rules(exchange, out, (size_t)(at - out));
}
