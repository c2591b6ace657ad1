package lsm

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
)

// conversions is a history of a store that is made in clear, becomes an encrypted one while it is written to, and then
// one in clear again, on a file system that can be cut at any operation.
type conversions struct {
	rotation
	encrypting [2]int // operations before Encrypt and after it
	decrypting int    // before Decrypt
	closing    [2]int // before the Close that ends it and after it
}

// playConversions is the history, to whose writes the background goes on beside.
func playConversions(t *testing.T, mode LogMode) *conversions {
	t.Helper()
	ctx := context.Background()
	r := &conversions{rotation: rotation{fs: vfs.NewCrashMem()}}
	o := rotatedOptions(r.fs, mode, 1)
	db := mustOpen(t, inClear(o))
	r.write(t, db, 30)
	require.NoError(t, db.Close())
	r.encrypting[0] = r.fs.Ops()
	require.NoError(t, Encrypt(ctx, "db", o))
	r.encrypting[1] = r.fs.Ops()
	db = mustOpen(t, o)
	r.write(t, db, 6)
	converted(t, db)
	r.write(t, db, 2)
	require.NoError(t, db.Close())
	r.decrypting = r.fs.Ops()
	require.NoError(t, Decrypt(ctx, "db", paused(o))) // whose Close would find nothing left if the background is quick
	db = mustOpen(t, o)
	r.write(t, db, 6)
	converted(t, db)
	r.closing[0] = r.fs.Ops()
	require.NoError(t, db.Close())
	r.closing[1] = r.fs.Ops()
	db = mustOpen(t, inClear(o))
	r.write(t, db, 2)
	require.NoError(t, db.Close())
	return r
}

// openAs opens a store with the key, or without if it is in clear, and reports which.
func openAs(fs vfs.FS, mode LogMode) (db *DB, sealed bool, err error) {
	o := rotatedOptions(fs, mode, 1)
	if db, err = Open("db", o); !errors.Is(err, ErrNotEncrypted) {
		return db, true, err
	}
	db, err = Open("db", inClear(o))
	return db, false, err
}

// R37: the power is cut at every operation while a store becomes an encrypted one, and while that becomes one in clear.
// What is left is the one or the other: it opens with the key or without, and never with what does not fit, it has
// everything that was acknowledged, and it goes on to where it was going.
func TestAPowerCutWhileAStoreIsConverted(t *testing.T) {
	every, deep := 16, 25
	switch {
	case os.Getenv("LOAM_LONG") != "":
		every, deep = 1, 2
	case !testing.Short():
		every = 8
	}
	for _, mode := range []LogMode{LogMapped, LogWritten} {
		r := playConversions(t, mode)
		states, seen := 0, map[bool]int{}
		near := func(k int) bool { // where the store changes from one to the other
			return k > r.encrypting[0] && k <= r.encrypting[1] || k > r.closing[0] && k <= r.closing[1]
		}
		for e, k := r.fs.Explore(), r.encrypting[0]; k <= e.Len(); k++ {
			if e.AdvanceTo(k); k%every > 0 && !(near(k) && k%min(every, 3) == 0) {
				continue
			}
			for s := range e.States(vfs.StateOptions{Random: 1, Pending: 1, Cuts: 1, Expect: uint64(k)}) {
				states++
				fs := s.Mem()
				db, sealed, err := openAs(fs, mode)
				require.NoError(t, err, "%s", s)
				seen[sealed]++
				require.False(t, sealed && (k <= r.encrypting[0] || k >= r.closing[1]), "%s", s)
				require.False(t, !sealed && k >= r.encrypting[1] && k <= r.closing[0], "%s", s)
				r.check(t, db, k, s.String())
				if states%deep == 0 {
					r.finishConversion(t, db, fs, mode, sealed)
					continue
				}
				require.NoError(t, db.Close(), "%s", s)
			}
		}
		t.Logf("%d states, %v", states, seen)
		require.Greater(t, states, 100)
		require.Greater(t, min(seen[false], seen[true]), 20)
	}
}

// check requires everything that was acknowledged before an operation.
func (r *rotation) check(t *testing.T, db *DB, k int, at string) {
	t.Helper()
	for i, ack := range r.acks {
		key, want := rotatedEntry(i)
		got, err := db.Get(key)
		if ack > k && errors.Is(err, ErrNotFound) {
			break
		}
		require.NoError(t, err, "%s: entry %d", at, i)
		require.Equal(t, string(want), string(got), at)
	}
}

// finishConversion takes the store to the end of its way, and the whole way to and fro.
func (r *conversions) finishConversion(t *testing.T, db *DB, fs vfs.FS, mode LogMode, sealed bool) {
	t.Helper()
	ctx := context.Background()
	o := rotatedOptions(fs, mode, 1)
	if sealed {
		converted(t, db)
	}
	n := 0
	for _, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		n++
	}
	require.NoError(t, db.Close())
	for round := range 2 {
		err := Encrypt(ctx, "db", o)
		if round > 0 || !errors.Is(err, ErrEncrypted) {
			require.NoError(t, err)
		}
		db, err = Open("db", o)
		require.NoError(t, err)
		converted(t, db)
		require.NoError(t, db.Close())
		if round > 0 {
			break
		}
		require.NoError(t, Decrypt(ctx, "db", o))
		if db, err = Open("db", o); !errors.Is(err, ErrNotEncrypted) { // it may be done at once
			require.NoError(t, err)
			converted(t, db)
			require.NoError(t, db.Close())
		}
	}
	db, err := Open("db", o)
	require.NoError(t, err)
	for i := range n {
		key, want := rotatedEntry(i)
		got, err := db.Get(key)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
	require.NoError(t, db.Close())
	for name := range filesIn(t, fs, "db") {
		require.False(t, isAsideFile(name), name)
	}
}

// R37: each call that writes fails once, at any moment of a conversion. The store opens after a reopening, and after
// a power cut as well, has what was acknowledged, and can be taken to the end of either way.
func TestAFaultWhileAStoreIsConverted(t *testing.T) {
	every := 3
	if os.Getenv("LOAM_LONG") != "" {
		every = 1
	}
	for _, to := range []manifest.Direction{manifest.ToEncrypted, manifest.ToClear} {
		for n := 0; ; n += every {
			mem := vfs.NewCrashMem()
			faults := vfs.NewFaults(mem)
			r := &conversions{rotation: rotation{fs: mem}}
			o := rotatedOptions(faults, LogWritten, 1)
			begin, made := Encrypt, inClear(o)
			if to == manifest.ToClear {
				begin, made = Decrypt, o
			}
			db := mustOpen(t, made)
			r.write(t, db, 15)
			require.NoError(t, db.Close())
			faults.Add(vfs.Rule{Kinds: vfs.OpWrites, Skip: n, Effect: []vfs.Effect{vfs.Fail, vfs.FailAfter}[n%2], Err: syscall.EIO})
			if begin(context.Background(), "db", o) == nil {
				if db, err := Open("db", o); err == nil {
					awaitConversion(t, db)
					_ = db.Close() // a poisoned one reports it
				}
			}
			fired := faults.Fired()
			faults.Clear()
			for _, fs := range []*vfs.Mem{mem.CrashCopy(), mem} {
				db, sealed, err := openAs(fs, LogWritten)
				require.NoError(t, err, "%d: %v", n, fired)
				r.check(t, db, mem.Ops(), "after a fault")
				if n%(4*every) == 0 {
					r.finishConversion(t, db, fs, LogWritten, sealed)
				} else {
					require.NoError(t, db.Close())
				}
			}
			if len(fired) == 0 {
				require.Greater(t, n, 50)
				break
			}
		}
	}
}

// awaitConversion waits until a conversion has come to its end, or the store has failed.
func awaitConversion(t *testing.T, db *DB) {
	t.Helper()
	require.Eventually(t, func() bool {
		st, err := db.KeyStatus()
		return err != nil || db.poison.err() != nil || st.Left == 0
	}, 30*time.Second, time.Millisecond)
}
