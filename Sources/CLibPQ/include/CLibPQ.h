// libpq as its own header declares it. What we call of it is in libpq.c, which loads the library when it is needed.
#if __has_include(<libpq-fe.h>)
#include <libpq-fe.h>
#else
#include <postgresql/libpq-fe.h>
#endif

/// True where libpq is there: without it every call of a function above ends the process.
int pgark_has_libpq(void);
