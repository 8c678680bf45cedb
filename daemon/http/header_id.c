/* header_id.c - the table of field names.  Pure; called by the parser.  Cannot fail. */
#include "header_id.h"

/* `upper` and `lower` are the letter before the last one. Where two names meet in a slot, the compiler says
 * that an element is initialized twice. */
#define SLOTS(name, upper, lower, id) \
	[9 * (sizeof(name) - 2) + (upper)] = (id), [9 * (sizeof(name) - 2) + (lower)] = (id)

const unsigned char header_slots[HEADER_SLOTS] = {
	SLOTS("host:", 'S', 's', HEADER_HOST),
	SLOTS("connection:", 'O', 'o', HEADER_CONNECTION),
	SLOTS("content-length:", 'T', 't', HEADER_CONTENT_LENGTH),
	SLOTS("transfer-encoding:", 'N', 'n', HEADER_TRANSFER_ENCODING),
	SLOTS("expect:", 'C', 'c', HEADER_EXPECT),
	SLOTS("if-match:", 'C', 'c', HEADER_IF_MATCH),
	SLOTS("if-none-match:", 'C', 'c', HEADER_IF_NONE_MATCH),
	SLOTS("if-modified-since:", 'C', 'c', HEADER_IF_MODIFIED_SINCE),
	SLOTS("if-unmodified-since:", 'C', 'c', HEADER_IF_UNMODIFIED_SINCE),
	SLOTS("if-range:", 'G', 'g', HEADER_IF_RANGE),
	SLOTS("range:", 'G', 'g', HEADER_RANGE),
	SLOTS("accept:", 'P', 'p', HEADER_ACCEPT),
	SLOTS("accept-encoding:", 'N', 'n', HEADER_ACCEPT_ENCODING),
	SLOTS("authorization:", 'O', 'o', HEADER_AUTHORIZATION),
	SLOTS("forwarded:", 'E', 'e', HEADER_FORWARDED),
	SLOTS("x-forwarded-for:", 'O', 'o', HEADER_X_FORWARDED_FOR),
	SLOTS("x-forwarded-proto:", 'T', 't', HEADER_X_FORWARDED_PROTO),
	SLOTS("keep-alive:", 'V', 'v', HEADER_KEEP_ALIVE),
	SLOTS("referer:", 'E', 'e', HEADER_REFERER),
	SLOTS("user-agent:", 'N', 'n', HEADER_USER_AGENT),
};

#define NAME(name) \
	{ \
		name, (uint32_t)((1ULL << (sizeof(name) - 1)) - 1) \
	}

const struct header_name header_names[HEADER_IDS] = {
	[HEADER_HOST] = NAME("host:"),
	[HEADER_CONNECTION] = NAME("connection:"),
	[HEADER_CONTENT_LENGTH] = NAME("content-length:"),
	[HEADER_TRANSFER_ENCODING] = NAME("transfer-encoding:"),
	[HEADER_EXPECT] = NAME("expect:"),
	[HEADER_IF_MATCH] = NAME("if-match:"),
	[HEADER_IF_NONE_MATCH] = NAME("if-none-match:"),
	[HEADER_IF_MODIFIED_SINCE] = NAME("if-modified-since:"),
	[HEADER_IF_UNMODIFIED_SINCE] = NAME("if-unmodified-since:"),
	[HEADER_IF_RANGE] = NAME("if-range:"),
	[HEADER_RANGE] = NAME("range:"),
	[HEADER_ACCEPT] = NAME("accept:"),
	[HEADER_ACCEPT_ENCODING] = NAME("accept-encoding:"),
	[HEADER_AUTHORIZATION] = NAME("authorization:"),
	[HEADER_FORWARDED] = NAME("forwarded:"),
	[HEADER_X_FORWARDED_FOR] = NAME("x-forwarded-for:"),
	[HEADER_X_FORWARDED_PROTO] = NAME("x-forwarded-proto:"),
	[HEADER_KEEP_ALIVE] = NAME("keep-alive:"),
	[HEADER_REFERER] = NAME("referer:"),
	[HEADER_USER_AGENT] = NAME("user-agent:"),
};

enum header_id header_id_of(struct str name)
{
	unsigned id;

	if (name.len < 2 || name.len >= HEADER_NAME_BYTES - 2)
		return HEADER_OTHER;
	id = header_slots[header_slot((unsigned)name.len, (unsigned char)name.at[name.len - 2])];
	if (header_names[id].bits != (1U << (name.len + 1)) - 1 ||
	    !str_equal_nocase(name, (struct str){ header_names[id].text, name.len }))
		return HEADER_OTHER;
	return (enum header_id)id;
}
