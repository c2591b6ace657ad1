package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/access/audit"
)

// entries returns all that a store holds.
func entries(t testing.TB, s audit.Store) []audit.Entry {
	t.Helper()
	var out []audit.Entry
	for e, err := range s.Scan(background, nil, []byte{0xFF}) {
		require.NoError(t, err)
		out = append(out, e)
	}
	return out
}

func storeOf(t testing.TB, entries []audit.Entry) *audit.Memory {
	t.Helper()
	m := &audit.Memory{}
	require.NoError(t, m.Apply(background, entries, nil))
	return m
}

// retained returns a store with a head, an anchor, and records 5 to 11 in two segments.
func retained(t testing.TB) ([]audit.Entry, audit.Head) {
	t.Helper()
	m := &audit.Memory{}
	l := open(t, m, nil)
	fill(t, l, 11)
	n, err := l.Retain(background, audit.Retention{MaxRecords: 7})
	require.NoError(t, err)
	require.Equal(t, 4, n)
	report, err := l.Verify(background)
	require.NoError(t, err)
	require.EqualValues(t, 5, report.First)
	require.EqualValues(t, 7, report.Records)
	es := entries(t, m)
	require.Len(t, es, 9)
	return es, l.Head()
}

func requireBroken(t testing.TB, es []audit.Entry, what string, known ...audit.Head) {
	t.Helper()
	_, err := audit.Verify(background, storeOf(t, es), secret, known...)
	if !errors.Is(err, audit.ErrBroken) && !errors.Is(err, audit.ErrMalformed) {
		t.Fatalf("%s: %v", what, err)
	}
}

// Every changed bit, every record or place taken away, put twice, or exchanged is found.
func TestVerifyFindsEveryChange(t *testing.T) {
	es, _ := retained(t)
	_, err := audit.Verify(background, storeOf(t, es), secret)
	require.NoError(t, err)
	for i := range es {
		without := slices.Delete(slices.Clone(es), i, i+1)
		requireBroken(t, without, fmt.Sprint("without entry ", i))
		for b := range len(es[i].Value) * 8 {
			changed := slices.Clone(es)
			changed[i].Value = bytes.Clone(es[i].Value)
			changed[i].Value[b/8] ^= 1 << (b % 8)
			requireBroken(t, changed, fmt.Sprintf("entry %d, bit %d", i, b))
		}
		for j := range i {
			swapped := slices.Clone(es)
			swapped[i].Value, swapped[j].Value = es[j].Value, es[i].Value
			requireBroken(t, swapped, fmt.Sprintf("entries %d and %d exchanged", i, j))
		}
	}
	more := es[len(es)-1]
	more.Key = bytes.Clone(more.Key)
	more.Key[16]++
	requireBroken(t, append(slices.Clone(es), more), "one more record")
	_, err = audit.Verify(background, storeOf(t, es), []byte("another key"))
	require.ErrorIs(t, err, audit.ErrBroken)
}

// Without the key a forger makes a chain of his own; with it he cannot.
func TestAForgedChainIsFound(t *testing.T) {
	m := &audit.Memory{}
	l := open(t, m, func(o *audit.Options) { o.Key = nil })
	fill(t, l, 11)
	_, err := audit.Verify(background, m, secret)
	require.ErrorIs(t, err, audit.ErrBroken)
	_, err = audit.Verify(background, m, nil)
	require.NoError(t, err)
}

// A store that was put back to an earlier state has a chain that is whole; who knows a later head
// finds it.
func TestAKnownHeadFindsWhatWasPutBack(t *testing.T) {
	m := &audit.Memory{}
	l := open(t, m, nil)
	fill(t, l, 5)
	early, earlyHead := entries(t, m), l.Head()
	fill(t, l, 5)
	report, err := l.Verify(background, earlyHead, l.Head(), audit.Head{})
	require.NoError(t, err)
	require.Equal(t, l.Head(), report.Head)
	_, err = audit.Verify(background, storeOf(t, early), secret)
	require.NoError(t, err)
	requireBroken(t, early, "put back", l.Head())
	requireBroken(t, nil, "all gone", earlyHead)
	// Written on after it was put back, it is another history.
	other := storeOf(t, early)
	l2 := open(t, other, nil)
	fill(t, l2, 7)
	_, err = l2.Verify(background, l.Head())
	require.ErrorIs(t, err, audit.ErrBroken)
	var broken *audit.BrokenError
	require.True(t, errors.As(err, &broken))
	require.Equal(t, l.Head().Seq, broken.Seq)
}

func TestRetentionTakesWholeSegmentsAndLeavesAnAnchor(t *testing.T) {
	m := &audit.Memory{}
	l := open(t, m, nil)
	n, err := l.Retain(background, audit.Retention{MaxRecords: 1})
	require.NoError(t, err)
	require.Zero(t, n, "an empty log")
	fill(t, l, 18) // segments of 4: up to 4, 8, 12, 16, 20
	for _, c := range []struct {
		retention audit.Retention
		removed   int
	}{
		{audit.Retention{}, 0},
		{audit.Retention{MaxRecords: 15}, 0}, // 14 would be left
		{audit.Retention{MaxRecords: 14}, 4},
		{audit.Retention{Before: noon.Add(8 * time.Second)}, 0}, // the eighth is not older
		{audit.Retention{Before: noon.Add(9 * time.Second)}, 4},
		{audit.Retention{Before: noon.Add(time.Hour), MaxRecords: 1}, 8}, // the newest stays
		{audit.Retention{Before: noon.Add(time.Hour)}, 0},
	} {
		n, err := l.Retain(background, c.retention)
		require.NoError(t, err)
		require.Equal(t, c.removed, n, "%+v", c.retention)
		_, err = l.Verify(background)
		require.NoError(t, err)
	}
	require.Len(t, all(t, l, audit.Query{}), 2)
	fill(t, l, 4)
	report, err := l.Verify(background)
	require.NoError(t, err)
	require.EqualValues(t, 17, report.First)
	require.EqualValues(t, 6, report.Records)
}

func TestRetentionDoesNotHideWhatIsMissing(t *testing.T) {
	es, _ := retained(t)
	es = slices.DeleteFunc(es, func(e audit.Entry) bool { return len(e.Key) == 17 && e.Key[16] == 6 })
	l := open(t, storeOf(t, es), nil)
	_, err := l.Retain(background, audit.Retention{MaxRecords: 1})
	require.ErrorIs(t, err, audit.ErrBroken)
}
