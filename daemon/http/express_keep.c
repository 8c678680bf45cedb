/* express_keep.c - which answers of the general way may be given again, and in what form they are kept.
 *
 * Called by http1_send.c for answers that last. Fails by keeping nothing. */
#include "error_page.h"
#include "express.h"
#include "express_batch.h"
#include "route.h"

/* Further room is for what is said of a connection. */
enum { HEAD_MOST_BYTES = READY_ANSWER_BYTES };

_Static_assert((int)HEAD_MOST_BYTES + (int)RESPONSE_CONNECTION_BYTES <= (int)EXPRESS_OUT_BYTES,
	       "a head is rendered into `out`");

/* ---- what an answer must not depend on ---------------------------------------------------------------- */

static bool asks_the_usual(const struct request *request)
{
	return request->method == METHOD_GET && express_is_usual(request);
}

static bool is_for_everybody(const struct route *route)
{
	return route == NULL || (route->auth == NULL && route->allow == NULL && route->deny == NULL);
}

/* Who forwards says whose request it is, and whether that came by https. */
static bool nobody_forwards(const struct generation *generation)
{
	return generation->forwarded_from.count == 0 && !generation->forwarded_from.local;
}

/* A page of the site may change, or come, any time. */
static bool is_our_own(const struct exchange *exchange)
{
	const struct response *response = &exchange->response;

	return !response->is_error || !error_page_is_file(exchange->site, response->status);
}

static bool has_whole_body(const struct response *response)
{
	if (response->body == BODY_NONE)
		return !response->length_known || response->length == 0;
	return response->body == BODY_MEMORY && response->length_known &&
	       response->length == response->memory.len;
}

static bool may_be_given_again(const struct exchange *exchange)
{
	const struct response *response = &exchange->response;

	return exchange->generation == exchange->engine->generation && asks_the_usual(&exchange->request) &&
	       is_for_everybody(exchange->route) && nobody_forwards(exchange->generation) &&
	       is_our_own(exchange) && has_whole_body(response) && response->extra.len == 0 &&
	       !exchange->last;
}

/* ---- the form ------------------------------------------------------------------------------------------ */

/* Where the line begins that starts with `name`; SIZE_MAX: there is none. */
static size_t find_line(struct str head, const char *name)
{
	const char *at = memmem(head.at, head.len, name, strlen(name));

	return at != NULL ? (size_t)(at + strlen("\r\n") - head.at) : SIZE_MAX;
}

/* Renders the head once more for a connection that ends, for then it has a line that says so; in its place it
 * says that the connection is kept. */
static bool render(const struct exchange *exchange, const struct fields *keep, char *out,
		   struct ready_terms *terms)
{
	struct framing framing = response_framing(exchange, false);
	struct str head = { out, response_head(exchange, framing, out) };
	char close[RESPONSE_CONNECTION_BYTES];
	size_t len = response_connection(framing, close);
	size_t date = find_line(head, "\r\nDate: "), connection = find_line(head, "\r\nConnection: ");

	if (framing.chunked || date == SIZE_MAX || connection == SIZE_MAX || date > connection)
		return false;
	memmove(out + connection + keep->len, out + connection + len, head.len - connection - len);
	memcpy(out + connection, keep->text, keep->len);
	terms->head = (struct str){ out, head.len - len + keep->len };
	terms->date_at = (uint32_t)(date + strlen("Date: "));
	terms->fields_at = (uint32_t)connection;
	terms->fields_len = (uint32_t)keep->len;
	return true;
}

static bool has_content(unsigned status)
{
	return status != 204 && status != 304;
}

void express_keep(struct exchange *exchange)
{
	struct express *express = exchange->engine->shared;
	const struct response *response = &exchange->response;
	struct ready_key key;
	struct ready_terms terms = {
		.generation = exchange->generation_number,
		.until_ns = UINT64_MAX,
		.status = response->status,
		.row = exchange->row,
		.body_lasts = response->memory_lasts,
		.lasting = response->lasting,
	};

	if (express == NULL || !may_be_given_again(exchange) ||
	    response_head_room(exchange) > HEAD_MOST_BYTES ||
	    !render(exchange, &express->keep, express->out, &terms))
		return;
	terms.keep_s = express->keep_s;
	if (rules_say_when(exchange_rules(exchange)))
		terms.until_ns = wall_clock(exchange->engine->loop)->until_ns;
	if (has_content(response->status))
		terms.body = response->memory;
	key = express_key(express, &exchange->request, exchange->head);
	ready_keep(&express->ready, &key, &terms);
}
