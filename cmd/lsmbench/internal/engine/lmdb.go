//go:build lmdb && cgo

package engine

/*
#cgo LDFLAGS: -llmdb
#cgo noescape lsmbench_lmdb_put
#cgo nocallback lsmbench_lmdb_put
#cgo noescape lsmbench_lmdb_put_all
#cgo nocallback lsmbench_lmdb_put_all
#cgo noescape lsmbench_lmdb_delete
#cgo nocallback lsmbench_lmdb_delete
#cgo noescape lsmbench_lmdb_delete_all
#cgo nocallback lsmbench_lmdb_delete_all
#cgo noescape lsmbench_lmdb_delete_range
#cgo nocallback lsmbench_lmdb_delete_range
#cgo noescape lsmbench_lmdb_get
#cgo nocallback lsmbench_lmdb_get
#cgo noescape lsmbench_lmdb_get_all
#cgo nocallback lsmbench_lmdb_get_all
#cgo noescape lsmbench_lmdb_walk
#cgo nocallback lsmbench_lmdb_walk

#include <lmdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// A transaction that writes begins and ends within one call from Go: LMDB ties it to the
// thread. Its callers are one at a time, so the flag that they set for the environment
// is the one that their commit reads.
static int begin(MDB_env *env, int sync, MDB_txn **txn) {
	int rc = mdb_env_set_flags(env, MDB_NOSYNC, !sync);
	return rc ? rc : mdb_txn_begin(env, NULL, 0, txn);
}

static int end(MDB_txn *txn, int rc) {
	if (rc == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

static int lsmbench_lmdb_put(MDB_env *env, MDB_dbi dbi, int sync, void *key, size_t key_size, void *value, size_t value_size) {
	MDB_val k = {key_size, key}, v = {value_size, value};
	MDB_txn *txn;
	int rc = begin(env, sync, &txn);
	return rc ? rc : end(txn, mdb_put(txn, dbi, &k, &v, 0));
}

// Puts n pairs. sizes are those of each key and value in turn, data is all of these.
static int lsmbench_lmdb_put_all(MDB_env *env, MDB_dbi dbi, int sync, char *data, uint32_t *sizes, size_t n) {
	MDB_txn *txn;
	int rc = begin(env, sync, &txn);
	if (rc)
		return rc;
	for (; rc == 0 && n > 0; n--, sizes += 2) {
		MDB_val k = {sizes[0], data}, v = {sizes[1], data + sizes[0]};
		data += sizes[0] + (size_t)sizes[1];
		rc = mdb_put(txn, dbi, &k, &v, 0);
	}
	return end(txn, rc);
}

static int lsmbench_lmdb_delete(MDB_env *env, MDB_dbi dbi, void *key, size_t key_size) {
	MDB_val k = {key_size, key};
	MDB_txn *txn;
	int rc = begin(env, 0, &txn);
	return rc ? rc : end(txn, mdb_del(txn, dbi, &k, NULL));
}

static int lsmbench_lmdb_delete_all(MDB_env *env, MDB_dbi dbi, char *keys, uint32_t *sizes, size_t n) {
	MDB_txn *txn;
	int rc = begin(env, 0, &txn);
	if (rc)
		return rc;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		MDB_val k = {sizes[i], keys};
		keys += sizes[i];
		rc = mdb_del(txn, dbi, &k, NULL);
		if (rc == MDB_NOTFOUND)
			rc = 0;
	}
	return end(txn, rc);
}

// Deletes every key from lower on that is before upper, by a cursor.
static int lsmbench_lmdb_delete_range(MDB_env *env, MDB_dbi dbi, void *lower, size_t lower_size, void *upper, size_t upper_size) {
	MDB_val k = {lower_size, lower}, v, after = {upper_size, upper};
	MDB_cursor *cursor;
	MDB_txn *txn;
	int rc = begin(env, 0, &txn);
	if (rc)
		return rc;
	rc = mdb_cursor_open(txn, dbi, &cursor);
	if (rc)
		return end(txn, rc);
	rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
	while (rc == 0 && mdb_cmp(txn, dbi, &k, &after) < 0) {
		rc = mdb_cursor_del(cursor, 0);
		if (rc == 0)
			rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return end(txn, rc == MDB_NOTFOUND ? 0 : rc);
}

static int begin_read(MDB_env *env, MDB_txn **txn) { return mdb_txn_begin(env, NULL, MDB_RDONLY, txn); }

typedef struct { int rc; size_t size; } lsmbench_lmdb_got;

// Looks a key up in a transaction that was reset, and copies the value if it fits.
static lsmbench_lmdb_got lsmbench_lmdb_get(MDB_txn *txn, MDB_dbi dbi, void *key, size_t key_size, void *to, size_t room) {
	MDB_val k = {key_size, key}, v = {0, NULL};
	lsmbench_lmdb_got got = {mdb_txn_renew(txn), 0};
	if (got.rc)
		return got;
	got.rc = mdb_get(txn, dbi, &k, &v);
	got.size = v.mv_size;
	if (got.rc == 0 && v.mv_size <= room)
		memcpy(to, v.mv_data, v.mv_size);
	mdb_txn_reset(txn);
	return got;
}

// Renews the transaction and looks n keys up. The values have no data where there is
// none, and live until the transaction is reset, which is left to the caller.
static int lsmbench_lmdb_get_all(MDB_txn *txn, MDB_dbi dbi, char *keys, uint32_t *sizes, size_t n, MDB_val *values) {
	int rc = mdb_txn_renew(txn);
	for (size_t i = 0; i < n && rc == 0; i++) {
		MDB_val k = {sizes[i], keys};
		keys += sizes[i];
		rc = mdb_get(txn, dbi, &k, &values[i]);
		if (rc == MDB_NOTFOUND) {
			values[i].mv_data = NULL;
			rc = 0;
		}
	}
	return rc;
}

// Reads up to n entries as pairs of key and value: the first by op, from key if op needs
// one, each other by next. The size returned is how many there were.
static lsmbench_lmdb_got lsmbench_lmdb_walk(MDB_cursor *cursor, MDB_cursor_op op, MDB_cursor_op next, void *key, size_t key_size, MDB_val *entries, size_t n) {
	lsmbench_lmdb_got got = {0, 0};
	MDB_val k = {key_size, key}, v;
	for (; got.size < n; got.size++, op = next) {
		got.rc = mdb_cursor_get(cursor, &k, &v, op);
		if (got.rc)
			break;
		entries[2 * got.size] = k;
		entries[2 * got.size + 1] = v;
	}
	if (got.rc == MDB_NOTFOUND)
		got.rc = 0;
	return got;
}
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

func init() { register(7, lmdbEngine{}) }

// lmdbEngine is LMDB, a copy-on-write B+ tree in one mapped file, through cgo. As bbolt,
// which descends from it, it has neither memtables nor a cache of its own: what it keeps
// in memory is the page cache, which no budget bounds.
type lmdbEngine struct{}

const (
	lmdbMapBytes = 64 << 30 // of address space; the file is as large as its content
	lmdbReaders  = 1024     // sessions and scanners at a time
	lmdbPortion  = 64       // entries that a scanner reads in one call
)

func (lmdbEngine) Name() string { return "lmdb" }

func (lmdbEngine) Settings(Config) string {
	var major, minor, patch C.int
	C.mdb_version(&major, &minor, &patch)
	return fmt.Sprintf("version %d.%d.%d by cgo, B+ tree in one mapped file, cached by the operating system alone, so neither bound to the "+
		"budget nor given it; page %s, not zeroed before it is written, map %s, no thread-local storage, one transaction a write, keys up to 511 bytes, ranges deleted by a cursor, compression none; "+
		"a write that is not synced leaves out both syncs of its commit: a power failure may then cost the whole store",
		major, minor, patch, units.Bytes(int64(os.Getpagesize())), units.Bytes(lmdbMapBytes))
}

// LogFile is false of every file: pages are written in place of a log.
func (lmdbEngine) LogFile(string) bool { return false }

// lmdbError is nil for success.
func lmdbError(rc C.int) error {
	if rc == C.MDB_SUCCESS {
		return nil
	}
	return errors.New("lmdb: " + C.GoString(C.mdb_strerror(rc)))
}

func (lmdbEngine) Open(dir string, _ Config) (Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s := &lmdbStore{}
	if err := lmdbError(C.mdb_env_create(&s.env)); err != nil {
		return nil, err
	}
	if err := s.open(dir); err != nil {
		C.mdb_env_close(s.env)
		return nil, err
	}
	return s, nil
}

type lmdbStore struct {
	env *C.MDB_env
	dbi C.MDB_dbi
	// writing is held by the one writer there can be. The others wait here, where no
	// thread is held up, and the flag for syncing is the holder's.
	writing sync.Mutex
}

func (s *lmdbStore) open(dir string) error {
	path := C.CString(dir)
	defer C.free(unsafe.Pointer(path))
	// Without thread-local storage a read transaction belongs to whoever has it: a
	// goroutine changes threads. Pages need not be zeroed before they are written.
	const flags = C.MDB_NOTLS | C.MDB_NOMEMINIT
	var txn *C.MDB_txn
	for _, step := range []func() C.int{
		func() C.int { return C.mdb_env_set_mapsize(s.env, lmdbMapBytes) },
		func() C.int { return C.mdb_env_set_maxreaders(s.env, lmdbReaders) },
		func() C.int { return C.mdb_env_open(s.env, path, flags, 0o600) },
		func() C.int { return C.begin_read(s.env, &txn) },
		func() C.int { return C.mdb_dbi_open(txn, nil, 0, &s.dbi) },
		func() C.int { return C.mdb_txn_commit(txn) },
	} {
		if err := lmdbError(step()); err != nil {
			return err
		}
	}
	return nil
}

func (s *lmdbStore) NewSession() (Session, error) {
	session := &lmdbSession{lmdbStore: s}
	if err := lmdbError(C.begin_read(s.env, &session.txn)); err != nil {
		return nil, err
	}
	C.mdb_txn_reset(session.txn)
	return session, nil
}

// Settle has nothing to wait for. It syncs, because the other engines' flush does.
func (s *lmdbStore) Settle(context.Context) (time.Duration, error) {
	return 0, lmdbError(C.mdb_env_sync(s.env, 1))
}

// Compact has no way to do it in place: LMDB compacts into another file.
func (s *lmdbStore) Compact(context.Context) error { return ErrUnsupported }

// Verify has nothing to check: there are no checksums, nor a call that walks the pages.
func (s *lmdbStore) Verify(context.Context) error { return ErrUnsupported }

func (s *lmdbStore) Stats() Stats { return UnknownStats }

func (s *lmdbStore) Close() error {
	C.mdb_env_close(s.env)
	return nil
}

type lmdbSession struct {
	*lmdbStore
	txn    *C.MDB_txn // for reading, reset between calls
	packed packed
	values []C.MDB_val // C memory
}

func (s *lmdbSession) Set(key, value []byte, sync bool) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	k, kSize := pointerTo(key)
	v, vSize := pointerTo(value)
	return lmdbError(C.lsmbench_lmdb_put(s.env, s.dbi, cBool(sync), k, kSize, v, vSize))
}

func (s *lmdbSession) SetBatch(pairs []Pair, sync bool) error {
	data, sizes := s.packed.pairs(pairs).pointers()
	s.writing.Lock()
	defer s.writing.Unlock()
	return lmdbError(C.lsmbench_lmdb_put_all(s.env, s.dbi, cBool(sync), data, sizes, C.size_t(len(pairs))))
}

func (s *lmdbSession) Delete(key []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	k, size := pointerTo(key)
	rc := C.lsmbench_lmdb_delete(s.env, s.dbi, k, size)
	if rc == C.MDB_NOTFOUND {
		return nil
	}
	return lmdbError(rc)
}

func (s *lmdbSession) DeleteBatch(keys [][]byte) error {
	data, sizes := s.packed.keys(keys).pointers()
	s.writing.Lock()
	defer s.writing.Unlock()
	return lmdbError(C.lsmbench_lmdb_delete_all(s.env, s.dbi, data, sizes, C.size_t(len(keys))))
}

func (s *lmdbSession) DeleteRange(lower, upper []byte) error {
	l, lSize := pointerTo(lower)
	u, uSize := pointerTo(upper)
	s.writing.Lock()
	defer s.writing.Unlock()
	return lmdbError(C.lsmbench_lmdb_delete_range(s.env, s.dbi, l, lSize, u, uSize))
}

// Get has the value copied to where the caller wants it, and looks it up once more if
// there is no room for it.
func (s *lmdbSession) Get(dst, key []byte) ([]byte, bool, error) {
	for {
		k, kSize := pointerTo(key)
		to, room := pointerTo(dst[len(dst):cap(dst)])
		got := C.lsmbench_lmdb_get(s.txn, s.dbi, k, kSize, to, room)
		switch {
		case got.rc == C.MDB_NOTFOUND:
			return dst, false, nil
		case got.rc != C.MDB_SUCCESS:
			return dst, false, lmdbError(got.rc)
		case got.size <= room:
			return dst[:len(dst)+int(got.size)], true, nil
		}
		dst = slices.Grow(dst, int(got.size))
	}
}

func (s *lmdbSession) MultiGet(keys [][]byte, visit func(i int, value []byte, found bool)) error {
	if len(keys) > len(s.values) {
		C.free(unsafe.Pointer(unsafe.SliceData(s.values)))
		s.values = lmdbValues(len(keys))
	}
	data, sizes := s.packed.keys(keys).pointers()
	rc := C.lsmbench_lmdb_get_all(s.txn, s.dbi, data, sizes, C.size_t(len(keys)), unsafe.SliceData(s.values))
	defer C.mdb_txn_reset(s.txn)
	if rc != C.MDB_SUCCESS {
		return lmdbError(rc)
	}
	for i := range keys {
		visit(i, lmdbBytes(s.values[i]), s.values[i].mv_data != nil)
	}
	return nil
}

// lmdbValues is C memory, so that passing it needs no check for Go pointers in it.
func lmdbValues(n int) []C.MDB_val {
	return unsafe.Slice((*C.MDB_val)(C.calloc(C.size_t(n), C.sizeof_MDB_val)), n)
}

// lmdbBytes is what a value points to in the map. It is nil where that is nothing.
func lmdbBytes(v C.MDB_val) []byte {
	if v.mv_data == nil {
		return nil
	}
	return unsafe.Slice((*byte)(v.mv_data), int(v.mv_size))
}

func (s *lmdbSession) Close() error {
	C.free(unsafe.Pointer(unsafe.SliceData(s.values)))
	C.mdb_txn_abort(s.txn)
	return nil
}

// NewScanner holds a transaction open: until it is closed, no page of its moment is used
// again, and the file grows by what is written.
func (s *lmdbSession) NewScanner() (Scanner, error) {
	sc := &lmdbScanner{}
	if err := lmdbError(C.begin_read(s.env, &sc.txn)); err != nil {
		return nil, err
	}
	if err := lmdbError(C.mdb_cursor_open(sc.txn, s.dbi, &sc.cursor)); err != nil {
		C.mdb_txn_abort(sc.txn)
		return nil, err
	}
	sc.entries = lmdbValues(2 * lmdbPortion)
	return sc, nil
}

type lmdbScanner struct {
	txn     *C.MDB_txn
	cursor  *C.MDB_cursor
	entries []C.MDB_val // C memory
}

func (s *lmdbScanner) Scan(from []byte, reverse bool, n int, visit func(key, value []byte) bool) (int, error) {
	op, next := C.MDB_cursor_op(C.MDB_FIRST), C.MDB_cursor_op(C.MDB_NEXT)
	if reverse {
		op, next = C.MDB_LAST, C.MDB_PREV
	}
	switch {
	case len(from) > 0:
		op = C.MDB_SET_RANGE
	case from != nil:
		op = C.MDB_FIRST // it takes no empty key
	}
	key, size := pointerTo(from)
	for count := 0; ; op = next {
		portion := min(n-count, lmdbPortion)
		if portion <= 0 {
			return count, nil
		}
		got := C.lsmbench_lmdb_walk(s.cursor, op, next, key, size, unsafe.SliceData(s.entries), C.size_t(portion))
		if got.rc != C.MDB_SUCCESS {
			return count, lmdbError(got.rc)
		}
		for i := range int(got.size) {
			count++
			if !visit(lmdbBytes(s.entries[2*i]), lmdbBytes(s.entries[2*i+1])) {
				return count, nil
			}
		}
		if int(got.size) < portion {
			return count, nil
		}
	}
}

func (s *lmdbScanner) Close() error {
	C.mdb_cursor_close(s.cursor)
	C.mdb_txn_abort(s.txn)
	C.free(unsafe.Pointer(unsafe.SliceData(s.entries)))
	return nil
}
