// The algorithm is fixed by PostgreSQL (src/include/storage/checksum_impl.h): 32 parallel FNV-1a-like sums over the
// page as a 64 x 32 matrix of words, two rounds of zeros, folded by XOR, mixed with the block number, reduced to 1..65535.
#include "CLinux.h"
#include <string.h>

enum { PAGE = 8192, SUMS = 32, ROWS = PAGE / (4 * SUMS) };

static const uint32_t offsets[SUMS] = {
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
};

#define PRIME 16777619u

static inline void row_in(uint32_t *sums, const uint32_t *row) {
    for (int j = 0; j < SUMS; j++) {
        uint32_t mixed = sums[j] ^ row[j];
        sums[j] = mixed * PRIME ^ (mixed >> 17);
    }
}

#if defined(__x86_64__)
__attribute__((target_clones("avx2", "default")))
#endif
static uint32_t page_sum(const unsigned char *page) {
    uint32_t sums[SUMS], row[SUMS];
    memcpy(sums, offsets, sizeof sums);
    for (int i = 0; i < ROWS; i++) {
        memcpy(row, page + i * sizeof row, sizeof row);
        if (i == 0) row[2] &= 0xFFFF0000u;  // pd_checksum: the low half of the word at byte 8
        row_in(sums, row);
    }
    memset(row, 0, sizeof row);
    row_in(sums, row);
    row_in(sums, row);
    uint32_t result = 0;
    for (int j = 0; j < SUMS; j++) result ^= sums[j];
    return result;
}

uint16_t pgark_page_checksum(const void *page, uint32_t block) {
    return (uint16_t)((page_sum(page) ^ block) % 65535 + 1);
}
