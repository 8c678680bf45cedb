/* negotiate.c - the weights of content codings in a request (RFC 9110, 12.4.2 and 12.5.3).
 *
 * Pure but for the caller's memo; called by the files service, and by who keeps answers.  Cannot fail: what
 * makes no sense is passed over, because a client that cannot say what it wants can still read a file as it
 * is. */
#include "negotiate.h"

const struct coding_name coding_names[CODINGS] = {
	[CODING_IDENTITY] = { "", "" },
	[CODING_ZSTD] = { "zstd", "zst" },
	[CODING_BR] = { "br", "br" },
	[CODING_GZIP] = { "gzip", "gz" },
};

/* What an element may begin with; "x-gzip" is an old name (RFC 9110, 8.4.1.3). */
enum { ANY = CODINGS, MENTIONS };

static const struct {
	const char *name;
	unsigned meaning;               /* enum coding, or ANY */
} words[] = {
	{ "gzip", CODING_GZIP }, { "br", CODING_BR }, { "zstd", CODING_ZSTD },
	{ "identity", CODING_IDENTITY }, { "*", ANY }, { "x-gzip", CODING_GZIP },
};

/* What the elements so far said. */
struct said {
	bool mentioned[MENTIONS];
	unsigned short weights[MENTIONS];
};

/* MENTIONS for a coding that there is nothing in. */
static unsigned meaning_of(struct str name)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (str_equal_nocase(name, str_of(words[i].name)))
			return words[i].meaning;
	return MENTIONS;
}

bool negotiate_weight(struct str text, unsigned short *weight)
{
	unsigned value, unit = WEIGHT_MOST;

	if (text.len == 0 || text.len > strlen("0.123") || (text.at[0] != '0' && text.at[0] != '1'))
		return false;
	if (text.len > 1 && text.at[1] != '.')
		return false;
	value = text.at[0] == '1' ? WEIGHT_MOST : 0;
	for (size_t i = 2; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		unit /= 10;
		value += (unsigned)(text.at[i] - '0') * unit;
	}
	if (value > WEIGHT_MOST)
		return false;
	*weight = (unsigned short)value;
	return true;
}

/* What is behind the coding's name: nothing, or a weight. */
static bool read_parameters(struct str text, unsigned short *weight)
{
	*weight = WEIGHT_MOST;
	if (text.len == 0)
		return true;
	text = str_trim((struct str){ text.at + 1, text.len - 1 });
	if (text.len < 2 || str_lower(text.at[0]) != 'q' || text.at[1] != '=')
		return false;
	return negotiate_weight((struct str){ text.at + 2, text.len - 2 }, weight);
}

static void add_element(struct said *said, struct str element)
{
	const char *semicolon = memchr(element.at, ';', element.len);
	size_t len = semicolon != NULL ? (size_t)(semicolon - element.at) : element.len;
	unsigned meaning = meaning_of(str_trim((struct str){ element.at, len }));
	unsigned short weight;

	if (meaning == MENTIONS || said->mentioned[meaning] ||
	    !read_parameters((struct str){ element.at + len, element.len - len }, &weight))
		return;
	said->mentioned[meaning] = true;
	said->weights[meaning] = weight;
}

/* "*" is every coding that is not mentioned, the identity too; which needs no mention to be acceptable. */
static unsigned short weight_of(const struct said *said, unsigned coding)
{
	if (said->mentioned[coding])
		return said->weights[coding];
	if (said->mentioned[ANY])
		return said->weights[ANY];
	return coding == CODING_IDENTITY ? WEIGHT_UNSAID : 0;
}

struct codings negotiate_codings(const struct request *request, const char *head)
{
	struct said said = { 0 };
	struct codings codings;
	struct header header;
	unsigned index = 0;

	while (request_next(request, HEADER_ACCEPT_ENCODING, &index, &header)) {
		struct str rest = span_str(header.value, head), element;

		while (str_next_element(&rest, &element))
			add_element(&said, element);
	}
	for (unsigned i = 0; i < CODINGS; i++)
		codings.weights[i] = weight_of(&said, i);
	return codings;
}

bool negotiate_wants_any(const struct codings *codings)
{
	unsigned sum = 0;

	for (unsigned i = CODING_IDENTITY + 1; i < CODINGS; i++)
		sum += codings->weights[i];
	return sum > 0;
}

enum coding negotiate_next(struct codings *codings, const enum coding *preferred, unsigned count)
{
	enum coding best = CODING_IDENTITY;

	for (unsigned i = 0; i < count; i++) {
		enum coding coding = preferred[i];

		if (coding == CODING_IDENTITY || codings->weights[coding] == 0 ||
		    codings->weights[coding] < codings->weights[CODING_IDENTITY])
			continue;
		if (best == CODING_IDENTITY || codings->weights[coding] > codings->weights[best])
			best = coding;
	}
	if (best != CODING_IDENTITY)
		codings->weights[best] = 0;
	return best;
}

/* A number has two bits a coding, for its rank: 0 when it is never given, else 1 for the least wanted; equals
 * have the same one. The identity's are there to say that it is refused. */
enum { RANK_BITS = 2, RANKS = 1 << RANK_BITS, IDENTITY_REFUSED = 1 << (CODINGS - 1) * RANK_BITS };

_Static_assert(CODINGS - 1 < RANKS, "a rank for each coding but the identity");
_Static_assert(2 * IDENTITY_REFUSED == NEGOTIATE_NUMBERS, "a bit above the ranks");

static unsigned rank_shift(unsigned coding)
{
	return (coding - 1) * RANK_BITS;
}

/* As negotiate_next decides. */
static bool is_given(const struct codings *codings, unsigned coding)
{
	return codings->weights[coding] > 0 && codings->weights[coding] >= codings->weights[CODING_IDENTITY];
}

/* One more than how many are given that are wanted less. */
static unsigned rank_of(const struct codings *codings, unsigned coding)
{
	unsigned rank = 1;

	for (unsigned i = CODING_IDENTITY + 1; i < CODINGS; i++)
		rank += is_given(codings, i) && codings->weights[i] < codings->weights[coding] ? 1 : 0;
	return rank;
}

unsigned negotiate_number(const struct codings *codings)
{
	unsigned number = codings->weights[CODING_IDENTITY] == 0 ? IDENTITY_REFUSED : 0;

	for (unsigned i = CODING_IDENTITY + 1; i < CODINGS; i++)
		if (is_given(codings, i))
			number |= rank_of(codings, i) << rank_shift(i);
	return number;
}

struct codings negotiate_of_number(unsigned number)
{
	struct codings codings = {
		.weights[CODING_IDENTITY] = (number & IDENTITY_REFUSED) != 0 ? 0 : WEIGHT_UNSAID,
	};

	for (unsigned i = CODING_IDENTITY + 1; i < CODINGS; i++)
		codings.weights[i] = (unsigned short)(number >> rank_shift(i) & (RANKS - 1));
	return codings;
}

/* The entry with this value; NEGOTIATE_REMEMBERED when there is none. The latest is tried first. */
static unsigned entry_of(const struct negotiate_memo *memo, struct str value)
{
	for (unsigned i = 0; i < NEGOTIATE_REMEMBERED; i++) {
		unsigned at = (memo->latest + i) % NEGOTIATE_REMEMBERED;

		if (memo->entries[at].len == value.len &&
		    memcmp(memo->entries[at].value, value.at, value.len) == 0)
			return at;
	}
	return NEGOTIATE_REMEMBERED;
}

/* In place of one that was not right last. */
static unsigned add_entry(struct negotiate_memo *memo, struct str value, unsigned number)
{
	unsigned at = (memo->latest + 1) % NEGOTIATE_REMEMBERED;

	memo->entries[at].len = (unsigned char)value.len;
	memo->entries[at].number = (unsigned char)number;
	memcpy(memo->entries[at].value, value.at, value.len);
	return at;
}

static unsigned number_of(const struct request *request, const char *head)
{
	struct codings codings = negotiate_codings(request, head);

	return negotiate_number(&codings);
}

unsigned negotiate_remember(struct negotiate_memo *memo, const struct request *request, const char *head)
{
	const struct header *header;
	struct str value;
	unsigned at;

	if (!request_saw(request, HEADER_ACCEPT_ENCODING))
		return 0;
	header = &request->headers[request->first[HEADER_ACCEPT_ENCODING]];
	if (request_saw_again(request, HEADER_ACCEPT_ENCODING) || header->value.len == 0 ||
	    header->value.len > NEGOTIATE_VALUE_BYTES)
		return number_of(request, head);
	value = span_str(header->value, head);
	at = entry_of(memo, value);
	if (at == NEGOTIATE_REMEMBERED)
		at = add_entry(memo, value, number_of(request, head));
	memo->latest = at;
	return memo->entries[at].number;
}

enum coding negotiate_by_suffix(const char *suffix)
{
	enum coding coding = CODING_IDENTITY + 1;

	while (coding < CODINGS && strcmp(coding_names[coding].suffix, suffix) != 0)
		coding++;
	return coding < CODINGS ? coding : CODING_IDENTITY;
}
