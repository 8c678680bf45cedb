/* import_listen.c - addresses: what servers listen at, and which proxies are believed.
 *
 * Called by import.c. An address stands once in drover's configuration, whatever the number of servers. */
#include "import.h"

#include "net/addr.h"

#include <stdlib.h>
#include <string.h>

/* "80", "*:80", "127.0.0.1:80", "127.0.0.1", "[::1]:80", "[::1]", "localhost:80", "unix:/path". */
static const char *spell(struct import *import, const char *text)
{
	const char *colon = strrchr(text, ':');

	if (strncmp(text, "unix:", 5) == 0)
		return text;
	if (text[0] == '[')
		return text[strlen(text) - 1] == ']' ? import_printf(import, "%s:80", text) : text;
	if (strncmp(text, "localhost", 9) == 0)
		return import_printf(import, "127.0.0.1%s", text[9] == ':' ? text + 9 : ":80");
	if (colon == NULL && text[strspn(text, "0123456789")] == '\0')
		return import_printf(import, "0.0.0.0:%s", text);
	if (text[0] == '*')
		return import_printf(import, "0.0.0.0%s", text[1] == ':' ? text + 1 : ":80");
	return colon == NULL ? import_printf(import, "%s:80", text) : text;
}

const char *listen_address(struct import *import, const struct directive *listen)
{
	struct addr addr;
	struct err err;

	if (!is_writable(arg(listen, 0)) || !addr_parse(spell(import, arg(listen, 0)), &addr, &err))
		return NULL;
	return arena_copy(&import->arena, str_of(addr.text));
}

static bool has_word(const struct directive *listen, const char *word)
{
	for (unsigned i = 1; i < listen->arg_count; i++)
		if (strcmp(listen->args[i], word) == 0)
			return true;
	return false;
}

static bool is_at_port(const struct import *import, const struct directive *listen)
{
	const char *colon = strrchr(arg(listen, 0), ':');
	unsigned long port = strtoul(colon != NULL ? colon + 1 : arg(listen, 0), NULL, 10);

	return port == import->port ||
	       (import->port == 80 && colon == NULL && strchr(arg(listen, 0), '.') != NULL);
}

bool listens_here(const struct import *import, const struct directive *server)
{
	const struct directive *listen = find_own(server, "listen");

	if (import->port == 0 || (listen == NULL && import->port == 80))
		return true;
	for (; listen != NULL; listen = find_next(listen))
		if (is_at_port(import, listen))
			return true;
	return false;
}

/* Within its own machine, or within networks that are not routed: RFC 1918, RFC 4193, RFC 3927. */
static enum reach reach_of(struct import *import, const struct directive *listen)
{
	static const struct {
		const char *network;
		enum reach reach;
	} inside[] = { { "127.0.0.0/8", REACH_MACHINE },    { "::1", REACH_MACHINE },
		       { "10.0.0.0/8", REACH_PRIVATE },     { "172.16.0.0/12", REACH_PRIVATE },
		       { "192.168.0.0/16", REACH_PRIVATE }, { "169.254.0.0/16", REACH_PRIVATE },
		       { "fc00::/7", REACH_PRIVATE },       { "fe80::/10", REACH_PRIVATE } };
	const char *text = listen_address(import, listen);
	struct addr addr;
	struct cidr cidr;
	struct err err;

	if (text == NULL || !addr_parse(text, &addr, &err))
		return REACH_ALL;
	if (addr_is_unix(&addr))
		return REACH_MACHINE;
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
		if (cidr_parse(inside[i].network, &cidr, &err) && cidr_contains(&cidr, &addr.storage))
			return inside[i].reach;
	return REACH_ALL;
}

enum reach listen_reach(struct import *import, const struct directive *server)
{
	const struct directive *listen = find_own(server, "listen");
	enum reach reach = listen == NULL ? REACH_ALL : REACH_MACHINE;

	for (; listen != NULL; listen = find_next(listen))
		if ((import->port == 0 || is_at_port(import, listen)) && reach_of(import, listen) > reach)
			reach = reach_of(import, listen);
	return reach;
}

/* ---- parameters ---------------------------------------------------------------------------------------- */

static const char *const of_default[] = { "default_server", "default", NULL };
static const char *const unneeded[] = { "reuseport", "bind", NULL };

static bool is_among(const char *text, const char *const words[])
{
	for (; *words != NULL; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

/* One word behind the address. */
static void take_word(struct import *import, FILE *out, const struct directive *listen, const char *word)
{
	char *end;
	unsigned long backlog = strncmp(word, "backlog=", 8) == 0 ? strtoul(word + 8, &end, 10) : 0;

	if (backlog >= 1 && backlog <= 65535 && *end == '\0')
		fprintf(out, " backlog = %lu;", backlog);
	else if (strcmp(word, "deferred") == 0 && strncmp(arg(listen, 0), "unix:", 5) != 0)
		fputs(" defer_accept = true;", out);
	else if (is_among(word, unneeded))
		import_note(import, NOTE_UNNEEDED, listen, "%s: every worker has a socket of its own", word);
	else if (strcmp(word, "http2") == 0)
		import_note(import, NOTE_DIFFERS, listen,
			    "HTTP/2 is not there (yet): clients go on with HTTP/1.1");
	else if (!is_among(word, of_default) && strcmp(word, "proxy_protocol") != 0 &&
		 strncmp(word, "ipv6only=", 9) != 0)
		import_note(import, NOTE_MISSING, listen, "%s: there is no such setting for an address",
			    word);
}

/* Who may send it has to be said. */
static void take_proxy_protocol(struct import *import, FILE *out, const struct directive *listen)
{
	struct texts proxies = { 0 };
	bool is_unix = strncmp(arg(listen, 0), "unix:", 5) == 0;

	import_proxies(import, &proxies);
	if (is_unix && !texts_has(&proxies, "unix"))
		texts_add(import, &proxies, "unix");
	if (proxies.count == 0) {
		import_note(import, NOTE_MISSING, listen,
			    "who sends the header of the PROXY protocol? Put them into proxy_from: others "
			    "are refused");
		texts_add(import, &proxies, "127.0.0.0/8");
	}
	fputs(" proxy_protocol = true; proxy_from = ", out);
	write_strings(out, &proxies);
	putc(';', out);
}

static void write_listener(struct import *import, FILE *out, const struct directive *listen,
			   const char *address)
{
	fputs("        { address = ", out);
	write_quoted(out, address);
	putc(';', out);
	if (strncmp(address, "[::]:", 5) == 0 && !has_word(listen, "ipv6only=off"))
		fputs(" v6only = true;", out);
	for (unsigned i = 1; i < listen->arg_count; i++) {
		bool seen = false;

		for (unsigned j = 1; j < i; j++)
			seen |= strcmp(listen->args[j], listen->args[i]) == 0 ||
				(strncmp(listen->args[i], "backlog=", 8) == 0 &&
				 strncmp(listen->args[j], "backlog=", 8) == 0);
		if (!seen)
			take_word(import, out, listen, listen->args[i]);
	}
	if (has_word(listen, "proxy_protocol"))
		take_proxy_protocol(import, out, listen);
	fputs(" }", out);
}

static void take_listen(struct import *import, const struct directive *listen, struct texts *seen,
			struct texts *entries)
{
	const char *address = listen_address(import, listen);
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	if (has_word(listen, "ssl") || has_word(listen, "quic") || has_word(listen, "spdy")) {
		import_note(import, NOTE_MISSING, listen,
			    "TLS is not there (yet): let hitch, stunnel or HAProxy speak it, and forward to "
			    "an address"
			    " of drover with proxy_protocol");
		return;
	}
	if (address == NULL)
		import_note(import, NOTE_MISSING, listen,
			    "names and ranges of ports are not looked up: write an address");
	if (address == NULL || texts_has(seen, address))
		return;
	texts_add(import, seen, address);
	out = import_stream(&text, &len);
	write_listener(import, out, listen, address);
	import_keep(import, out, &text, entries);
}

static void take_servers(struct import *import, const struct directive *block, struct texts *seen,
			 struct texts *entries)
{
	for (const struct directive *server = find_own(block, "server"); server != NULL;
	     server = find_next(server)) {
		const struct directive *listen = find_own(server, "listen");

		if (listen == NULL && listens_here(import, server) && !texts_has(seen, "0.0.0.0:80")) {
			texts_add(import, seen, "0.0.0.0:80");
			texts_add(import, entries, "        { address = \"0.0.0.0:80\"; }");
		}
		for (; listen != NULL; listen = find_next(listen))
			if (import->port == 0 || is_at_port(import, listen))
				take_listen(import, listen, seen, entries);
	}
}

void import_listen(struct import *import, FILE *out)
{
	struct texts seen = { 0 }, entries = { 0 };

	take_servers(import, &import->root, &seen, &entries);
	for (const struct directive *http = find_own(&import->root, "http"); http != NULL;
	     http = find_next(http))
		take_servers(import, http, &seen, &entries);
	fputs("listen = (\n", out);
	if (entries.count == 0) {
		fputs("        # none of nginx's addresses could be translated: this one is a stopgap\n",
		      out);
		texts_add(import, &entries, "        { address = \"127.0.0.1:8080\"; }");
	}
	write_blocks(out, &entries);
	fputs(");\n", out);
}

/* ---- proxies ----------------------------------------------------------------------------------------- */

static void take_proxies(struct import *import, const struct directive *block, struct texts *proxies)
{
	for (const struct directive *child = block->children; child != NULL; child = child->next) {
		const char *who = strcmp(arg(child, 0), "unix:") == 0 ? "unix" : arg(child, 0);
		struct cidr cidr;
		struct err err;

		take_proxies(import, child, proxies);
		if (!is_named(child, "set_real_ip_from") || texts_has(proxies, who))
			continue;
		if (strcmp(who, "unix") == 0 || cidr_parse(who, &cidr, &err))
			texts_add(import, proxies, who);
		else
			import_note(import, NOTE_MISSING, child,
				    "no address and no network: names are not looked up, and"
				    " bits behind the prefix are zero");
	}
}

void import_proxies(struct import *import, struct texts *proxies)
{
	take_proxies(import, &import->root, proxies);
}
