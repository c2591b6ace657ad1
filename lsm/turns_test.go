package lsm

import (
	"path"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
	"github.com/stretchr/testify/require"
)

// slowFS has a device that takes a millisecond to sync, or to write synced, files of the log.
// Files that are synced under a mutex must not be slow: under testing/synctest who waits for
// a mutex keeps time from passing.
type slowFS struct{ vfs.FS }

func isLog(name string) bool {
	_, ok := wal.ParseSlotName(path.Base(name))
	return ok
}

type slowFile struct {
	vfs.File
	dsync bool
}

func (s slowFS) Open(name string, mode vfs.OpenMode) (vfs.File, error) {
	f, err := s.FS.Open(name, mode)
	if err != nil || !isLog(name) {
		return f, err
	}
	return slowFile{f, mode == vfs.ReadWriteDSync}, nil
}

func (s slowFS) Create(name string) (vfs.File, error) {
	f, err := s.FS.Create(name)
	if err != nil || !isLog(name) {
		return f, err
	}
	return slowFile{f, false}, nil
}

func (f slowFile) Sync() error {
	time.Sleep(time.Millisecond)
	return f.File.Sync()
}

func (f slowFile) WriteAt(p []byte, off int64) (int, error) {
	if f.dsync {
		time.Sleep(time.Millisecond)
	}
	return f.File.WriteAt(p, off)
}

// Beside a writer who synced one commit after the other an unsynced one got one commit in
// for each of them.
func TestUnsyncedWritersHaveTheirTurn(t *testing.T) {
	for _, mode := range []LogMode{LogMapped, LogWritten} {
		synctest.Test(t, func(t *testing.T) {
			db := openSized(t, slowFS{vfs.NewMem()}, Options{LogMode: mode}, small())
			stop := make(chan struct{})
			synced, unsynced := 0, 0
			write := func(w *WriteOptions, n *int, pause time.Duration, done chan<- struct{}) {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
					}
					if db.Set([]byte("k"), []byte("v"), w) != nil {
						return
					}
					*n++
					time.Sleep(pause)
				}
			}
			a, b := make(chan struct{}), make(chan struct{})
			go write(Sync, &synced, 0, a)
			go write(NoSync, &unsynced, 20*time.Microsecond, b)
			time.Sleep(time.Second)
			close(stop)
			<-a
			<-b
			require.Greater(t, synced, 200, "synced writers go on")
			require.Greater(t, unsynced, 10*synced)
			require.NoError(t, db.Close())
		})
	}
}

// A synced writer alone, or among its like, is never delayed.
func TestSyncedWritersAloneTakeNoTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openSized(t, slowFS{vfs.NewMem()}, Options{}, small())
		begin := time.Now()
		for range 100 {
			require.NoError(t, db.Set([]byte("k"), []byte("v"), Sync))
		}
		require.Less(t, time.Since(begin), 110*time.Millisecond)
		require.NoError(t, db.Close())
	})
}
