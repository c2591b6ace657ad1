//go:build lmdb && cgo

package engine

// #include <lmdb.h>
// #include <stdlib.h>
import "C"

import (
	"context"
	"os"
	"runtime"
	"unsafe"
)

// Transact never tries again: there is one writer at a time. Its transaction belongs to
// the thread that began it.
func (s *lmdbSession) Transact(sync bool, fn func(tx Txn) error) (retries int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	unsynced := C.int(1)
	if sync {
		unsynced = 0
	}
	if err := lmdbError(C.mdb_env_set_flags(s.env, C.MDB_NOSYNC, unsynced)); err != nil {
		return 0, err
	}
	t := lmdbTxn{dbi: s.dbi}
	if err := lmdbError(C.mdb_txn_begin(s.env, nil, 0, &t.txn)); err != nil {
		return 0, err
	}
	if err := fn(&t); err != nil {
		C.mdb_txn_abort(t.txn)
		return 0, err
	}
	return 0, lmdbError(C.mdb_txn_commit(t.txn))
}

type lmdbTxn struct {
	txn *C.MDB_txn
	dbi C.MDB_dbi
}

// lmdbPinned is a slice as C is to see it, as long as the pinner holds it.
func lmdbPinned(p *runtime.Pinner, b []byte) C.MDB_val {
	data, size := pointerTo(b)
	if data != nil {
		p.Pin(data)
	}
	return C.MDB_val{mv_size: size, mv_data: data}
}

func (t *lmdbTxn) Get(dst, key []byte) ([]byte, bool, error) {
	var p runtime.Pinner
	defer p.Unpin()
	k, v := lmdbPinned(&p, key), C.MDB_val{}
	rc := C.mdb_get(t.txn, t.dbi, &k, &v)
	if rc == C.MDB_NOTFOUND {
		return dst, false, nil
	}
	return append(dst, lmdbBytes(v)...), rc == C.MDB_SUCCESS, lmdbError(rc)
}

func (t *lmdbTxn) Set(key, value []byte) error {
	var p runtime.Pinner
	defer p.Unpin()
	k, v := lmdbPinned(&p, key), lmdbPinned(&p, value)
	return lmdbError(C.mdb_put(t.txn, t.dbi, &k, &v, 0))
}

// Checkpoint copies the file as it is, gaps and all, and syncs it.
func (s *lmdbStore) Checkpoint(_ context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := C.CString(dir)
	defer C.free(unsafe.Pointer(path))
	if err := lmdbError(C.mdb_env_copy(s.env, path)); err != nil {
		return err
	}
	return syncTree(dir)
}
