// The journal of the preloaded library (power_cut.c), as TestSupport reads it (PowerCutJournal.swift). Both ends are the
// same machine, so numbers are in its own order.
#ifndef PGARK_CPOWERCUT_H
#define PGARK_CPOWERCUT_H

#include <stdint.h>

#define POWER_CUT_MAGIC 0x57435550u

enum power_cut_kind {
    /// A file's bytes or size are about to change. `inode`; `offset`; `old_size`, `new_size`; the old bytes at `offset` follow.
    POWER_CUT_CHANGE = 1,
    /// A sync of a file succeeded: everything of `inode` before the journal's position `offset` is durable.
    POWER_CUT_FILE_SYNC = 2,
    /// A sync of a file failed: what it was to write may be lost, and no later sync brings it back.
    POWER_CUT_FILE_SYNC_FAILED = 3,
    /// A name is about to change. What it names now: `inode`, 0 for nothing, a directory if `flags` say so. The path follows.
    POWER_CUT_NAME = 4,
    /// A sync of a directory succeeded: what became of its names before the journal's position `offset` is durable.
    POWER_CUT_DIRECTORY_SYNC = 5,
    /// A sync of the whole file system succeeded, likewise.
    POWER_CUT_SYNC = 6,
    /// Something that this library cannot take back, told in the path. No verdict may rest on such a journal.
    POWER_CUT_UNSUPPORTED = 7,
};

/// Set in `flags`: the next record belongs to the same operation.
#define POWER_CUT_CONTINUES 1u
/// Set in `flags`: what the name had was a directory.
#define POWER_CUT_DIRECTORY 2u

/// Followed by `path_length` bytes of a path and `data_length` bytes of data.
struct power_cut_record {
    uint32_t magic;
    uint32_t kind;
    uint32_t flags;
    uint32_t path_length;
    uint64_t data_length;
    uint64_t inode;
    uint64_t offset;
    uint64_t old_size;
    uint64_t new_size;
    /// Of all before: a record that a kill cut short, or what follows it, is not taken for another.
    uint64_t check;
};

/// FNV-1a of a record's fields before `check`.
static inline uint64_t power_cut_check(const struct power_cut_record *record) {
    const unsigned char *bytes = (const unsigned char *)record;
    uint64_t sum = 0xcbf29ce484222325u;
    for (unsigned i = 0; i < sizeof *record - sizeof record->check; i++) sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return sum;
}

#endif
