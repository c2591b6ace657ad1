//go:build rocksdb && cgo

package engine

/*
// Without RTTI the shim asks no library for it: release builds of RocksDB have none.
#cgo CXXFLAGS: -std=c++17 -O2 -fno-rtti
#cgo rocksdbrelease CPPFLAGS: -DNDEBUG
#cgo LDFLAGS: -lrocksdb
#cgo noescape rocks_set
#cgo nocallback rocks_set
#cgo noescape rocks_set_all
#cgo nocallback rocks_set_all
#cgo noescape rocks_delete
#cgo nocallback rocks_delete
#cgo noescape rocks_add
#cgo nocallback rocks_add
#cgo noescape rocks_delete_all
#cgo nocallback rocks_delete_all
#cgo noescape rocks_delete_range
#cgo nocallback rocks_delete_range
#cgo noescape rocks_get
#cgo nocallback rocks_get
#cgo noescape rocks_take
#cgo nocallback rocks_take
#cgo noescape rocks_get_all
#cgo nocallback rocks_get_all
#cgo noescape rocks_seek
#cgo nocallback rocks_seek
#cgo noescape rocks_walk
#cgo nocallback rocks_walk

#include <stdlib.h>
#include "rocksdb_shim.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

func init() { register(6, rocksdbEngine{}) }

// rocksdbEngine is RocksDB through cgo, set up by its tuning guide for point reads and
// steady writes: filters on every level, indexes and filters pinned in the cache, which
// memtables are counted in too, hash indexes in blocks, dynamic level sizes.
//
// Debian builds its library with asserts and for every processor, so that CRC32C is
// computed without the instruction for it. For figures of RocksDB at its best, build it
// from Debian's own source and give the tag rocksdbrelease:
//
//	apt-get source rocksdb    # with source packages turned on in apt's sources
//	cmake -S rocksdb-7.8.3 -B rocksdb-release -DCMAKE_BUILD_TYPE=Release -DPORTABLE=OFF \
//		-DWITH_SNAPPY=ON -DWITH_ZSTD=ON -DWITH_GFLAGS=OFF -DFAIL_ON_WARNINGS=OFF \
//		-DWITH_TESTS=OFF -DWITH_BENCHMARK_TOOLS=OFF -DWITH_TOOLS=OFF
//	cmake --build rocksdb-release --target rocksdb-shared
//	CGO_CXXFLAGS="-O2 -I$PWD/rocksdb-7.8.3/include" CGO_LDFLAGS="-L$PWD/rocksdb-release -Wl,-rpath,$PWD/rocksdb-release" \
//		go build -tags "rocksdb rocksdbrelease"
//
// CMake's type Release is what sets NDEBUG; the tag sets it for the headers.
type rocksdbEngine struct{}

const (
	rocksdbMemtables = 3
	rocksdbL0Trigger = 4
	rocksdbPortion   = 64 // entries that a scanner reads in one call
)

func (rocksdbEngine) Name() string { return "rocksdb" }

// rocksdbCompression gives the shim's number and the name of a compression; Snappy is
// the format that S2 descends from.
func rocksdbCompression(name string) (C.int, string) {
	switch name {
	case "s2":
		return 1, "snappy"
	case "zstd", "s2-zstd": // the shim sets one for all levels
		return 2, "zstd"
	}
	return 0, "none"
}

func (rocksdbEngine) Settings(c Config) string {
	_, compression := rocksdbCompression(c.Compression)
	build := "own release build"
	if C.rocks_asserts() != 0 {
		build = "distribution's build with asserts on and no CRC32C instruction"
	}
	return fmt.Sprintf("version %s by cgo, %s; memtable %s ×%d, cache with memtables, indexes and filters %s, bloom %d bits all levels, "+
		"indexes and filters pinned, block %s with hash index, every table open, L0 trigger %d, level 1 %s, dynamic level sizes, tables %s, "+
		"read ahead 2 MiB, synced every 1 MiB, jobs %d, no statistics, compression %s",
		C.GoString(C.rocks_version()), build, units.Bytes(c.MemtableBytes), rocksdbMemtables, units.Bytes(c.BudgetBytes), c.FilterBits,
		units.Bytes(int64(c.BlockBytes)), rocksdbL0Trigger, units.Bytes(c.MemtableBytes*rocksdbL0Trigger), units.Bytes(c.MemtableBytes), c.Compactions+1, compression)
}

// LogFile is true of the write-ahead log and of the text files that tell of the engine's
// work.
func (rocksdbEngine) LogFile(name string) bool {
	return strings.HasSuffix(name, ".log") || strings.HasPrefix(name, "LOG")
}

// rocksdbError takes an error over from C.
func rocksdbError(message *C.char) error {
	if message == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(message))
	return errors.New("rocksdb: " + C.GoString(message))
}

func (rocksdbEngine) Open(dir string, c Config) (Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	compression, _ := rocksdbCompression(c.Compression)
	path := C.CString(dir)
	defer C.free(unsafe.Pointer(path))
	s := &rocksdbStore{}
	err := rocksdbError(C.rocks_open(path, &C.rocks_config{
		memtable_bytes: C.size_t(c.MemtableBytes),
		budget_bytes:   C.size_t(c.BudgetBytes),
		block_bytes:    C.size_t(c.BlockBytes),
		memtables:      rocksdbMemtables,
		l0_trigger:     rocksdbL0Trigger,
		filter_bits:    C.int(c.FilterBits),
		compactions:    C.int(c.Compactions),
		compression:    compression,
	}, &s.store))
	if err != nil {
		return nil, err
	}
	return s, nil
}

type rocksdbStore struct{ store *C.rocks_store }

func (s *rocksdbStore) NewSession() (Session, error) {
	return &rocksdbSession{rocksdbStore: s, session: C.rocks_new_session(s.store)}, nil
}

// Compact brings everything to the last level; what is there already and overlaps with
// nothing is not rewritten.
func (s *rocksdbStore) Compact(context.Context) error { return rocksdbError(C.rocks_compact(s.store)) }

func (s *rocksdbStore) Verify(context.Context) error { return rocksdbError(C.rocks_verify(s.store)) }

// Stats counts a change from normal writes to delayed or stopped ones as a stall, which
// lasts until they are normal again.
func (s *rocksdbStore) Stats() Stats {
	stats := C.rocks_get_stats(s.store)
	return Stats{
		TableBytesWritten: int64(stats.table_bytes_written),
		Syncs:             Unknown,
		Stalls:            int64(stats.stalls),
		StallTime:         time.Duration(stats.stall_ns),
	}
}

func (s *rocksdbStore) Settle(ctx context.Context) (time.Duration, error) {
	if err := rocksdbError(C.rocks_flush(s.store)); err != nil {
		return 0, err
	}
	return waitQuiet(ctx, func() bool { return C.rocks_busy(s.store) != 0 }, settleQuiet)
}

func (s *rocksdbStore) Close() error { return rocksdbError(C.rocks_close(s.store)) }

// Checkpoint takes an absolute path.
func (s *rocksdbStore) Checkpoint(_ context.Context, dir string) error {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	path := C.CString(absolute)
	defer C.free(unsafe.Pointer(path))
	return rocksdbError(C.rocks_checkpoint(s.store, path))
}

type rocksdbSession struct {
	*rocksdbStore
	session *C.rocks_session
	packed  packed
}

func (s *rocksdbSession) Set(key, value []byte, sync bool) error {
	k, kSize := pointerTo(key)
	v, vSize := pointerTo(value)
	return rocksdbError(C.rocks_set(s.session, k, kSize, v, vSize, cBool(sync)))
}

func (s *rocksdbSession) SetBatch(pairs []Pair, sync bool) error {
	data, sizes := s.packed.pairs(pairs).pointers()
	return rocksdbError(C.rocks_set_all(s.session, data, sizes, C.size_t(len(pairs)), cBool(sync)))
}

func (s *rocksdbSession) Delete(key []byte) error {
	k, size := pointerTo(key)
	return rocksdbError(C.rocks_delete(s.session, k, size))
}

func (s *rocksdbSession) Add(key []byte, delta int64) error {
	k, size := pointerTo(key)
	return rocksdbError(C.rocks_add(s.session, k, size, C.uint64_t(delta)))
}

func (s *rocksdbSession) DeleteBatch(keys [][]byte) error {
	data, sizes := s.packed.keys(keys).pointers()
	return rocksdbError(C.rocks_delete_all(s.session, data, sizes, C.size_t(len(keys))))
}

func (s *rocksdbSession) DeleteRange(lower, upper []byte) error {
	l, lSize := pointerTo(lower)
	u, uSize := pointerTo(upper)
	return rocksdbError(C.rocks_delete_range(s.session, l, lSize, u, uSize))
}

// Get has the value copied to where the caller wants it. If there is no room for it, the
// shim keeps it until there is.
func (s *rocksdbSession) Get(dst, key []byte) ([]byte, bool, error) {
	k, kSize := pointerTo(key)
	to, room := pointerTo(dst[len(dst):cap(dst)])
	got := C.rocks_get(s.session, k, kSize, to, room)
	if got.found <= 0 {
		return dst, false, rocksdbError(got.error)
	}
	size := int(got.size)
	if got.size > room {
		dst = slices.Grow(dst, size)
		to, _ = pointerTo(dst[len(dst):cap(dst)])
		C.rocks_take(s.session, to)
	}
	return dst[:len(dst)+size], true, nil
}

func (s *rocksdbSession) MultiGet(keys [][]byte, visit func(i int, value []byte, found bool)) error {
	if len(keys) == 0 {
		return nil
	}
	n := C.size_t(len(keys))
	data, sizes := s.packed.keys(keys).pointers()
	var out *C.rocks_value
	if err := rocksdbError(C.rocks_get_all(s.session, data, sizes, n, &out)); err != nil {
		return err
	}
	defer C.rocks_release(s.session, n)
	for i, v := range unsafe.Slice(out, len(keys)) {
		visit(i, rocksdbBytes(v), v.data != nil)
	}
	return nil
}

// rocksdbBytes is a value where it is, in C memory.
func rocksdbBytes(v C.rocks_value) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v.data)), int(v.size))
}

func (s *rocksdbSession) Close() error {
	C.rocks_free_session(s.session)
	return nil
}

func (s *rocksdbSession) NewScanner() (Scanner, error) {
	return &rocksdbScanner{C.rocks_new_scanner(s.store)}, nil
}

type rocksdbScanner struct{ scanner *C.rocks_scanner }

func (s *rocksdbScanner) Scan(from []byte, reverse bool, n int, visit func(key, value []byte) bool) (int, error) {
	if n <= 0 {
		return 0, nil
	}
	key, size := pointerTo(from)
	C.rocks_seek(s.scanner, key, size, cBool(reverse))
	for count := 0; count < n; {
		got := C.size_t(min(n-count, rocksdbPortion))
		var entries *C.rocks_value
		if err := rocksdbError(C.rocks_walk(s.scanner, cBool(reverse), &got, &entries)); err != nil || got == 0 {
			return count, err
		}
		pairs := unsafe.Slice(entries, 2*int(got))
		for i := 0; i < len(pairs); i += 2 {
			count++
			if !visit(rocksdbBytes(pairs[i]), rocksdbBytes(pairs[i+1])) {
				return count, nil
			}
		}
	}
	return n, nil
}

func (s *rocksdbScanner) Close() error {
	C.rocks_free_scanner(s.scanner)
	return nil
}
