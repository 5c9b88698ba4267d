// Preloaded into a program under test (LD_PRELOAD), this makes it possible to take back what the program never made durable:
// a power cut of its host, played afterwards. Before each change below one directory it writes down what was there, and after
// each successful sync that it succeeded. PowerCut.swift reads that and takes back what a disk would not have.
//
// PGARK_CUT_ROOT   the directory that is watched, as a real path
// PGARK_CUT_STORE  a directory on the same file system, outside of that one: `journal`; `inodes`, a second name for every
//                  file that was touched, so that none is gone for good; and `fault`, which tests write (power_cut_fault)
// PGARK_CUT_LIE    if set, syncs of files and directories say that they succeeded and do nothing
//
// Several processes may run at once: the journal is one, its order is that of the changes. A change happens under the
// journal's lock, a sync does not.
#define _GNU_SOURCE
#include "CPowerCut.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))next(#name))

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

// MARK: Where

static char root[PATH_MAX], store[PATH_MAX];
static size_t root_length;
static int lies;

__attribute__((constructor)) static void begin(void) {
    const char *watched = getenv("PGARK_CUT_ROOT"), *kept = getenv("PGARK_CUT_STORE");
    if (!watched || !kept || strlen(watched) >= PATH_MAX || strlen(kept) >= PATH_MAX - 64) return;
    strcpy(root, watched);
    strcpy(store, kept);
    root_length = strlen(root);
    lies = getenv("PGARK_CUT_LIE") != NULL;
}

static int is_watched(const char *path) {
    return root_length && strncmp(path, root, root_length) == 0 && path[root_length] == '/';
}

static int is_root(const char *path) { return root_length && strcmp(path, root) == 0; }

/// The path of an open file, of which a removed one's ends with " (deleted)"; false where it has none that is watched.
static int watched_descriptor(int descriptor, char path[PATH_MAX], struct stat *status) {
    char link[64];
    if (!root_length) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    int saved = errno;
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length >= 0) path[length] = 0;
    int found = length >= 0 && (is_watched(path) || is_root(path)) && fstat(descriptor, status) == 0;
    errno = saved;
    return found && (S_ISREG(status->st_mode) || S_ISDIR(status->st_mode));
}

/// A path made absolute.
static int watched_path(int directory, const char *path, char full[PATH_MAX]) {
    if (!root_length || !path) return 0;
    int saved = errno, length;
    char base[PATH_MAX] = "", link[64];
    if (path[0] != '/') {
        if (directory == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) base[0] = 0;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
            ssize_t count = readlink(link, base, sizeof base - 1);
            base[count < 0 ? 0 : count] = 0;
        }
        length = snprintf(full, PATH_MAX, "%s/%s", base, path);
    } else {
        length = snprintf(full, PATH_MAX, "%s", path);
    }
    while (length > 1 && length < PATH_MAX && full[length - 1] == '/') full[--length] = 0;
    errno = saved;
    return length < PATH_MAX && is_watched(full);
}

// MARK: The journal

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;

static void fail(const char *what) {
    dprintf(STDERR_FILENO, "power_cut: could not %s: %s\n", what, strerror(errno));
    abort();
}

static int lock(void) {
    int saved = errno;
    pthread_mutex_lock(&mutex);
    if (journal < 0) {
        char path[PATH_MAX + 16];
        snprintf(path, sizeof path, "%s/journal", store);
        journal = NEXT(open)(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (journal < 0) fail("open the journal");
    }
    while (flock(journal, LOCK_EX) != 0)
        if (errno != EINTR) fail("lock the journal");
    return saved;
}

static void unlock(int saved) {
    flock(journal, LOCK_UN);
    pthread_mutex_unlock(&mutex);
    errno = saved;
}

static uint64_t journal_size(void) {
    struct stat status;
    if (fstat(journal, &status) != 0) fail("look at the journal");
    return (uint64_t)status.st_size;
}

/// Two records of one operation go in one write, so that a kill leaves both or none (or a torn end, which shows).
static void append(struct power_cut_record *records, const char **paths, int count, const void *data) {
    struct iovec pieces[6];
    size_t total = 0;
    int piece = 0;
    for (int i = 0; i < count; i++) {
        records[i].magic = POWER_CUT_MAGIC;
        records[i].path_length = (uint32_t)strlen(paths[i]);
        records[i].check = power_cut_check(&records[i]);
        pieces[piece++] = (struct iovec){&records[i], sizeof records[i]};
        pieces[piece++] = (struct iovec){(void *)paths[i], records[i].path_length};
        pieces[piece++] = (struct iovec){(void *)data, i == count - 1 ? records[i].data_length : 0};
    }
    for (int i = 0; i < piece; i++) total += pieces[i].iov_len;
    if (NEXT(writev)(journal, pieces, piece) != (ssize_t)total) fail("write the journal");
}

static void note(uint32_t kind, const char *path, uint64_t inode, uint64_t offset) {
    struct power_cut_record record = {.kind = kind, .inode = inode, .offset = offset};
    append(&record, &path, 1, NULL);
}

static void unsupported(const char *what) {
    int saved = lock();
    note(POWER_CUT_UNSUPPORTED, what, 0, 0);
    unlock(saved);
}

// MARK: What is kept

/// Gives a file a second name, by which it is found whatever becomes of the first.
static void keep(const char *path, uint64_t inode) {
    char second[PATH_MAX + 32];
    snprintf(second, sizeof second, "%s/inodes/%llu", store, (unsigned long long)inode);
    if (linkat(AT_FDCWD, path, AT_FDCWD, second, AT_SYMLINK_FOLLOW) != 0 && errno != EEXIST) {
        struct stat status;
        if (errno != ENOENT || stat(second, &status) != 0) fail("keep a file");
    }
}

static void keep_descriptor(int descriptor, uint64_t inode) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    keep(link, inode);
}

/// The lock is held. What `path` names now.
static struct power_cut_record name_record(const char *path) {
    struct power_cut_record record = {.kind = POWER_CUT_NAME};
    struct stat status;
    if (lstat(path, &status) != 0) return record;
    if (S_ISDIR(status.st_mode)) {
        record.flags = POWER_CUT_DIRECTORY;
        record.inode = status.st_ino;
    } else if (S_ISREG(status.st_mode)) {
        keep(path, status.st_ino);
        record.inode = status.st_ino;
    } else {
        record.kind = POWER_CUT_UNSUPPORTED;
    }
    return record;
}

static void note_name(const char *path) {
    struct power_cut_record record = name_record(path);
    append(&record, &path, 1, NULL);
}

/// The lock is held. `count` bytes at `offset` are about to change, and the size is about to become `new_size`.
static void note_change(int descriptor, const struct stat *status, uint64_t offset, uint64_t count, uint64_t new_size) {
    uint64_t size = (uint64_t)status->st_size;
    uint64_t old = offset >= size ? 0 : (count < size - offset ? count : size - offset);
    char *bytes = malloc(old ? old : 1), link[64];
    if (!bytes) fail("find memory");
    if (old) {
        // The program may have opened the file only to write.
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        int reader = NEXT(open)(link, O_RDONLY | O_CLOEXEC);
        if (reader < 0) fail("open a file again");
        for (uint64_t done = 0; done < old;) {
            ssize_t read = pread(reader, bytes + done, old - done, (off_t)(offset + done));
            if (read <= 0) fail("read what a file holds");
            done += (uint64_t)read;
        }
        close(reader);
    }
    keep_descriptor(descriptor, status->st_ino);
    struct power_cut_record record = {
        .kind = POWER_CUT_CHANGE, .inode = status->st_ino, .offset = offset, .old_size = size, .new_size = new_size,
        .data_length = old};
    const char *path = "";
    append(&record, &path, 1, bytes);
    free(bytes);
}

// MARK: Faults

/// The file `fault` of the store, "CALL ERRNO once|always TEXT": calls of that kind on a path that has the text fail so.
/// CALL is write, sync or open. Returns the error, or 0.
static int power_cut_fault(const char *call, const char *path) {
    char place[PATH_MAX + 16], line[512], name[16], times[16], text[256];
    int error, saved = errno, result = 0;
    snprintf(place, sizeof place, "%s/fault", store);
    int descriptor = NEXT(open)(place, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        errno = saved;
        return 0;
    }
    ssize_t count = read(descriptor, line, sizeof line - 1);
    close(descriptor);
    line[count < 0 ? 0 : count] = 0;
    if (sscanf(line, "%15s %d %15s %255s", name, &error, times, text) == 4 && strcmp(name, call) == 0 && strstr(path, text))
        // Whoever removes the file has the one fault.
        result = strcmp(times, "once") != 0 || NEXT(unlink)(place) == 0 ? error : 0;
    errno = saved;
    return result;
}

#define FAIL_AS_TOLD(call, path)                                                                                               \
    do {                                                                                                                       \
        int told = power_cut_fault(call, path);                                                                                \
        if (told) {                                                                                                            \
            errno = told;                                                                                                      \
            return -1;                                                                                                         \
        }                                                                                                                      \
    } while (0)

// MARK: Opening

static int opened(int (*real)(int, const char *, int, ...), int directory, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    int changes = (flags & (O_CREAT | O_TRUNC)) && (flags & O_TMPFILE) != O_TMPFILE;
    if (!changes || !watched_path(directory, path, full)) return real(directory, path, flags, mode);
    FAIL_AS_TOLD("open", full);
    int saved = lock();
    struct stat status;
    int exists = stat(full, &status) == 0;
    if (!exists) note_name(full);
    if (exists && (flags & O_TRUNC) && S_ISREG(status.st_mode) && status.st_size > 0) {
        int reader = NEXT(open)(full, O_RDONLY | O_CLOEXEC);
        if (reader >= 0) {
            note_change(reader, &status, 0, (uint64_t)status.st_size, 0);
            close(reader);
        }
    }
    errno = saved;
    int descriptor = real(directory, path, flags, mode);
    unlock(errno);
    return descriptor;
}

#define MODE(flags)                                                                                                            \
    mode_t mode = 0;                                                                                                           \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                                     \
        va_list rest;                                                                                                          \
        va_start(rest, flags);                                                                                                 \
        mode = va_arg(rest, mode_t);                                                                                           \
        va_end(rest);                                                                                                          \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return opened(NEXT(openat), AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return opened(NEXT(openat), AT_FDCWD, path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...) {
    MODE(flags)
    return opened(NEXT(openat), directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...) {
    MODE(flags)
    return opened(NEXT(openat), directory, path, flags, mode);
}

int creat(const char *path, mode_t mode) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

// MARK: Bytes and sizes

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/// Runs `call`, which changes `count` bytes at `offset` and may make the file longer, with its record before it.
#define CHANGING(descriptor, offset, count, call)                                                                              \
    do {                                                                                                                       \
        char path[PATH_MAX];                                                                                                   \
        struct stat status;                                                                                                    \
        if (!watched_descriptor(descriptor, path, &status) || !S_ISREG(status.st_mode)) return call;                           \
        FAIL_AS_TOLD("write", path);                                                                                           \
        int saved = lock();                                                                                                    \
        if (fstat(descriptor, &status) != 0) fail("look at a file");                                                           \
        uint64_t from = (uint64_t)(offset);                                                                                    \
        note_change(descriptor, &status, from, (count), larger((uint64_t)status.st_size, from + (count)));                     \
        errno = saved;                                                                                                         \
        __typeof__(call) result = call;                                                                                        \
        unlock(errno);                                                                                                         \
        return result;                                                                                                         \
    } while (0)

static uint64_t write_offset(int descriptor, const struct stat *status) {
    if (fcntl(descriptor, F_GETFL) & O_APPEND) return (uint64_t)status->st_size;
    off_t offset = lseek(descriptor, 0, SEEK_CUR);
    return offset < 0 ? 0 : (uint64_t)offset;
}

static uint64_t length_of(const struct iovec *pieces, int count) {
    uint64_t total = 0;
    for (int i = 0; i < count; i++) total += pieces[i].iov_len;
    return total;
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
    CHANGING(descriptor, write_offset(descriptor, &status), count, NEXT(write)(descriptor, bytes, count));
}

ssize_t writev(int descriptor, const struct iovec *pieces, int count) {
    CHANGING(
        descriptor, write_offset(descriptor, &status), length_of(pieces, count), NEXT(writev)(descriptor, pieces, count));
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
    CHANGING(descriptor, offset, count, NEXT(pwrite)(descriptor, bytes, count, offset));
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t offset) {
    CHANGING(descriptor, offset, count, NEXT(pwrite64)(descriptor, bytes, count, offset));
}

ssize_t pwritev(int descriptor, const struct iovec *pieces, int count, off_t offset) {
    CHANGING(descriptor, offset, length_of(pieces, count), NEXT(pwritev)(descriptor, pieces, count, offset));
}

ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t count, unsigned flags) {
    CHANGING(
        out, out_offset ? (uint64_t)*out_offset : write_offset(out, &status), count,
        NEXT(copy_file_range)(in, in_offset, out, out_offset, count, flags));
}

ssize_t sendfile(int out, int in, off_t *offset, size_t count) {
    CHANGING(out, write_offset(out, &status), count, NEXT(sendfile)(out, in, offset, count));
}

int ftruncate(int descriptor, off_t size) {
    char path[PATH_MAX];
    struct stat status;
    if (!watched_descriptor(descriptor, path, &status)) return NEXT(ftruncate)(descriptor, size);
    FAIL_AS_TOLD("write", path);
    int saved = lock();
    if (fstat(descriptor, &status) != 0) fail("look at a file");
    note_change(descriptor, &status, (uint64_t)size, (uint64_t)status.st_size, (uint64_t)size);
    errno = saved;
    int result = NEXT(ftruncate)(descriptor, size);
    unlock(errno);
    return result;
}

int ftruncate64(int descriptor, off64_t size) { return ftruncate(descriptor, size); }

int fallocate(int descriptor, int mode, off_t offset, off_t count) {
    if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE && mode != FALLOC_FL_ZERO_RANGE) unsupported("fallocate of that mode");
    if (mode == FALLOC_FL_KEEP_SIZE) return NEXT(fallocate)(descriptor, mode, offset, count);
    CHANGING(descriptor, offset, (uint64_t)count, NEXT(fallocate)(descriptor, mode, offset, count));
}

int fallocate64(int descriptor, int mode, off64_t offset, off64_t count) { return fallocate(descriptor, mode, offset, count); }

int posix_fallocate(int descriptor, off_t offset, off_t count) {
    return fallocate(descriptor, 0, offset, count) == 0 ? 0 : errno;
}

int posix_fallocate64(int descriptor, off64_t offset, off64_t count) { return posix_fallocate(descriptor, offset, count); }

int truncate(const char *path, off_t size) {
    char full[PATH_MAX];
    if (watched_path(AT_FDCWD, path, full)) unsupported("truncate of a path");
    return NEXT(truncate)(path, size);
}

// MARK: Names

static int renamed(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
    char old[PATH_MAX], new[PATH_MAX];
    int is_old = watched_path(from_directory, from, old), is_new = watched_path(to_directory, to, new);
    if (!is_old && !is_new) return NEXT(renameat2)(from_directory, from, to_directory, to, flags);
    if (is_old != is_new || flags & RENAME_EXCHANGE) unsupported("rename out of or into the directory, or an exchange");
    if (is_new) FAIL_AS_TOLD("open", new);
    int saved = lock();
    if (is_old && is_new) {
        struct power_cut_record records[2] = {name_record(old), name_record(new)};
        const char *paths[2] = {old, new};
        if (records[0].flags & POWER_CUT_DIRECTORY) records[0].kind = POWER_CUT_UNSUPPORTED;
        records[0].flags |= POWER_CUT_CONTINUES;
        append(records, paths, 2, NULL);
    }
    errno = saved;
    int result = NEXT(renameat2)(from_directory, from, to_directory, to, flags);
    unlock(errno);
    return result;
}

int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }

int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    return renamed(from_directory, from, to_directory, to, 0);
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
    return renamed(from_directory, from, to_directory, to, flags);
}

/// Runs `call`, which changes what the name has, with its record before it.
#define NAMING(directory, name, call)                                                                                          \
    do {                                                                                                                       \
        char full[PATH_MAX];                                                                                                   \
        if (!watched_path(directory, name, full)) return call;                                                                 \
        int saved = lock();                                                                                                    \
        note_name(full);                                                                                                       \
        errno = saved;                                                                                                         \
        int result = call;                                                                                                     \
        unlock(errno);                                                                                                         \
        return result;                                                                                                         \
    } while (0)

int unlink(const char *path) { NAMING(AT_FDCWD, path, NEXT(unlink)(path)); }
int unlinkat(int directory, const char *path, int flags) { NAMING(directory, path, NEXT(unlinkat)(directory, path, flags)); }
int remove(const char *path) { NAMING(AT_FDCWD, path, NEXT(remove)(path)); }
int rmdir(const char *path) { NAMING(AT_FDCWD, path, NEXT(rmdir)(path)); }

int mkdir(const char *path, mode_t mode) {
    char full[PATH_MAX];
    if (watched_path(AT_FDCWD, path, full)) FAIL_AS_TOLD("open", full);
    NAMING(AT_FDCWD, path, NEXT(mkdir)(path, mode));
}

int mkdirat(int directory, const char *path, mode_t mode) { NAMING(directory, path, NEXT(mkdirat)(directory, path, mode)); }

int link(const char *from, const char *to) { NAMING(AT_FDCWD, to, NEXT(link)(from, to)); }

int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags) {
    NAMING(to_directory, to, NEXT(linkat)(from_directory, from, to_directory, to, flags));
}

int symlink(const char *target, const char *path) {
    char full[PATH_MAX];
    if (watched_path(AT_FDCWD, path, full)) unsupported("symlink");
    return NEXT(symlink)(target, path);
}

// MARK: Syncs

static int synced(int descriptor, int (*real)(int)) {
    char path[PATH_MAX];
    struct stat status;
    if (!watched_descriptor(descriptor, path, &status)) return real(descriptor);
    if (lies) return 0;
    int saved = lock();
    uint64_t covered = journal_size();
    unlock(saved);
    int told = power_cut_fault("sync", path);
    int result = told ? -1 : real(descriptor);
    int error = told ? told : errno;
    lock();
    if (S_ISDIR(status.st_mode)) {
        if (result == 0) note(POWER_CUT_DIRECTORY_SYNC, path, status.st_ino, covered);
    } else {
        note(result == 0 ? POWER_CUT_FILE_SYNC : POWER_CUT_FILE_SYNC_FAILED, "", status.st_ino, covered);
    }
    unlock(error);
    return result;
}

int fsync(int descriptor) { return synced(descriptor, NEXT(fsync)); }
int fdatasync(int descriptor) { return synced(descriptor, NEXT(fdatasync)); }

int syncfs(int descriptor) {
    char path[PATH_MAX];
    struct stat status;
    if (!watched_descriptor(descriptor, path, &status)) return NEXT(syncfs)(descriptor);
    if (lies) return 0;
    int saved = lock();
    uint64_t covered = journal_size();
    unlock(saved);
    int result = NEXT(syncfs)(descriptor);
    if (result != 0) return result;
    lock();
    note(POWER_CUT_SYNC, "", 0, covered);
    unlock(0);
    return result;
}
