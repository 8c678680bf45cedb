/* FNV-1a, 64 bits: for tables and for telling texts apart.  It has no key: whoever chooses the texts can make
 * them collide. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "str.h"

#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

/* The hash of a text and one more byte. */
static inline uint64_t hash_add(uint64_t hash, char c)
{
	return (hash ^ (unsigned char)c) * UINT64_C(0x100000001b3);
}

static inline uint64_t hash_of(struct str text)
{
	uint64_t hash = HASH_BEGIN;

	for (size_t i = 0; i < text.len; i++)
		hash = hash_add(hash, text.at[i]);
	return hash;
}

/* Of a number: all its bits count for all bits of the result (the end of splitmix64). */
static inline uint64_t hash_u64(uint64_t number)
{
	number += UINT64_C(0x9e3779b97f4a7c15);
	number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
	return number ^ number >> 31;
}

/* For the index into a table whose size is a power of two, which looks at the lower bits alone. */
static inline size_t hash_fold(uint64_t hash)
{
	return (size_t)(hash ^ hash >> 32);
}

#endif
