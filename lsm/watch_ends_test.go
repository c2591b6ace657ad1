package lsm_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// Nothing is shown that was not published: of a commit whose sync fails nobody hears.
func TestWatchersHearNothingOfFailedCommits(t *testing.T) {
	faults := vfs.NewFaults(vfs.NewMem())
	db := sizedMemory(t, faults, 0)
	w, err := db.Watch(context.Background(), nil)
	f := follow(t, w, err)
	require.NoError(t, db.Set(bytesOf("a"), bytesOf("1"), nil))
	require.NoError(t, db.Set(bytesOf("u"), bytesOf("1"), lsm.NoSync)) // so that the next sync is apart from its write
	f.expect("set a = 1.", "set u = 1.")
	faults.Add(vfs.Rule{Kinds: vfs.OpSync, Glob: "wal-*", Forever: true})
	require.ErrorIs(t, db.Set(bytesOf("b"), bytesOf("2"), nil), lsm.ErrPoisoned)
	require.Error(t, db.Set(bytesOf("c"), bytesOf("3"), lsm.NoSync))
	for range 2 {
		_, err = f.next()
		require.ErrorIs(t, err, lsm.ErrPoisoned)
	}
	require.Equal(t, model{"a": "1", "u": "1"}, f.copy)
	later, err := db.Watch(context.Background(), nil)
	_, err = follow(t, later, err).next()
	require.ErrorIs(t, err, lsm.ErrPoisoned)
	_, err = w.Position()
	require.ErrorIs(t, err, lsm.ErrPoisoned)
}

// Whatever ends a watch ends a Next that waits, and leaves no goroutine.
func TestWatchesEnd(t *testing.T) {
	ended := errors.New("enough")
	for name, c := range map[string]struct {
		end  func(db *lsm.DB, w *lsm.Watcher, cancel context.CancelCauseFunc)
		want error
	}{
		"context": {func(_ *lsm.DB, _ *lsm.Watcher, cancel context.CancelCauseFunc) { cancel(ended) }, ended},
		"watcher": {func(_ *lsm.DB, w *lsm.Watcher, _ context.CancelCauseFunc) { _ = w.Close() }, lsm.ErrClosed},
		"store":   {func(db *lsm.DB, _ *lsm.Watcher, _ context.CancelCauseFunc) { _ = db.Close() }, lsm.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := sizedMemory(t, vfs.NewMem(), 0)
				ctx, cancel := context.WithCancelCause(context.Background())
				defer cancel(nil)
				w, err := db.Watch(ctx, nil)
				require.NoError(t, err)
				got := make(chan error, 2)
				for range 2 {
					go func() {
						for {
							if _, err := w.Next(); err != nil {
								got <- err
								return
							}
						}
					}()
				}
				require.NoError(t, db.Set(bytesOf("k"), nil, nil))
				synctest.Wait()
				require.Empty(t, got)
				c.end(db, w, cancel)
				require.ErrorIs(t, <-got, c.want)
				require.ErrorIs(t, <-got, c.want)
				_, err = w.Next()
				require.ErrorIs(t, err, c.want)
				require.NoError(t, w.Close())
				require.Zero(t, db.Metrics().Watchers)
				require.NoError(t, db.Close())
				_, err = db.Watch(context.Background(), nil)
				require.ErrorIs(t, err, lsm.ErrClosed)
				time.Sleep(time.Minute) // what is left would show now
			})
		})
	}
}

func TestBadWatchesAreRefused(t *testing.T) {
	db := openMemory(t, lsm.Options{})
	ctx := context.Background()
	_, err := db.Watch(ctx, &lsm.WatchOptions{LowerBound: bytesOf("b"), UpperBound: bytesOf("a")})
	require.ErrorIs(t, err, lsm.ErrInvalidRange)
	_, err = db.Watch(ctx, &lsm.WatchOptions{Prefix: make([]byte, 70_000)})
	require.ErrorIs(t, err, lsm.ErrTooLarge)
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, err = db.Watch(done, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, db.Metrics().Watchers)

	dir := t.TempDir()
	db, err = lsm.Open(dir, nil)
	require.NoError(t, err)
	require.NoError(t, db.Set(bytesOf("k"), nil, nil))
	require.NoError(t, db.Close())
	db, err = lsm.Open(dir, &lsm.Options{ReadOnly: true})
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Watch(ctx, nil)
	require.ErrorIs(t, err, lsm.ErrReadOnly)
}
