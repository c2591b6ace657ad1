package lsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/loamdb/loam/internal/keys"
	"github.com/stretchr/testify/require"
)

// A write set is a sorted map of the last operation on each key, whose payload is that of
// a batch.
func TestAWriteSetIsASortedMap(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		s := writeSet{rnd: seed}
		model := map[string]string{} // "" is a delete
		for range rnd.IntN(2000) {
			k := fmt.Sprintf("%d", rnd.IntN(1+rnd.IntN(1000)))
			if rnd.IntN(4) == 0 {
				require.NoError(t, s.put(keys.KindDelete, []byte(k), nil))
				model[k] = ""
				continue
			}
			v := bytes.Repeat([]byte("v"), 1+rnd.IntN(100)*rnd.IntN(300)*rnd.IntN(2))
			require.NoError(t, s.put(keys.KindSet, []byte(k), v))
			model[k] = string(v)
		}
		var sorted []string
		want := payloadStats{ops: len(model)}
		for k, v := range model {
			sorted = append(sorted, k)
			want.bytes += int64(len(k) + len(v))
		}
		slices.Sort(sorted)
		require.Equal(t, want, payloadStats{ops: s.ops, bytes: s.bytes})
		i := 0
		for ops := (opReader{rest: s.appendPayload(nil)}); ops.next(); i++ {
			require.Equal(t, sorted[i], string(ops.key))
			require.Equal(t, model[sorted[i]], string(ops.value))
			require.Equal(t, model[sorted[i]] == "", ops.kind == keys.KindDelete)
		}
		require.Equal(t, len(sorted), i)
		for n := range 1000 {
			k := fmt.Sprintf("%d", n)
			at, found := slices.BinarySearch(sorted, k)
			require.Equal(t, found, s.find([]byte(k)) != nil)
			requireAt(t, sorted, at, s.seekGE([]byte(k)))
			requireAt(t, sorted, at-1, s.seekLT([]byte(k)))
		}
	}
}

func requireAt(t *testing.T, sorted []string, i int, w *write) {
	t.Helper()
	if i < 0 || i >= len(sorted) {
		require.Nil(t, w)
		return
	}
	require.Equal(t, sorted[i], string(w.key))
}

func TestAWriteSetThatNoMemtableCouldHoldIsRefused(t *testing.T) {
	s := writeSet{bytes: maxBatchBytes - 100}
	err := s.put(keys.KindSet, []byte("k"), make([]byte, 200))
	var limit *LimitError
	require.ErrorAs(t, err, &limit)
	require.Equal(t, "transaction", limit.What)
	require.EqualValues(t, maxBatchBytes, limit.Limit)
	require.Nil(t, s.first())
}

// The memory of a ring that was needed once is let go when it is not needed any more.
func TestARingThatWasLargeShrinks(t *testing.T) {
	x := commitRing{capacity: 1 << 15}
	x.restart(1)
	for i := range 1 << 16 {
		x.push(fmt.Appendf(nil, "key%09d", i), nil)
	}
	require.GreaterOrEqual(t, cap(x.younger.writes)+cap(x.older.writes), 1<<16)
	x.restart(x.next)
	x.restart(x.next)
	require.Zero(t, cap(x.younger.writes)+cap(x.older.writes)+cap(x.younger.bytes)+cap(x.older.bytes))
}

// However often keys are read, each is noted once, few keys and many.
func TestAReadSetNotesEachKeyOnce(t *testing.T) {
	for _, n := range []int{1, fewPoints - 1, fewPoints, fewPoints + 1, 1000} {
		var s readSet
		for range 3 {
			for i := range n {
				s.addPoint(fmt.Appendf(nil, "key%d", i), Version(i))
			}
		}
		require.Len(t, s.points, n)
		c := s.conditions(7, atRead)
		require.Len(t, c.points, n)
		require.False(t, c.empty())
		for i := range n {
			key := fmt.Appendf(nil, "key%d", i)
			require.True(t, c.concernedBy(key, nil, keys.Hash(key)))
		}
		require.False(t, c.concernedBy([]byte("key"), nil, keys.Hash([]byte("key"))))
	}
}

// Ranges count towards the size of a transaction: the log would refuse what is larger than a
// batch can be, and stop the store.
func TestDeletedRangesCountTowardsTheSize(t *testing.T) {
	var s writeSet
	s.rangeBytes = maxBatchBytes
	require.ErrorIs(t, s.deleteRange([]byte("a"), []byte("b")), ErrTooLarge)
	require.ErrorIs(t, s.put(keys.KindSet, []byte("k"), nil), ErrTooLarge)
	require.True(t, s.empty())
}
