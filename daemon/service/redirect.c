/* redirect.c - sends clients somewhere else, with the rest of the path and the query.  Called through the
 * struct; fails only when out of memory, with 500. */
#include "redirect.h"

#include "http/exchange.h"
#include "http/location.h"
#include "http/route.h"

struct settings {
	const char *to;
	unsigned status;
	bool rest;
};

static const struct setting rows[] = {
	{ "to", SETTING_STRING, .required = true, .check = location_check,
	  .example = "\"https://www.example.org\"", .offset = offsetof(struct settings, to),
	  HELP("where to: a path (\"/new\"), a host and a path (\"//www.example.org/\": by the scheme of "
		  "the "
		  "request, see forwarded.from), or all of it (\"https://www.example.org/\")") },
	{ "status", SETTING_INTEGER, .def = "301", .min = "301", .max = "308",
	  .offset = offsetof(struct settings, status),
	  HELP("the answer's status: 301 or 308 (for good), 302 or 307 (for now), 303 (see there, with "
		  "GET); "
		  "307 and 308 keep the method and the body") },
	{ "rest", SETTING_BOOL, .def = "true", .offset = offsetof(struct settings, rest),
	  HELP("append what the path has behind the route's match, and the query; false: to is all there "
		  "is") },
};

const struct schema redirect_schema = {
	.name = "redirect",
	.settings = rows,
	.count = sizeof(rows) / sizeof(rows[0]),
	.bytes = sizeof(struct settings),
	HELP("sends every request somewhere else, whatever its method"),
};

static bool redirect_check(const void *opaque, const char **setting, struct err *err)
{
	const struct settings *settings = opaque;

	*setting = "status";
	return settings->status <= 303 || settings->status >= 307 ||
	       err_set(err, "status: %u is no redirect; allowed are 301, 302, 303, 307 and 308",
		       settings->status);
}

/* Behind an exact match there is nothing but the query. */
static const char *rest_of(struct exchange *exchange, const struct settings *settings)
{
	if (!settings->rest || exchange->route->exact)
		return "";
	return location_rest(span_str(exchange->request.path, exchange->head), exchange->path,
			     exchange->route->match.len, &exchange->arena);
}

static struct lasting always;

static enum answer redirect_start(struct exchange *exchange, const void *opaque)
{
	const struct settings *settings = opaque;
	struct str query = span_str(exchange->request.query, exchange->head);
	const char *rest = rest_of(exchange, settings), *location = NULL;

	if (!settings->rest)
		query.len = 0;
	if (rest != NULL)
		location = location_redirect(settings->to, exchange->secure, str_of(rest), query,
					     &exchange->arena);
	if (location != NULL)
		exchange_redirect(exchange, settings->status, location);
	else
		exchange_error(exchange, 500);
	if (location != NULL)           /* nothing but the target, and who forwards, decided it */
		exchange->response.lasting = lasting_pin(&always);
	return ANSWERED;
}

const struct service service_redirect = {
	.name = "redirect",
	.settings = &redirect_schema,
	.check = redirect_check,
	.start = redirect_start,
	.any_method = true,
};
