// SHA-256 of libcrypto. What we call of it is in crypto.c, which loads the library when it is needed.
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stddef.h>
#include <stdint.h>

/// What a server compares a client's proof with (RFC 5802: StoredKey), of a password, a salt and a number of iterations.
/// Returns 1, or 0 where libcrypto refused.
int pgark_scram_stored_key(
    const uint8_t *password, size_t password_count, const uint8_t *salt, size_t salt_count, int32_t iterations,
    uint8_t stored_key[32]);
