package compaction_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/block"
)

// history makes random entries with ascending numbers.
type history struct {
	rnd *rand.Rand
	seq keys.SeqNum
	all []entry
}

func (h *history) next(n, width int) []entry {
	var out []entry
	for range n {
		h.seq++
		e := entry{key: fmt.Sprintf("key%04d", h.rnd.IntN(width)), value: fmt.Sprintf("value of %d", h.seq)}
		kind := keys.KindSet
		switch h.rnd.IntN(12) {
		case 0, 1, 2:
			kind, e.value = keys.KindDelete, ""
		case 3:
			kind, e.value = keys.KindMerge, timed(e.value)
		case 4:
			kind, e.value = keys.KindSetWithExpiry, timed(e.value)
		case 5:
			kind, e.value = keys.KindExpiryMarker, timed("")
		}
		e.t = keys.MakeTrailer(h.seq, kind)
		out = append(out, e)
	}
	h.all = append(h.all, out...)
	slices.SortFunc(h.all, func(a, b entry) int { return keys.Compare([]byte(a.key), a.t, []byte(b.key), b.t) })
	return out
}

// Whatever is merged, a reader now and every live snapshot see what they saw.
func TestNobodySeesAMerge(t *testing.T) {
	var sum compaction.Stats
	for seed := range uint64(12) {
		h := &history{rnd: rand.New(rand.NewPCG(seed, 3))}
		s := newStore(t, vfs.NewMem())
		for round := range 14 {
			require.NoError(t, s.write(h.next(20+h.rnd.IntN(200), 30+h.rnd.IntN(500))))
			if h.rnd.IntN(2) == 0 {
				s.env.Snapshots = append(s.env.Snapshots, h.seq)
			}
			if n := len(s.env.Snapshots); n > 0 && h.rnd.IntN(4) == 0 {
				i := h.rnd.IntN(n)
				s.env.Snapshots = slices.Delete(s.env.Snapshots, i, i+1)
			}
			if h.rnd.IntN(5) == 0 {
				s.env.ElideBelow = h.seq / 2
			}
			require.NoError(t, s.compact(round%5 == 4))
			got := s.all()
			for _, at := range append(slices.Clone(s.env.Snapshots), keys.MaxSeqNum) {
				require.Equal(t, visible(h.all, at), visible(got, at), "seed %d, at %d", seed, at)
			}
		}
		s.env.Snapshots, s.env.ElideBelow = nil, keys.MaxSeqNum
		require.NoError(t, s.compact(true))
		require.Equal(t, visible(h.all, keys.MaxSeqNum), s.all(), "an idle store holds what cannot be seen")
		sum.Shadowed += s.stats.Shadowed
		sum.Elided += s.stats.Elided
	}
	require.Positive(t, sum.Shadowed)
	require.Positive(t, sum.Elided)
}

// twoRuns is a store with two runs in level 0 and a base level, and a job for them.
func twoRuns(t testing.TB, fs vfs.FS) (*store, *compaction.Job, *history) {
	h := &history{rnd: rand.New(rand.NewPCG(1, 1))}
	s := newStore(t, fs)
	for range 3 {
		require.NoError(t, s.write(h.next(300, 400)))
		require.NoError(t, s.compact(true))
	}
	require.NoError(t, s.write(h.next(300, 400)))
	require.NoError(t, s.write(h.next(300, 400)))
	s.params.Idle = true
	j, ok := compaction.Pick(s.v, s.params)
	require.True(t, ok)
	require.False(t, j.Move)
	require.Greater(t, len(j.Inputs), 2)
	return s, j, h
}

func TestTheHistoryFloorIsTheNewestTombstoneLeftOut(t *testing.T) {
	s := newStore(t, vfs.NewMem())
	require.NoError(t, s.write([]entry{
		{"a", keys.MakeTrailer(1, keys.KindSet), "x"}, {"b", keys.MakeTrailer(2, keys.KindDelete), ""},
		{"c", keys.MakeTrailer(3, keys.KindDelete), ""}, {"d", keys.MakeTrailer(4, keys.KindSet), "y"},
		{"e", keys.MakeTrailer(5, keys.KindDelete), ""},
	}))
	s.env.ElideBelow = 4
	j, ok := compaction.Pick(s.v, compaction.Params{Idle: true, ElideBelow: 4})
	require.True(t, ok)
	j2, _ := compaction.Pick(s.v, compaction.Params{Idle: true, ElideBelow: 5})
	require.True(t, j.Move)
	require.False(t, j2.Move)
	r, err := compaction.Run(context.Background(), s.v, j2, s.params, s.env)
	require.NoError(t, err)
	require.EqualValues(t, 3, r.Stats.HistoryFloor)
	require.EqualValues(t, 2, r.Stats.Elided)
	require.EqualValues(t, 3, j2.Edit(s.v, r.Tables, r.Stats.HistoryFloor).HistoryFloor)
}

// A tombstone in a newer run of level 0 was told apart from the value that it deletes only
// by a look at the older runs of level 0 outside of the job. No test would have noticed if
// nobody looked: the deleted key would have come back.
func TestTombstonesOutliveOlderRunsOfTheirLevel(t *testing.T) {
	s := newStore(t, vfs.NewMem())
	seq := keys.SeqNum(0)
	run := func(n int, kind keys.Kind) {
		var out []entry
		add := func(key string, kind keys.Kind, value string) {
			seq++
			out = append(out, entry{key, keys.MakeTrailer(seq, kind), value})
		}
		for i := range n {
			add(fmt.Sprintf("k%04d", i*1000/n), keys.KindSet, "a value that gives the run some length")
		}
		if kind == keys.KindSet {
			add("k0000gone", kind, "x")
		} else {
			add("k0000gone", kind, "")
		}
		require.NoError(t, s.write(out))
	}
	run(1000, keys.KindSet) // the base level, so large that level 0 is merged on its own
	run(100, keys.KindSet)
	for range 3 {
		run(1, keys.KindDelete)
	}
	require.Len(t, s.v.Levels[0], 4)
	s.params.ElideBelow = keys.MaxSeqNum
	// Without the base level only the older run of level 0 can tell.
	first := s.v.Levels[manifest.LastLevel][0].Tables[0]
	s.install(&manifest.Edit{Deleted: []manifest.DeletedTable{{Level: manifest.LastLevel, Num: first.Num}}})
	j, ok := compaction.Pick(s.v, s.params)
	require.True(t, ok)
	require.Zero(t, j.Output)
	require.Len(t, j.Inputs, 3)
	require.NoError(t, s.do(j))
	require.Len(t, s.v.Levels[0], 2)
	for _, e := range visible(s.all(), keys.MaxSeqNum) {
		require.NotEqual(t, "k0000gone", e.key, "a deleted key came back")
	}
}

func TestAMergeOfNothingButDroppedEntriesHasNoTables(t *testing.T) {
	s := newStore(t, vfs.NewMem())
	require.NoError(t, s.write([]entry{{"a", keys.MakeTrailer(1, keys.KindDelete), ""}}))
	require.NoError(t, s.compact(true))
	require.Zero(t, s.v.NumTables())
}

func TestTablesAreCutBetweenUserKeysAtBaseBoundaries(t *testing.T) {
	s := newStore(t, vfs.NewMem())
	h := &history{rnd: rand.New(rand.NewPCG(2, 2))}
	require.NoError(t, s.write(h.next(3000, 2000)))
	require.NoError(t, s.compact(true))
	base := s.v.Levels[manifest.LastLevel][0].Tables
	require.Greater(t, len(base), 5)
	s.env.Snapshots = []keys.SeqNum{}
	for i := keys.SeqNum(0); i < 3200; i += 10 {
		s.env.Snapshots = append(s.env.Snapshots, i)
	}
	require.NoError(t, s.write(h.next(1500, 2000)))
	run := s.v.Levels[0][0].Tables
	require.Greater(t, len(run), 3)
	for _, tab := range run[1:] {
		require.True(t, slices.ContainsFunc(base, func(b *manifest.Table) bool {
			return bytes.Compare(b.Smallest, tab.Smallest) <= 0 && !b.EndsBefore(tab.Smallest)
		}))
	}
	meets := 0
	for _, b := range base {
		for _, tab := range run {
			if tab.OverlapsTable(b) {
				meets++
			}
		}
	}
	require.LessOrEqual(t, meets, len(base)+len(run)/4, "tables of a flush straddle those of the base level")
}

func TestACancelledMergeLeavesNothing(t *testing.T) {
	s, j, _ := twoRuns(t, vfs.NewMem())
	before := s.files()
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("closing")
	cancel(cause)
	params := s.params
	_, err := compaction.Run(ctx, s.v, j, params, s.env)
	require.ErrorIs(t, err, cause)
	require.Equal(t, before, s.files())
}

// Small tables that compress well were cut where they had been cut before, because a
// table's size is overestimated while a block is filled: they were merged again and again.
func TestSmallTablesBecomeOneTable(t *testing.T) {
	s := newStore(t, vfs.NewMem())
	s.env.Writer = sstable.WriterOptions{BlockBytes: 16 << 10, Codec: block.CodecS2}
	s.params.TableBytes = 16 << 10
	seq := keys.SeqNum(0)
	for n := range 10 {
		var out []entry
		for i := range 120 {
			seq++
			out = append(out, entry{fmt.Sprintf("k%02d-%03d", n, i), keys.MakeTrailer(seq, keys.KindSet), string(make([]byte, 120))})
		}
		require.NoError(t, s.write(out))
	}
	require.Len(t, s.v.Levels[manifest.LastLevel][0].Tables, 10)
	require.NoError(t, s.compact(false))
	require.Less(t, len(s.v.Levels[manifest.LastLevel][0].Tables), 4)
}

// While a merge gives way it goes no further.
func TestAMergeGivesWay(t *testing.T) {
	s, j, _ := twoRuns(t, vfs.NewMem())
	called := 0
	ctx, cancel := context.WithCancel(context.Background())
	before := s.files()
	s.env.Yield = func(got context.Context) {
		called++
		require.Equal(t, before, s.files(), "the merge has written before it was let go on")
		cancel()
		<-got.Done()
	}
	_, err := compaction.Run(ctx, s.v, j, s.params, s.env)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, called)
}

// Whichever call fails, in whatever way, the error is that one and no output is left;
// what a read returned wrongly is not taken for the end.
func TestAnyCallOfAMergeMayFail(t *testing.T) {
	mem := vfs.NewMem()
	s, j, h := twoRuns(t, mem)
	want := visible(h.all, keys.MaxSeqNum)
	kinds := vfs.OpAll &^ (vfs.OpList | vfs.OpMkdir)
	count := vfs.NewFaults(mem)
	try := func(fs vfs.FS) (compaction.Result, error) {
		for num, r := range s.open {
			require.NoError(t, r.Close())
			delete(s.open, num)
		}
		s.fs, s.env.FS = fs, fs
		return compaction.Run(context.Background(), s.v, j, s.params, s.env)
	}
	r, err := try(count)
	require.NoError(t, err)
	s.remove(r.Tables)
	before := s.files()
	for _, effect := range []vfs.Effect{vfs.Fail, vfs.Short, vfs.Flip} {
		for n := range count.Count(kinds, "") {
			faults := vfs.NewFaults(mem, vfs.Rule{Kinds: kinds, Skip: n, Effect: effect, Bit: n * 37})
			r, err := try(faults)
			faults.Clear()
			fired := faults.Fired()
			if read := new(compaction.ReadError); errors.As(err, &read) && fired[0].Call.Path != "" {
				require.Equal(t, manifest.TableName(read.Table), path.Base(fired[0].Call.Path), "the error names another table")
			}
			if err == nil {
				require.True(t, len(fired) == 0 || effect == vfs.Flip, "%v", fired)
				s.remove(r.Tables)
				continue
			}
			require.Len(t, fired, 1)
			if fired[0].Effect == vfs.Fail || fired[0].Call.Kind == vfs.OpWrite {
				require.ErrorIs(t, err, fired[0])
			} else { // bytes that are wrong or missing
				require.ErrorIs(t, err, sstable.ErrCorrupt)
			}
			if fired[0].Call.Kind != vfs.OpRemove {
				require.Equal(t, before, s.files(), "%v", fired[0])
			}
		}
	}
	s.fs, s.env.FS = mem, mem
	require.Equal(t, want, visible(s.all(), keys.MaxSeqNum))
}

// Nothing is written when a file cannot be made, so that a store may go on; a failed
// write leaves a file of unknown content.
func TestAFailedCreateIsNoFailedWrite(t *testing.T) {
	mem := vfs.NewMem()
	s, j, _ := twoRuns(t, mem)
	before := s.files()
	for _, c := range []struct {
		kind        vfs.OpKind
		class, not  error
		cause, also error
	}{
		{vfs.OpCreate, compaction.ErrCreate, compaction.ErrWrite, syscall.EMFILE, syscall.EMFILE},
		{vfs.OpCreate, compaction.ErrCreate, compaction.ErrWrite, syscall.ENOSPC, vfs.ErrNoSpace},
		{vfs.OpWrite, compaction.ErrWrite, compaction.ErrCreate, syscall.EIO, syscall.EIO},
		{vfs.OpWrite, compaction.ErrWrite, compaction.ErrCreate, syscall.ENOSPC, vfs.ErrNoSpace},
	} {
		s.env.FS = vfs.NewFaults(mem, vfs.Rule{Kinds: c.kind, Err: c.cause})
		_, err := compaction.Run(context.Background(), s.v, j, s.params, s.env)
		require.ErrorIs(t, err, c.class)
		require.ErrorIs(t, err, c.also)
		require.NotErrorIs(t, err, c.not)
		require.Equal(t, before, s.files())
	}
	s.env.FS = mem
	_, err := compaction.Run(context.Background(), s.v, j, s.params, s.env)
	require.NoError(t, err, "the job may be tried again")
}

// remove deletes tables that are not installed.
func (s *store) remove(tables []*manifest.Table) {
	s.fs = s.disk
	for _, tab := range tables {
		require.NoError(s.t, s.fs.Remove(path.Join(dir, manifest.TableName(tab.Num))))
	}
}

// A table that ends early, whatever the reason, is not taken for a shorter one.
func TestEntriesAreCounted(t *testing.T) {
	s, j, _ := twoRuns(t, vfs.NewMem())
	before := s.files()
	for _, in := range j.Inputs {
		tab := *in.Tables[0]
		tab.Entries++
		bad := *j
		bad.Inputs = slices.Clone(j.Inputs)
		bad.Inputs[0].Tables = append([]*manifest.Table{&tab}, in.Tables[1:]...)
		bad.Inputs[0].Level, bad.Inputs[0].Run = in.Level, in.Run
		bad.Inputs = bad.Inputs[:1]
		_, err := compaction.Run(context.Background(), s.v, &bad, s.params, s.env)
		require.ErrorIs(t, err, compaction.ErrNotConserved)
		require.Equal(t, before, s.files())
	}
}

// What a power cut leaves right after a run has ended are all of its tables.
func TestFinishedRunsAreDurable(t *testing.T) {
	mem := vfs.NewCrashMem()
	s, j, _ := twoRuns(t, mem)
	r, err := compaction.Run(context.Background(), s.v, j, s.params, s.env)
	require.NoError(t, err)
	after := mem.CrashCopy()
	for _, tab := range r.Tables {
		f, err := after.Open(path.Join(dir, manifest.TableName(tab.Num)), vfs.ReadOnly)
		require.NoError(t, err)
		reader, err := sstable.Open(f, sstable.ReaderOptions{UID: tab.UID, Size: tab.Bytes, Digest: tab.Digest, Cache: s.cache, Name: "t"})
		require.NoError(t, err)
		require.NoError(t, reader.Verify(context.Background()))
		require.NoError(t, reader.Close())
	}
}

func rangeDelete(lower, upper string, seq keys.SeqNum) sstable.Fragment {
	return sstable.Fragment{Lower: []byte(lower), Upper: []byte(upper), Trailer: keys.MakeTrailer(seq, keys.KindRangeDelete)}
}

// While a snapshot is below them they stay, and are cut where tables are.
func TestRangeTombstonesPassThroughAMerge(t *testing.T) {
	s := newStore(t, vfs.NewMem())
	s.env.Snapshots = []keys.SeqNum{400}
	h := &history{rnd: rand.New(rand.NewPCG(5, 5))}
	tab := s.writeRaw(h.next(500, 1000), rangeDelete("key0100", "key0900", 501), rangeDelete("zebra", "zoo", 502))
	s.install(&manifest.Edit{Added: []manifest.AddedTable{{Level: 0, Run: 1, Table: tab}}})
	s.run = 1
	h.seq = 502
	require.NoError(t, s.write(h.next(500, 1000)))
	require.NoError(t, s.compact(true))
	require.Empty(t, s.v.Levels[0])
	tables := s.v.Levels[manifest.LastLevel][0].Tables
	require.Greater(t, len(tables), 2)
	var got []sstable.Fragment
	for _, tab := range tables {
		r, err := s.reader(tab)
		require.NoError(t, err)
		for _, f := range r.RangeTombstones() {
			if n := len(got); n > 0 && got[n-1].Trailer == f.Trailer && bytes.Equal(got[n-1].Upper, f.Lower) {
				got[n-1].Upper = f.Upper
			} else {
				got = append(got, f)
			}
		}
	}
	require.Equal(t, []sstable.Fragment{rangeDelete("key0100", "key0900", 501), rangeDelete("zebra", "zoo", 502)}, got)
}

// writeRaw writes one table with range tombstones.
func (s *store) writeRaw(entries []entry, ranges ...sstable.Fragment) *manifest.Table {
	s.num++
	f, err := s.fs.Create(path.Join(dir, manifest.TableName(s.num)))
	require.NoError(s.t, err)
	o := s.env.Writer
	o.UID = fileid.UID{9, byte(s.num)}
	w, err := sstable.NewWriter(f, o)
	require.NoError(s.t, err)
	slices.SortFunc(entries, func(a, b entry) int { return keys.Compare([]byte(a.key), a.t, []byte(b.key), b.t) })
	for _, e := range entries {
		require.NoError(s.t, w.Add([]byte(e.key), e.t, []byte(e.value)))
	}
	for _, r := range ranges {
		require.NoError(s.t, w.AddRangeTombstone(r.Lower, r.Upper, r.Trailer))
	}
	m, err := w.Finish()
	require.NoError(s.t, err)
	require.NoError(s.t, f.Close())
	return &manifest.Table{
		Num: s.num, UID: o.UID, Bytes: m.Size, Digest: m.Digest, Smallest: m.Smallest, Largest: m.Largest,
		LargestExclusive: m.LargestExclusive, MinSeqNum: m.MinSeqNum, MaxSeqNum: m.MaxSeqNum,
		Entries: m.Entries, Deletes: m.Deletes, RangeDeletes: m.RangeDeletes,
	}
}
