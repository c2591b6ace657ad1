// What rocksdb.go calls of RocksDB. A char* returned is an error, NULL for none, and the
// caller frees it. Keys and values passed in are used during the call only.

#ifndef LSMBENCH_ROCKSDB_SHIM_H
#define LSMBENCH_ROCKSDB_SHIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rocks_store rocks_store;
typedef struct rocks_session rocks_session;
typedef struct rocks_scanner rocks_scanner;

typedef struct {
	size_t memtable_bytes, budget_bytes, block_bytes;
	int memtables, l0_trigger, filter_bits, compactions;
	int compression; // 0 none, 1 snappy, 2 zstd
} rocks_config;

typedef struct {
	int64_t table_bytes_written, stalls, stall_ns;
} rocks_stats;

// A value of found < 0 is an error.
typedef struct {
	char *error;
	int found;
	size_t size;
} rocks_got;

typedef struct {
	const char *data; // NULL where there is no value
	size_t size;
} rocks_value;

int rocks_asserts(void); // whether the shim was compiled with them
const char *rocks_version(void);

char *rocks_open(const char *dir, const rocks_config *config, rocks_store **store);
char *rocks_close(rocks_store *store);
char *rocks_flush(rocks_store *store);
char *rocks_compact(rocks_store *store);
char *rocks_verify(rocks_store *store);
char *rocks_checkpoint(rocks_store *store, const char *dir);
int rocks_busy(rocks_store *store);
rocks_stats rocks_get_stats(rocks_store *store);

rocks_session *rocks_new_session(rocks_store *store);
void rocks_free_session(rocks_session *session);
char *rocks_set(rocks_session *session, const void *key, size_t key_size, const void *value, size_t value_size, int sync);
// n pairs: sizes are those of each key and value in turn, data is all of these.
char *rocks_set_all(rocks_session *session, const char *data, const uint32_t *sizes, size_t n, int sync);
char *rocks_delete(rocks_session *session, const void *key, size_t key_size);
char *rocks_add(rocks_session *session, const void *key, size_t key_size, uint64_t delta);
char *rocks_delete_all(rocks_session *session, const char *keys, const uint32_t *sizes, size_t n);
char *rocks_delete_range(rocks_session *session, const void *lower, size_t lower_size, const void *upper, size_t upper_size);
// Copies the value if it fits. If not, it is kept for rocks_take.
rocks_got rocks_get(rocks_session *session, const void *key, size_t key_size, void *to, size_t room);
void rocks_take(rocks_session *session, void *to);
// Sets values to n values, which live until rocks_release.
char *rocks_get_all(rocks_session *session, const char *keys, const uint32_t *sizes, size_t n, const rocks_value **values);
void rocks_release(rocks_session *session, size_t n);

rocks_scanner *rocks_new_scanner(rocks_store *store);
void rocks_free_scanner(rocks_scanner *scanner);
// Positions the scanner: at the first key from key on if that is not NULL, or else at
// the first or the last.
void rocks_seek(rocks_scanner *scanner, const void *key, size_t key_size, int last);
// Reads up to n entries: sets entries to keys and values in turn, which live until the
// next call, and n to how many there are. None are left when that is 0.
char *rocks_walk(rocks_scanner *scanner, int reverse, size_t *n, const rocks_value **entries);

#ifdef __cplusplus
}
#endif

#endif
