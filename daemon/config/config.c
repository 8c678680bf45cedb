/* config.c - the table of settings.  Read by the parser, the check, the printers and the man page. */
#include "config.h"

#include "field.h"
#include "media.h"

#include "base/hash.h"
#include "base/log.h"
#include "net/addr.h"
#include "net/listener.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SOCKET_PATH_BYTES = 108,        /* sun_path of unix(7) */
	REALM_BYTES = 128,              /* a browser shows it, if at all, in a small window */
};

#define ROWS(table) .settings = (table), .count = sizeof(table) / sizeof((table)[0])

static bool check_address(const char *text, struct err *err)
{
	struct addr addr;

	return addr_parse(text, &addr, err);
}

static bool check_cidr(const char *text, struct err *err)
{
	struct cidr cidr;

	return cidr_parse(text, &cidr, err);
}

/* A network, or the word for clients of unix sockets. */
static bool check_network(const char *text, struct err *err)
{
	return strcmp(text, "unix") == 0 || check_cidr(text, err);
}

static bool check_match(const char *text, struct err *err)
{
	if (text[0] != '/')
		return err_set(err, "\"%s\" must begin with \"/\"", text);
	for (const char *slash = text; slash != NULL; slash = strchr(slash + 1, '/')) {
		size_t len = strcspn(slash + 1, "/"), dots = strspn(slash + 1, ".");

		if ((len == 0 && slash[1] != '\0') || (len > 0 && len <= 2 && dots == len))
			return err_set(err,
				       "\"%s\" is never the path of a request, which has no empty, \".\" and"
				       " \"..\" segments any more",
				       text);
	}
	return true;
}

/* "[2001:db8::1]" and nothing behind it. */
static bool is_bracketed(const char *text)
{
	size_t len = strlen(text);
	char address[INET6_ADDRSTRLEN];
	struct in6_addr parsed;

	if (len < 2 || text[0] != '[' || text[len - 1] != ']' || len - 2 >= sizeof(address))
		return false;
	memcpy(address, text + 1, len - 2);
	address[len - 2] = '\0';
	return inet_pton(AF_INET6, address, &parsed) == 1;
}

/* Labels with one dot between them: what else a request's Host can be would be taken for a wildcard (".org")
 * or never be asked for ("example.org.", of which requests lose the dot). */
static bool is_host_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && name[0] != '.' && name[len - 1] != '.' && strstr(name, "..") == NULL &&
	       name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")] ==
		       '\0';
}

/* A name, "*.name", an address, or an address in brackets; never a port: a site answers on every port. */
static bool check_host(const char *text, struct err *err)
{
	const char *name = text;

	if (text[0] == '*' && text[1] == '.')
		name += 2;
	if (is_host_name(name) || is_bracketed(text))
		return true;
	return err_set(err, "\"%s\" is no host name; allowed are names such as \"example.org\" and"
			    " \"*.example.org\" and addresses such as \"192.0.2.1\" and \"[2001:db8::1]\","
			    " without a port", text);
}

static bool check_path(const char *text, struct err *err)
{
	if (text[0] != '/')
		return err_set(err, "\"%s\" is no absolute path", text);
	return true;
}

/* The libraries behind getpwnam(3) are not made for more. */
static bool check_name(const char *text, struct err *err)
{
	if (strlen(text) > LOGIN_NAME_MAX || strpbrk(text, ":/ \t\n") != NULL)
		return err_set(err, "\"%.64s\" is no name of a user or group", text);
	return true;
}

static bool check_device(const char *text, struct err *err)
{
	if (text[0] == '\0' || strlen(text) > LISTENER_DEVICE_BYTES - 1 || strpbrk(text, "/: \t\n") != NULL)
		return err_set(err, "\"%.64s\" is no name of a network device (at most 15 bytes)", text);
	return true;
}

static bool check_mode(const char *text, struct err *err)
{
	size_t len = strlen(text);

	if (len < 3 || len > 4 || strspn(text, "01234567") != len || (len == 4 && text[0] != '0'))
		return err_set(err, "\"%.64s\" are no permissions; write them in octal, such as \"0660\"",
			       text);
	return true;
}

unsigned config_mode(const struct listen_config *listen)
{
	return listen->mode != NULL ? (unsigned)strtoul(listen->mode, NULL, 8) : 0666;
}

static uint32_t id_of(const char *number)
{
	return number != NULL ? (uint32_t)strtoul(number, NULL, 10) : LISTENER_AS_CREATED;
}

struct listener_options config_listener_options(const struct listen_config *config)
{
	struct listener_options options = {
		.backlog = config->backlog,
		.mode = config_mode(config),
		.owner = id_of(config->owner),
		.group = id_of(config->group), /* the checker made them numbers */
		.v6only = config->v6only,
		.defer_accept = config->defer_accept,
		.freebind = config->freebind,
	};

	if (config->device != NULL)
		snprintf(options.device, sizeof(options.device), "%s", config->device);
	return options;
}

static bool check_control(const char *text, struct err *err)
{
	char address[SETTING_MAX_STRING + sizeof("unix:")];
	struct addr addr;

	if (strcmp(text, "auto") == 0 || strcmp(text, "off") == 0)
		return true;
	snprintf(address, sizeof(address), "unix:%s", text);
	return check_path(text, err) && addr_parse(address, &addr, err);
}

/* It is no word here, and nobody means a file of that name. */
static bool check_error_log(const char *text, struct err *err)
{
	return strcmp(text, "off") != 0 ||
	       err_set(err, "events cannot be turned off; log.level says which are logged");
}

/* As systemd sees it: fdname_is_valid(), which FileDescriptorName= of systemd.socket(5) describes. */
static bool check_fd_name(const char *text, struct err *err)
{
	size_t len = strlen(text);

	for (const char *c = text; *c != '\0'; c++)
		if (*c < ' ' || *c >= 127 || *c == ':')
			len = 0;
	if (len == 0 || len > 255)
		return err_set(err,
			       "\"%.64s\" is no FileDescriptorName=: up to 255 printable characters"
			       " without \":\"",
			       text);
	return true;
}

static bool check_socket(const char *text, struct err *err)
{
	return strlen(text) < SOCKET_PATH_BYTES || err_set(err, "\"%s\" is too long for a socket", text);
}

/* It goes into a header field: a line's end would begin a field of its own. */
static bool check_realm(const char *text, struct err *err)
{
	for (const char *at = text; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return err_set(err, "a realm has no control characters");
	return strlen(text) <= REALM_BYTES || err_set(err, "longer than %d bytes", REALM_BYTES);
}

static const char *const auth_words[] = { "off", NULL };

/* "image/png", or with an asterisk behind the slash: what an answer's type is compared with. */
static bool check_type(const char *text, struct err *err)
{
	const char *slash = strchr(text, '/');
	struct err inner;
	size_t len = strlen(text);

	if (slash != NULL && slash != text && slash[1] != '\0' && strpbrk(text, " ;,\"") == NULL &&
	    strchr(slash + 1, '/') == NULL && field_check_value(text, &inner) &&
	    (strchr(text, '*') == NULL ||
	     (text[len - 1] == '*' && slash[1] == '*' && strchr(text, '*') == slash + 1)))
		return true;
	return err_set(err, "\"%.64s\" is no media type such as \"image/png\" or \"image/*\"", text);
}

static bool check_status(const char *text, struct err *err)
{
	bool is_error = text[0] == '4' || text[0] == '5';

	if (is_error && strlen(text) == 3 &&
	    (strcmp(text + 1, "xx") == 0 || strspn(text + 1, "0123456789") == 2))
		return true;
	return err_set(err, "\"%.64s\" is no error such as \"404\" or \"5xx\"", text);
}

const char *const config_accept_names[] = { "directed", "reuseport", "cpu", "shared", NULL };
static const char *const reload_modes[] = { "adopt", "replace", NULL };
static const char *const error_words[] = { "stderr", "syslog", "journal", NULL };
static const char *const access_words[] = { "off", "stderr", "syslog", "journal", NULL };
static const char *const full_choices[] = { "wait", "refuse", NULL };
static const char *const forwarded_headers[] = { "off", "x-forwarded-for", "forwarded", NULL };
static const char *const access_formats[] = { "common", "combined", "json", NULL };

static const struct setting listen_rows[] = {
	{ "address", SETTING_STRING, .required = true, .check = check_address, .example = "\"[::]:80\"",
	  .offset = offsetof(struct listen_config, address),
	  HELP("an IPv4 or IPv6 address with a port, or the path of a unix socket as unix:/path") },
	{ "name", SETTING_STRING, .check = check_fd_name, .example = "\"http\"",
	  .offset = offsetof(struct listen_config, name),
	  HELP("the FileDescriptorName= of the systemd.socket(5) units that pass the sockets of this "
		  "address;"
		  " a socket of this name at another address, or of another name at this one, is then an "
		  "error") },
	{ "backlog", SETTING_INTEGER, .def = "4096", .min = "1", .max = "65535",
	  .offset = offsetof(struct listen_config, backlog),
	  HELP("how many connections may wait to be accepted, per socket; the kernel caps it at "
		  "net.core.somaxconn") },
	{ "v6only", SETTING_BOOL, .def = "false", .when = RESTART,
	  .offset = offsetof(struct listen_config, v6only),
	  HELP("an IPv6 wildcard address takes IPv6 connections only") },
	{ "defer_accept", SETTING_BOOL, .def = "false",
	  .offset = offsetof(struct listen_config, defer_accept),
	  HELP("wake a worker only when the first bytes are there; a client that sends nothing is seen a "
		  "second"
		  " later, so leave it off behind health checks that only connect") },
	{ "freebind", SETTING_BOOL, .def = "false", .when = RESTART,
	  .offset = offsetof(struct listen_config, freebind),
	  HELP("bind the address although this machine does not have it (yet)") },
	{ "device", SETTING_STRING, .when = RESTART, .check = check_device, .example = "\"eth0\"",
	  .offset = offsetof(struct listen_config, device),
	  HELP("accept only what arrives at this network device; absent: at any") },
	{ "mode", SETTING_STRING, .check = check_mode, .example = "\"0660\"",
	  .offset = offsetof(struct listen_config, mode),
	  HELP("the permissions of a unix socket's path, in octal: who may write may connect; absent:"
		  " \"0666\", and the directory decides") },
	{ "owner", SETTING_STRING, .check = check_name, .example = "\"www-data\"",
	  .offset = offsetof(struct listen_config, owner),
	  HELP("who owns a unix socket's path, a name or a number; another user than drover's own takes "
		  "root;"
		  " absent: whoever drover runs as") },
	{ "group", SETTING_STRING, .check = check_name, .example = "\"www-data\"",
	  .offset = offsetof(struct listen_config, group),
	  HELP("the group of a unix socket's path, a name or a number; without root, one that drover is "
		  "in;"
		  " absent: as the directory gives it") },
	{ "request_head", SETTING_DURATION, .min = "100ms", .max = "10m", .example = "\"5s\"",
	  .offset = offsetof(struct listen_config, request_head_ns),
	  HELP("for what comes in here, instead of timeouts.request_head") },
	{ "body", SETTING_DURATION, .min = "100ms", .max = "10m", .example = "\"5s\"",
	  .offset = offsetof(struct listen_config, body_ns),
	  HELP("for what comes in here, instead of timeouts.body") },
	{ "keep_alive", SETTING_DURATION, .min = "100ms", .max = "1d", .example = "\"1h\"",
	  .offset = offsetof(struct listen_config, keep_alive_ns),
	  HELP("for what comes in here, instead of timeouts.keep_alive") },
	{ "send", SETTING_DURATION, .min = "100ms", .max = "1h", .example = "\"10s\"",
	  .offset = offsetof(struct listen_config, send_ns),
	  HELP("for what comes in here, instead of timeouts.send") },
	{ "min_rate", SETTING_SIZE, .min = "1", .max = "1g", .example = "\"4k\"",
	  .offset = offsetof(struct listen_config, min_rate),
	  HELP("for what comes in here, instead of limits.min_rate") },
	{ "proxy_protocol", SETTING_BOOL, .def = "false",
	  .offset = offsetof(struct listen_config, proxy_protocol),
	  HELP("every connection begins with a header of the PROXY protocol, version 1 or 2, that says"
		  " whose it is: that is then the client of all its requests. A connection without a whole"
		  " header, or"
		  " from somebody who is not in proxy_from, is closed") },
	{ "proxy_from", SETTING_STRINGS, .check = check_network,
	  .example = "[ \"10.0.0.0/8\", \"fd00::/8\" ]", .offset = offsetof(struct listen_config, proxy_from),
	  HELP("addresses and networks of the proxies that are believed; \"unix\" stands for whoever"
		  " connects to a unix socket. It must be given where proxy_protocol is true") },
};

static const struct schema listen_schema = {
	.name = "listen", ROWS(listen_rows), .bytes = sizeof(struct listen_config),
	HELP("addresses to listen on"),
};

/* The same rows on sites and on routes. */
#define HEADER_ROWS(of, whose)                                                                               \
	{ "headers.set", \
	  SETTING_STRINGS, \
	  .check = field_check_set, \
	  .fields = true, \
	  .example = "[ \"X-Frame-Options: DENY\" ]", \
	  .offset = offsetof(of, headers.set), \
	  HELP("fields that " whose " has, errors included, in place of those of the same name") },        \
		{ "headers.add", \
		  SETTING_STRINGS, \
		  .check = field_check_add, \
		  .fields = true, \
		  .example = "[ \"Vary: Origin\" ]", \
		  .offset = offsetof(of, headers.add), \
		  HELP("fields that " whose " has, beside those of the same name") }, \
	{ \
		"headers.remove", SETTING_STRINGS, .check = field_check_remove, .example = "[ \"Server\" ]", \
						   .offset = offsetof(of, headers.remove), \
						   HELP("fields that " whose " does not have") \
	}

#define CACHE_ROWS(of, whose)                                                                                \
	{ "cache_control", \
	  SETTING_STRING, \
	  .check = field_check_value, \
	  .example = "\"public, max-age=3600\"", \
	  .offset = offsetof(of, cache_control),                                                             \
	  HELP("the Cache-Control of " whose " that are no errors and have none of their own") },          \
	{ \
		"expires", SETTING_DURATION, \
			.min = "1s", .max = "3650d", .example = "\"1h\"", \
			.offset = offsetof(of, expires_ns), \
			HELP("how long " whose \
				" that are no errors may be kept: an Expires, and a Cache-Control with " \
				"max-age where cache_control says nothing") \
	}

static const struct setting cache_rows[] = {
	{ "types", SETTING_STRINGS, .required = true, .check = check_type, .example = "[ \"image/*\" ]",
	  .offset = offsetof(struct cache_config, types),
	  HELP("the media types that this is for; the first entry that has an answer's type counts") },
	CACHE_ROWS(struct cache_config, "answers of these types"),
};

static const struct schema cache_schema = {
	.name = "cache",
	ROWS(cache_rows),
	.bytes = sizeof(struct cache_config),
	HELP("how long answers may be kept, by media type"),
};

static const struct setting error_page_rows[] = {
	{ "status", SETTING_STRINGS, .required = true, .check = check_status,
	  .example = "[ \"404\", \"5xx\" ]", .offset = offsetof(struct error_page_config, status),
	  HELP("the errors that the page is for, from 400 to 599; one of a kind (\"5xx\") when no other "
		  "page "
		  "names it") },
	{ "file", SETTING_PATH, .required = true, .opened = true, .example = "\"/srv/errors/404.html\"",
	  .offset = offsetof(struct error_page_config, file),
	  HELP("the file that is sent as the error's body; opened at each error") },
};

static const struct schema error_page_schema = {
	.name = "error_pages",
	ROWS(error_page_rows),
	.bytes = sizeof(struct error_page_config),
	HELP("what errors look like"),
};

static const struct setting route_rows[] = {
	{ "match", SETTING_STRING, .required = true, .check = check_match, .example = "\"/\"",
	  .offset = offsetof(struct route_config, match),
	  HELP("the path prefix that the route answers, compared in whole segments, and decoded: \"/a b\","
		  " not \"/a%20b\"; the longest match wins") },
	{ "exact", SETTING_BOOL, .def = "false", .offset = offsetof(struct route_config, exact),
	  HELP("only the path that is the match answers, a slash at its end included; such a route wins"
		  " over all others") },
	{ "allow", SETTING_STRINGS, .check = check_cidr, .example = "[ \"127.0.0.0/8\", \"::1\" ]",
	  .offset = offsetof(struct route_config, allow),
	  HELP("addresses and networks that may use the route; others get 403; absent: everybody."
		  " A unix socket's clients are never in a network") },
	{ "deny", SETTING_STRINGS, .check = check_cidr, .example = "[ \"192.0.2.0/24\" ]",
	  .offset = offsetof(struct route_config, deny),
	  HELP("addresses and networks that get 403, also if allow has them") },
	{ "auth.file", SETTING_PATH, .opened = true, .choices = auth_words, .credential = true,
	  .example = "\"/etc/drover/users\"", .offset = offsetof(struct route_config, auth_file),
	  HELP("who may use the route: a file of lines user:hash, the hash as crypt(3) makes it; others "
		  "get "
		  "401."
		  " It is read again when it changes, without a reload, and must be readable by the workers."
		  " \"credential:NAME\" is the file of that name that systemd passes (LoadCredential=)."
		  " off: everybody, whatever the site says; absent: as the site says") },
	{ "auth.realm", SETTING_STRING, .check = check_realm, .example = "\"staff\"",
	  .offset = offsetof(struct route_config, auth_realm),
	  HELP("what a browser asks the password for; one that has it sends it to all of the server's "
		  "paths "
		  "with the same realm; absent: as the site says") },
	HEADER_ROWS(struct route_config, "every answer of the route"),
	CACHE_ROWS(struct route_config, "answers"),
	{ "cache", SETTING_LIST, .of = &cache_schema, .offset = offsetof(struct route_config, cache),
	  HELP("how long answers may be kept, by media type; cache_control and expires of the route are "
		  "for "
		  "all others") },
	{ "service", SETTING_SERVICE, .required = true, .offset = offsetof(struct route_config, service),
	  HELP("what answers: exactly one of the groups below") },
};

static const struct schema route_schema = {
	.name = "routes", ROWS(route_rows), .bytes = sizeof(struct route_config),
	HELP("what a site answers, by path"),
};

static const struct setting site_rows[] = {
	{ "hosts", SETTING_STRINGS, .check = check_host, .example = "[ \"example.org\", \"*.example.org\" ]",
	  .offset = offsetof(struct site_config, hosts),
	  HELP("host names that the site answers to, exact before wildcard; absent: the default site") },
	{ "auth.file", SETTING_PATH, .opened = true, .choices = auth_words, .credential = true,
	  .example = "\"/etc/drover/users\"", .offset = offsetof(struct site_config, auth_file),
	  HELP("the same for all routes of the site that say nothing else; absent: everybody may use "
		  "them") },
	{ "auth.realm", SETTING_STRING, .check = check_realm, .example = "\"staff\"",
	  .offset = offsetof(struct site_config, auth_realm),
	  HELP("the same for all routes of the site that say nothing else; absent: \"restricted\"") },
	HEADER_ROWS(struct site_config, "every answer of the site"),
	{ "error_pages", SETTING_LIST, .of = &error_page_schema,
	  .offset = offsetof(struct site_config, error_pages),
	  HELP("what the site's errors look like; without an entry: a line of text") },
	{ "routes", SETTING_LIST, .required = true, .of = &route_schema,
	  .offset = offsetof(struct site_config, routes), HELP("what the site answers, by path") },
};

static const struct schema site_schema = {
	.name = "sites", ROWS(site_rows), .bytes = sizeof(struct site_config),
	HELP("what is served"),
};

static const struct setting mime_rows[] = {
	{ "extensions", SETTING_STRINGS, .required = true, .check = media_check_extension,
	  .example = "[ \"txt\", \"text\" ]", .offset = offsetof(struct mime_config, extensions),
	  HELP("what a file's name has behind its last dot, or behind one before it, in capitals or not;"
		  " the longest that there is counts, and of equal ones the first") },
	{ "type", SETTING_STRING, .required = true, .check = media_check_type, .example = "\"text/plain\"",
	  .offset = offsetof(struct mime_config, type),
	  HELP("the Content-Type; text without a charset is said to be in utf-8") },
};

static const struct schema mime_schema = {
	.name = "types", ROWS(mime_rows), .bytes = sizeof(struct mime_config),
	HELP("media types by extension"),
};

#define AT(member) .offset = offsetof(struct config, member)

static const struct setting rows[] = {
	{ "workers", SETTING_COUNT, .def = "auto", .min = "1", .max = "1024", AT(workers),
	  HELP("worker processes; auto is one per CPU, within the affinity mask and the cgroup's CPU "
		  "quota") },
	{ "accept", SETTING_CHOICE, .def = "directed", .choices = config_accept_names, AT(accept),
	  .example = "\"reuseport\"",
	  HELP("who gets a new connection: directed (chosen in the kernel by the workers' state; takes "
		  "CAP_BPF, else it is reuseport, and log and status say why), reuseport (one socket per "
		  "worker, "
		  "the "
		  "kernel's hash), cpu (one socket per worker, the one of the CPU that the connection "
		  "arrived "
		  "at, and every worker is bound to its CPU) or shared (one socket, whoever wakes first)") },
	{ "reload", SETTING_CHOICE, .def = "adopt", .choices = reload_modes, AT(reload),
	  HELP("what a reload does with the workers: adopt (they take over the new configuration in "
		  "place, nothing is"
		  " closed) or replace (fresh workers, to which the old ones hand over)") },
	{ "survive", SETTING_BOOL, .def = "false", .when = REPLACE, AT(survive),
	  HELP("idle connections survive also when their worker is killed (kill -9, or by the kernel for "
		  "want of memory): a process beside each worker keeps them for it, which costs each "
		  "request some 2 % of CPU. Another crash they survive in any case") },
	{ "listen", SETTING_LIST, .required = true, .of = &listen_schema, AT(listen),
	  HELP("addresses to listen on") },
	{ "sites", SETTING_LIST, .required = true, .of = &site_schema, AT(sites), HELP("what is served") },
	{ "mime.file", SETTING_PATH, AT(mime_file), .example = "\"/etc/mime.types\"",
	  HELP("a file with media types: a type a line, and behind it the extensions that have it; read "
		  "with the configuration. They go before the built-in ones, and mime.types before both") },
	{ "mime.types", SETTING_LIST, .of = &mime_schema, AT(mime_types),
	  .example = "( { extensions = [ \"foo\" ]; type = \"text/x-foo\"; } )",
	  HELP("media types of files by their extension, where the built-in ones do not do") },
	{ "user", SETTING_STRING, .when = REPLACE, .check = check_name, AT(user), .example = "\"www-data\"",
	  HELP("the user that workers run as; only when started as root, then the default is nobody") },
	{ "group", SETTING_STRING, .when = REPLACE, .check = check_name, AT(group), .example = "\"www-data\"",
	  HELP("the group that workers run as; only when started as root, default: the user's own") },
	{ "control", SETTING_STRING, .def = "auto", .when = RESTART, .check = check_control, AT(control),
	  HELP("the unix socket that droverctl talks to; auto is control.sock below $RUNTIME_DIRECTORY,"
		  " /run/drover (root) or $XDG_RUNTIME_DIR/drover; off is none") },
	{ "log.level", SETTING_CHOICE, .def = "info", .choices = log_level_names, AT(log_level),
	  HELP("the least important events that are logged") },
	{ "log.error", SETTING_PATH, .def = "stderr", .choices = error_words, AT(log_error),
	  .example = "\"journal\"", .check = check_error_log,
	  HELP("where events go: stderr (the journal, under systemd), syslog, journal (with fields of its "
		  "own) or a file") },
	{ "log.format", SETTING_CHOICE, .def = "text", .choices = log_format_names, AT(log_format),
	  HELP("how events look in it: text (key=value) or json, an object a line") },
	{ "log.access", SETTING_PATH, .def = "off", .choices = access_words, AT(log_access),
	  .example = "\"/var/log/drover/access.log\"",
	  HELP("where requests are logged: off, stderr, syslog, journal (with fields of its own) or a "
		  "file") },
	{ "log.access_format", SETTING_CHOICE, .def = "common", .choices = access_formats, AT(access_format),
	  .example = "\"json\"",
	  HELP("how a request looks in it: common, combined (with Referer and User-Agent) or json, which "
		  "has everything") },
	{ "log.access_sample", SETTING_INTEGER, .def = "1", .min = "1", .max = "1000000", AT(access_sample),
	  HELP("log one request in so many, per worker; those answered with 500 or more are always "
		  "logged") },
	{ "log.access_slow", SETTING_DURATION, .def = "0", .min = "0", .max = "1h", AT(access_slow_ns),
	  .example = "\"500ms\"",
	  HELP("log only requests that took at least so long, from the first byte of the head to the last "
		  "of the answer; 0 is all. Those answered with 500 or more are always logged") },
	{ "log.slow", SETTING_DURATION, .def = "1s", .min = "0", .max = "1h", AT(slow_ns),
	  HELP("requests that took at least so long, from the first byte of the head to the last of the "
	       "answer, are kept for droverctl slow, the last 32 of each slot") },
	{ "log.query", SETTING_BOOL, .def = "true", AT(log_query), .example = "false",
	  HELP("log lines have the query of a request's target; false puts \"?-\" in its place, for a "
		  "query may hold secrets") },
	{ "log.syslog_socket", SETTING_PATH, .def = "/dev/log", AT(syslog_socket), .check = check_socket,
	  HELP("the datagram socket that syslog means") },
	{ "log.journal_socket", SETTING_PATH, .def = "/run/systemd/journal/socket", AT(journal_socket),
	  .check = check_socket,
	  HELP("the datagram socket that journal means, in the journal's native protocol") },
	{ "timeouts.request_head", SETTING_DURATION, .def = "10s", .min = "100ms", .max = "10m",
	  AT(request_head_ns),
	  HELP("from the first byte of a request to the end of its head; a slower client gets 408") },
	{ "timeouts.keep_alive", SETTING_DURATION, .def = "60s", .min = "100ms", .max = "1d",
	  AT(keep_alive_ns),
	  HELP("how long a connection may be idle between requests; clients are told in whole seconds "
		  "(Keep-Alive: timeout=)") },
	{ "timeouts.keep_alive_grace", SETTING_DURATION, .def = "1s", .min = "0", .max = "1m",
	  AT(keep_alive_grace_ns),
	  HELP("how much longer an idle connection stays open than its client was told, for a request "
		  "that "
		  "is on its way") },
	{ "timeouts.body", SETTING_DURATION, .def = "10s", .min = "100ms", .max = "10m", AT(body_ns),
	  HELP("how long the body of a request is read that is answered without it; then, or when it "
		  "pauses for a second, the answer is sent and the connection ends") },
	{ "timeouts.send", SETTING_DURATION, .def = "30s", .min = "100ms", .max = "1h", AT(send_ns),
	  HELP("a client that has taken nothing of an answer in this time, or less than limits.min_rate "
		  "says, is "
		  "cut") },
	{ "timeouts.proxy", SETTING_DURATION, .def = "5s", .min = "100ms", .max = "10m", AT(proxy_ns),
	  HELP("how long the header of the PROXY protocol may take, from the beginning of a connection to"
		  " a"
		  " listener with proxy_protocol") },
	{ "timeouts.drain", SETTING_DURATION, .def = "30s", .min = "0", .max = "1d", AT(drain_ns),
	  HELP("how long a worker that is leaving may finish what it has") },
	{ "timeouts.drain_delay", SETTING_DURATION, .def = "0s", .min = "0", .max = "1d", AT(drain_delay_ns),
	  .example = "\"10s\"",
	  HELP("how long a stop waits before it begins: everything is served as before, but health routes"
		  " answer 503, so that a load balancer sends its clients elsewhere. Less the time since a"
		  " droverctl drain all") },
	{ "timeouts.prepare", SETTING_DURATION, .def = "5s", .min = "100ms", .max = "10m", AT(prepare_ns),
	  HELP("how long a worker may take to prepare a new configuration before the reload is called "
		  "off") },
	{ "timeouts.stall", SETTING_DURATION, .def = "50ms", .min = "10ms", .max = "10s", AT(stall_ns),
	  HELP("a worker that has been busy with one batch of events for so long, or has left connections "
		  "waiting, is given no new ones, and the others accept what waits for it") },
	{ "timeouts.queue", SETTING_DURATION, .def = "250ms", .min = "0", .max = "1m", AT(queue_ns),
	  HELP("how long new connections shall wait at most when more come than a worker can take for "
		  "longer "
		  "than a second: its backlog is cut to what it takes in this time, until it has caught up; "
		  "0 "
		  "leaves it alone") },
	{ "timeouts.hang_kill", SETTING_DURATION, .def = "10s", .min = "0", .max = "1d", AT(hang_kill_ns),
	  HELP("a worker that hangs for so long is killed, and another one takes its place; off is "
		  "never. A hang is noticed when somebody begins a connection, to any of the workers, or by "
		  "the look for systemd's watchdog; not while only clients of before wait") },
	{ "forwarded.from", SETTING_STRINGS, .check = check_network, AT(forwarded_from),
	  .example = "[ \"127.0.0.0/8\", \"10.0.0.0/8\" ]",
	  HELP("addresses and networks of the proxies whose word about their clients is taken; \"unix\""
		  " stands"
		  " for whoever connects to a unix socket. A request's client is then the last address of the"
		  " header that is not one of theirs: for allow, for the access log. Absent: nobody is"
		  " believed") },
	{ "forwarded.header", SETTING_CHOICE, .def = "x-forwarded-for", .choices = forwarded_headers,
	  AT(forwarded_header), .example = "\"forwarded\"",
	  HELP("where they say it: x-forwarded-for (and X-Forwarded-Proto for the scheme), forwarded"
		  " (RFC 7239, for= and proto=), or off. It must be the one that they set or extend"
		  " themselves: what a client sends in another one would be believed") },
	{ "limits.request_line", SETTING_SIZE, .def = "8k", .min = "256", .max = "64k",
	  AT(request_line_bytes), HELP("the longest request line; a longer one gets 414") },
	{ "limits.header_bytes", SETTING_SIZE, .def = "32k", .min = "256", .max = "128k", AT(header_bytes),
	  HELP("the most bytes of header fields in a request; more get 431") },
	{ "limits.headers", SETTING_INTEGER, .def = "100", .min = "1", .max = "1000", AT(headers),
	  HELP("the most header fields in a request; more get 431") },
	{ "limits.body", SETTING_SIZE, .def = "1m", .min = "0", .max = "1g", AT(body_bytes),
	  HELP("the largest body of a request; a larger one gets 413") },
	{ "limits.min_rate", SETTING_SIZE, .def = "512", .min = "0", .max = "1g", AT(min_rate),
	  HELP("how many bytes of an answer a client must take a second, on average over timeouts.send, "
		  "while "
		  "there are more for it") },
	{ "limits.connections", SETTING_INTEGER, .def = "16384", .min = "1", .max = "1000000",
	  AT(connections),
	  HELP("the most connections of one worker, within what limits.open_files leaves; idle ones make"
		  " room for new ones, and when there are none, further ones wait in the backlog") },
	{ "limits.when_full", SETTING_CHOICE, .def = "wait", .choices = full_choices, AT(when_full),
	  .example = "\"refuse\"",
	  HELP("what becomes of who comes when every worker has limits.connections open and none of them "
		  "is"
		  " idle: wait leaves them in the backlog until there is room, refuse answers 503 at once") },
	{ "limits.retry_after", SETTING_DURATION, .def = "5s", .min = "1s", .max = "1d", AT(retry_after_ns),
	  HELP("when those that are refused should come again (Retry-After), in whole seconds") },
	{ "limits.open_files", SETTING_COUNT, .def = "auto", .min = "64", .max = "10000000", .when = REPLACE,
	  AT(open_files),
	  HELP("the most open files of one worker (RLIMIT_NOFILE); auto is the hard limit that drover was "
		  "started with") },
	{ "limits.max_generations", SETTING_INTEGER, .def = "16", .min = "2", .max = "1024",
	  AT(max_generations),
	  HELP("the most configurations that exchanges under way may keep alive in a worker; then a "
		  "reload is refused") },
	{ "limits.max_draining", SETTING_INTEGER, .def = "16", .min = "1", .max = "1024", AT(max_draining),
	  HELP("the most draining workers of one slot; a reload that would make more is refused") },
	{ "file_cache.memory", SETTING_SIZE, .def = "64m", .min = "0", .max = "64g", AT(cache_bytes),
	  .example = "\"512m\"",
	  HELP("the most memory of one worker in which it keeps what it found below roots: small files, "
		  "and that"
		  " nothing is there. See THE FILE CACHE; 0 keeps nothing") },
	{ "file_cache.largest", SETTING_SIZE, .def = "128k", .min = "0", .max = "1g", AT(cache_largest_bytes),
	  .example = "\"32k\"",
	  HELP("files up to this size are kept in memory; of larger ones an open descriptor is") },
	{ "file_cache.files", SETTING_INTEGER, .def = "256", .min = "0", .max = "1000000", AT(cache_files),
	  .example = "1000",
	  HELP("the most descriptors of larger files that one worker keeps open; and never more than a"
		  " sixteenth of limits.open_files") },
	{ "file_cache.trust", SETTING_DURATION, .def = "0s", .min = "0s", .max = "1h", AT(cache_trust_ns),
	  .example = "\"1s\"",
	  HELP("how long what was found is believed without another look where the kernel does not tell of"
		  " changes (overlayfs, hard links); 0 looks for each request") },
	{ "clients.connections", SETTING_INTEGER, .def = "0", .min = "0", .max = "1000000",
	  AT(quotas[QUOTA_ADDRESS].connections), .example = "100",
	  HELP("the most connections that one address may have open, over all workers; one more gets 429."
		  " An IPv6 address counts with its neighbours of clients.ipv6_prefix; 0 is no limit") },
	{ "clients.requests", SETTING_INTEGER, .def = "0", .min = "0", .max = "1000000",
	  AT(quotas[QUOTA_ADDRESS].requests), .example = "50",
	  HELP("the most requests a second of one address, over all workers; those beyond get 429 with "
		  "Retry-After; 0 is without a limit") },
	{ "clients.burst", SETTING_INTEGER, .def = "0", .min = "0", .max = "1000000",
	  AT(quotas[QUOTA_ADDRESS].burst), .example = "100",
	  HELP("how many requests an address that was silent may make at once; 0 is those of a second") },
	{ "clients.bandwidth", SETTING_SIZE, .def = "0", .min = "0", .max = "100g",
	  AT(quotas[QUOTA_ADDRESS].bandwidth), .example = "\"10m\"",
	  HELP("the most bytes a second that one address is sent, over all workers, after the first "
		  "second's; answers "
		  "under way are sent more slowly; 0 is without a limit") },
	{ "clients.network_connections", SETTING_INTEGER, .def = "0", .min = "0", .max = "1000000",
	  AT(quotas[QUOTA_NETWORK].connections), .example = "1000",
	  HELP("as clients.connections, of all addresses of one network together: clients.network_ipv4 and"
		  " clients.network_ipv6 say how large that is") },
	{ "clients.network_requests", SETTING_INTEGER, .def = "0", .min = "0", .max = "1000000",
	  AT(quotas[QUOTA_NETWORK].requests), .example = "500",
	  HELP("as clients.requests, of one network") },
	{ "clients.network_burst", SETTING_INTEGER, .def = "0", .min = "0", .max = "1000000",
	  AT(quotas[QUOTA_NETWORK].burst), .example = "1000", HELP("as clients.burst, of one network") },
	{ "clients.network_bandwidth", SETTING_SIZE, .def = "0", .min = "0", .max = "100g",
	  AT(quotas[QUOTA_NETWORK].bandwidth), .example = "\"100m\"",
	  HELP("as clients.bandwidth, of one network") },
	{ "clients.ipv6_prefix", SETTING_INTEGER, .def = "64", .min = "32", .max = "128", AT(ipv6_prefix),
	  .example = "56", HELP("the bits of an IPv6 address that tell one client from another") },
	{ "clients.network_ipv4", SETTING_INTEGER, .def = "24", .min = "8", .max = "32", AT(network_ipv4),
	  .example = "16", HELP("the bits of an IPv4 address that its network has") },
	{ "clients.network_ipv6", SETTING_INTEGER, .def = "48", .min = "16", .max = "128", AT(network_ipv6),
	  .example = "32", HELP("the bits of an IPv6 address that its network has") },
	{ "clients.exempt", SETTING_STRINGS, .check = check_network, AT(quota_exempt),
	  .example = "[ \"127.0.0.0/8\", \"unix\" ]",
	  HELP("addresses and networks without these limits; \"unix\" stands for clients of unix sockets,"
		  " which have none in any case") },
	{ "clients.dry_run", SETTING_BOOL, .def = "false", AT(quota_dry_run), .example = "true",
	  HELP("these limits are counted and logged, and nobody is refused or slowed down") },
	{ "sandbox.landlock", SETTING_BOOL, .def = "true", .when = REPLACE, AT(landlock), .example = "false",
	  HELP("workers can read what they serve and nothing else of the file system, can neither listen "
		  "nor "
		  "connect, and can signal nobody (landlock(7))") },
	{ "sandbox.seccomp", SETTING_BOOL, .def = "true", .when = REPLACE, AT(seccomp), .example = "false",
	  HELP("workers can make the system calls that they need and no other: another one fails, is "
		  "counted "
		  "and logged, and one that runs a program, traces, mounts or loads one into the kernel ends "
		  "the worker (seccomp(2))") },
	{ "sandbox.sealed_code", SETTING_BOOL, .def = "true", .when = REPLACE, AT(sealed_code),
	  .example = "false",
	  HELP("no memory of a worker that was writable becomes executable (PR_SET_MDWE)") },
	{ "sandbox.core_dumps", SETTING_BOOL, .def = "false", .when = REPLACE, AT(core_dumps),
	  .example = "true",
	  HELP("a worker that crashes may leave a core dump, which has in it what clients sent; and "
		  "processes of the same user may look into it through /proc") },
	{ "sandbox.read", SETTING_STRINGS, .check = check_path, AT(sandbox_read), .example = "[ \"/srv\" ]",
	  HELP("directories below which workers may read, with sandbox.landlock. What is not below one of "
		  "them is "
		  "derived: the directory that a root is in, so that the root may be swapped. A reload that "
		  "needs more than "
		  "the workers have replaces them") },
};

const struct schema config_schema = {
	.name = "drover.conf", ROWS(rows), .bytes = sizeof(struct config),
	HELP("the settings"),
};

struct log_target config_log_target(const struct config *config, const char *setting, int fd)
{
	const struct {
		const char *word;
		struct log_target target;
	} words[] = {
		{ "off", { LOG_OFF, -1, NULL } },
		{ "syslog", { LOG_SYSLOG, -1, config->syslog_socket } },
		{ "journal", { LOG_JOURNAL, -1, config->journal_socket } },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(setting, words[i].word) == 0)
			return words[i].target;
	return (struct log_target){ LOG_STREAM, fd, NULL };
}

const char *config_origin(const struct config *config, const char *name)
{
	for (unsigned i = 0; i < config_schema.count; i++) {
		const char *origin = *setting_origin(&config_schema, (void *)(uintptr_t)config, i);

		if (strcmp(config_schema.settings[i].name, name) == 0)
			return origin != NULL ? origin : "";
	}
	return "";
}

uint64_t config_log_id(const char *setting)
{
	return hash_of(str_of(setting));
}
