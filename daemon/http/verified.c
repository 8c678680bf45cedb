/* verified.c - the table of verified credentials.  Called by auth.c, on the loop.  Cannot fail.
 *
 * A proof is BLAKE2b of libsodium with a key (RFC 7693), 256 bits. Its first bytes say in which set it is;
 * that an attacker might learn from the time which set was looked at is worth nothing to him without the
 * key. */
#include "verified.h"

#include <sodium.h>

struct entry {
	struct proof proof;
	uint64_t used;          /* when it was; 0: free */
};

static struct entry table[VERIFIED_SETS][VERIFIED_WAYS];
static uint64_t uses;

static const unsigned char *key(void)
{
	static unsigned char bytes[crypto_generichash_KEYBYTES];
	static bool is_made;

	if (!is_made) {         /* without the library a new one each time: then nothing is remembered */
		is_made = sodium_init() >= 0;
		randombytes_buf(bytes, sizeof(bytes));
	}
	return bytes;
}

/* With its length in front, so that nobody can move bytes from one part to the next. */
static void add_text(crypto_generichash_state *state, const char *text)
{
	uint64_t len = strlen(text);

	crypto_generichash_update(state, (const unsigned char *)&len, sizeof(len));
	crypto_generichash_update(state, (const unsigned char *)text, len);
}

void verified_proof(const char *file, const struct file_mark *mark, const struct credentials *credentials,
		    struct proof *proof)
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, key(), crypto_generichash_KEYBYTES, sizeof(proof->bytes));
	crypto_generichash_update(&state, (const unsigned char *)mark, sizeof(*mark));
	add_text(&state, file);
	add_text(&state, credentials->user);
	add_text(&state, credentials->password);
	crypto_generichash_final(&state, proof->bytes, sizeof(proof->bytes));
	sodium_memzero(&state, sizeof(state));
}

uint64_t verified_seed(const char *user)
{
	unsigned char hash[crypto_generichash_BYTES];
	uint64_t seed;

	crypto_generichash(hash, sizeof(hash), (const unsigned char *)user, strlen(user), key(),
			   crypto_generichash_KEYBYTES);
	memcpy(&seed, hash, sizeof(seed));
	return seed;
}

bool verified_same(const struct proof *one, const struct proof *other)
{
	return sodium_memcmp(one->bytes, other->bytes, sizeof(one->bytes)) == 0;
}

static struct entry *set_of(const struct proof *proof)
{
	return table[(proof->bytes[0] << 8 | proof->bytes[1]) % VERIFIED_SETS];
}

/* Looks at every way, wherever it is found. */
static struct entry *find(const struct proof *proof)
{
	struct entry *set = set_of(proof), *found = NULL;

	for (unsigned i = 0; i < VERIFIED_WAYS; i++) {
		bool same = verified_same(&set[i].proof, proof);

		found = same && set[i].used > 0 ? &set[i] : found;
	}
	return found;
}

bool verified_has(const struct proof *proof)
{
	struct entry *entry = find(proof);

	if (entry != NULL)
		entry->used = ++uses;
	return entry != NULL;
}

void verified_add(const struct proof *proof)
{
	struct entry *set = set_of(proof), *entry = find(proof);

	if (entry == NULL) {            /* a free one, or what was not used for the longest time */
		entry = set;
		for (unsigned i = 1; i < VERIFIED_WAYS; i++)
			if (set[i].used < entry->used)
				entry = &set[i];
	}
	*entry = (struct entry){ *proof, ++uses };
}
