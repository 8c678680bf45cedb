/* steering.bpf.c - in the kernel: who gets a new connection.
 *
 * Runs at each SYN for an address whose sockets it is attached to, on the CPU that received it; built by
 * clang, embedded and loaded by steering.c. One program and one array of sockets for each listener, because a
 * group of sockets is an address; the hot lines are one memory for all of them. It never refuses: where it
 * chooses nobody, or one whose socket is not there, the kernel's hash does. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "net/hot.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, sizeof(struct hot) / sizeof(struct hot_line));
	__type(key, uint32_t);
	__type(value, struct hot_line);
} hot_lines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, HOT_SLOTS);
	__type(key, uint32_t);
	__type(value, uint64_t);
} sockets SEC(".maps");

static inline void *steering_at(void *hot, uint32_t number)
{
	(void)hot;
	return bpf_map_lookup_elem(&hot_lines, &number);
}

#define STEERING_LOOP(count, step, search) bpf_loop(count, step, search, 0)

#include "net/steering_choice.h"

SEC("sk_reuseport")
int steer(struct sk_reuseport_md *packet)
{
	uint64_t now_ns = bpf_ktime_get_ns();
	uint32_t slot = steering_choose(0, packet->hash, now_ns);
	struct hot_seat *seat;

	if (slot >= HOT_SLOTS || bpf_sk_select_reuseport(packet, &sockets, &slot, 0) != 0)
		return SK_PASS;
	seat = steering_at(0, STEERING_SEATS_AT + slot);
	if (!seat)
		return SK_PASS;
	__sync_fetch_and_add(&seat->directed, 1);
	seat->directed_ns = now_ns;
	return SK_PASS;
}

/* no helper that it calls asks for another */
char its_license[] SEC("license") = "MIT";
