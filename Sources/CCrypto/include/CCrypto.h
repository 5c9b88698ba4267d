// SHA-256 of libcrypto. What we call of it is in crypto.c, which loads the library when it is needed.
#include <openssl/evp.h>
