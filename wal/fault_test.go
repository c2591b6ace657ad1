package wal_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

var errDisk = errors.New("injected")

// TestFailedSyncIsFinal: a sync fails once, as a device does that drops what it could
// not write and then reports success again.
func TestFailedSyncIsFinal(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		for _, effect := range []vfs.Effect{vfs.Fail, vfs.Drop} {
			mem := vfs.NewCrashMem()
			faults := vfs.NewFaults(mem)
			o := newOwner(faults, mode, 90)
			l, _, _ := o.mustOpen(t)
			appendAll(t, l, wal.WillSync, entry{1, 1, 100})
			at, err := l.Append(batches(entry{2, 1, 100}), wal.WillSync)
			require.NoError(t, err)
			faults.Add(vfs.Rule{Kinds: vfs.OpSync, Glob: o.fileOf(t, at), Effect: effect, Err: errDisk})
			err = l.Sync(at)
			require.ErrorIs(t, err, wal.ErrFailed)
			require.ErrorIs(t, err, errDisk)
			calls := faults.Count(vfs.OpWrites, "")
			for range 2 {
				require.Equal(t, err, l.Sync(at))
				require.Equal(t, err, l.Sync(wal.Position{}))
				_, aerr := l.Append(batches(entry{3, 1, 100}), wal.NoSync)
				require.Equal(t, err, aerr)
				require.Equal(t, err, l.Reserve(1, 1))
				require.Equal(t, err, l.Mark())
				require.Equal(t, err, l.Err())
			}
			require.Equal(t, err, l.Close())
			require.Equal(t, calls, faults.Count(vfs.OpWrites, ""), "nothing is written or synced after a failure")
			_, got, err := newOwner(mem.CrashCopy(), mode, 91).replay()
			require.NoError(t, err)
			require.Equal(t, []entry{{1, 1, 100}}, got)
		}
	})
}

// TestFaultAtEveryOperation makes every single call to the file system go wrong, once
// and from then on, for lack of space and otherwise. Errors are typed and stick,
// nothing that was acknowledged is lost, no goroutine stays.
func TestFaultAtEveryOperation(t *testing.T) {
	before := runtime.NumGoroutine()
	causes := []error{errDisk, syscall.ENOSPC}
	effects := []vfs.Effect{vfs.Fail, vfs.Short}
	if os.Getenv("LOAM_LONG") != "" {
		causes = append(vfs.FaultErrors(), errDisk)
		effects = append(effects, vfs.FailAfter, vfs.Drop)
	}
	each := 1
	if testing.Short() {
		each = 3
	}
	forModes(t, func(t *testing.T, mode wal.Mode) {
		runs := 0
		for _, cause := range causes {
			for _, effect := range effects {
				for _, forever := range []bool{false, true} {
					rule := vfs.Rule{Kinds: vfs.OpAll, Effect: effect, Err: cause, Forever: forever}
					for faulty(t, mode, rule) {
						rule.Skip += each
					}
					require.Greater(t, rule.Skip, 150)
					runs += rule.Skip / each
				}
			}
		}
		t.Logf("%d runs", runs)
	})
	for runtime.NumGoroutine() > before {
		runtime.Gosched() // the preparer's last instructions
	}
}

// faulty runs the workload with one planned fault. It is false once the workload has
// fewer calls.
func faulty(t *testing.T, mode wal.Mode, rule vfs.Rule) bool {
	mem, led := vfs.NewCrashMem(), &ledger{}
	faults := vfs.NewFaults(mem, rule)
	where := fmt.Sprintf("%v, effect %d, forever %v, call %d", rule.Err, rule.Effect, rule.Forever, rule.Skip)
	o := newOwner(faults, mode, 92)
	if faultyLife(t, o, mem, led, where) {
		faultyLife(t, o, mem, led, where+", second life")
	}
	// Everything unsynced gone, and the page cache as it is.
	acked := led.acked(mem.Ops())
	for _, disk := range []*vfs.Mem{mem.CrashCopy(), mem.Copy()} {
		l, _ := recovered(t, disk, mode, led, acked, where)
		_, err := l.Append(batches(entry{1000, 1, 700}), wal.TrySync)
		require.NoError(t, err, where)
		require.NoError(t, l.Close(), where)
	}
	return len(faults.Fired()) > 0
}

// faultyLife opens, appends, closes, and checks the class of every error it meets. It
// reports whether the log lived and closed well.
func faultyLife(t *testing.T, o *owner, mem *vfs.Mem, led *ledger, where string) bool {
	injected := func(err error) {
		var i *vfs.Injected
		require.ErrorAs(t, err, &i, where)
		require.NotErrorIs(t, err, wal.ErrCorrupt, where)
	}
	l, rec, got, err := o.open()
	if err != nil {
		injected(err)
		return false
	}
	require.NoError(t, led.verify(got, 0, len(led.issued)), where)
	r := rand.New(rand.NewPCG(5, 5))
	next := rec.LastSeqNum + 1
	for range 25 {
		e := entry{First: next, Count: 1, Size: r.IntN(900)}
		intent := wal.Intent(r.IntN(3))
		at, err := l.Append(batches(e), intent)
		if errors.Is(err, wal.ErrUnready) && !errors.Is(err, wal.ErrFailed) {
			injected(err)
			continue // nothing was written: the number is still free
		}
		led.issued = append(led.issued, e)
		next++
		if err == nil && intent != wal.NoSync {
			err = l.Sync(at)
		}
		if err != nil {
			injected(err)
			require.ErrorIs(t, err, wal.ErrFailed, where)
			require.Equal(t, err, l.Err(), where)
			_, again := l.Append(batches(entry{First: next, Count: 1}), wal.NoSync)
			require.Equal(t, err, again, where)
			require.Equal(t, err, l.Sync(at), where)
			break
		}
		if intent != wal.NoSync {
			led.acks = append(led.acks, ack{mem.Ops(), len(led.issued)})
		}
	}
	if err := l.Close(); err != nil {
		injected(err)
		return false
	}
	led.acks = append(led.acks, ack{mem.Ops(), len(led.issued)})
	return true
}

func TestLackOfSpaceIsMetBeforeAnythingIsWritten(t *testing.T) {
	forModes(t, func(t *testing.T, mode wal.Mode) {
		faults := vfs.NewFaults(vfs.NewCrashMem())
		o := newOwner(faults, mode, 94)
		l, _, _ := o.mustOpen(t)
		full := vfs.Rule{Kinds: vfs.OpCreate | vfs.OpPreallocate, Err: syscall.ENOSPC, Forever: true}
		var want []entry
		next := keys.SeqNum(1)
		for range 3 {
			faults.Add(full)
			for {
				at, err := l.Append(batches(entry{next, 1, 200}), wal.NoSync)
				if err != nil {
					require.ErrorIs(t, err, wal.ErrUnready)
					require.ErrorIs(t, err, vfs.ErrNoSpace)
					require.ErrorIs(t, l.Reserve(10_000, 1), wal.ErrUnready)
					break
				}
				require.NoError(t, l.Sync(at))
				want = append(want, entry{next, 1, 200})
				next++
			}
			faults.Clear()
			appendAll(t, l, wal.NoSync, entry{next, 1, 200})
			want = append(want, entry{next, 1, 200})
			next++
		}
		require.NoError(t, l.Close())
		_, got, err := o.replay()
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// A manifest without space is retried with the same segment: it may be in it already.
func TestFailedRegistrationForLackOfSpaceIsRepeated(t *testing.T) {
	o := newOwner(memFS(), wal.Mapped, 95)
	var seen []wal.Segment
	register := o.opts.Register
	o.opts.Register = func(seg wal.Segment) error {
		seen = append(seen, seg)
		err := register(seg)
		if err == nil && len(seen) <= 4 { // each Reserve tries twice
			err = vfs.ErrNoSpace
		}
		return err
	}
	l, _, _ := o.mustOpen(t)
	for range 2 {
		require.ErrorIs(t, l.Reserve(5000, 1), wal.ErrUnready)
	}
	require.NoError(t, l.Reserve(5000, 1))
	appendAll(t, l, wal.NoSync, entry{1, 1, 5000})
	require.NoError(t, l.Close())
	require.GreaterOrEqual(t, len(seen), 5)
	for i, seg := range seen {
		require.Equal(t, i < 5, seg == seen[0]) // then the next one, if it was made ahead
	}
	_, got, err := o.replay()
	require.NoError(t, err)
	require.Equal(t, []entry{{1, 1, 5000}}, got)

	o = newOwner(memFS(), wal.Mapped, 96)
	o.opts.Register = func(wal.Segment) error { return errDisk }
	l, _, _ = o.mustOpen(t)
	err = l.Reserve(5000, 1)
	require.ErrorIs(t, err, wal.ErrFailed)
	require.ErrorIs(t, err, errDisk)
	require.Equal(t, err, l.Close())
}
