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

static uint32_t multiply(uint32_t a, uint32_t b);

// The instruction has a latency of three cycles and takes one: three independent stretches are as fast as one. 8192 bytes, the
// length that matters, are three stretches and 8 bytes.
enum { STRETCH = 2728 };
static uint32_t past_one, past_two;  // x to the power of 8 * STRETCH, and of twice that

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const unsigned char *b, size_t n) {
    uint64_t c = crc;
    for (; n >= 3 * STRETCH; b += 3 * STRETCH, n -= 3 * STRETCH) {
        uint64_t c1 = 0, c2 = 0;
        for (size_t i = 0; i < STRETCH; i += 8) {
            uint64_t word, word1, word2;
            memcpy(&word, b + i, 8);
            memcpy(&word1, b + STRETCH + i, 8);
            memcpy(&word2, b + 2 * STRETCH + i, 8);
            c = _mm_crc32_u64(c, word);
            c1 = _mm_crc32_u64(c1, word1);
            c2 = _mm_crc32_u64(c2, word2);
        }
        c = multiply(past_two, (uint32_t)c) ^ multiply(past_one, (uint32_t)c1) ^ (uint32_t)c2;
    }
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

// The product of two polynomials modulo the CRC's, both with their highest coefficient in the lowest bit.
static uint32_t multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
        if (a & bit) product ^= b;
        b = (b & 1) ? (b >> 1) ^ 0x82F63B78u : b >> 1;
    }
    return product;
}

static uint32_t powers[64];  // x to the power of 8 * 2^k

__attribute__((constructor)) static void fill_powers(void) {
    uint32_t power = 1u << 30;  // x
    for (int k = 0; k < 3; k++) power = multiply(power, power);
    for (int k = 0; k < 64; k++, power = multiply(power, power)) powers[k] = power;
#if defined(__x86_64__)
    past_one = pgark_crc32c_shift(1u << 31, STRETCH);
    past_two = pgark_crc32c_shift(1u << 31, 2 * STRETCH);
#endif
}

uint32_t pgark_crc32c_shift(uint32_t crc, uint64_t count) {
    for (int k = 0; count != 0 && crc != 0; k++, count >>= 1)
        if (count & 1) crc = multiply(powers[k], crc);
    return crc;
}
