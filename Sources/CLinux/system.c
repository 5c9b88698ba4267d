#define _GNU_SOURCE
#include "CLinux.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
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

int pgark_start_detached(char *const *words) {
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    int status = posix_spawnattr_init(&attributes);
    if (status != 0) return status;
    if ((status = posix_spawn_file_actions_init(&actions)) == 0) {
        sigset_t none;
        sigemptyset(&none);
        status = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
        if (status == 0) status = posix_spawnattr_setsigmask(&attributes, &none);
        for (int descriptor = 0; status == 0 && descriptor < 3; descriptor++)
            status = posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0);
        if (status == 0) status = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
        pid_t process;
        if (status == 0) status = posix_spawn(&process, "/proc/self/exe", &actions, &attributes, words, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    posix_spawnattr_destroy(&attributes);
    return status;
}
