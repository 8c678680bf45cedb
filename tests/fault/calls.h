/* Which calls of the daemon's own objects can be made to fail: CALL(name), in the order of their numbers.
 * The Makefile reads the names for the linker's --wrap, inject.py for their numbers, wrap.c has the wrappers.
 * HOOK(name) is wrapped too, but never fails.  Includers define both. */

CALL(malloc)
CALL(calloc)
CALL(realloc)
CALL(reallocarray)
CALL(open_memstream)
CALL(json_malloc)               /* jansson's, by its own hook */
CALL(fork)
CALL(epoll_create1)
CALL(epoll_ctl)                 /* EPOLL_CTL_ADD: nothing else can fail */
CALL(epoll_wait)
CALL(signalfd)
CALL(pidfd_open)
CALL(memfd_create)
CALL(mmap)
CALL(open)
CALL(openat)
CALL(syscall)                   /* what has no wrapper in the C library: openat2, Landlock, seccomp */
CALL(fstat)
CALL(stat)
CALL(statx)
CALL(statfs)
CALL(fstatfs)
CALL(inotify_init1)
CALL(inotify_add_watch)
CALL(crypt_rn)
CALL(pread)
CALL(preadv2)
CALL(readlink)
CALL(read)
CALL(write)
CALL(fcntl)                     /* F_DUPFD_CLOEXEC, F_ADD_SEALS */
CALL(socket)
CALL(socketpair)
CALL(setsockopt)
CALL(bind)
CALL(listen)
CALL(connect)
CALL(getsockopt)
CALL(accept4)
CALL(recv)
CALL(recvmsg)
CALL(send)
CALL(sendmsg)
CALL(sendfile)
CALL(poll)
CALL(mkdir)
CALL(setgroups)
CALL(cap_set_proc)
CALL(prctl)
CALL(execv)                     /* of a candidate, and of the next image */
CALL(setenv)
CALL(bpf_map_create)            /* these: where it is built with steering */
CALL(bpf_map_update_elem)
CALL(bpf_map__reuse_fd)
CALL(bpf_object__open_skeleton)
CALL(bpf_object__load_skeleton)
CALL(seccomp_init)              /* these: where it is built with libseccomp */
CALL(seccomp_load)
CALL(sigaltstack)
CALL(sigaction)
CALL(pthread_create)

HOOK(checker_start)             /* tells a checker from a worker */
HOOK(candidate_start)           /* which counts as one */
HOOK(_exit)                     /* where a worker's leaks are looked for */
