/* entries.c - the table of a directory's entries, within its bounds.
 *
 * Called by the listing, in the helper thread and on the loop. Fails when a bound is reached or memory is
 * out. */
#include "entries.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	FIRST_BYTES = 16 * 1024,
	UNIT = 8,                       /* records begin at multiples of it */
};

static atomic_size_t total;

size_t entries_total(void)
{
	return atomic_load(&total);
}

/* ---- memory ------------------------------------------------------------------------------------------ */

static bool reserve(size_t bytes)
{
	if (atomic_fetch_add(&total, bytes) + bytes <= ENTRIES_TOTAL_BYTES)
		return true;
	atomic_fetch_sub(&total, bytes);
	return false;
}

static size_t whole_pages(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

/* `bytes` (whole pages) of zeroed memory, counted. */
static enum entries_result map(size_t bytes, void **at)
{
	void *mapping;

	if (!reserve(bytes))
		return ENTRIES_FULL;
	mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapping == MAP_FAILED) {
		atomic_fetch_sub(&total, bytes);
		return ENTRIES_NO_MEMORY;
	}
	*at = mapping;
	return ENTRIES_OK;
}

static void unmap(void *at, size_t bytes)
{
	if (at == NULL)
		return;
	munmap(at, bytes);
	atomic_fetch_sub(&total, bytes);
}

static enum entries_result grow(struct entries *entries)
{
	size_t mapped = entries->mapped * 2, more = entries->mapped;
	void *at = entries->records;
	enum entries_result result;

	if (at == NULL) {
		result = map(whole_pages(FIRST_BYTES), &at);
		mapped = whole_pages(FIRST_BYTES);
	} else if (mapped > ENTRIES_MOST_BYTES) {
		result = ENTRIES_TOO_LARGE;
	} else if (!reserve(more)) {
		result = ENTRIES_FULL;
	} else {
		at = mremap(at, entries->mapped, mapped, MREMAP_MAYMOVE);
		result = at != MAP_FAILED ? ENTRIES_OK : ENTRIES_NO_MEMORY;
		if (at == MAP_FAILED)
			atomic_fetch_sub(&total, more);
	}
	if (result != ENTRIES_OK)
		return result;
	entries->records = at;
	entries->mapped = mapped;
	return ENTRIES_OK;
}

/* Shrinking in place cannot fail; if it did, the memory would stay, and stay counted. */
static void give_back(struct entries *entries)
{
	size_t needed = whole_pages(entries->used), spare = entries->mapped - needed;

	if (spare == 0 || munmap(entries->records + needed, spare) < 0)
		return;
	entries->mapped = needed;
	atomic_fetch_sub(&total, spare);
	if (needed == 0)
		entries->records = NULL;
}

void entries_free(struct entries *entries)
{
	unmap(entries->records, entries->mapped);
	unmap(entries->order < entries->other ? entries->order : entries->other, entries->order_mapped);
	*entries = (struct entries){ 0 };
}

/* ---- filling ------------------------------------------------------------------------------------------ */

static size_t record_bytes(size_t name_len)
{
	return (offsetof(struct entry, name) + name_len + UNIT - 1) / UNIT * UNIT;
}

static struct entry *record_at(const struct entries *entries, size_t place)
{
	return (void *)(entries->records + place * UNIT);
}

enum entries_result entries_add(struct entries *entries, struct str name, const struct stat *stat)
{
	size_t bytes = record_bytes(name.len);
	struct entry *entry;

	if (name.len > UINT8_MAX)
		return ENTRIES_OK;      /* no file system has it */
	while (entries->mapped - entries->used < bytes) {
		enum entries_result result = grow(entries);

		if (result != ENTRIES_OK)
			return result;
	}
	entry = record_at(entries, entries->used / UNIT);
	entry->is_directory = S_ISDIR(stat->st_mode);
	entry->size = entry->is_directory ? 0 : (uint64_t)stat->st_size;
	entry->modified = stat->st_mtim.tv_sec;
	entry->name_len = (uint8_t)name.len;
	memcpy(entry->name, name.at, name.len);
	entries->used += bytes;
	entries->count++;
	entries->directories += entry->is_directory ? 1 : 0;
	entries->total_bytes += entry->size;
	return ENTRIES_OK;
}

/* The order of the records themselves. */
static void number(struct entries *entries)
{
	size_t place = 0;

	for (size_t i = 0; i < entries->count; i++) {
		entries->order[i] = (uint32_t)place;
		place += record_bytes(record_at(entries, place)->name_len) / UNIT;
	}
}

enum entries_result entries_seal(struct entries *entries, enum entry_key key, bool descending)
{
	size_t bytes = whole_pages(2 * entries->count * sizeof(*entries->order));
	enum entries_result result;
	void *at = NULL;

	give_back(entries);
	if (entries->count == 0)
		return ENTRIES_OK;
	result = map(bytes, &at);
	if (result != ENTRIES_OK)
		return result;
	entries->order = at;
	entries->other = entries->order + entries->count;
	entries->order_mapped = bytes;
	entries->sorted_run = 1;
	entries->key = key;
	entries->descending = descending;
	number(entries);
	return ENTRIES_OK;
}

/* ---- the order ---------------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* The digits at `*at`, without zeros in front; `*at` is set behind them. */
static struct str take_number(struct str name, size_t *at)
{
	struct str digits;

	while (*at < name.len && name.at[*at] == '0')
		(*at)++;
	digits = (struct str){ name.at + *at, 0 };
	while (*at < name.len && is_digit(name.at[*at])) {
		(*at)++;
		digits.len++;
	}
	return digits;
}

static int compare_digits(struct str a, struct str b)
{
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return a.len > 0 ? memcmp(a.at, b.at, a.len) : 0;
}

/* "File2" before "file10"; what is equal then goes by its bytes. */
static int compare_names(const struct entry *one, const struct entry *two)
{
	struct str a = { one->name, one->name_len }, b = { two->name, two->name_len };
	size_t i = 0, j = 0;
	int difference = 0;

	while (i < a.len && j < b.len && difference == 0) {
		if (is_digit(a.at[i]) && is_digit(b.at[j]))
			difference = compare_digits(take_number(a, &i), take_number(b, &j));
		else
			difference = (unsigned char)str_lower(a.at[i++]) -
				     (unsigned char)str_lower(b.at[j++]);
	}
	if (difference == 0)
		difference = (i < a.len) - (j < b.len);
	if (difference == 0)
		difference = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
	return difference != 0 ? difference : compare_numbers(a.len, b.len);
}

static int compare_keys(const struct entries *entries, const struct entry *a, const struct entry *b)
{
	if (entries->key == ENTRY_SIZE)
		return compare_numbers(a->size, b->size);
	if (entries->key == ENTRY_TIME)
		return (a->modified > b->modified) - (a->modified < b->modified);
	return compare_names(a, b);
}

static bool comes_first(const struct entries *entries, uint32_t one, uint32_t two)
{
	const struct entry *a = record_at(entries, one), *b = record_at(entries, two);
	int difference;

	if (a->is_directory != b->is_directory)
		return a->is_directory;
	difference = compare_keys(entries, a, b);
	if (difference != 0)
		return entries->descending ? difference > 0 : difference < 0;
	return compare_names(a, b) <= 0;
}

/* Merges order[from..middle) and order[middle..to) into `other`. */
static void merge(struct entries *entries, size_t from, size_t middle, size_t to)
{
	size_t a = from, b = middle;

	for (size_t i = from; i < to; i++) {
		bool first = a < middle &&
			     (b == to || comes_first(entries, entries->order[a], entries->order[b]));

		entries->other[i] = entries->order[first ? a++ : b++];
	}
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

bool entries_sort_on(struct entries *entries)
{
	size_t run = entries->sorted_run;
	uint32_t *sorted = entries->other;

	if (run >= entries->count)
		return false;
	for (size_t from = 0; from < entries->count; from += 2 * run)
		merge(entries, from, least(from + run, entries->count),
		      least(from + 2 * run, entries->count));
	entries->other = entries->order;
	entries->order = sorted;
	entries->sorted_run = 2 * run;
	return 2 * run < entries->count;
}

const struct entry *entries_at(const struct entries *entries, size_t index)
{
	return record_at(entries, entries->order[index]);
}
