package vfs_test

import (
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

func TestDSyncWriteIsDurableAlone(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "00")
	h.write("a", "1", 0)
	h.dsync("a", "2", 1)
	h.states("a=02", "a=12")
	h.write("a", "3", 1)
	h.states("a=02", "a=03", "a=12", "a=13")
	h.sync("a")
	h.states("a=13")
}

// A pending write must not come back over a durable one that followed it.
func TestDSyncWriteStaysAboveEarlierOnes(t *testing.T) {
	h := newHistory(t)
	h.durable("a", "0")
	h.write("a", "1", 0)
	h.dsync("a", "2", 0)
	h.states("a=2")
}

// Once, the explorer took a write through a DSync descriptor for durable from its first
// instant, so that no state showed what a power cut leaves of one in flight, and a
// record that was torn by it was never tried.
func TestDSyncWriteInFlightIsTorn(t *testing.T) {
	h := newHistory(t)
	old, new := strings.Repeat("0", 1200), strings.Repeat("1", 1200)
	h.durable("a", old)
	before := h.Ops()
	h.dsync("a", new, 0)
	require.Equal(t, before+2, h.Ops())
	want := tornStates(old, new)
	require.Equal(t, want, statesAt(t, h.Mem, before+1, vfs.StateOptions{}))
	h.states("a=" + new)
	h.write("a", "2", 0)
	h.states("a="+new, "a=2"+new[1:])
}

// tornStates are the states of a file of which 1200 bytes are overwritten.
func tornStates(old, new string) (want []string) {
	for _, cut := range []int{0, 1, 300, 512, 600, 900, 1024, 1199, 1200} {
		want = append(want, "a="+new[:cut]+old[cut:])
	}
	want = append(want, "a="+old[:512]+new[512:], "a="+old[:1024]+new[1024:])
	sort.Strings(want)
	return want
}
