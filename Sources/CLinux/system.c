#define _GNU_SOURCE
#include "CLinux.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

int pgark_syncfs(int descriptor) { return syncfs(descriptor); }

void pgark_start_writeback(int descriptor, int64_t offset, int64_t count) {
    (void)!sync_file_range(descriptor, offset, count, SYNC_FILE_RANGE_WRITE);
}

int64_t pgark_birth_time(const char *path) {
    struct statx status;
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &status) != 0 || !(status.stx_mask & STATX_BTIME)) return -1;
    return status.stx_btime.tv_sec * 1000000 + status.stx_btime.tv_nsec / 1000;
}

static volatile sig_atomic_t first_signal;

static void raise_flag(int number) {
    if (first_signal == 0) first_signal = number;
}

void pgark_catch_interrupts(void) {
    struct sigaction action = {.sa_handler = raise_flag};  // no SA_RESTART: waits end with EINTR
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int pgark_interrupted(void) { return first_signal; }

void pgark_block_interrupts(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void pgark_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }
