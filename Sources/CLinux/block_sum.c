#include "CLinux.h"
// The whole of xxHash, compiled into this file: nothing of it is needed where pgark runs.
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t pgark_xxh3(const void *bytes, size_t count) { return XXH3_64bits(bytes, count); }
