#define _GNU_SOURCE
#include "CLinux.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

int pgark_syncfs(int descriptor) { return syncfs(descriptor); }

void pgark_start_writeback(int descriptor, int64_t offset, int64_t count) {
    (void)!sync_file_range(descriptor, offset, count, SYNC_FILE_RANGE_WRITE);
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
