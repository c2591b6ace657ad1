package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// filesOf reads the files of a directory.
func filesOf(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	files := map[string][]byte{}
	for _, e := range entries {
		files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
	}
	return files
}

// opened opens a store of files that were changed, reads all of it, and returns the first error.
func opened(t *testing.T, files map[string][]byte, e *lsm.Encryption, change func(map[string][]byte)) error {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.Mkdir(dir, 0o700))
	changed := map[string][]byte{}
	for name, content := range files {
		changed[name] = bytes.Clone(content)
	}
	change(changed)
	for name, content := range changed {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	store, err := state.Open(dir, &state.Options{Engine: &lsm.Options{Encryption: e}})
	if err != nil {
		return err
	}
	return errors.Join(store.Engine().Verify(ctx), store.Close())
}

// B60: nothing that the state layer writes, entries of indexes, events and names of scopes among it, is in clear in a
// file or its name; a changed bit, exchanged files, an earlier manifest or store beside an anchor, and a wrong key are
// refused. A store in clear shows that what is looked for could be found. A store in memory has no files.
func TestAnEncryptedStoreShowsNothingAndBelievesNothing(t *testing.T) {
	const mark = "canary"
	made := func(e *lsm.Encryption) *fixture {
		o := &lsm.Options{Encryption: e, Compression: lsm.NoCompression}
		seams.Inject(o, seams.Seams{Sizing: seams.Sizing{SettleAfter: time.Hour}}) // at rest it would make one table of two
		f := &fixture{t: t, dir: filepath.Join(t.TempDir(), "store"), opts: &state.Options{
			Timeline: &state.TimelineOptions{RecordValues: true}, Engine: o,
		}}
		f.open()
		sc := f.Scope(scope.Agent(mark + "-agent"))
		require.NoError(t, sc.Set(ctx, mark+"-key", mark, state.WithCorrelation(mark)))
		require.NoError(t, sc.Set(ctx, "large", strings.Repeat(mark, 5000)))
		require.NoError(t, people(t, sc, byMail, byTeam).Set(ctx, mark+"-doc", person{Mail: mark + "@x", Team: mark}))
		_, err := sc.AcquireLease(ctx, mark+"-lease", mark, time.Hour)
		require.NoError(t, err)
		require.NoError(t, f.Engine().Flush(ctx))
		require.NoError(t, sc.AppendBlind(ctx, mark+"-list", mark)) // in the log alone
		require.NoError(t, f.Close())
		return f
	}
	shows := func(dir string) (n int) {
		for name, content := range filesOf(t, dir) {
			if bytes.Contains(content, []byte(mark)) || strings.Contains(name, mark) {
				n++
			}
		}
		return n
	}
	require.Positive(t, shows(made(nil).dir), "in clear")
	f := made(encryptionIf(true))
	require.Zero(t, shows(f.dir))

	older := filesOf(t, f.dir)
	f.open()
	require.NoError(t, f.Set(ctx, agent, "k", 1))
	require.NoError(t, f.Engine().Flush(ctx))
	anchor, err := f.Engine().Anchor()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	newer, anchored := filesOf(t, f.dir), encryptionIf(true)
	anchored.MinAnchor = anchor
	require.NoError(t, opened(t, newer, anchored, func(map[string][]byte) {}))

	err = opened(t, newer, &lsm.Encryption{Key: crypto.KeyBytes(bytes.Repeat([]byte{9}, crypto.KeyLen))}, func(map[string][]byte) {})
	require.ErrorIs(t, err, lsm.ErrWrongKey)
	require.NotErrorIs(t, err, lsm.ErrCorrupt)
	var tables []string
	for name, content := range newer {
		if strings.HasSuffix(name, ".sst") {
			tables = append(tables, name)
		}
		if name == "LOCK" || name == "CURRENT" || strings.HasPrefix(name, "wal-") {
			continue // of the log what no record says was synced is a torn tail: package lsm has its tests
		}
		at := min(len(content)/2, 200) // where something is: behind it a manifest has room for more
		err := opened(t, newer, encryptionIf(true), func(files map[string][]byte) { files[name][at] ^= 1 })
		require.ErrorIs(t, err, lsm.ErrCorrupt, name)
	}
	require.GreaterOrEqual(t, len(tables), 2)
	one, two := tables[0], tables[1]
	require.ErrorIs(t, opened(t, newer, encryptionIf(true), func(files map[string][]byte) {
		files[one], files[two] = files[two], files[one]
	}), lsm.ErrCorrupt)
	require.ErrorIs(t, opened(t, older, anchored, func(map[string][]byte) {}), lsm.ErrRollback)
	require.ErrorIs(t, opened(t, newer, anchored, func(files map[string][]byte) {
		for name, content := range older {
			if name == "CURRENT" || strings.HasPrefix(name, "MANIFEST-") {
				files[name] = content
			}
		}
	}), lsm.ErrRollback)
}

// B61: master keys and data keys are changed while others write and read. Nothing is lost, and an old data key goes when
// KeyStatus has nothing under it, and not before.
func TestKeysAreChangedUnderLoad(t *testing.T) {
	master := func(i byte) *lsm.Encryption {
		return &lsm.Encryption{Key: crypto.KeyBytes(bytes.Repeat([]byte{i}, crypto.KeyLen))}
	}
	everywhere(t, &state.Options{NoSync: true, Engine: &lsm.Options{Encryption: master(40)}}, func(t *testing.T, f *fixture) {
		var done atomic.Bool
		var begun, all sync.WaitGroup
		var acknowledged [4]int64
		begun.Add(len(acknowledged))
		for i := range acknowledged {
			all.Go(func() {
				key := fmt.Sprint("k", i)
				var wrote sync.Once
				defer wrote.Do(begun.Done)
				for n := int64(1); !done.Load(); n++ {
					if err := f.Set(ctx, agent, key, n); err != nil {
						t.Error(err)
						return
					}
					if v, err := f.Get(ctx, agent, key); err != nil || v != n {
						t.Errorf("%v %v instead of %d", v, err, n)
						return
					}
					acknowledged[i] = n
					wrote.Do(begun.Done)
				}
			})
		}
		end := func() { done.Store(true); all.Wait() }
		defer end()
		begun.Wait()
		e := f.Engine()
		for i := byte(41); i < 44; i++ {
			before, err := e.KeyStatus()
			require.NoError(t, err)
			old := before.Active
			require.ErrorIs(t, e.RetireDataKey(old, nil), crypto.ErrActive)
			require.NoError(t, e.RotateMasterKey(ctx, master(i).Key))
			require.NoError(t, e.RotateDataKeys())
			var status state.KeyStatus
			require.Eventually(t, func() bool {
				if err = e.RetireDataKey(old, nil); errors.Is(err, crypto.ErrInUse) {
					return false
				}
				status, _ = e.KeyStatus()
				return true
			}, time.Minute, time.Millisecond)
			require.NoError(t, err)
			k := status.Keys[old-1]
			require.Equal(t, crypto.Retired, k.State)
			require.Zero(t, k.Bytes)
			require.False(t, k.Manifest)
		}
		end()
		for range 2 {
			for i, n := range acknowledged {
				v, err := f.Get(ctx, agent, fmt.Sprint("k", i))
				require.NoError(t, err)
				require.Positive(t, n)
				require.Equal(t, n, v)
			}
			require.NoError(t, f.Engine().Verify(ctx))
			if f.dir == "" {
				break
			}
			f.opts = &state.Options{Engine: &lsm.Options{Encryption: master(43)}}
			f.reopen()
		}
	})
}
