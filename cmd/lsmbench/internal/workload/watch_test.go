package workload

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// A watcher may miss probes, but no commit, and is told of each once.
func TestWatchersAreHeldToTheOrderOfCommits(t *testing.T) {
	value := func(commit, called uint64) []byte {
		v := binary.BigEndian.AppendUint64(nil, commit)
		return append(binary.BigEndian.AppendUint64(v, called), make([]byte, watchedBytes-16)...)
	}
	type told struct{ commit, called uint64 }
	for _, c := range []struct {
		told  []told
		wrong bool
	}{
		{[]told{{3, 0}, {5, 0}, {6, 1}, {7, 2}}, false},
		{[]told{{3, 0}, {3, 0}}, true},
		{[]told{{3, 0}, {5, 1}}, true},
		{[]told{{3, 0}, {4, 1}, {4, 1}}, true},
		{[]told{{3, 0}, {4, 1}, {6, 2}}, true},
	} {
		f := &fanOut{all: make(chan struct{}, 10)}
		w := &watcher{fanOut: f}
		timed := 0
		for _, x := range c.told {
			f.pending.Store(1)
			w.told(nil, value(x.commit, x.called))
			if x.called > 0 {
				timed++
			}
		}
		require.Equal(t, c.wrong, f.err() != nil, c.told)
		require.EqualValues(t, timed, w.hist.Count())
		require.Len(t, f.all, timed)
	}
	f := &fanOut{}
	(&watcher{fanOut: f}).told([]byte("k"), []byte("short"))
	require.ErrorIs(t, f.err(), ErrWrongAnswer)
}
