/* access_format.c - the formats of the access log: common, combined, JSON; as a line, a syslog datagram or a
 * record of the journal.
 *
 * Called by access_log.c, once for each line.  What a client sent is cut to its bound and escaped. */
#include "access_format.h"

#include "secret.h"

#include "base/clock.h"
#include "base/escape.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

enum {
	METHOD_BYTES = 64,              /* bounds of what a client sends; the rest is "..." */
	HOST_BYTES = 256,
	USER_BYTES = 256,
	AGENT_BYTES = 512,
	MARK_BYTES = 3,                 /* "..." */
	FIXED_BYTES = 512,              /* peer, time, numbers and names of fields, in any format */
	JOURNAL_BYTES = 1024,           /* the same of all fields of the journal */
	PRIORITY = 6,                   /* info */
	INSTANCE_DIGITS = 16,
};

#define EVENT "access"
#define EVENT_LOST "access_log_lost"

/* ---- pieces ------------------------------------------------------------------------------------------ */

static inline char *put(char *out, const char *text)
{
	size_t len = strlen(text);      /* known when it is compiled, for a literal */

	memcpy(out, text, len);
	return out + len;
}

static char *put_number(char *out, uint64_t number)
{
	size_t len = 1;

	for (uint64_t rest = number; rest >= 10; rest /= 10)
		len++;
	for (size_t at = len; at > 0; number /= 10)
		out[--at] = (char)('0' + number % 10);
	return out + len;
}

static char *put_v4(char *out, const unsigned char *bytes)
{
	for (unsigned i = 0; i < 4; i++) {
		out = put_number(out, bytes[i]);
		*out++ = '.';
	}
	return out - 1;
}

/* Without its port; an IPv4 client of an IPv6 socket is written as one. */
static char *put_peer(char *out, const union peer *peer)
{
	const struct in6_addr *v6 = &peer->v6.sin6_addr;

	if (peer->family == AF_INET)
		return put_v4(out, (const unsigned char *)&peer->v4.sin_addr);
	if (peer->family != AF_INET6)
		return put(out, peer->family == AF_UNIX ? "unix:" : "unknown");
	if (IN6_IS_ADDR_V4MAPPED(v6))
		return put_v4(out, v6->s6_addr + 12);
	inet_ntop(AF_INET6, v6, out, INET6_ADDRSTRLEN);
	return out + strlen(out);
}

static unsigned port_of(const union peer *peer)
{
	return peer->family == AF_INET    ? ntohs(peer->v4.sin_port)
	       : peer->family == AF_INET6 ? ntohs(peer->v6.sin6_port)
					  : 0;
}

/* In hexadecimal, at least so many digits. */
static char *put_hex(char *out, uint64_t number, size_t least)
{
	size_t len = 1;

	for (uint64_t rest = number; rest >= 16; rest /= 16)
		len++;
	if (len < least)
		len = least;
	for (size_t at = len; at > 0; number /= 16)
		out[--at] = "0123456789abcdef"[number % 16];
	return out + len;
}

/* Unique over workers and restarts: the random number and the count of exchanges of the worker where it
 * began. */
static char *put_id(char *out, const struct exchange *exchange)
{
	out = put_hex(out, exchange->instance, INSTANCE_DIGITS);
	*out++ = '-';
	return put_hex(out, exchange->number, 1);
}

static char *put_ms(char *out, const struct timespec *now)
{
	unsigned ms = (unsigned)(now->tv_nsec / 1000000) % 1000;

	*out++ = '.';
	*out++ = (char)('0' + ms / 100);
	*out++ = (char)('0' + ms / 10 % 10);
	*out++ = (char)('0' + ms % 10);
	*out++ = 'Z';
	return out;
}

/* The two texts of the second, made once in it. */
static struct timespec look_at_clock(struct access_style *style)
{
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct timespec now = clock_wall();
	struct tm tm;
	unsigned year;

	if (now.tv_sec == style->second || gmtime_r(&now.tv_sec, &tm) == NULL)
		return now;
	style->second = now.tv_sec;
	year = (unsigned)(tm.tm_year + 1900) % 10000;
	snprintf(style->clf, sizeof(style->clf), "%02d/%s/%04u:%02d:%02d:%02d +0000", tm.tm_mday % 32,
		 months[(unsigned)tm.tm_mon % 12], year, tm.tm_hour % 24, tm.tm_min % 60, tm.tm_sec % 61);
	snprintf(style->iso, sizeof(style->iso), "%04u-%02u-%02dT%02d:%02d:%02d", year,
		 (unsigned)tm.tm_mon % 12 + 1, tm.tm_mday % 32, tm.tm_hour % 24, tm.tm_min % 60,
		 tm.tm_sec % 61);
	return now;
}

/* ---- the parts --------------------------------------------------------------------------------------- */

static struct str field_of(const struct exchange *exchange, enum header_id id)
{
	struct header header;
	unsigned index = 0;

	if (!request_next(&exchange->request, id, &index, &header))
		return (struct str){ 0 };
	return span_str(header.value, exchange->head);
}

/* One byte more than is shown: it is longer, then. */
static struct str shown(const struct access_style *style, struct str text, char *copy, size_t room)
{
	return secret_is_in(text, style->query) ? secret_target(text, style->query, copy, room) : text;
}

void access_entry_fill(struct access_entry *entry, const struct access_style *style,
		       const struct exchange *exchange, uint64_t duration_ns)
{
	const struct request *request = &exchange->request;

	entry->exchange = exchange;
	entry->duration_ns = duration_ns;
	entry->cut = exchange->conn->reset;
	entry->method = entry->target = entry->host = entry->referer = entry->agent = (struct str){ 0 };
	if (request->method_name.len > 0 && request->target.len > 0) {
		entry->method = span_str(request->method_name, exchange->head);
		entry->target = shown(style, span_str(request->target, exchange->head), entry->shown_target,
				      sizeof(entry->shown_target));
	}
	if (!exchange->understood)      /* of the rest nothing can be said (parse.h) */
		return;
	if (request->authority.len > 0)
		entry->host = span_str(request->authority, exchange->head);
	entry->referer = shown(style, field_of(exchange, HEADER_REFERER), entry->shown_referer,
			       sizeof(entry->shown_referer));
	entry->agent = field_of(exchange, HEADER_USER_AGENT);
}

static size_t at_most(struct str text, size_t most)
{
	return text.len < most ? text.len : most + MARK_BYTES;
}

static size_t entry_bytes(const struct access_entry *entry)
{
	return at_most(entry->exchange->user, USER_BYTES) + at_most(entry->method, METHOD_BYTES) +
	       at_most(entry->target, ACCESS_TARGET_BYTES) + at_most(entry->host, HOST_BYTES) +
	       at_most(entry->referer, ACCESS_REFERER_BYTES) + at_most(entry->agent, AGENT_BYTES);
}

size_t access_room(const struct access_style *style, const struct access_entry *entry)
{
	size_t bytes = entry_bytes(entry);
	size_t line = FIXED_BYTES + LOG_RECORD_HEAD_BYTES + ESCAPE_JSON_MOST * bytes;

	return style->kind == LOG_JOURNAL ? JOURNAL_BYTES + line + bytes : line;
}

/* ---- common and combined ----------------------------------------------------------------------------- */

static char *put_text(char *out, struct str text, size_t most)
{
	bool fits = text.len <= most;

	if (!fits)
		text.len = most;
	out = escape_text(out, text);
	return fits ? out : put(out, "...");
}

/* "GET /x HTTP/1.1", or "-" when the request line was not understood. */
static char *put_request_line(char *out, const struct access_entry *entry)
{
	if (entry->method.at == NULL)
		return put(out, "\"-\"");
	*out++ = '"';
	out = put_text(out, entry->method, METHOD_BYTES);
	*out++ = ' ';
	out = put_text(out, entry->target, ACCESS_TARGET_BYTES);
	out = put(out, " HTTP/1.");
	*out++ = (char)('0' + entry->exchange->request.minor % 10);
	*out++ = '"';
	return out;
}

/* One that has blanks in it is quoted: the fields behind it stay in their places. */
static char *put_user(char *out, struct str user)
{
	bool has_blank = user.len > 0 && memchr(user.at, ' ', user.len) != NULL;

	if (user.len == 0)
		return put(out, "-");
	out = put_text(put(out, has_blank ? "\"" : ""), user, USER_BYTES);
	return put(out, has_blank ? "\"" : "");
}

static char *put_common(char *out, const struct access_style *style, const struct access_entry *entry,
			const struct timespec *now)
{
	(void)now;
	out = put_peer(out, &entry->exchange->client);
	out = put_user(put(out, " - "), entry->exchange->user);
	out = put(out, " [");
	out = put(out, style->clf);
	out = put(out, "] ");
	out = put_request_line(out, entry);
	*out++ = ' ';
	out = put_number(out, entry->exchange->response.status);
	*out++ = ' ';
	return put_number(out, entry->exchange->sent_bytes);
}

static char *put_quoted(char *out, struct str text, size_t most)
{
	if (text.len == 0)
		return put(out, " \"-\"");
	out = put(out, " \"");
	out = put_text(out, text, most);
	*out++ = '"';
	return out;
}

static char *put_combined(char *out, const struct access_style *style, const struct access_entry *entry,
			  const struct timespec *now)
{
	out = put_common(out, style, entry, now);
	out = put_quoted(out, entry->referer, ACCESS_REFERER_BYTES);
	return put_quoted(out, entry->agent, AGENT_BYTES);
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

/* `,"key":"value"`; nothing when it is absent. */
static char *put_member(char *out, const char *key, struct str text, size_t most)
{
	bool fits = text.len <= most;

	if (text.at == NULL)
		return out;
	if (!fits)
		text.len = most;
	out = put(out, key);
	out = escape_json(out, text);
	return put(out, fits ? "\"" : "...\"");
}

static char *put_number_member(char *out, const char *key, uint64_t number)
{
	return put_number(put(out, key), number);
}

/* Where something in front of us forwards requests, the one that connected and the one that is served are
 * not the same. */
static bool is_forwarded(const struct exchange *exchange)
{
	union peer peer = conn_peer(exchange->conn);

	/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c): one is a copy */
	return memcmp(&exchange->client, &peer, sizeof(peer)) != 0;
}

static char *put_json_peers(char *out, const struct exchange *exchange)
{
	union peer peer = conn_peer(exchange->conn);

	out = put_peer(put(out, "\",\"peer\":\""), &peer);
	*out++ = '"';
	if (port_of(&peer) != 0)
		out = put_number_member(out, ",\"port\":", port_of(&peer));
	if (!is_forwarded(exchange))
		return out;
	out = put_peer(put(out, ",\"client\":\""), &exchange->client);
	*out++ = '"';
	return out;
}

static char *put_protocol(char *out, const struct access_entry *entry)
{
	if (entry->method.at == NULL)
		return out;
	out = put(out, ",\"protocol\":\"HTTP/1.");
	*out++ = (char)('0' + entry->exchange->request.minor % 10);
	*out++ = '"';
	return out;
}

static char *put_json(char *out, const struct access_style *style, const struct access_entry *entry,
		      const struct timespec *now)
{
	const struct exchange *exchange = entry->exchange;

	out = put(put(out, "{\"time\":\""), style->iso);
	out = put_ms(out, now);
	out = put_id(put(out, "\",\"id\":\""), exchange);
	out = put_json_peers(out, exchange);
	out = put_member(out, ",\"host\":\"", entry->host, HOST_BYTES);
	out = put_member(out, ",\"user\":\"", exchange->user, USER_BYTES);
	out = put_member(out, ",\"method\":\"", entry->method, METHOD_BYTES);
	out = put_member(out, ",\"target\":\"", entry->target, ACCESS_TARGET_BYTES);
	out = put_protocol(out, entry);
	out = put_number_member(out, ",\"status\":", exchange->response.status);
	out = put_number_member(out, ",\"bytes\":", exchange->sent_bytes);
	out = put_number_member(out, ",\"duration_us\":", entry->duration_ns / 1000);
	out = put_member(out, ",\"referer\":\"", entry->referer, ACCESS_REFERER_BYTES);
	out = put_member(out, ",\"user_agent\":\"", entry->agent, AGENT_BYTES);
	out = put_number_member(out, ",\"slot\":", exchange->engine->slot);
	out = put_number_member(out, ",\"generation\":", exchange->generation_number);
	return put(out, entry->cut ? ",\"cut\":true}" : "}");
}

/* ---- the journal ------------------------------------------------------------------------------------- */

static char *put_field(char *out, const char *name, struct str value, size_t most)
{
	if (value.at == NULL)
		return out;
	if (value.len > most)
		value.len = most;
	return log_record_field(out, str_of(name), value);
}

static char *put_number_field(char *out, const char *name, uint64_t number)
{
	char text[24];

	return put_field(out, name, (struct str){ text, (size_t)(put_number(text, number) - text) },
			 sizeof(text));
}

/* What every record begins with; the message is in place already, behind "MESSAGE=". */
static char *put_journal_head(char *out, const char *event, const char *id)
{
	out = put(out, "\nPRIORITY=");
	out = put_number(out, PRIORITY);
	out = put(out, "\nSYSLOG_IDENTIFIER=drover\nMESSAGE_ID=");
	out = put(out, id);
	out = put(out, "\nDROVER_EVENT=");
	out = put(out, event);
	*out++ = '\n';
	return out;
}

static char *put_journal_fields(char *out, const struct access_style *style,
				 const struct access_entry *entry)
{
	const struct exchange *exchange = entry->exchange;
	union peer peer = conn_peer(exchange->conn);
	char text[INET6_ADDRSTRLEN + 64];

	out = put_journal_head(out, EVENT, style->message_id);
	*put_peer(text, &peer) = '\0';
	out = put_field(out, "DROVER_PEER", str_of(text), sizeof(text));
	if (port_of(&peer) != 0)
		out = put_number_field(out, "DROVER_PORT", port_of(&peer));
	if (is_forwarded(exchange)) {
		*put_peer(text, &exchange->client) = '\0';
		out = put_field(out, "DROVER_CLIENT", str_of(text), sizeof(text));
	}
	out = put_field(out, "DROVER_HOST", entry->host, HOST_BYTES);
	out = put_field(out, "DROVER_USER", exchange->user, USER_BYTES);
	out = put_field(out, "DROVER_METHOD", entry->method, METHOD_BYTES);
	out = put_field(out, "DROVER_TARGET", entry->target, ACCESS_TARGET_BYTES);
	out = put_number_field(out, "DROVER_STATUS", exchange->response.status);
	out = put_number_field(out, "DROVER_BYTES", exchange->sent_bytes);
	out = put_number_field(out, "DROVER_DURATION_US", entry->duration_ns / 1000);
	out = put_field(out, "DROVER_REFERER", entry->referer, ACCESS_REFERER_BYTES);
	out = put_field(out, "DROVER_USER_AGENT", entry->agent, AGENT_BYTES);
	out = put_number_field(out, "DROVER_SLOT", exchange->engine->slot);
	out = put_number_field(out, "DROVER_GENERATION", exchange->generation_number);
	put_id(text, exchange);
	out = put_field(out, "DROVER_REQUEST", str_of(text), sizeof(text));
	return entry->cut ? put(out, "DROVER_CUT=1\n") : out;
}

/* ---- records ----------------------------------------------------------------------------------------- */

void access_style_init(struct access_style *style, enum access_format format)
{
	*style = (struct access_style){ .format = format, .query = true, .pid = getpid() };
	log_record_id(EVENT, style->message_id);
}

static char *(*const lines[ACCESS_FORMATS])(char *out, const struct access_style *style,
					    const struct access_entry *entry, const struct timespec *now) = {
	[ACCESS_COMMON] = put_common, [ACCESS_COMBINED] = put_combined, [ACCESS_JSON] = put_json,
};

/* What stands in front of a line. */
static char *put_before(char *out, const struct access_style *style)
{
	if (style->kind == LOG_SYSLOG)
		return log_record_syslog(out, PRIORITY, style->second, style->pid);
	return style->kind == LOG_JOURNAL ? put(out, "MESSAGE=") : out;
}

size_t access_put(struct access_style *style, const struct access_entry *entry, char *out)
{
	struct timespec now = look_at_clock(style);
	char *at = lines[style->format](put_before(out, style), style, entry, &now);

	if (style->kind == LOG_STREAM)
		*at++ = '\n';
	else if (style->kind == LOG_JOURNAL)
		at = put_journal_fields(at, style, entry);
	return (size_t)(at - out);
}

size_t access_put_lost(struct access_style *style, uint64_t count, char *out)
{
	struct timespec now = look_at_clock(style);
	char time[ACCESS_ISO_BYTES + 8], id[LOG_RECORD_ID_BYTES], *at = put_before(out, style);

	log_record_id(EVENT_LOST, id);
	*put_ms(put(time, style->iso), &now) = '\0';
	if (style->format == ACCESS_JSON)
		at += sprintf(at, "{\"time\":\"%s\",\"event\":\"" EVENT_LOST "\",\"lines\":%llu}", time,
			      (unsigned long long)count);
	else
		at += sprintf(at, "# %s " EVENT_LOST " lines=%llu", time, (unsigned long long)count);
	if (style->kind == LOG_STREAM)
		*at++ = '\n';
	else if (style->kind == LOG_JOURNAL)
		at = put_number_field(put_journal_head(at, EVENT_LOST, id), "DROVER_LINES", count);
	return (size_t)(at - out);
}
