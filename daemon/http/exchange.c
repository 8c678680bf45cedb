/* exchange.c - one request and its answer: what is the same for every protocol.
 *
 * Called by protocols (begin, start, unpin, end) and by services (answer, resume, timer, error). Nothing here
 * fails: what goes wrong becomes an answer. */
#include "exchange.h"

#include "access_log.h"
#include "route.h"
#include "target.h"

#include "base/fd.h"

enum { HOST_BYTES = 256 };

/* The answers that the daemon itself gives, and what they say to a reader. */
static const struct reason {
	unsigned status;
	const char *phrase, *hint;
} reasons[] = {
	{ 200, "OK", "" },
	{ 201, "Created", "" },
	{ 202, "Accepted", "" },
	{ 204, "No Content", "" },
	{ 206, "Partial Content", "" },
	{ 301, "Moved Permanently", "The address has moved." },
	{ 302, "Found", "" },
	{ 303, "See Other", "" },
	{ 304, "Not Modified", "" },
	{ 307, "Temporary Redirect", "" },
	{ 308, "Permanent Redirect", "" },
	{ 400, "Bad Request", "The request could not be understood." },
	{ 401, "Unauthorized", "" },
	{ 403, "Forbidden", "You are not allowed to see this." },
	{ 404, "Not Found", "There is nothing at this address." },
	{ 405, "Method Not Allowed", "This address can be read only." },
	{ 406, "Not Acceptable", "There is no form of this that your program accepts." },
	{ 408, "Request Timeout", "The request took too long to arrive." },
	{ 410, "Gone", "There is nothing at this address any more." },
	{ 412, "Precondition Failed", "What is here is not what the request asked for." },
	{ 413, "Content Too Large", "" },
	{ 414, "URI Too Long", "The address is longer than this server accepts." },
	{ 416, "Range Not Satisfiable", "What is here is shorter than that." },
	{ 417, "Expectation Failed", "This server does not know what the request expects of it." },
	{ 429, "Too Many Requests", "" },
	{ 431, "Request Header Fields Too Large",
	  "The request's header is larger than this server accepts." },
	{ 500, "Internal Server Error", "The server could not answer; its operator can find out why." },
	{ 501, "Not Implemented", "This server does not know how to do that." },
	{ 502, "Bad Gateway", "" },
	{ 503, "Service Unavailable", "The server cannot answer now. Please try again later." },
	{ 504, "Gateway Timeout", "" },
	{ 505, "HTTP Version Not Supported", "This server speaks HTTP/1.1." },
};

static const struct reason *reason_of(unsigned status)
{
	static const struct reason unknown = { 0, "Unknown", "" };

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return &reasons[i];
	return &unknown;
}

const char *exchange_reason(unsigned status)
{
	return reason_of(status)->phrase;
}

/* ---- for the protocol ------------------------------------------------------------------------------- */

void exchange_begin(struct exchange *exchange, struct conn *conn)
{
	struct arena arena = exchange->arena;

	*exchange = (struct exchange){
		.arena = arena, .conn = conn, .engine = conn->engine,
		.generation = generation_pin(conn->engine->generation),
		.generation_number = conn->engine->generation->number,
		.log = access_log_pin(conn->engine),
		.number = ++conn->engine->exchanges,
		.started_ns = conn->engine->loop->now_ns,
		.client = conn->peer,
		.response.file_fd = -1,
	};
}

void exchange_unpin(struct exchange *exchange)
{
	exchange->route = NULL;
	generation_unpin(exchange->generation);
	exchange->generation = NULL;
}

static unsigned check_method(enum method method)
{
	if (method == METHOD_GET || method == METHOD_HEAD)
		return 0;
	return method == METHOD_OTHER ? 501 : 405;
}

static unsigned find_route(struct exchange *exchange)
{
	struct str authority = span_str(exchange->request.authority, exchange->head);
	char host[HOST_BYTES] = "";

	if (authority.len > 0 && !target_host(authority, host, sizeof(host)))
		return 400;
	exchange->route = route_find(exchange->generation, str_of(host), exchange->path);
	if (exchange->route == NULL)
		return 404;
	return route_allows(exchange->route, &exchange->client) ? 0 : 403;
}

/* 0, or the status that says why not. */
static unsigned locate(struct exchange *exchange)
{
	unsigned status = check_method(exchange->request.method);

	if (exchange->request.expects_other)
		return 417;
	if (status == 0)
		status = target_resolve(span_str(exchange->request.path, exchange->head), &exchange->arena,
					&exchange->path);
	return status != 0 ? status : find_route(exchange);
}

enum answer exchange_start(struct exchange *exchange)
{
	unsigned status;

	exchange->understood = true;
	status = locate(exchange);
	if (status != 0) {
		exchange->last = status == 400; /* who sends nonsense may mean anything by the next bytes */
		exchange_error(exchange, status);
		return ANSWERED;
	}
	exchange->service = exchange->route->service;
	return exchange->service->start(exchange, exchange->route->settings);
}

void exchange_end(struct exchange *exchange)
{
	if (exchange->service != NULL && exchange->service->cancel != NULL)
		exchange->service->cancel(exchange);
	exchange->service = NULL;
	timer_cancel(&exchange->timer);
	if (exchange->conn != NULL)     /* a zeroed one has no file, but its descriptor reads as 0 */
		fd_close(&exchange->response.file_fd);
	exchange_unpin(exchange);
	access_log_unpin(exchange->log);
	exchange->log = NULL;
	arena_reset(&exchange->arena);
}

/* ---- for services ----------------------------------------------------------------------------------- */

void exchange_answer(struct exchange *exchange)
{
	exchange->answered = true;
	if (exchange->on_answer != NULL)
		exchange->on_answer(exchange);
}

void exchange_resume(struct exchange *exchange)
{
	if (exchange->on_resume != NULL)
		exchange->on_resume(exchange);
}

void exchange_timer(struct exchange *exchange, uint64_t after_ns)
{
	loop_timer(exchange->engine->loop, &exchange->timer, after_ns);
}

void exchange_error(struct exchange *exchange, unsigned status)
{
	const struct reason *reason = reason_of(status);
	const char *page = arena_printf(&exchange->arena,
					"<!doctype html>\n<meta charset=\"utf-8\">\n<title>%u "
					"%s</title>\n<h1>%u %s</h1>\n<p>%s</p>\n",
					status, reason->phrase, status, reason->phrase, reason->hint);

	fd_close(&exchange->response.file_fd);
	exchange->response = (struct response){
		.status = status,
		.content_type = str_of("text/html; charset=utf-8"),
		.body = BODY_MEMORY, .memory = str_of(page),    /* out of memory: the status says it all */
		.file_fd = -1,
	};
	exchange->response.length_known = true;
	exchange->response.length = exchange->response.memory.len;
	if (status == 405)
		exchange->response.allow = str_of("GET, HEAD");
}
