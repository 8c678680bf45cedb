/* conditional.c - preconditions of requests, by RFC 9110, 13.
 *
 * Pure; called by whoever answers with a representation that has validators. Cannot fail: a date that is none
 * is ignored, as the RFC says. A list of entity tags that breaks its grammar matches nothing: then a client
 * gets what is there (If-None-Match), or is told that it is not what it meant (If-Match). */
#include "conditional.h"

#include "date.h"

struct etag {
	struct str opaque;              /* in its quotes */
	bool weak;
};

/* ---- entity tags (RFC 9110, 8.8.3) --------------------------------------------------------------------- */

/* etagc: no space, no control, and a backslash is a character like others. */
static bool is_etag_byte(char c)
{
	unsigned char byte = (unsigned char)c;

	return byte > ' ' && byte != '"' && byte != 0x7f;
}

/* Takes the entity tag that `rest` begins with. */
static bool take_etag(struct str *rest, struct etag *etag)
{
	size_t len = 1;

	etag->weak = str_has_prefix(*rest, str_of("W/"));
	if (etag->weak)
		str_take(rest, 2);
	if (rest->len == 0 || rest->at[0] != '"')
		return false;
	while (len < rest->len && is_etag_byte(rest->at[len]))
		len++;
	if (len == rest->len || rest->at[len] != '"')
		return false;
	etag->opaque = str_take(rest, len + 1);
	return true;
}

/* 8.8.3.2: the strong comparison wants both to be strong. */
static bool is_same(const struct etag *etag, const struct validators *validators, bool strong)
{
	return str_equal(etag->opaque, validators->etag) && !(strong && (etag->weak || validators->weak));
}

/* Looks through one field's list; false when it breaks the grammar. */
static bool look_through(struct str list, const struct validators *validators, bool strong, bool *found)
{
	struct etag etag;
	bool good = true;

	str_skip_separator(&list);
	while (good && list.len > 0) {
		good = take_etag(&list, &etag) && str_skip_separator(&list);
		*found = *found || (good && is_same(&etag, validators, strong));
	}
	return good;
}

enum tags { TAGS_ABSENT, TAGS_NONE_MATCHES, TAGS_ONE_MATCHES };

/* If-Match or If-None-Match: "*", or a list that several fields may be the parts of. */
static enum tags match_tags(const struct request *request, const char *head, enum header_id id,
			    const struct validators *validators, bool strong)
{
	struct header header;
	unsigned index = 0, fields = 0, stars = 0;
	bool good = true, found = false;

	while (request_next(request, id, &index, &header)) {
		struct str value = span_str(header.value, head);

		fields++;
		if (str_equal(value, str_of("*")))
			stars++;
		else
			good = look_through(value, validators, strong, &found) && good;
	}
	if (fields == 0)
		return TAGS_ABSENT;
	if (stars > 0)
		return fields == 1 ? TAGS_ONE_MATCHES : TAGS_NONE_MATCHES;
	return good && found ? TAGS_ONE_MATCHES : TAGS_NONE_MATCHES;
}

/* ---- dates --------------------------------------------------------------------------------------------- */

/* False for a field that is not there, and for one that is to be ignored. */
static bool date_of(const struct request *request, const char *head, enum header_id id, time_t now,
		    time_t *date)
{
	struct header header;

	return request_only(request, id, &header) && date_parse(span_str(header.value, head), now, date);
}

/* ---- preconditions (RFC 9110, 13.2.2) ------------------------------------------------------------------ */

/* Most requests have none of the fields. */
static bool has_any(const struct request *request)
{
	for (unsigned i = 0; i < request->header_count; i++)
		if (request->headers[i].id >= HEADER_IF_MATCH &&
		    request->headers[i].id <= HEADER_IF_UNMODIFIED_SINCE)
			return true;
	return false;
}

static unsigned changed_since(const struct request *request, const char *head,
			      const struct validators *validators, time_t now)
{
	enum tags tags = match_tags(request, head, HEADER_IF_MATCH, validators, true);
	time_t date;

	if (tags != TAGS_ABSENT)
		return tags == TAGS_ONE_MATCHES ? 0 : 412;
	if (!date_of(request, head, HEADER_IF_UNMODIFIED_SINCE, now, &date))
		return 0;
	return validators->modified <= date ? 0 : 412;
}

static unsigned known_already(const struct request *request, const char *head,
			      const struct validators *validators, time_t now)
{
	enum tags tags = match_tags(request, head, HEADER_IF_NONE_MATCH, validators, false);
	time_t date;

	if (tags != TAGS_ABSENT)
		return tags == TAGS_ONE_MATCHES ? 304 : 0;
	if (!date_of(request, head, HEADER_IF_MODIFIED_SINCE, now, &date))
		return 0;
	return validators->modified <= date ? 304 : 0;
}

unsigned conditional_status(const struct request *request, const char *head,
			    const struct validators *validators, time_t now)
{
	unsigned status = 0;

	if (has_any(request))
		status = changed_since(request, head, validators, now);
	if (status == 0 && has_any(request))
		status = known_already(request, head, validators, now);
	return status;
}

bool conditional_if_range(const struct request *request, const char *head,
			  const struct validators *validators, time_t now)
{
	struct header header;
	struct str value;
	struct etag etag;
	unsigned index = 0;
	time_t date;

	if (!request_next(request, HEADER_IF_RANGE, &index, &header))
		return true;
	if (!request_only(request, HEADER_IF_RANGE, &header))
		return false;
	value = span_str(header.value, head);
	if (take_etag(&value, &etag))
		return value.len == 0 && is_same(&etag, validators, true);
	return validators->modified_strong && date_of(request, head, HEADER_IF_RANGE, now, &date) &&
	       date == validators->modified;
}
