/* respond.c - a fixed answer.  Called through the struct; fails only when out of memory, with 500. */
#include "respond.h"

#include "http/exchange.h"

struct settings {
	unsigned status;
	const char *body, *type;
};

/* It goes into the head as it is: a line's end would begin a field of its own. */
static bool check_type(const char *text, struct err *err)
{
	for (const char *at = text; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return err_set(err, "a media type has no control characters");
	return true;
}

static const struct setting rows[] = {
	{ "status", SETTING_INTEGER, .def = "200", .min = "200", .max = "599",
	  .offset = offsetof(struct settings, status), HELP("the answer's status") },
	{ "body", SETTING_STRING, .example = "\"ok\\n\"", .offset = offsetof(struct settings, body),
	  HELP("the answer's body; absent: what the site's errors look like, or empty below 400") },
	{ "type", SETTING_STRING, .def = "text/plain; charset=utf-8", .check = check_type,
	  .offset = offsetof(struct settings, type), HELP("the Content-Type of the body") },
};

const struct schema respond_schema = {
	.name = "respond",
	.settings = rows,
	.count = sizeof(rows) / sizeof(rows[0]),
	.bytes = sizeof(struct settings),
	HELP("answers every request with the same text"),
};

/* The settings say it all, and go with the generation. */
static struct lasting always;

/* The settings may go before the last byte is sent: the exchange gets copies. */
static void fill(struct exchange *exchange, const struct settings *settings)
{
	const char *body = arena_copy(&exchange->arena, str_of(settings->body));
	const char *type = arena_copy(&exchange->arena, str_of(settings->type));

	if (settings->body == NULL && settings->status >= 400) {
		exchange_error(exchange, settings->status);
		exchange->response.lasting = lasting_pin(&always);
		return;
	}
	if (body == NULL || type == NULL) {
		exchange_error(exchange, 500);
		return;
	}
	exchange->response = (struct response){
		.status = settings->status,
		.content_type = str_of(type),
		.body = BODY_MEMORY, .memory = str_of(body),
		.length_known = true, .length = strlen(body),
		.file_fd = -1,
		.lasting = lasting_pin(&always),
	};
	if (settings->status == 205) {  /* RFC 9110, 15.3.6: it says that it has no content */
		exchange->response.content_type = exchange->response.memory = (struct str){ NULL, 0 };
		exchange->response.length = 0;
	}
}

static enum answer respond_start(struct exchange *exchange, const void *opaque)
{
	fill(exchange, opaque);
	return ANSWERED;
}

const struct service service_respond = {
	.name = "respond", .settings = &respond_schema, .start = respond_start,
};
