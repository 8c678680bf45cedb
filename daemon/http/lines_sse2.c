/* lines_sse2.c - lines.h by SSE2, which every x86-64 has.  Can be called always.
 *
 * It has no shuffle of bytes, so its sets are ranges: rarer bytes in names and paths are parse.c's. */
#ifdef __x86_64__

#include "lines.h"

#include <emmintrin.h>

#define LINES_INLINE static inline __attribute__((always_inline))

struct block {
	__m128i halves[2];
};

LINES_INLINE struct block block_load(const char *at)
{
	return (struct block){ { _mm_loadu_si128((const __m128i *)at),
				 _mm_loadu_si128((const __m128i *)(at + 16)) } };
}

LINES_INLINE void block_store(char *at, struct block block)
{
	_mm_storeu_si128((__m128i *)at, block.halves[0]);
	_mm_storeu_si128((__m128i *)(at + 16), block.halves[1]);
}

LINES_INLINE struct block block_zero(void)
{
	return (struct block){ { _mm_setzero_si128(), _mm_setzero_si128() } };
}

/* The compiler keeps what it needs. */
struct constants {
	char nothing;
};

LINES_INLINE struct constants constants_load(void)
{
	return (struct constants){ 0 };
}

LINES_INLINE uint32_t bits_of(__m128i low, __m128i high)
{
	return (uint32_t)_mm_movemask_epi8(low) | (uint32_t)_mm_movemask_epi8(high) << 16;
}

/* Where the bytes are `first` to `first` + `more`, as if they had no sign. */
LINES_INLINE __m128i in_range(__m128i bytes, char first, char more)
{
	__m128i above = _mm_sub_epi8(bytes, _mm_set1_epi8(first));

	return _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8(more)), above);
}

LINES_INLINE __m128i are(__m128i bytes, char byte)
{
	return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte));
}

LINES_INLINE __m128i letters(__m128i bytes)
{
	return in_range(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 'z' - 'a');
}

LINES_INLINE __m128i token_half(__m128i bytes)
{
	return _mm_or_si128(letters(bytes), are(bytes, '-'));
}

LINES_INLINE uint32_t block_not_token(const struct constants *constants, struct block block)
{
	(void)constants;
	return ~bits_of(token_half(block.halves[0]), token_half(block.halves[1]));
}

/* Letters, "_", and "-" to "9", which are also ".", "/" and digits. */
LINES_INLINE __m128i path_half(__m128i bytes)
{
	return _mm_or_si128(_mm_or_si128(letters(bytes), are(bytes, '_')), in_range(bytes, '-', '9' - '-'));
}

LINES_INLINE uint32_t block_not_path(const struct constants *constants, struct block block)
{
	(void)constants;
	return ~bits_of(path_half(block.halves[0]), path_half(block.halves[1]));
}

/* The sum with one is above 0x20 as a signed number for nothing but 0x20 to 0x7e. */
LINES_INLINE __m128i text_half(__m128i bytes)
{
	return _mm_cmpgt_epi8(_mm_add_epi8(bytes, _mm_set1_epi8(1)), _mm_set1_epi8(0x20));
}

LINES_INLINE uint32_t block_not_text(const struct constants *constants, struct block block)
{
	(void)constants;
	return ~bits_of(text_half(block.halves[0]), text_half(block.halves[1]));
}

LINES_INLINE __m128i query_half(__m128i bytes)
{
	__m128i odd = _mm_or_si128(_mm_or_si128(are(bytes, '"'), are(bytes, '#')),
				   _mm_or_si128(are(bytes, '<'), are(bytes, '>')));

	return _mm_andnot_si128(_mm_or_si128(odd, are(bytes, ' ')), text_half(bytes));
}

LINES_INLINE uint32_t block_not_query(const struct constants *constants, struct block block)
{
	(void)constants;
	return ~bits_of(query_half(block.halves[0]), query_half(block.halves[1]));
}

/* Letters, digits, "-" and "."; the slash between them is not. */
LINES_INLINE __m128i host_half(__m128i bytes)
{
	return _mm_or_si128(letters(bytes),
			    _mm_andnot_si128(are(bytes, '/'), in_range(bytes, '-', '9' - '-')));
}

LINES_INLINE uint32_t block_not_host(const struct constants *constants, struct block block)
{
	(void)constants;
	return ~bits_of(host_half(block.halves[0]), host_half(block.halves[1]));
}

LINES_INLINE __m128i equal_half(__m128i bytes, __m128i text)
{
	return _mm_cmpeq_epi8(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), text);
}

LINES_INLINE uint32_t block_equals(const struct constants *constants, struct block block, const char *text)
{
	struct block other = block_load(text);

	(void)constants;
	return bits_of(equal_half(block.halves[0], other.halves[0]),
		       equal_half(block.halves[1], other.halves[1]));
}

#include "lines_body.h"

static bool take(struct parse *parse, struct request *request, const struct parse_limits *limits,
		 const char *head, size_t len)
{
	return lines_body(parse, request, limits, head, len);
}

const struct lines lines_sse2 = { "SSE2", take };
#endif
