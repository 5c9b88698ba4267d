#include "CLinux.h"
#include <string.h>

static uint32_t table[256];

__attribute__((constructor)) static void fill_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = (c & 1) ? (c >> 1) ^ 0x82F63B78u : c >> 1;
        table[i] = c;
    }
}

static uint32_t by_table(uint32_t c, const unsigned char *b, size_t n) {
    while (n--) c = table[(c ^ *b++) & 0xFF] ^ (c >> 8);
    return c;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const unsigned char *b, size_t n) {
    uint64_t c = crc;
    for (; n >= 8; b += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, b, 8);
        c = _mm_crc32_u64(c, word);
    }
    while (n--) c = _mm_crc32_u8((uint32_t)c, *b++);
    return (uint32_t)c;
}

static int has_instruction(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>

static uint32_t by_instruction(uint32_t c, const unsigned char *b, size_t n) {
    for (; n >= 8; b += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, b, 8);
        c = __crc32cd(c, word);
    }
    while (n--) c = __crc32cb(c, *b++);
    return c;
}

static int has_instruction(void) { return 1; }
#else
static uint32_t by_instruction(uint32_t c, const unsigned char *b, size_t n) { return by_table(c, b, n); }
static int has_instruction(void) { return 0; }
#endif

uint32_t pgark_crc32c(uint32_t crc, const void *bytes, size_t count) {
    return has_instruction() ? ~by_instruction(~crc, bytes, count) : ~by_table(~crc, bytes, count);
}
