// What Swift cannot say itself: CPU instructions for checksums, Linux calls that the C library hides behind
// _GNU_SOURCE, and a signal handler that may only touch a sig_atomic_t. Nothing else belongs here.
#ifndef PGARK_CLINUX_H
#define PGARK_CLINUX_H

#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli) as PostgreSQL and iSCSI compute it. `crc` is the finished value of what came before, 0 at first.
uint32_t pgark_crc32c(uint32_t crc, const void *bytes, size_t count);

/// The part that bytes with the checksum `crc` have in the checksum of those bytes followed by `count` others:
/// crc32c(AB) = shift(crc32c(A), length of B) ^ crc32c(B).
uint32_t pgark_crc32c_shift(uint32_t crc, uint64_t count);

/// XXH3, 64 bits, seed 0.
uint64_t pgark_xxh3(const void *bytes, size_t count);

/// The checksum of one 8192-byte page (PostgreSQL: src/include/storage/checksum_impl.h, pg_checksum_page), computed as
/// if the stored pd_checksum were zero; the page is not changed.
uint16_t pgark_page_checksum(const void *page, uint32_t block);

/// syncfs(2): makes everything written to the file system of `descriptor` durable. Returns 0, or -1 with errno.
int pgark_syncfs(int descriptor);

/// sync_file_range(2): begins to write a range back to disk and does not wait. A failure shows when the file is synced.
void pgark_start_writeback(int descriptor, int64_t offset, int64_t count);

/// statx(2): when a file came to be, in microseconds since 1970; -1 where its file system does not say.
int64_t pgark_birth_time(const char *path);

/// After this, SIGINT, SIGTERM and SIGHUP only raise a flag; SIGPIPE is ignored. Blocking calls return EINTR.
void pgark_catch_interrupts(void);
/// The number of the first signal that arrived, or 0.
int pgark_interrupted(void);
/// Keeps those signals away from the calling thread, so that the main thread's waits are the ones they end.
void pgark_block_interrupts(void);
/// Names the calling thread, at most 15 bytes, for ps, top and gdb.
void pgark_name_thread(const char *name);

/// Starts this program anew with these words, the last one NULL, in a session of its own, with none of our descriptors but
/// /dev/null as the first three. Returns 0 or an errno.
int pgark_start_detached(char *const *words);

#endif
