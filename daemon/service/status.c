/* status.c - which document of the status is wanted, and the answer with it.
 *
 * Called through the struct. A document is made in steps (status_desk.c), so that most answers come later.
 * Fails only when out of memory, with 500, or with 503 for one stream too many, or while clients that do not
 * read have all the memory that documents may take. */
#include "status.h"

#include "status_accept.h"
#include "status_config.h"
#include "status_desk.h"
#include "status_events.h"
#include "status_json.h"
#include "status_metrics.h"
#include "status_page.h"

#include "base/clock.h"
#include "http/exchange.h"
#include "http/route.h"

static const struct setting rows[] = {
	{ "interval", SETTING_DURATION, .def = "1s", .min = "100ms", .max = "60s",
	  .offset = offsetof(struct status_settings, interval_ns),
	  HELP("how often a stream of events says what is going on") },
	{ "streams", SETTING_INTEGER, .def = "16", .min = "0", .max = "1024",
	  .offset = offsetof(struct status_settings, streams),
	  HELP("how many such streams a worker has at once; who wants one more gets 503") },
};

const struct schema status_schema = {
	.name = "status",
	.settings = rows,
	.count = sizeof(rows) / sizeof(rows[0]),
	.bytes = sizeof(struct status_settings),
	HELP("answers with what the daemon is doing, all workers together, as JSON, and to a browser as a"
		" page; below the route, /json and /page are these, /metrics is the same for Prometheus, and"
		" /events a stream of server-sent events; see drover-metrics(7)"),
};

const struct status_writer *const status_writers[STATUS_FORMATS] = {
	[STATUS_JSON] = &status_json_whole,
	[STATUS_STREAM] = &status_json_stream,
	[STATUS_OPENMETRICS] = &status_openmetrics,
	[STATUS_PROMETHEUS] = &status_prometheus,
	[STATUS_PAGE] = &status_page,
};

static const char *const types[STATUS_FORMATS] = {
	[STATUS_JSON] = "application/json",
	[STATUS_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
	[STATUS_PROMETHEUS] = "text/plain; version=0.0.4; charset=utf-8",
	[STATUS_PAGE] = "text/html; charset=utf-8",
};

/* ---- a document ---------------------------------------------------------------------------------- */

/* In the exchange's arena while it waits. */
struct asking {
	struct status_wait wait;
	struct exchange *exchange;
	enum status_format format;
};

void status_answer(struct exchange *exchange, const char *content_type, struct status_text *text)
{
	exchange->response = (struct response){
		.status = 200,
		.content_type = str_of(content_type),
		.vary = str_of("Accept"),
		.extra = str_of(STATUS_FIELDS),
		.body = BODY_MEMORY, .memory = { text->at, text->len }, .memory_lasts = true,
		.holds = lasting_pin(&text->lasting),
		.length_known = true, .length = text->len,
		.file_fd = -1,
	};
}

static void answer(struct exchange *exchange, enum status_format format, struct status_text *text)
{
	status_answer(exchange, types[format], text);
	if (format == STATUS_PAGE)
		exchange->response.extra = str_of(status_page_fields);
}

static void told(struct status_wait *wait, struct status_text *text)
{
	const struct asking *asking = LIST_ENTRY(wait, struct asking, wait);
	struct exchange *exchange = asking->exchange;

	if (text != NULL)
		answer(exchange, asking->format, text);
	else
		exchange_error(exchange, 500);
	exchange_answer(exchange);
}

static enum answer answer_document(struct exchange *exchange, enum status_format format)
{
	struct asking *asking = arena_alloc(&exchange->arena, sizeof(*asking));
	struct status_text *text = NULL;
	bool failed = asking == NULL;

	if (status_desk_is_full(exchange->engine)) {
		exchange_error(exchange, 503);
		return ANSWERED;
	}
	if (!failed) {
		*asking = (struct asking){ .wait.told = told, .exchange = exchange, .format = format };
		text = status_desk_ask(exchange->engine, format, &asking->wait, &failed);
	}
	if (failed)
		exchange_error(exchange, 500);
	else if (text != NULL)
		answer(exchange, format, text);
	else
		exchange->service_state = &asking->wait.link;
	return text == NULL && !failed ? ANSWER_LATER : ANSWERED;
}

static enum answer answer_json(struct exchange *exchange, const struct status_settings *settings)
{
	(void)settings;
	return answer_document(exchange, STATUS_JSON);
}

/* The first of them to whom everything is the same. */
static enum answer answer_metrics(struct exchange *exchange, const struct status_settings *settings)
{
	static const struct status_offer formats[] = {
		{ "application/openmetrics-text", "1.0.0" },
		{ "text/plain", "0.0.4" },
	};
	unsigned wanted = status_accept(&exchange->request, exchange->head, formats, 2);

	(void)settings;
	return answer_document(exchange, wanted == 0 ? STATUS_OPENMETRICS : STATUS_PROMETHEUS);
}

static enum answer answer_page(struct exchange *exchange, const struct status_settings *settings)
{
	(void)settings;
	return answer_document(exchange, STATUS_PAGE);
}

/* ---- which one ----------------------------------------------------------------------------------- */

/* What there is below the route. */
static const struct leaf {
	const char *name;
	enum answer (*answer)(struct exchange *exchange, const struct status_settings *settings);
} leaves[] = {
	{ "/json", answer_json },
	{ "/metrics", answer_metrics },
	{ "/events", status_events_answer },
	{ "/page", answer_page },
	{ "/config", status_config_answer },
};

/* What the route itself answers with: by Accept, and the first to whom everything is the same. */
static const struct status_offer offers[] = {
	{ "application/json", NULL },
	{ "application/openmetrics-text", "1.0.0" },
	{ "text/plain", "0.0.4" },
	{ "text/html", NULL },
};

static const char *const offered[] = { "/json", "/metrics", "/metrics", "/page" };

/* What is behind the route's match in the path; "/" alone is nothing. */
static struct str below(const struct exchange *exchange)
{
	struct str path = exchange->path;

	if (exchange->route != NULL && path.len >= exchange->route->match.len)
		str_take(&path, exchange->route->match.len);
	if (path.len == 1)
		str_take(&path, 1);
	return path;
}

static enum answer status_start(struct exchange *exchange, const void *settings)
{
	struct str name = below(exchange);

	if (name.len == 0)
		name = str_of(offered[status_accept(&exchange->request, exchange->head, offers,
						    sizeof(offers) / sizeof(offers[0]))]);
	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
		if (str_equal(name, str_of(leaves[i].name)))
			return leaves[i].answer(exchange, settings);
	exchange_error(exchange, 404);
	return ANSWERED;
}

/* Its service_state, if any, is in a list of who waits for a document. */
static void status_cancel(struct exchange *exchange)
{
	if (exchange->response.source != NULL)
		status_events_cancel(exchange);
	else if (exchange->service_state != NULL)
		list_remove(exchange->service_state);
}

const struct service service_status = {
	.name = "status",
	.settings = &status_schema,
	.start = status_start,
	.thaw = status_events_thaw,
	.cancel = status_cancel,
};
