/* obituary.c - what an epitaph says, made fit to be read.
 *
 * Called by spawn.c, and by whoever judges a worker that hangs. A broken worker may have written anything
 * into its epitaph: nothing in there is a length, an index or a text before it was looked at here. Cannot
 * fail. */
#include "obituary.h"

#include "master.h"

#include <stdio.h>
#include <string.h>

static const char *const phase_names[EPITAPH_PHASES] = {
	[PHASE_STARTING] = "starting",     [PHASE_LOOP] = "loop",         [PHASE_ACCEPTING] = "accepting",
	[PHASE_CONNECTION] = "connection", [PHASE_READING] = "reading",   [PHASE_BODY] = "body",
	[PHASE_SERVICE] = "service",       [PHASE_SENDING] = "sending",   [PHASE_LOGGING] = "logging",
	[PHASE_LEAVING] = "leaving",       [PHASE_ADOPTING] = "adopting", [PHASE_HANDING] = "handing",
	[PHASE_TAKING] = "taking",
};

const char *obituary_signal(int number)
{
	const char *name = sigabbrev_np(number);

	return name != NULL ? name : "unknown";
}

static bool is_printable(char c)
{
	return c >= ' ' && c <= '~';
}

/* Up to a byte that does not belong in there. `out` has room for one more. */
static void copy_text(char *out, const char *text, size_t len)
{
	size_t at = 0;

	for (; at < len && is_printable(text[at]); at++)
		out[at] = text[at];
	out[at] = '\0';
}

/* Its first line. What is not ASCII is shown by its code: the text goes to a log and to JSON. */
static void copy_line(char *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len && text[i] != '\r' && text[i] != '\n'; i++)
		if (is_printable(text[i]))
			*out++ = text[i];
		else
			out += sprintf(out, "\\x%02x", (unsigned char)text[i]);
	*out = '\0';
}

static void read_client(const struct epitaph *epitaph, struct obituary *obituary)
{
	struct addr addr;
	union peer peer;

	memcpy(&peer, epitaph->client, sizeof(peer));
	if (peer.family != AF_INET && peer.family != AF_INET6 && peer.family != AF_UNIX)
		return;
	peer_describe(&peer, &addr);
	snprintf(obituary->client, sizeof(obituary->client), "%s", addr.text);
}

static void read_request(const struct epitaph *epitaph, uint64_t now_ns, struct obituary *obituary)
{
	size_t len = epitaph->request_bytes;

	if (len > EPITAPH_REQUEST_BYTES)
		len = EPITAPH_REQUEST_BYTES;
	copy_line(obituary->request, epitaph->request, len);
	if (len > 0 && epitaph->begun_ns < now_ns)
		obituary->request_ms = (now_ns - epitaph->begun_ns) / CLOCK_MS;
}

static void read_signal(const struct epitaph *epitaph, struct obituary *obituary)
{
	size_t len = epitaph->stack_bytes;

	if (epitaph->signal == 0)
		return;
	obituary->signal = obituary_signal((int)(epitaph->signal & 0x7f));
	if (epitaph->code > 0)
		snprintf(obituary->address, sizeof(obituary->address), "0x%llx",
			 (unsigned long long)epitaph->address);
	else
		obituary->sender = (uint32_t)epitaph->address;
	copy_text(obituary->stack, epitaph->stack, len < EPITAPH_STACK_BYTES ? len : EPITAPH_STACK_BYTES);
	copy_text(obituary->broken, epitaph->broken, EPITAPH_BROKEN_BYTES);
}

static const char *phase_of(const struct epitaph *epitaph, bool waits)
{
	if (epitaph->signal != 0 && epitaph->elsewhere != 0)
		return "helper";
	if (waits && epitaph->phase != PHASE_STARTING)
		return "waiting";
	return epitaph->phase < EPITAPH_PHASES ? phase_names[epitaph->phase] : "unknown";
}

void obituary_read(const struct epitaph *epitaph, bool waits, uint64_t now_ns, struct obituary *obituary)
{
	struct epitaph copy;
	bool served;

	memcpy(&copy, epitaph, sizeof(copy));
	served = copy.phase >= PHASE_CONNECTION && copy.phase <= PHASE_LEAVING;
	*obituary = (struct obituary){ .phase = phase_of(&copy, waits) };
	read_signal(&copy, obituary);
	if (copy.known == 0 || !(waits || served) || (copy.signal != 0 && copy.elsewhere != 0))
		return;
	read_client(&copy, obituary);
	read_request(&copy, now_ns, obituary);
}

void obituary_of(const struct child *child, struct obituary *obituary)
{
	const struct master *master = child->master;
	bool waits = master->hot->line[child->column].busy_since_ns == 0;

	obituary_read(&master->board->epitaph[child->column], waits, master->loop.now_ns, obituary);
}

static unsigned add_text(struct log_field *fields, unsigned count, const char *key, const char *text)
{
	if (text[0] != '\0')
		fields[count++] = log_text(key, text);
	return count;
}

unsigned obituary_fields(const struct obituary *obituary, struct log_field *fields, unsigned count)
{
	fields[count++] = log_text("phase", obituary->phase);
	count = add_text(fields, count, "client", obituary->client);
	count = add_text(fields, count, "request", obituary->request);
	if (obituary->request[0] != '\0')
		fields[count++] = log_number("request_ms", obituary->request_ms);
	count = add_text(fields, count, "broken", obituary->broken);
	count = add_text(fields, count, "address", obituary->address);
	if (obituary->sender != 0)
		fields[count++] = log_number("sent_by", obituary->sender);
	count = add_text(fields, count, "stack", obituary->stack);
	fields[count] = (struct log_field){ NULL, NULL, 0 };
	return count;
}
