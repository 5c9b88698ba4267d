// libpq brings two dozen libraries with it, and to load them takes longer than all else that a start does. Most commands that
// PostgreSQL runs for each WAL segment connect to nothing. So it is loaded by the first call into it.
#include "CLibPQ.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void *library;

static void load(void) { library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL); }

static pthread_once_t once = PTHREAD_ONCE_INIT;

int pgark_has_libpq(void) {
    pthread_once(&once, load);
    return library != NULL;
}

/// As the dynamic loader does, where a library or a function is missing: a message, and status 127.
static void *function(const char *name) {
    pthread_once(&once, load);
    void *found = library ? dlsym(library, name) : NULL;
    if (found) return found;
    fprintf(stderr, "pgark: could not load libpq: %s\nhint: Install it: apt-get install libpq5\n", dlerror());
    _exit(127);
}

#define CALLED(name)                                                         \
    static void *known;                                                      \
    __typeof__(&name) called = __atomic_load_n(&known, __ATOMIC_RELAXED);    \
    if (!called) {                                                           \
        called = function(#name);                                            \
        __atomic_store_n(&known, (void *)called, __ATOMIC_RELAXED);          \
    }

#define GIVES(type, name, parameters, arguments) \
    type name parameters {                       \
        CALLED(name)                             \
        return called arguments;                 \
    }
#define DOES(name, parameters, arguments) \
    void name parameters {                \
        CALLED(name)                      \
        called arguments;                 \
    }

DOES(PQclear, (PGresult *result), (result))
GIVES(PGconn *, PQconnectStart, (const char *conninfo), (conninfo))
GIVES(PGconn *, PQconnectdbParams, (const char *const *names, const char *const *values, int expand), (names, values, expand))
DOES(PQconninfoFree, (PQconninfoOption *options), (options))
GIVES(PQconninfoOption *, PQconninfoParse, (const char *conninfo, char **message), (conninfo, message))
GIVES(int, PQconsumeInput, (PGconn *connection), (connection))
GIVES(char *, PQencryptPasswordConn, (PGconn *connection, const char *password, const char *user, const char *algorithm),
      (connection, password, user, algorithm))
GIVES(char *, PQerrorMessage, (const PGconn *connection), (connection))
DOES(PQfinish, (PGconn *connection), (connection))
GIVES(int, PQflush, (PGconn *connection), (connection))
GIVES(int, PQfnumber, (const PGresult *result, const char *name), (result, name))
DOES(PQfreemem, (void *memory), (memory))
GIVES(int, PQgetCopyData, (PGconn *connection, char **buffer, int async), (connection, buffer, async))
GIVES(PGresult *, PQgetResult, (PGconn *connection), (connection))
GIVES(int, PQgetisnull, (const PGresult *result, int row, int column), (result, row, column))
GIVES(int, PQgetlength, (const PGresult *result, int row, int column), (result, row, column))
GIVES(char *, PQgetvalue, (const PGresult *result, int row, int column), (result, row, column))
GIVES(char *, PQhost, (const PGconn *connection), (connection))
GIVES(int, PQisBusy, (PGconn *connection), (connection))
GIVES(int, PQnfields, (const PGresult *result), (result))
GIVES(int, PQntuples, (const PGresult *result), (result))
GIVES(PGPing, PQpingParams, (const char *const *names, const char *const *values, int expand), (names, values, expand))
GIVES(char *, PQport, (const PGconn *connection), (connection))
GIVES(int, PQputCopyData, (PGconn *connection, const char *buffer, int count), (connection, buffer, count))
GIVES(int, PQputCopyEnd, (PGconn *connection, const char *message), (connection, message))
GIVES(char *, PQresultErrorField, (const PGresult *result, int field), (result, field))
GIVES(ExecStatusType, PQresultStatus, (const PGresult *result), (result))
GIVES(int, PQsendQuery, (PGconn *connection, const char *query), (connection, query))
GIVES(int, PQsendQueryParams,
      (PGconn *connection, const char *query, int count, const Oid *types, const char *const *values, const int *lengths,
       const int *formats, int format),
      (connection, query, count, types, values, lengths, formats, format))
GIVES(int, PQserverVersion, (const PGconn *connection), (connection))
GIVES(PQnoticeProcessor, PQsetNoticeProcessor, (PGconn *connection, PQnoticeProcessor processor, void *context),
      (connection, processor, context))
GIVES(int, PQsocket, (const PGconn *connection), (connection))
GIVES(ConnStatusType, PQstatus, (const PGconn *connection), (connection))
GIVES(char *, PQuser, (const PGconn *connection), (connection))
