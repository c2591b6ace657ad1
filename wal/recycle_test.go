package wal_test

import (
	"math/rand/v2"
	"path"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

func TestObsoleteSlotsAreUsedAgain(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		o := newOwner(memFS(), mode, 20)
		l, _, _ := o.mustOpen(t)
		next := keys.SeqNum(1)
		for range 60 {
			appendAll(t, l, wal.NoSync, sequence(next, 30, 200)...)
			next += 30
			require.NoError(t, o.drop(l, l.Current()))
		}
		require.Greater(t, l.Current(), wal.SegmentNum(30))
		require.NoError(t, l.Close())
		names, err := o.opts.FS.List(storeDir)
		require.NoError(t, err)
		require.Less(t, len(names), 14, "%v", names)
		_, _, err = o.replay()
		require.NoError(t, err)
	})
}

// A slot's earlier records end exactly where the new life's next record would begin:
// equal sizes, so that stale headers lie at every place a reader looks at.
func TestRecycledSlotNeverShowsAnEarlierLife(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		o := newOwner(memFS(), mode, 21)
		o.opts.MaxSegmentBytes = o.opts.MinSegmentBytes
		next := keys.SeqNum(1)
		for life := range 12 {
			l, rec, got := o.mustOpen(t)
			if life > 0 {
				require.Equal(t, wal.Clean, rec.Verdict)
				require.NotEmpty(t, got)
				require.Equal(t, next-1, got[len(got)-1].First)
			}
			// A short log in a slot that an earlier life has filled.
			appendAll(t, l, wal.NoSync, sequence(next, 1+life, 128)...)
			next += keys.SeqNum(1 + life)
			rec, got, err := o.replay()
			require.NoError(t, err, "read as a killed process leaves it")
			require.Equal(t, next-1, got[len(got)-1].First)
			require.Equal(t, wal.Unclosed, rec.Verdict)
			// Several full segments, dropped.
			appendAll(t, l, wal.NoSync, sequence(next, 100, 128)...)
			next += 100
			require.NoError(t, o.drop(l, l.Current()))
			require.NoError(t, l.Close())
		}
	})
}

func TestFreeSlotsOfAnyContentAreUsable(t *testing.T) {
	contents := map[string]func(r *rand.Rand, segment []byte) []byte{
		"empty":             func(*rand.Rand, []byte) []byte { return nil },
		"short":             func(_ *rand.Rand, s []byte) []byte { return s[:100] },
		"header only":       func(_ *rand.Rand, s []byte) []byte { return s[:4096] },
		"truncated":         func(_ *rand.Rand, s []byte) []byte { return s[:len(s)-1] },
		"whole":             func(_ *rand.Rand, s []byte) []byte { return s },
		"longer":            func(_ *rand.Rand, s []byte) []byte { return append(s, s...) },
		"damaged header":    func(_ *rand.Rand, s []byte) []byte { s[50]++; return s },
		"damaged record":    func(_ *rand.Rand, s []byte) []byte { s[4100]++; return s },
		"without a header":  func(_ *rand.Rand, s []byte) []byte { clear(s[:4096]); return s },
		"records misplaced": func(_ *rand.Rand, s []byte) []byte { copy(s[4096:], s[4296:]); return s },
		"garbage": func(r *rand.Rand, s []byte) []byte {
			for i := range s {
				s[i] = byte(r.Uint32())
			}
			return s
		},
	}
	// A segment of the same store, and one of another store, both full of records.
	full := func(o *owner) []byte {
		l, _, _ := o.mustOpen(t)
		appendAll(t, l, wal.NoSync, sequence(1, 14, 200)...)
		require.Equal(t, wal.SegmentNum(1), l.Current())
		require.NoError(t, l.Close())
		return readAll(t, o.opts.FS, wal.SlotName(1))
	}
	foreign := newOwner(memFS(), wal.Mapped, 23)
	foreign.opts.Store = [16]byte{0xff}
	templates := map[string][]byte{"own": full(newOwner(memFS(), wal.Mapped, 22)), "foreign": full(foreign)}
	for whose, template := range templates {
		for name, content := range contents {
			t.Run(whose+" "+name, func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, 1))
				fs := memFS()
				require.NoError(t, fs.MkdirAll(storeDir))
				for _, slot := range []wal.Slot{1, 2, 5} {
					writeAll(t, fs, wal.SlotName(slot), content(r, append([]byte(nil), template...)))
				}
				o := newOwner(fs, wal.Mapped, 24)
				if whose == "own" && (name == "whole" || name == "longer") {
					// Used segments are listed first: this list is older than the log.
					_, _, err := o.replay()
					require.ErrorIs(t, err, wal.ErrCorrupt)
					return
				}
				l, _, _ := o.mustOpen(t)
				want := sequence(1, 80, 200)
				for i, e := range want {
					appendAll(t, l, wal.NoSync, e)
					_, got, err := o.replay()
					require.NoError(t, err)
					require.Equal(t, want[:i+1], got)
				}
				require.NoError(t, l.Close())
				_, got, err := o.replay()
				require.NoError(t, err)
				require.Equal(t, want, got)
			})
		}
	}
}

// A random source that starts over would give a slot the identity of its last life,
// and with it that life's records.
func TestRepeatedIdentityIsRefused(t *testing.T) {
	o := newOwner(memFS(), wal.Mapped, 26)
	l, _, _ := o.mustOpen(t)
	require.NoError(t, l.Close())
	o.opts.Random = newRandom(26)
	_, err := wal.PrepareFirst(o.opts, o.list.Next, nil)
	require.ErrorContains(t, err, "random source")
	_, err = wal.PrepareFirst(o.opts, o.list.Next, nil)
	require.NoError(t, err, "it has gone on since")
}

func TestSlotGrowsWithTheLog(t *testing.T) {
	o := newOwner(memFS(), wal.Mapped, 25)
	o.opts.MaxSegmentBytes = 64 << 10
	l, _, _ := o.mustOpen(t)
	appendAll(t, l, wal.NoSync, sequence(1, 1000, 200)...)
	require.NoError(t, l.Close())
	var sizes []int64
	for _, seg := range o.list.Live {
		sizes = append(sizes, seg.Bytes)
	}
	require.Equal(t, []int64{8 << 10, 16 << 10, 32 << 10, 64 << 10, 64 << 10}, sizes[:5])
}

func readAll(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(path.Join(storeDir, name), vfs.ReadOnly)
	require.NoError(t, err)
	defer f.Close()
	size, err := f.Size()
	require.NoError(t, err)
	p := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(p, 0)
		require.NoError(t, err)
	}
	return p
}

// writeAll makes a file of exactly this content, replacing one that is there.
func writeAll(t testing.TB, fs vfs.FS, name string, p []byte) {
	t.Helper()
	f, err := fs.Open(path.Join(storeDir, name), vfs.ReadWrite)
	if err != nil {
		f, err = fs.Create(path.Join(storeDir, name))
	}
	require.NoError(t, err)
	require.NoError(t, f.Truncate(0))
	if len(p) > 0 {
		_, err = f.WriteAt(p, 0)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
}
