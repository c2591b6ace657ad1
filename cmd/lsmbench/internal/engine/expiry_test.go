package engine

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestExpiry: what was written for a second goes, what was written again or for longer
// stays. An engine may count in whole seconds.
func TestExpiry(t *testing.T) {
	const ttl = time.Second
	test := func(t *testing.T, e Engine, hide bool) {
		s := open(t, e, t.TempDir(), small("none"))
		defer s.close()
		var lock sync.RWMutex
		session := s.Session
		if hide {
			session = bare{session}
		}
		x, how := Expiry(session, &lock)
		require.True(t, !hide || strings.Contains(how, "sweeper"))
		if how != "" {
			stop, err := StartSweeper(s.store, &lock)
			require.NoError(t, err)
			defer func() { require.NoError(t, stop()) }()
		}
		key := func(i int) []byte { return fmt.Appendf(nil, "k%03d", i) }
		value := []byte("value")
		for i := range 300 {
			require.NoError(t, x.SetWithTTL(key(i), value, ttl))
		}
		for i := range 100 {
			require.NoError(t, x.SetWithTTL(key(i), value, time.Hour))
		}
		last := time.Now()
		require.NoError(t, x.SetWithTTL([]byte("early"), value, time.Hour))
		require.NoError(t, x.SetWithTTL([]byte("early"), value, ttl))
		_, err := s.store.Settle(t.Context())
		require.NoError(t, err)
		require.Eventually(t, func() bool { return time.Since(last) > ttl+300*time.Millisecond }, time.Minute, 10*time.Millisecond)
		for i := range 300 {
			v, found, err := x.Get([]byte("prefix/"), key(i))
			require.NoError(t, err)
			require.Equal(t, i < 100, found, i)
			if found {
				require.Equal(t, "prefix/value", string(v))
			}
		}
		if how != "" { // and the sweeper comes there
			require.Eventually(t, func() bool {
				// The index, early's first place in it included, and the entries.
				return len(scan(t, s, []byte("k"), false, 1000)) == 100 && len(scan(t, s, []byte(expiryPrefix), false, 1000)) == 100+1+100
			}, time.Minute, 10*time.Millisecond)
		}
	}
	eachEngine(t, func(t *testing.T, e Engine) { test(t, e, false) })
	t.Run("stand-in", func(t *testing.T) {
		t.Parallel()
		test(t, loamEngine{}, true)
	})
}

func TestWhatHasNoExpiryHasExpired(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	require.True(t, expired([]byte("short"), now))
	require.True(t, expired(appendExpiry(nil, now), now))
	require.False(t, expired(appendExpiry(nil, now.Add(time.Millisecond)), now))
}
