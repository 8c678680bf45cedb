/* steering.bpf.c - in the kernel: who gets a new connection.
 *
 * Runs at each SYN for an address whose sockets it is attached to, on the CPU that received it; built by
 * clang, embedded and loaded by steering.c. One program and one array of sockets for each listener,
 * because a group of sockets is an address; the hot lines are one memory for all of them. It never
 * refuses: where it chooses nobody, or one whose socket is not there, the kernel's hash does. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "net/steering_choice.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct hot);
} hot_lines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, HOT_SLOTS);
	__type(key, uint32_t);
	__type(value, uint64_t);
} sockets SEC(".maps");

/* It is the same each time; but neither the compiler nor the verifier knows. */
static uint32_t hash_of(const struct sk_reuseport_md *packet)
{
	return *(const volatile uint32_t *)&packet->hash;
}

SEC("sk_reuseport")
int steer(struct sk_reuseport_md *packet)
{
	uint32_t hash = hash_of(packet), zero = hash - hash_of(packet), first = 0, slot;
	struct hot *hot = bpf_map_lookup_elem(&hot_lines, &first);

	if (!hot)
		return SK_PASS;
	slot = steering_choose(hot, hash, bpf_ktime_get_ns(), zero);
	if (slot >= HOT_SLOTS)
		return SK_PASS;
	if (bpf_sk_select_reuseport(packet, &sockets, &slot, 0) == 0)
		__sync_fetch_and_add(&steering_seat_of(hot, slot, zero)->directed, 1);
	return SK_PASS;
}

/* no helper that it calls asks for another */
char its_license[] SEC("license") = "MIT";
