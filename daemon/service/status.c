/* status.c - the counters as JSON.  Called through the struct; fails only when out of memory, with 500. */
#include "status.h"

#include "http/exchange.h"
#include "ipc/board.h"

static const struct setting rows[] = { { 0 } };         /* there is nothing to set yet */

const struct schema status_schema = {
	.name = "status", .settings = rows, .count = 0, .bytes = 0,
	HELP("answers with the daemon's counters as JSON"),
};

/* Over all workers where there is a board; this one's own otherwise. */
static uint64_t sum(const struct engine *engine, enum counter counter)
{
	uint64_t live = counter == COUNT_KERNEL_DROPPED && engine->kernel_dropped != NULL
				? engine->kernel_dropped(engine)
				: 0;

	return live + (engine->board != NULL ? board_sum(engine->board, counter) : engine->counters[counter]);
}

/* {"accepted":1,...} without the braces; NULL when out of memory. */
static const char *counters(struct exchange *exchange)
{
	const char *text = "";

	for (unsigned i = 0; i < COUNTERS && text != NULL; i++)
		text = arena_printf(&exchange->arena, "%s%s\"%s\":%llu", text, i > 0 ? "," : "",
				    counter_names[i], (unsigned long long)sum(exchange->engine, i));
	return text;
}

static enum answer status_start(struct exchange *exchange, const void *settings)
{
	const char *text = counters(exchange);

	(void)settings;
	if (text != NULL)
		text = arena_printf(&exchange->arena, "{\"slot\":%u,\"generation\":%llu,\"counters\":{%s}}\n",
				    exchange->engine->slot, (unsigned long long)exchange->generation->number,
				    text);
	if (text == NULL) {
		exchange_error(exchange, 500);
		return ANSWERED;
	}
	exchange->response = (struct response){
		.status = 200,
		.content_type = str_of("application/json"),
		.extra = str_of("Cache-Control: no-store\r\n"),
		.body = BODY_MEMORY, .memory = str_of(text),
		.length_known = true, .length = strlen(text),
		.file_fd = -1,
	};
	return ANSWERED;
}

const struct service service_status = {
	.name = "status", .settings = &status_schema, .start = status_start,
};
