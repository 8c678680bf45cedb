/* chunked.c - chunked bodies, strictly by RFC 9112, 7.1, from bytes that come in any portions.
 *
 * Pure. Called by http1_body.c and the fuzzer. Fails with the status to answer.
 *
 * Content is skipped as a whole; every other byte belongs to a class and moves the table on, so that no split
 * can make a difference. White space is where the grammar has BWS and nowhere else: around ";" and "=" of an
 * extension, but not between a size and its CRLF. */
#include "chunked.h"

enum { SIZE_DIGITS = 16 };              /* of a size; further ones can only be leading zeros */

enum class {
	OTHER,                          /* controls, DEL */
	HEX,
	TOKEN, /* TOKEN: tchar that is no hexadecimal digit */
	SPACE,                          /* SP, HTAB */
	SEMICOLON,
	EQUALS,
	COLON,
	QUOTE,
	BACKSLASH,
	CR,
	LF,
	TEXT,                           /* further VCHAR, obs-text */
	CLASSES
};

enum state {
	BAD,                            /* what the table has where nothing is allowed */
	SIZE,                           /* the first digit of a size */
	SIZE_MORE,
	EXT_BEFORE,                     /* white space in front of ";" */
	NAME_BEFORE,
	NAME,
	NAME_BEHIND,
	VALUE_BEFORE,
	VALUE,
	QUOTED,
	QUOTED_PAIR,
	QUOTED_END,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER,                        /* the first byte of a trailer field, or of the empty line */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	LAST_LF,
	DONE,
	STATES,
	BEGIN = BAD,                    /* a zeroed struct: see first_state */
};

static const uint8_t classes[256] = {
	['\t'] = SPACE,
	[' '] = SPACE,
	['\r'] = CR,
	['\n'] = LF,
	['!'] = TOKEN,
	['"'] = QUOTE,
	['#' ... '\''] = TOKEN,
	['('] = TEXT,
	[')'] = TEXT,
	['*'] = TOKEN,
	['+'] = TOKEN,
	[','] = TEXT,
	['-'] = TOKEN,
	['.'] = TOKEN,
	['/'] = TEXT,
	['0' ... '9'] = HEX,
	[':'] = COLON,
	[';'] = SEMICOLON,
	['<'] = TEXT,
	['='] = EQUALS,
	['>' ... '@'] = TEXT,
	['A' ... 'F'] = HEX,
	['G' ... 'Z'] = TOKEN,
	['['] = TEXT,
	['\\'] = BACKSLASH,
	[']'] = TEXT,
	['^' ... '`'] = TOKEN,
	['a' ... 'f'] = HEX,
	['g' ... 'z'] = TOKEN,
	['{'] = TEXT,
	['|'] = TOKEN,
	['}'] = TEXT,
	['~'] = TOKEN,
	[0x80 ... 0xff] = TEXT,
};

/* All but CR, LF and controls. */
#define EVERY_TEXT(next) \
	[HEX] = next, [TOKEN] = next, [SPACE] = next, [SEMICOLON] = next, [EQUALS] = next, [COLON] = next, \
	[TEXT] = next

static const uint8_t steps[STATES][CLASSES] = {
	[SIZE] = { [HEX] = SIZE_MORE },
	[SIZE_MORE] = { [HEX] = SIZE_MORE, [SPACE] = EXT_BEFORE, [SEMICOLON] = NAME_BEFORE, [CR] = SIZE_LF },
	[EXT_BEFORE] = { [SPACE] = EXT_BEFORE, [SEMICOLON] = NAME_BEFORE },
	[NAME_BEFORE] = { [SPACE] = NAME_BEFORE, [HEX] = NAME, [TOKEN] = NAME },
	[NAME] = { [HEX] = NAME,
		   [TOKEN] = NAME,
		   [SPACE] = NAME_BEHIND,
		   [SEMICOLON] = NAME_BEFORE,
		   [EQUALS] = VALUE_BEFORE,
		   [CR] = SIZE_LF },
	[NAME_BEHIND] = { [SPACE] = NAME_BEHIND, [SEMICOLON] = NAME_BEFORE, [EQUALS] = VALUE_BEFORE },
	[VALUE_BEFORE] = { [SPACE] = VALUE_BEFORE, [HEX] = VALUE, [TOKEN] = VALUE, [QUOTE] = QUOTED },
	[VALUE] = { [HEX] = VALUE,
		    [TOKEN] = VALUE,
		    [SPACE] = EXT_BEFORE,
		    [SEMICOLON] = NAME_BEFORE,
		    [CR] = SIZE_LF },
	[QUOTED] = { EVERY_TEXT(QUOTED), [QUOTE] = QUOTED_END, [BACKSLASH] = QUOTED_PAIR },
	[QUOTED_PAIR] = { EVERY_TEXT(QUOTED), [QUOTE] = QUOTED, [BACKSLASH] = QUOTED },
	[QUOTED_END] = { [SPACE] = EXT_BEFORE, [SEMICOLON] = NAME_BEFORE, [CR] = SIZE_LF },
	[SIZE_LF] = { [LF] = DATA },    /* of the last chunk: TRAILER */
	[DATA_CR] = { [CR] = DATA_LF },
	[DATA_LF] = { [LF] = SIZE },
	[TRAILER] = { [HEX] = TRAILER_NAME, [TOKEN] = TRAILER_NAME, [CR] = LAST_LF },
	[TRAILER_NAME] = { [HEX] = TRAILER_NAME, [TOKEN] = TRAILER_NAME, [COLON] = TRAILER_VALUE },
	[TRAILER_VALUE] = { EVERY_TEXT(TRAILER_VALUE), [QUOTE] = TRAILER_VALUE, [BACKSLASH] = TRAILER_VALUE,
			    [CR] = TRAILER_LF },
	[TRAILER_LF] = { [LF] = TRAILER },
	[LAST_LF] = { [LF] = DONE },
};

/* ---- a byte that is no content ---------------------------------------------------------------------- */

/* Digits up to the 16th are the size's own; zeros in front of them count as if they were an extension. */
static unsigned take_digit(struct chunked *chunked, const struct chunked_limits *limits, char digit)
{
	if (chunked->size >> 60 != 0)
		return 400;                     /* more than 64 bits */
	chunked->size = chunked->size << 4 | (unsigned)str_hex_value(digit);
	if (++chunked->digits > SIZE_DIGITS && ++chunked->extensions > limits->extra_bytes)
		return 413;
	return 0;
}

static unsigned begin_chunk(struct chunked *chunked, const struct chunked_limits *limits)
{
	if (chunked->size == 0) {
		chunked->state = TRAILER;
		return 0;
	}
	if (chunked->content > limits->body_bytes || chunked->size > limits->body_bytes - chunked->content)
		return 413;             /* the limit may have become lower on the way */
	chunked->content += chunked->size;
	return 0;
}

static unsigned take_trailer(struct chunked *chunked, const struct chunked_limits *limits)
{
	if (++chunked->trailer_bytes > limits->extra_bytes)
		return 431;
	if (chunked->state == TRAILER_LF)
		chunked->trailers++;
	return chunked->trailers > limits->trailers ? 431 : 0;
}

/* What the byte that led to the state means beyond it; 0, or the status that refuses it. */
static unsigned act(struct chunked *chunked, const struct chunked_limits *limits, char byte)
{
	switch (chunked->state) {
	case BAD:
		return 400;
	case SIZE:
		chunked->digits = 0;
		return 0;
	case SIZE_MORE:
		return take_digit(chunked, limits, byte);
	case DATA:
		return begin_chunk(chunked, limits);
	case EXT_BEFORE:
	case NAME_BEFORE:
	case NAME:
	case NAME_BEHIND:
	case VALUE_BEFORE:
	case VALUE:
	case QUOTED:
	case QUOTED_PAIR:
	case QUOTED_END:
		return ++chunked->extensions > limits->extra_bytes ? 413 : 0;
	case TRAILER_NAME:
	case TRAILER_VALUE:
	case TRAILER_LF:
		return take_trailer(chunked, limits);
	default:
		return 0;
	}
}

/* ---- the body --------------------------------------------------------------------------------------- */

void chunked_record(struct chunked *chunked, struct record *record)
{
	record_below(record, &chunked->state, STATES);
	record_u32(record, &chunked->digits);
	record_u64(record, &chunked->size);
	record_u64(record, &chunked->content);
	record_u64(record, &chunked->extensions);
	record_u64(record, &chunked->trailer_bytes);
	record_u32(record, &chunked->trailers);
}

static struct str take_data(struct chunked *chunked, struct str *rest)
{
	size_t len = rest->len < chunked->size ? rest->len : (size_t)chunked->size;
	struct str data = str_take(rest, len);

	chunked->size -= len;
	if (chunked->size == 0)
		chunked->state = DATA_CR;
	return data;
}

enum chunked_result chunked_next(struct chunked *chunked, const struct chunked_limits *limits,
				 struct str *rest, struct str *data, unsigned *status)
{
	if (chunked->state == BEGIN)
		chunked->state = SIZE;
	while (rest->len > 0 && chunked->state != DONE) {
		unsigned problem;
		char byte;

		if (chunked->state == DATA) {
			*data = take_data(chunked, rest);
			return CHUNKED_DATA;
		}
		byte = *str_take(rest, 1).at;
		chunked->state = steps[chunked->state][classes[(unsigned char)byte]];
		problem = act(chunked, limits, byte);
		if (problem != 0) {
			*status = problem;
			return CHUNKED_ERROR;
		}
	}
	return chunked->state == DONE ? CHUNKED_DONE : CHUNKED_MORE;
}
