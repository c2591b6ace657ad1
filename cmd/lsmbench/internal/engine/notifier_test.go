package engine

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWatching: what has the prefix is told once and in order, everything else is not.
func TestWatching(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		s := open(t, e, t.TempDir(), small("none"))
		defer s.close()
		n, ok := s.store.(Notifier)
		if !ok {
			t.Skip("none of its own")
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		told := make(chan pair, 1000)
		wait, err := n.Watch(ctx, []byte("w/"), func(key, value []byte) { told <- pair{string(key), string(value)} })
		require.NoError(t, err)
		begun := func() bool { // the watch may begin a little later
			s.set("w/probe", "probe")
			return len(told) > 0
		}
		require.Eventually(t, begun, time.Minute, 10*time.Millisecond)
		var want []pair
		for i := range 100 {
			p := pair{fmt.Sprintf("w/%d", i%7), fmt.Sprint(i)}
			want = append(want, p)
			s.set(p.key, p.value)
			s.set("other", "value")
		}
		var got []pair
		for len(got) < len(want) {
			if p := <-told; p.key != "w/probe" {
				got = append(got, p)
			}
		}
		require.Equal(t, want, got)
		cancel()
		require.NoError(t, wait())
		require.Empty(t, told)
	})
}
