package wal_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

// ledger knows what a store was asked to do, and when it said that it had.
type ledger struct {
	issued []entry
	acks   []ack
}

// ack: once so many operations had reached the file system, the first n batches were
// acknowledged as synced.
type ack struct{ ops, n int }

func (l *ledger) acked(k int) int {
	n := 0
	for _, a := range l.acks {
		if a.ops <= k {
			n = max(n, a.n)
		}
	}
	return n
}

// verify checks what a recovery returned against the first n issued batches, which it
// must contain: everything in order from what the tables lack on, nothing else.
func (l *ledger) verify(got []entry, flushed keys.SeqNum, n int) error {
	i := 0
	for i < len(l.issued) && l.issued[i].First <= flushed {
		i++
	}
	for len(got) > 0 && got[0].First <= flushed {
		got = got[1:]
	}
	if i+len(got) < n {
		return fmt.Errorf("%d of %d synced batches came back", i+len(got), n)
	}
	if i+len(got) > len(l.issued) || !slices.Equal(got, l.issued[i:i+len(got)]) {
		return fmt.Errorf("what came back is no prefix: %v after %d, of %v", got, flushed, l.issued)
	}
	return nil
}

// workload runs a store through everything that moves its files: groups of each
// intent, rotation, a split batch, drops with recycling, marks, a clean close, a
// reopening.
func workload(t testing.TB, fs *vfs.Mem, mode wal.Mode, seed uint64) *ledger {
	r := rand.New(rand.NewPCG(seed, 9))
	o, led := newOwner(fs, mode, seed), &ledger{}
	next := keys.SeqNum(1)
	for range 2 {
		l, _, got := o.mustOpen(t)
		require.NoError(t, led.verify(got, o.list.Flushed, len(led.issued)))
		for step := range 14 {
			var group []entry
			for range 1 + r.IntN(3) {
				group = append(group, entry{First: next, Count: 2, Size: r.IntN(500)})
				next += 2
			}
			if step == 7 {
				group[0].Size = 4000
			}
			intent := wal.Intent(r.IntN(3))
			led.issued = append(led.issued, group...)
			at, err := l.Append(batches(group...), intent)
			require.NoError(t, err)
			if intent != wal.NoSync {
				require.NoError(t, l.Sync(at))
				led.acks = append(led.acks, ack{fs.Ops(), len(led.issued)})
			}
			if step == 10 {
				require.NoError(t, l.Mark())
			}
			if step%5 == 4 {
				o.flush(t, l, next-1)
			}
		}
		require.NoError(t, l.Close())
		led.acks = append(led.acks, ack{fs.Ops(), len(led.issued)})
	}
	return led
}

// flush moves everything up to a number into the tables, as it were.
func (o *owner) flush(t testing.TB, l *wal.Log, upTo keys.SeqNum) {
	min := l.Current()
	require.NoError(t, o.edit(func(m *manifest) {
		m.Flushed = upTo
		m.Live = slices.DeleteFunc(m.Live, func(s wal.Segment) bool { return s.Num < min })
	}))
	l.Obsolete(min)
}

// TestCrashAtEveryOperation cuts the power at every operation of a workload, recovers
// from the states that may be left, writes on, and recovers again. A sample of the
// recoveries is itself cut at every operation.
func TestCrashAtEveryOperation(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		seeds, keep, pending := 2, 1, 6
		switch {
		case os.Getenv("LOAM_LONG") != "":
			seeds, keep, pending = 60, 1, 16
		case testing.Short():
			seeds, pending = 1, 3
		}
		states := 0
		for seed := range uint64(seeds) {
			fs := vfs.NewCrashMem()
			led := workload(t, fs, mode, seed)
			r := rand.New(rand.NewPCG(seed, 77))
			e := fs.Explore()
			for k := range e.Len() + 1 {
				e.AdvanceTo(k)
				acked := led.acked(k)
				o := vfs.StateOptions{Seed: seed, Random: 2, Pending: pending, Cuts: 4, Expect: uint64(acked) + 1}
				for state := range e.States(o) {
					if r.IntN(keep) != 0 {
						continue
					}
					states++
					deep := r.IntN(40*keep) == 0
					survive(t, state.CrashMem(), mode, led, acked, 2, deep, fmt.Sprintf("seed %d, %v", seed, state))
				}
			}
		}
		t.Logf("%d states", states)
	})
}

// survive recovers from a state, compares with the ledger, writes a little, dies, and
// recovers once more, lives times over. With deep, the recovery itself is cut at each of
// its operations.
func survive(t *testing.T, disk *vfs.Mem, mode wal.Mode, led *ledger, acked, lives int, deep bool, where string) {
	l, next := recovered(t, disk, mode, led, acked, where)
	if deep {
		e := disk.Explore()
		for k := range e.Len() + 1 {
			e.AdvanceTo(k)
			for state := range e.States(vfs.StateOptions{Pending: 1, Cuts: 1, Expect: 1}) {
				survive(t, state.CrashMem(), mode, led, acked, lives, false, fmt.Sprintf("%s, then %v of its recovery", where, state))
			}
		}
	}
	if lives == 0 {
		require.NoError(t, l.Close(), where)
		return
	}
	e := entry{First: 10_000 * keys.SeqNum(10-lives), Count: 1, Size: 30}
	next.issued = append(next.issued, e)
	at, err := l.Append(batches(e), wal.Intent(lives))
	require.NoError(t, err, where)
	require.NoError(t, l.Sync(at), where)
	again := disk.CrashCopy().CopyDurable()
	require.NoError(t, l.Close(), where)
	survive(t, again, mode, next, len(next.issued), lives-1, false, where+", then again")
}

// recovered opens a store, compares what it recovers with the ledger, and returns the
// log with the history that the recovery has chosen.
func recovered(t *testing.T, fs vfs.FS, mode wal.Mode, led *ledger, acked int, where string) (*wal.Log, *ledger) {
	h := fnv.New64()
	_, _ = h.Write([]byte(where)) // every life draws UIDs of its own
	o := newOwner(fs, mode, h.Sum64())
	l, _, got, err := o.open()
	require.NoError(t, err, where)
	require.NoError(t, led.verify(got, o.list.Flushed, acked), where)
	return l, led.after(got, o.list.Flushed)
}

// after returns the history that a recovery has chosen: it contains nothing that was
// lost.
func (l *ledger) after(got []entry, flushed keys.SeqNum) *ledger {
	next := &ledger{}
	for _, e := range l.issued {
		if e.First <= flushed {
			next.issued = append(next.issued, e)
		}
	}
	for _, e := range got {
		if e.First > flushed {
			next.issued = append(next.issued, e)
		}
	}
	return next
}
