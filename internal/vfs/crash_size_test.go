package vfs_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

// logHistory behaves like a store: segments of 256 KiB zero-written in pages and
// synced, records stored through a mapping with a sync now and then, tables written,
// synced and renamed, old files removed. It acknowledges at each sync of the log.
func logHistory(t testing.TB, ops int) (m *vfs.Mem, acked []int) {
	const segmentBytes = 256 << 10
	m = vfs.NewCrashMem()
	require.NoError(t, m.MkdirAll("store"))
	require.NoError(t, m.SyncDir(""))
	record := bytes.Repeat([]byte("record."), 20)
	for n := 0; m.Ops() < ops; n++ {
		f, err := m.Create(fmt.Sprintf("store/%d.log", n))
		require.NoError(t, err)
		for off := int64(0); off < segmentBytes; off += 4096 {
			_, err := f.WriteAt(make([]byte, 4096), off)
			require.NoError(t, err)
		}
		require.NoError(t, f.Sync())
		require.NoError(t, m.SyncDir("store"))
		mapped, err := f.Map(segmentBytes, vfs.ReadWrite)
		require.NoError(t, err)
		for i := range 400 {
			require.NoError(t, mapped.Store(int64(i*len(record)), record))
			if i%50 == 49 {
				require.NoError(t, f.Sync())
				acked = append(acked, m.Ops())
			}
		}
		create(t, m, "store/tmp", string(bytes.Repeat(record, 200)))
		tmp, err := m.Open("store/tmp", vfs.ReadWrite)
		require.NoError(t, err)
		require.NoError(t, tmp.Sync())
		require.NoError(t, m.Rename("store/tmp", fmt.Sprintf("store/%d.tab", n)))
		require.NoError(t, m.SyncDir("store"))
		if n > 3 {
			require.NoError(t, m.Remove(fmt.Sprintf("store/%d.log", n-3)))
			require.NoError(t, m.Remove(fmt.Sprintf("store/%d.tab", n-3)))
		}
		acked = append(acked, m.Ops())
	}
	return m, acked
}

// Long logs are explored point by point in time linear in their length: whatever is
// pending is known from the point before.
func TestLongLogIsExplored(t *testing.T) {
	ops := 2_000
	if os.Getenv("LOAM_LONG") != "" {
		ops = 50_000
	}
	m, acked := logHistory(t, ops)
	e := m.Explore()
	promised, states := 0, 0
	for k := range e.Len() + 1 {
		e.AdvanceTo(k)
		for promised < len(acked) && acked[promised] <= k {
			promised++
		}
		for range e.States(vfs.StateOptions{Random: 1, Expect: uint64(promised + 1)}) {
			states++
		}
	}
	t.Logf("%d operations, %d states", e.Len(), states)
	require.Greater(t, states, ops)
	require.Equal(t, dump(t, m), dump(t, m.Copy()))
}
