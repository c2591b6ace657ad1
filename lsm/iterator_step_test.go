package lsm

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

// Steps that are told at a glance give what the plain ones give: versions of a key in neighbouring
// blocks, keys newer than a snapshot, deletes and several runs are seen, in either direction.
func TestStepsWithinBlocksAreThoseOfTheWholeMerge(t *testing.T) {
	z := small()
	z.MemtableBytes, z.BudgetBytes, z.TableBytes, z.L0Trigger = 1<<20, 8<<20, 1<<20, 100
	db := openSized(t, vfs.NewMem(), Options{BlockBytes: 512, Compression: NoCompression}, z)
	rnd := rand.New(rand.NewPCG(1, 2))
	now, then := map[string]string{}, map[string]string{}
	var snaps []*Snapshot
	write := func(i, round int) {
		k := fmt.Sprintf("key-%03d", i)
		if rnd.IntN(9) == 0 {
			require.NoError(t, db.Delete([]byte(k), NoSync))
			delete(now, k)
			return
		}
		now[k] = fmt.Sprintf("%d.%s", round, strings.Repeat("v", rnd.IntN(300)))
		require.NoError(t, db.Set([]byte(k), []byte(now[k]), NoSync))
	}
	for round := range 6 {
		for i := range 200 {
			if round == 0 && i%3 == 0 || round > 0 && rnd.IntN(4) == 0 {
				write(i, round)
			}
		}
		snap, err := db.NewSnapshot()
		require.NoError(t, err)
		defer snap.Close()
		snaps = append(snaps, snap)
		if round == 2 {
			for k, v := range now {
				then[k] = v
			}
		}
		require.NoError(t, db.Flush(context.Background()))
	}
	check := func() {
		t.Helper()
		it, err := db.NewIter(nil)
		require.NoError(t, err)
		walkBothWays(t, it, now)
		it, err = snaps[2].NewIter(nil)
		require.NoError(t, err)
		walkBothWays(t, it, then)
	}
	check()
	require.NoError(t, db.Compact(context.Background(), nil, nil)) // the snapshots keep old versions
	check()
}

// walkBothWays compares what an iterator shows with want: forward, backward, and to and fro.
func walkBothWays(t *testing.T, it *Iterator, want map[string]string) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(want))
	at := func(i int) {
		t.Helper()
		require.True(t, it.Valid())
		require.Equal(t, keys[i], string(it.Key()))
		require.Equal(t, want[keys[i]], string(it.Value()))
	}
	for i := range keys {
		require.True(t, it.Next())
		at(i)
	}
	require.False(t, it.Next())
	for i := range keys {
		require.True(t, it.Prev())
		at(len(keys) - 1 - i)
	}
	require.False(t, it.Prev())
	rnd := rand.New(rand.NewPCG(3, 4))
	require.True(t, it.First())
	for i, steps := 0, 0; steps < 2000; steps++ {
		if up := rnd.IntN(2) == 0; up && i+1 < len(keys) {
			i++
			require.True(t, it.Next())
		} else if !up && i > 0 {
			i--
			require.True(t, it.Prev())
		}
		if rnd.IntN(20) == 0 {
			i = rnd.IntN(len(keys))
			require.True(t, it.SeekGE([]byte(keys[i])))
		}
		at(i)
	}
	require.NoError(t, it.Close())
}

// A step looked at the key behind the bound by building it, in the memory in which the iterator had the current one:
// where that key was longer than the memory, what was left of the current one was taken for another.
func TestAScanEndsBeforeALongNeighbour(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	const n = 20
	for i := range n {
		require.NoError(t, db.Set(fmt.Appendf(nil, "a%04d", i), []byte("v"), NoSync))
	}
	require.NoError(t, db.Set(append([]byte("b"), bytes.Repeat([]byte("x"), 3000)...), []byte("v"), NoSync))
	require.NoError(t, db.Flush(noDeadline))
	i := 0
	for e, err := range db.Scan([]byte("a"), []byte("b")) {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("a%04d", i), string(e.Key))
		i++
	}
	require.Equal(t, n, i)
}
