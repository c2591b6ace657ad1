package manifest_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
)

// A script of version edits. An edit's lines are
//
//	add L0 run=3 5 a-f 10-19      table 5 over [a, f] with these sequence numbers
//	add L6 run=1 6 a-f) 1-9       … over [a, f)
//	del L0 5
func TestVersionEdits(t *testing.T) {
	v := &manifest.Version{}
	golden.Run(t, "testdata/versions.txt", func(b *golden.Block) string {
		switch b.Command {
		case "edit":
			n, err := v.Apply(parseEdit(t, b.Input))
			if err != nil {
				return err.Error()
			}
			require.NoError(t, n.CheckInvariants())
			v = n
			return show(v)
		case "overlapping":
			level, _ := b.Arg("level")
			lower, _ := b.Arg("lower")
			upper, bounded := b.Arg("upper")
			_, exclusive := b.Arg("exclusive")
			bound := []byte(upper)
			if !bounded {
				bound = nil
			}
			var out []string
			for i := range v.Levels[level[1]-'0'] {
				for _, t := range v.Levels[level[1]-'0'][i].Overlapping([]byte(lower), bound, exclusive) {
					out = append(out, fmt.Sprint(t.Num))
				}
			}
			return strings.Join(out, " ")
		case "totals":
			return fmt.Sprintf("%d tables, %d bytes", v.NumTables(), v.Bytes())
		}
		b.Fatalf("unknown command")
		return ""
	})
}

func parseEdit(t *testing.T, text string) *manifest.Edit {
	e := &manifest.Edit{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		number := func(s string) uint64 {
			n, err := strconv.ParseUint(s, 10, 64)
			require.NoError(t, err, line)
			return n
		}
		level := manifest.Level(f[1][1] - '0')
		if f[0] == "del" {
			e.Deleted = append(e.Deleted, manifest.DeletedTable{Level: level, Num: fileid.Num(number(f[2]))})
			continue
		}
		bounds, exclusive := strings.CutSuffix(f[4], ")")
		lo, hi, _ := strings.Cut(bounds, "-")
		minSeq, maxSeq, _ := strings.Cut(f[5], "-")
		tab := table(fileid.Num(number(f[3])), lo, hi, 0)
		tab.LargestExclusive = exclusive
		tab.MinSeqNum, tab.MaxSeqNum = keys.SeqNum(number(minSeq)), keys.SeqNum(number(maxSeq))
		e.Added = append(e.Added, manifest.AddedTable{Level: level, Run: manifest.RunID(number(f[2][4:])), Table: tab})
	}
	return e
}

func show(v *manifest.Version) string {
	var b strings.Builder
	for level := range v.Levels {
		for _, r := range v.Levels[level] {
			fmt.Fprintf(&b, "L%d run %d:", level, r.ID)
			for _, t := range r.Tables {
				end := "]"
				if t.LargestExclusive {
					end = ")"
				}
				fmt.Fprintf(&b, " %d[%s-%s%s%d-%d", t.Num, t.Smallest, t.Largest, end, t.MinSeqNum, t.MaxSeqNum)
			}
			b.WriteByte('\n')
		}
	}
	if b.Len() == 0 {
		return "empty"
	}
	return b.String()
}

func TestMarksOnlyRise(t *testing.T) {
	s, err := (&manifest.State{}).Apply(fullEditOfMarks(10))
	require.NoError(t, err)
	lower, err := s.Apply(fullEditOfMarks(9))
	require.NoError(t, err)
	require.Equal(t, s, lower)
	higher, err := s.Apply(fullEditOfMarks(11))
	require.NoError(t, err)
	want, err := (&manifest.State{}).Apply(fullEditOfMarks(11))
	require.NoError(t, err)
	require.Equal(t, want, higher)
}

func fullEditOfMarks(n uint64) *manifest.Edit {
	return &manifest.Edit{
		FormatVersion: n, NextFileNum: fileid.Num(n), NextRunID: manifest.RunID(n), ReservedSeqNum: keys.SeqNum(n),
		ReservedScopeID: n, HistoryFloor: keys.SeqNum(n), MinSegment: n, FlushedSeqNum: keys.SeqNum(n), LastTime: int64(n),
	}
}

func TestSegmentsComeAndGo(t *testing.T) {
	s := &manifest.State{}
	apply := func(e *manifest.Edit, want ...uint64) {
		t.Helper()
		n, err := s.Apply(e)
		require.NoError(t, err)
		var got []uint64
		for _, seg := range n.Segments {
			got = append(got, seg.Num)
		}
		require.Equal(t, want, got)
		s = n
	}
	apply(&manifest.Edit{AddedSegments: []manifest.Segment{segment(1), segment(2)}}, 1, 2)
	apply(&manifest.Edit{AddedSegments: []manifest.Segment{segment(3)}, MinSegment: 2}, 2, 3)
	apply(&manifest.Edit{MinSegment: 1}, 2, 3)
	replace := &manifest.Edit{}
	replace.ReplaceSegments([]manifest.Segment{segment(2), segment(4)})
	apply(replace, 2, 4)
	apply(&manifest.Edit{AddedSegments: []manifest.Segment{segment(5), segment(6)}}, 2, 4, 5, 6)
	for _, bad := range [][]manifest.Segment{{segment(6)}, {segment(5)}, {segment(7)}, {{Num: 9, Slot: 9}}} {
		_, err := s.Apply(&manifest.Edit{AddedSegments: bad})
		require.ErrorIs(t, err, manifest.ErrInvalidEdit)
	}
}

func TestStatesRefuseWhatCannotBe(t *testing.T) {
	s, err := (&manifest.State{}).Apply(&manifest.Edit{Opened: &manifest.Open{First: 50}, NextFileNum: 5})
	require.NoError(t, err)
	for name, e := range map[string]*manifest.Edit{
		"lineage going back":       {Opened: &manifest.Open{First: 49}},
		"number of an unknown day": {FlushedSeqNum: keys.MaxSeqNum + 1},
		"file number never given":  {Added: added(0, 1, table(5, "a", "b", 1))},
	} {
		_, err := s.Apply(e)
		require.ErrorIs(t, err, manifest.ErrInvalidEdit, name)
	}
}

// Openings below the history floor once left the lineage too, and with them the proof that
// the number of a key that nobody had written since belonged to this store.
func TestOpeningsThatNoPositionCanNameLeaveTheLineage(t *testing.T) {
	s := &manifest.State{}
	apply := func(e *manifest.Edit, want ...byte) {
		t.Helper()
		before := append([]manifest.Open(nil), s.Lineage...)
		n, err := s.Apply(e)
		require.NoError(t, err)
		require.Equal(t, before, append([]manifest.Open(nil), s.Lineage...), "the old state changed")
		var got []byte
		for _, o := range n.Lineage {
			got = append(got, o.ID[0])
		}
		require.Equal(t, want, got)
		s = n
	}
	opened := func(id byte, first keys.SeqNum) *manifest.Edit {
		return &manifest.Edit{Opened: &manifest.Open{ID: fileid.UID{id}, First: first}}
	}
	apply(opened(1, 1), 1)
	apply(opened(2, 1), 2)
	apply(opened(3, 10), 2, 3)
	apply(opened(4, 10), 2, 4)
	apply(opened(5, 20), 2, 4, 5)
	apply(&manifest.Edit{HistoryFloor: 9}, 2, 4, 5)
	apply(&manifest.Edit{LastTime: 1}, 2, 4, 5)
	apply(&manifest.Edit{HistoryFloor: 500}, 2, 4, 5)
}

func TestOperatorsAreASortedSet(t *testing.T) {
	s, err := (&manifest.State{}).Apply(&manifest.Edit{Operators: []string{"max", "add"}})
	require.NoError(t, err)
	s, err = s.Apply(&manifest.Edit{Operators: []string{"add", "min"}})
	require.NoError(t, err)
	require.Equal(t, []string{"add", "max", "min"}, s.Operators)
}

func TestUnknownFieldsAreKeptOrRefused(t *testing.T) {
	s, err := (&manifest.State{}).Apply(&manifest.Edit{Extra: []manifest.Field{{Tag: 80, Value: []byte("a")}, {Tag: 84, Value: []byte("b")}}})
	require.NoError(t, err)
	s, err = s.Apply(&manifest.Edit{Extra: []manifest.Field{{Tag: 82, Value: []byte("c")}, {Tag: 84, Value: []byte("d")}}})
	require.NoError(t, err)
	require.Equal(t, []manifest.Field{{80, []byte("a")}, {82, []byte("c")}, {84, []byte("d")}}, s.Extra)
	_, err = manifest.DecodeEdit([]byte{81, 0})
	require.ErrorIs(t, err, manifest.ErrTooNew)
	_, err = manifest.DecodeEdit(manifest.AppendEdit(nil, &manifest.Edit{Added: added(0, 1, &manifest.Table{
		Bytes: 1, Extra: []manifest.Field{{Tag: 3}},
	})}))
	require.ErrorIs(t, err, manifest.ErrTooNew)
}
