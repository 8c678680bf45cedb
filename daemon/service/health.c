/* health.c - 200 while the service is meant to be used, 503 once it is told to stop or taken out of
 * service.  Called through the struct; cannot fail. */
#include "health.h"

#include "http/exchange.h"

static const struct setting rows[] = { { 0 } };         /* there is nothing to set yet */

const struct schema health_schema = {
	.name = "health",
	.settings = rows,
	.count = 0,
	.bytes = 0,
	HELP("answers 200, and 503 from the moment that a stop begins, see timeouts.drain_delay, or that"
		" droverctl drain all was called: for the health checks of a load balancer"),
};

static enum answer health_start(struct exchange *exchange, const void *settings)
{
	bool leaving = exchange->engine->out_of_service;
	struct str text = str_of(leaving ? "out of service\n" : "ok\n");

	(void)settings;
	if (leaving)
		engine_count(exchange->engine, COUNT_HEALTH_REFUSALS);
	exchange->response = (struct response){
		.status = leaving ? 503 : 200,
		.content_type = str_of("text/plain; charset=utf-8"),
		.extra = str_of("Cache-Control: no-store\r\n"),
		.body = BODY_MEMORY,
		.memory = text,
		.length_known = true,
		.length = text.len,
		.file_fd = -1,
	};
	return ANSWERED;
}

const struct service service_health = {
	.name = "health",
	.settings = &health_schema,
	.start = health_start,
};
