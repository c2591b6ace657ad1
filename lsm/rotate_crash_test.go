package lsm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
)

// rotation is a history of a store whose keys are all changed, on a file system that can be cut at
// any operation.
type rotation struct {
	fs   *vfs.Mem
	acks []int // operations after which the nth entry was acknowledged

	begun   int // operations before the data key was rotated
	retired int // after the first data key was retired
	from    int // before the master key was changed
	changed int // after it
}

func rotatedOptions(fs vfs.FS, mode LogMode, key byte) *Options {
	return &Options{
		Encryption: &Encryption{Key: masterKey(key)}, LogMode: mode, CompactionWorkers: 1, SyncInterval: -1, BlobThreshold: 200,
		seams: seams.Seams{FS: fs, Sizing: seams.Sizing{
			MinSegmentBytes: 8 << 10, MaxSegmentBytes: 8 << 10, MinMemtableBytes: 8 << 10, MemtableBytes: 8 << 10,
			BudgetBytes: 256 << 10, TableBytes: 8 << 10, ManifestBytes: 1 << 10,
		}},
	}
}

func rotatedEntry(i int) (key, value []byte) {
	return fmt.Appendf(nil, "k%03d", i), bytes.Repeat(fmt.Appendf(nil, "v%03d", i), 1+i%5*20)
}

func (r *rotation) write(t *testing.T, db *DB, n int) {
	t.Helper()
	for range n {
		key, value := rotatedEntry(len(r.acks))
		require.NoError(t, db.Set(key, value, nil))
		r.acks = append(r.acks, r.fs.Ops())
	}
}

// play is the history: a rotation of data keys to its end, a retirement, a new master key.
func play(t *testing.T, mode LogMode) *rotation {
	t.Helper()
	r := &rotation{fs: vfs.NewCrashMem()}
	db := mustOpen(t, rotatedOptions(r.fs, mode, 1))
	r.write(t, db, 40)
	r.begun = r.fs.Ops()
	require.NoError(t, db.RotateDataKeys())
	r.write(t, db, 4)
	leaves(t, db, 1)
	retire(t, db, 1)
	r.retired = r.fs.Ops()
	r.write(t, db, 2)
	r.from = r.fs.Ops()
	require.NoError(t, db.RotateMasterKey(t.Context(), masterKey(2)))
	r.changed = r.fs.Ops()
	r.write(t, db, 2)
	require.NoError(t, db.Close())
	return r
}

// open opens what a power cut after k operations has left, with the master keys that it may have.
func (r *rotation) open(k int, fs vfs.FS, mode LogMode) (*DB, error) {
	masters := []byte{1, 2}
	switch {
	case k >= r.changed:
		masters = masters[1:]
	case k <= r.from:
		masters = masters[:1]
	}
	return openAny(fs, mode, masters)
}

// openAny opens a store with that of the master keys which fits.
func openAny(fs vfs.FS, mode LogMode, masters []byte) (*DB, error) {
	var db *DB
	var err error
	for _, m := range masters {
		if db, err = Open("db", rotatedOptions(fs, mode, m)); !errors.Is(err, ErrWrongKey) {
			break
		}
	}
	return db, err
}

// B61, R37: the power is cut at every operation of a rotation of data keys, of the retirement of the
// old one, and of a change of the master key. What is left opens with the old master key or the new
// one, has everything that was acknowledged, and goes on to leave the old data key, until it can be
// retired.
func TestAPowerCutWhileKeysAreRotated(t *testing.T) {
	every, deep := 4, 25
	switch {
	case os.Getenv("LOAM_LONG") != "":
		every, deep = 1, 2
	case !testing.Short():
		every = 1
	}
	for _, mode := range []LogMode{LogMapped, LogWritten} {
		r := play(t, mode)
		states := 0
		for e, k := r.fs.Explore(), r.begun; k <= e.Len(); k++ {
			if e.AdvanceTo(k); k%every > 0 && (k < r.from || k > r.changed) {
				continue
			}
			for s := range e.States(vfs.StateOptions{Random: 1, Pending: 1, Cuts: 1, Expect: uint64(k)}) {
				states++
				db, err := r.open(k, s.Mem(), mode)
				require.NoError(t, err, "%s", s)
				for i, at := range r.acks {
					key, want := rotatedEntry(i)
					got, err := db.Get(key)
					if at > k && errors.Is(err, ErrNotFound) {
						break
					}
					require.NoError(t, err, "%s: entry %d", s, i)
					require.Equal(t, string(want), string(got), "%s", s)
				}
				if states%deep == 0 {
					r.finish(t, db, k)
				}
				require.NoError(t, db.Close(), "%s", s)
			}
		}
		t.Logf("%d states", states)
		require.Greater(t, states, 100)
	}
}

// finish rotates what is left to the end.
func (r *rotation) finish(t *testing.T, db *DB, k int) {
	t.Helper()
	if st := keyStatus(t, db, 1); st.State == crypto.Active { // the cut came before the new key
		require.Less(t, k, r.retired)
		require.NoError(t, db.RotateDataKeys())
	} else if st.State == crypto.Retiring && !st.Leaving {
		require.NoError(t, db.RotateDataKeys()) // it came before the manifest had it
	}
	leaves(t, db, 1)
	if keyStatus(t, db, 1).State != crypto.Retired {
		require.Less(t, k, r.retired)
		retire(t, db, 1)
	}
}

// B61, R37: each call that writes fails once, at any moment of the same. Whatever stopped writing,
// or was only reported, what was acknowledged is there after a reopening, and after a power cut as
// well; and the keys can be rotated to the end.
func TestAFaultWhileKeysAreRotated(t *testing.T) {
	every := 2
	if !testing.Short() || os.Getenv("LOAM_LONG") != "" {
		every = 1
	}
	for n := 0; ; n += every {
		mem := vfs.NewCrashMem()
		faults := vfs.NewFaults(mem)
		r := &rotation{fs: mem}
		db := mustOpen(t, rotatedOptions(faults, LogWritten, 1))
		r.write(t, db, 15)
		faults.Add(vfs.Rule{Kinds: vfs.OpWrites, Skip: n, Effect: []vfs.Effect{vfs.Fail, vfs.FailAfter}[n%2], Err: syscall.EIO})
		_ = rotateAll(t, db) // whatever it says
		fired := faults.Fired()
		faults.Clear()
		_ = db.Close() // a poisoned one reports it
		for _, fs := range []*vfs.Mem{mem.CrashCopy(), mem} {
			db, err := openAny(fs, LogWritten, []byte{1, 2})
			require.NoError(t, err, "%d: %v", n, fired)
			for i := range r.acks {
				key, want := rotatedEntry(i)
				got, err := db.Get(key)
				require.NoError(t, err, "%d: %v", n, fired)
				require.Equal(t, string(want), string(got))
			}
			require.NoError(t, rotateAll(t, db), "%d: %v", n, fired)
			require.NoError(t, db.Close())
		}
		if len(fired) == 0 {
			require.Greater(t, n, 50)
			return
		}
	}
}

// rotateAll rotates the data keys until none but the active one is left, and the master key to the
// second, unless a call fails or the store stops writing.
func rotateAll(t *testing.T, db *DB) error {
	t.Helper()
	if err := db.RotateDataKeys(); err != nil {
		return err
	}
	st, err := db.KeyStatus()
	require.NoError(t, err)
	for _, k := range st.Keys[:st.Active-1] {
		if k.State == crypto.Retired {
			continue
		}
		require.Eventually(t, func() bool {
			err = db.RetireDataKey(k.ID, nil)
			return !errors.Is(err, crypto.ErrInUse)
		}, 30*time.Second, time.Millisecond)
		if err != nil {
			return err
		}
	}
	return db.RotateMasterKey(t.Context(), masterKey(2))
}
