package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"testing"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// ending is how the store's process ends between two tests of a suite.
type ending int

const (
	closed   ending = iota // DB.Close, on disk
	killed                 // what it has written is there
	powerCut               // what it has synced is there, and nothing else
)

// home is a store that outlives its processes.
type home struct {
	t      testing.TB
	how    ending
	scoped bool
	key    *lsm.Encryption // nil: in clear
	disk   string
	mem    *vfs.Mem

	db    *lsm.DB
	sc    *lsm.Scope // nil: the root
	used  bool       // since it was opened
	opens int
}

// everyHome runs a test in homes of each kind. Of those that end in one way one is encrypted.
func everyHome(t *testing.T, test func(t *testing.T, h *home)) {
	for how, name := range []string{"closed", "killed", "power cut"} {
		if testing.Short() && ending(how) != killed {
			continue
		}
		for _, scoped := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/scope=%v", name, scoped), func(t *testing.T) {
				h := &home{t: t, how: ending(how), scoped: scoped}
				if scoped != (h.how == killed) {
					h.key = &lsm.Encryption{Key: crypto.KeyBytes(bytes.Repeat([]byte{1}, crypto.KeyLen))}
				}
				if h.how == closed {
					h.disk = t.TempDir()
				} else {
					h.mem = vfs.NewCrashMem()
				}
				h.open()
				test(t, h)
				h.restart()
				_ = h.db.Close() // some tests leave iterators open
				require.Greater(t, h.opens, 2)
			})
		}
	}
}

func (h *home) open() {
	o := &lsm.Options{MemoryBudget: 4 << 20, CompactionWorkers: 1, SyncInterval: -1, Encryption: h.key}
	dir := filepath.Join(h.disk, "db")
	if h.mem != nil {
		seams.Inject(o, seams.Seams{FS: h.mem, Sizing: seams.Sizing{MinSegmentBytes: 64 << 10, MaxSegmentBytes: 256 << 10, ManifestBytes: 16 << 10}})
		dir = "db"
	}
	var err error
	h.db, err = lsm.Open(dir, o)
	require.NoError(h.t, err)
	if h.sc = nil; h.scoped {
		h.sc, err = h.db.Scope(scope.Custom("suite"))
		require.NoError(h.t, err)
	}
	h.used = false
	h.opens++
}

// restart ends the store as its home does, opens it again, and makes sure that it holds what
// it held.
func (h *home) restart() {
	before := h.contents()
	switch h.how {
	case killed:
		h.mem = h.mem.Copy().CopyDurable()
	case powerCut:
		require.NoError(h.t, h.sync())
		h.mem = h.mem.CrashCopy().CopyDurable()
	}
	if err := h.db.Close(); !errors.Is(err, lsm.ErrInUse) { // some tests leave iterators open
		require.NoError(h.t, err)
	}
	h.open()
	require.True(h.t, maps.Equal(before, h.contents()), "the store holds something else after it was %v", h.how)
}

// sync makes everything durable.
func (h *home) sync() error { return h.db.Flush(context.Background()) }

func (h *home) contents() map[string]string {
	m := map[string]string{}
	for e, err := range h.verbs().Scan(nil, nil) {
		require.NoError(h.t, err)
		m[string(e.Key)] = string(e.Value)
	}
	return m
}

// clear removes everything.
func (h *home) clear() { require.NoError(h.t, h.verbs().DeleteRange(nil, nil, lsm.NoSync)) }
