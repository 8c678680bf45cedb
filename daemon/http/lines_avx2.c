/* lines_avx2.c - lines.h by AVX2, 32 bytes at a time.  Called only where the processor has it. */
#ifdef __x86_64__

#include "lines.h"

#include <immintrin.h>

#define LINES_INLINE static inline __attribute__((always_inline, target("avx2,bmi,bmi2")))

struct block {
	__m256i bytes;
};

/* A set of bytes below 0x80: of those whose low half is the index, a bit for each high half from 2 on. */
struct set {
	unsigned char rows[16];
};

static const struct set tokens = { { 0x3a, 0x3f, 0x3e, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3e, 0x3e, 0x3d, 0x15,
				     0x34, 0x15, 0x3d, 0x1c } };

/* Those of parse.c without the percent sign. */
static const struct set path_bytes = { { 0x2e, 0x3f, 0x3e, 0x3e, 0x3f, 0x3e, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
					 0x1f, 0x35, 0x1f, 0x35, 0x1d } };
static const struct set query_bytes = { { 0x3e, 0x3f, 0x3e, 0x3e, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
					  0x3f, 0x3d, 0x3f, 0x3d, 0x1f } };

/* Letters, digits, "-" and ".". */
static const struct set host_bytes = { { 0x2a, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3c,
					 0x14, 0x14, 0x15, 0x15, 0x14 } };

LINES_INLINE struct block block_load(const char *at)
{
	return (struct block){ _mm256_loadu_si256((const __m256i *)at) };
}

LINES_INLINE void block_store(char *at, struct block block)
{
	_mm256_storeu_si256((__m256i *)at, block.bytes);
}

LINES_INLINE struct block block_zero(void)
{
	return (struct block){ _mm256_setzero_si256() };
}

LINES_INLINE uint32_t bits_of(__m256i bytes)
{
	return (uint32_t)_mm256_movemask_epi8(bytes);
}

/* What is needed for each line, kept in registers. */
struct constants {
	__m256i token_rows, columns, halves, one, space;
};

LINES_INLINE __m256i rows_of(const struct set *set)
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)set->rows));
}

/* As rows_of, but for good: the compiler shall not make it anew at each place where it is used. */
LINES_INLINE __m256i kept(const struct set *set)
{
	__m256i rows;

	__asm__("vbroadcasti128 %1, %0" : "=x"(rows) : "m"(*set));
	return rows;
}

LINES_INLINE struct constants constants_load(void)
{
	static const struct set columns = { { 0, 0, 1, 2, 4, 8, 16, 32 } };
	static const struct set halves = { { [0 ... 15] = 0x0f } };
	static const struct set ones = { { [0 ... 15] = 1 } };
	static const struct set spaces = { { [0 ... 15] = ' ' } };

	return (struct constants){
		kept(&tokens), kept(&columns), kept(&halves), kept(&ones), kept(&spaces),
	};
}

/* A byte of 0x80 and more is nowhere in `rows`: the shuffle makes zero of it. */
LINES_INLINE uint32_t not_in(const struct constants *constants, struct block block, __m256i rows)
{
	__m256i high = _mm256_and_si256(_mm256_srli_epi16(block.bytes, 4), constants->halves);
	__m256i both = _mm256_and_si256(_mm256_shuffle_epi8(rows, block.bytes),
					_mm256_shuffle_epi8(constants->columns, high));

	return bits_of(_mm256_cmpeq_epi8(both, _mm256_setzero_si256()));
}

LINES_INLINE uint32_t block_not_token(const struct constants *constants, struct block block)
{
	return not_in(constants, block, constants->token_rows);
}

LINES_INLINE uint32_t block_not_path(const struct constants *constants, struct block block)
{
	return not_in(constants, block, rows_of(&path_bytes));
}

LINES_INLINE uint32_t block_not_query(const struct constants *constants, struct block block)
{
	return not_in(constants, block, rows_of(&query_bytes));
}

LINES_INLINE uint32_t block_not_host(const struct constants *constants, struct block block)
{
	return not_in(constants, block, rows_of(&host_bytes));
}

/* The sum with one is above 0x20 as a signed number for nothing but 0x20 to 0x7e. */
LINES_INLINE uint32_t block_not_text(const struct constants *constants, struct block block)
{
	__m256i sum = _mm256_add_epi8(block.bytes, constants->one);

	return ~bits_of(_mm256_cmpgt_epi8(sum, constants->space));
}

LINES_INLINE uint32_t block_equals(const struct constants *constants, struct block block, const char *text)
{
	__m256i lower = _mm256_or_si256(block.bytes, constants->space);

	return bits_of(_mm256_cmpeq_epi8(lower, block_load(text).bytes));
}

#include "lines_body.h"

static __attribute__((target("avx2,bmi,bmi2"))) bool take(struct parse *parse, struct request *request,
							  const struct parse_limits *limits, const char *head,
							  size_t len)
{
	return lines_body(parse, request, limits, head, len);
}

const struct lines lines_avx2 = { "AVX2", take };
#endif
