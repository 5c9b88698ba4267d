// Loaded by the first call into it, as libpq is, and for the same reason (Sources/CLibPQ/libpq.c).
#include "CCrypto.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void *library;

static void load(void) { library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL); }

/// As the dynamic loader does, where a library or a function is missing: a message, and status 127.
static void *function(const char *name) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    void *found = library ? dlsym(library, name) : NULL;
    if (found) return found;
    fprintf(stderr, "pgark: could not load libcrypto: %s\nhint: Install it: apt-get install libssl3\n", dlerror());
    _exit(127);
}

#define CALLED(name)                                                      \
    static void *known;                                                   \
    __typeof__(&name) called = __atomic_load_n(&known, __ATOMIC_RELAXED); \
    if (!called) {                                                        \
        called = function(#name);                                         \
        __atomic_store_n(&known, (void *)called, __ATOMIC_RELAXED);       \
    }

EVP_MD_CTX *EVP_MD_CTX_new(void) {
    CALLED(EVP_MD_CTX_new)
    return called();
}

void EVP_MD_CTX_free(EVP_MD_CTX *context) {
    CALLED(EVP_MD_CTX_free)
    called(context);
}

const EVP_MD *EVP_sha256(void) {
    CALLED(EVP_sha256)
    return called();
}

int EVP_DigestInit_ex(EVP_MD_CTX *context, const EVP_MD *type, ENGINE *engine) {
    CALLED(EVP_DigestInit_ex)
    return called(context, type, engine);
}

int EVP_DigestUpdate(EVP_MD_CTX *context, const void *bytes, size_t count) {
    CALLED(EVP_DigestUpdate)
    return called(context, bytes, count);
}

int EVP_DigestFinal_ex(EVP_MD_CTX *context, unsigned char *digest, unsigned int *count) {
    CALLED(EVP_DigestFinal_ex)
    return called(context, digest, count);
}

int PKCS5_PBKDF2_HMAC(
    const char *password, int password_count, const unsigned char *salt, int salt_count, int iterations, const EVP_MD *type,
    int count, unsigned char *out) {
    CALLED(PKCS5_PBKDF2_HMAC)
    return called(password, password_count, salt, salt_count, iterations, type, count, out);
}

unsigned char *HMAC(
    const EVP_MD *type, const void *key, int key_count, const unsigned char *bytes, size_t count, unsigned char *digest,
    unsigned int *digest_count) {
    CALLED(HMAC)
    return called(type, key, key_count, bytes, count, digest, digest_count);
}

int pgark_scram_stored_key(
    const uint8_t *password, size_t password_count, const uint8_t *salt, size_t salt_count, int32_t iterations,
    uint8_t stored_key[32]) {
    unsigned char salted[32], client[32];
    unsigned int count = 0;
    if (iterations < 1 || !PKCS5_PBKDF2_HMAC(
            (const char *)password, (int)password_count, salt, (int)salt_count, iterations, EVP_sha256(), 32, salted))
        return 0;
    if (!HMAC(EVP_sha256(), salted, 32, (const unsigned char *)"Client Key", 10, client, &count) || count != 32) return 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context) return 0;
    int done = EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(context, client, 32) == 1
        && EVP_DigestFinal_ex(context, stored_key, &count) == 1;
    EVP_MD_CTX_free(context);
    return done;
}
