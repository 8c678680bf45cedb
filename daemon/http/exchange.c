/* exchange.c - one request and its answer: what is the same for every protocol.
 *
 * Called by protocols (begin, start, unpin, end) and by services (answer, resume, timer, error). Nothing here
 * fails: what goes wrong becomes an answer. */
#include "exchange.h"

#include "access_log.h"
#include "auth.h"
#include "error_page.h"
#include "forwarded.h"
#include "limits.h"
#include "route.h"
#include "secret.h"
#include "target.h"
#include "task.h"

#include "base/fd.h"

enum { HOST_BYTES = 256 };

/* ---- for the protocol ------------------------------------------------------------------------------- */

void exchange_begin(struct exchange *exchange, struct conn *conn)
{
	struct arena arena = exchange->arena;

	*exchange = (struct exchange){
		.arena = arena,
		.conn = conn,
		.engine = conn_engine(conn),
		.generation = generation_pin(conn_engine(conn)->generation),
		.generation_number = conn_engine(conn)->generation->number,
		.log = access_log_pin(conn_engine(conn)),
		.instance = conn_engine(conn)->instance,
		.number = ++conn_engine(conn)->exchanges,
		.started_ns = conn_engine(conn)->loop->now_ns,
		.log_query = conn_engine(conn)->generation->config->log_query,
		.client = conn_client(conn),
		.response.file_fd = -1,
	};
}

void exchange_say(const struct exchange *exchange, size_t len)
{
	struct str head = { exchange->head, len };
	struct epitaph *epitaph = exchange->engine->epitaph;

	epitaph_request_begin(epitaph, exchange->started_ns);
	len = secret_line(head, exchange->log_query, epitaph->request, sizeof(epitaph->request));
	epitaph_request_end(epitaph, len);
}

void exchange_unpin(struct exchange *exchange)
{
	exchange->route = NULL;
	exchange->site = NULL;
	generation_unpin(exchange->generation);
	exchange->generation = NULL;
}

/* ---- from the request to its service ------------------------------------------------------------------- */

/* Who is asked for, if whoever asks is believed; logs and rules want to know in any case. */
static unsigned find_client(struct exchange *exchange)
{
	const struct networks *from = &exchange->generation->forwarded_from;
	struct forwarded found = { .client = exchange->client, .secure = exchange->secure };

	if ((from->count == 0 && !from->local) || !networks_have(from, &exchange->client))
		return 0;
	if (!forwarded_read(&exchange->request, exchange->head,
			    exchange->generation->config->forwarded_header, from, &found))
		return 400;
	exchange->client = found.client;
	exchange->secure = found.secure;
	return 0;
}

/* Goes before everything else, so that an error has the site's face. */
static unsigned find_site(struct exchange *exchange)
{
	struct str authority = span_str(exchange->request.authority, exchange->head);
	char host[HOST_BYTES] = "";

	if (authority.len > 0 && !target_host(authority, host, sizeof(host)))
		return 400;
	exchange->site = route_site(exchange->generation, str_of(host));
	if (exchange->site != NULL)
		exchange->row = exchange->site->row;
	return 0;
}

/* What is for https alone is not given out without it (RFC 9110, 7.4). CONNECT has no path, so no service
 * could say anything about it (9.3.6). */
static unsigned know_request(struct exchange *exchange)
{
	if (exchange->request.https && !exchange->secure)
		return 421;
	if (exchange->request.expects_other)
		return 417;
	if (exchange->request.method == METHOD_OTHER)
		return 501;
	return exchange->request.method == METHOD_CONNECT ? 405 : 0;
}

static unsigned resolve_target(struct exchange *exchange)
{
	struct str path = span_str(exchange->request.path, exchange->head);

	if (exchange->request.method == METHOD_OPTIONS && str_equal(path, str_of("*")))
		return 0;               /* of the server as a whole (RFC 9112, 3.2.4): there is no route */
	return target_resolve(path, &exchange->arena, &exchange->path);
}

static unsigned find_route(struct exchange *exchange)
{
	if (exchange->path.at == NULL)
		return 0;
	exchange->route = route_find(exchange->site, exchange->path);
	return exchange->route != NULL ? 0 : 404;
}

static unsigned check_client(struct exchange *exchange)
{
	return exchange->route == NULL || route_allows(exchange->route, &exchange->client) ? 0 : 403;
}

static unsigned check_method(struct exchange *exchange)
{
	if (exchange->route == NULL || exchange->request.method == METHOD_OPTIONS)
		return 0;
	return service_takes(exchange->route->service, exchange->request.method) ? 0 : 405;
}

/* What a request goes through before its service sees it, in this order: each says 0, the status of the
 * answer that ends it here, STAGE_ANSWERED, or STAGE_WAITS: exchange_go_on will be called. */
static unsigned (*const stages[])(struct exchange *exchange) = {
	find_client, find_site,    limits_request, know_request, resolve_target,
	find_route,  check_client, auth_stage,     check_method,
};

enum { STAGE_COUNT = sizeof(stages) / sizeof(stages[0]) };

static struct str allowed_methods(const struct exchange *exchange)
{
	return service_allow(exchange->route != NULL ? exchange->route->service : NULL);
}

/* RFC 9110, 9.3.7: what can be done, and nothing is. */
static void answer_options(struct exchange *exchange)
{
	exchange->response = (struct response){
		.status = 200, .allow = allowed_methods(exchange), .length_known = true, .file_fd = -1,
	};
}

static enum answer start_service(struct exchange *exchange)
{
	if (exchange->request.method == METHOD_OPTIONS) {
		answer_options(exchange);
		return ANSWERED;
	}
	exchange->service = exchange->route->service;
	return exchange->service->start(exchange, exchange->route->settings);
}

/* The stages from `exchange->stage` on. */
static enum answer go_on(struct exchange *exchange)
{
	unsigned status = 0;

	while (status == 0 && exchange->stage < STAGE_COUNT)
		status = stages[exchange->stage++](exchange);
	if (status == STAGE_WAITS)
		return ANSWER_LATER;
	if (status == STAGE_ANSWERED)
		return ANSWERED;
	if (status == 0)
		return start_service(exchange);
	exchange->last = status == 400; /* who sends nonsense may mean anything by the next bytes */
	exchange_error(exchange, status);
	return ANSWERED;
}

enum answer exchange_start(struct exchange *exchange)
{
	exchange->understood = true;
	return go_on(exchange);
}

void exchange_go_on(struct exchange *exchange)
{
	if (go_on(exchange) == ANSWERED)
		exchange_answer(exchange);
}

void exchange_end(struct exchange *exchange)
{
	if (exchange->service != NULL && exchange->service->cancel != NULL)
		exchange->service->cancel(exchange);
	exchange->service = NULL;
	auth_drop(exchange);
	task_drop(exchange->task);
	timer_cancel(&exchange->timer);
	timer_cancel(&exchange->pace.timer);
	if (exchange->conn != NULL)     /* a zeroed one has no file, but its descriptor reads as 0 */
		exchange_drop_body(exchange);
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

char *exchange_buffer(struct exchange *exchange, size_t len)
{
	struct response *response = &exchange->response;

	exchange_drop_body(exchange);
	response->buffer =
		pool_get(&exchange->engine->pool, EXCHANGE_HEAD_BYTES + len, &response->buffer_size);
	return response->buffer != NULL ? response->buffer + EXCHANGE_HEAD_BYTES : NULL;
}

void exchange_drop_body(struct exchange *exchange)
{
	struct response *response = &exchange->response;

	if (response->buffer != NULL)
		pool_put(&exchange->engine->pool, response->buffer, response->buffer_size);
	response->buffer = NULL;
	if (response->file_lasts)
		response->file_fd = -1;
	response->file_lasts = false;
	fd_close(&response->file_fd);
	lasting_unpin(response->lasting);
	lasting_unpin(response->holds);
	response->lasting = response->holds = NULL;
}

void exchange_timer(struct exchange *exchange, uint64_t after_ns)
{
	loop_timer(exchange->engine->loop, &exchange->timer, after_ns);
}

/* Where a request leads nobody knows while its head is not whole: it is the default site's then. */
static const struct site *site_of(const struct exchange *exchange)
{
	if (exchange->site != NULL || exchange->generation == NULL)
		return exchange->site;
	return route_default_site(exchange->generation);
}

const struct rules *exchange_rules(const struct exchange *exchange)
{
	const struct site *site;

	if (exchange->route != NULL)
		return exchange->route->rules;
	site = site_of(exchange);
	return site != NULL ? site->rules : NULL;
}

void exchange_error(struct exchange *exchange, unsigned status)
{
	error_page_fill(exchange, site_of(exchange), status);
	if (status == 401 && exchange->route != NULL && exchange->route->auth != NULL)
		exchange->response.extra = exchange->route->auth->challenge;
	if (status == 405)
		exchange->response.allow = allowed_methods(exchange);
}

void exchange_redirect(struct exchange *exchange, unsigned status, const char *location)
{
	error_page_redirect(exchange, status, location);
}
