package engine

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAdding: no addition is lost, whatever lies below it and whoever adds beside.
func TestAdding(t *testing.T) {
	const goroutines, each, keys = 3, 200, 7
	test := func(t *testing.T, e Engine, hide bool) {
		dir, c := t.TempDir(), small("none")
		c.Conflicts = true
		s := open(t, e, dir, c)
		var lock sync.Mutex
		adder := func(session Session) Adder {
			if hide {
				session = bare{session}
			}
			a, how := Adding(session, &lock)
			require.True(t, !hide || strings.Contains(how, "lock"))
			return a
		}
		number := func(n int64) string { return string(binary.LittleEndian.AppendUint64(nil, uint64(n))) }
		s.set("set", number(40))
		require.NoError(t, adder(s.Session).Add([]byte("set"), 2))
		s.want("set", number(42))
		require.NoError(t, adder(s.Session).Add([]byte("set"), -50))
		s.want("set", number(-8))
		for range 2 {
			var wg sync.WaitGroup
			for range goroutines {
				session := newSession(t, s.store)
				a := adder(session)
				wg.Go(func() {
					key := make([]byte, 0, 8)
					for i := range each {
						key = fmt.Appendf(key[:0], "k%d", i%keys)
						if err := a.Add(key, int64(i)); err != nil {
							t.Error(err)
						}
					}
					if err := session.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			_, err := s.store.Settle(t.Context())
			require.NoError(t, err)
		}
		require.NoError(t, s.Delete([]byte("k0")))
		require.NoError(t, adder(s.Session).Add([]byte("k0"), 5))
		s.close()
		s = open(t, e, dir, c)
		defer s.close()
		s.want("k0", number(5))
		for k := 1; k < keys; k++ {
			sum := int64(0)
			for i := k; i < each; i += keys {
				sum += int64(i)
			}
			s.want(fmt.Sprintf("k%d", k), number(2*goroutines*sum))
		}
		s.want("set", number(-8))
	}
	eachEngine(t, func(t *testing.T, e Engine) { test(t, e, false) })
	t.Run("stand-in", func(t *testing.T) { test(t, loamEngine{}, true) })
}
