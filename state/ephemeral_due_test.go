package state

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// Values that come, are replaced, removed, evicted and expire are counted as those are that are left, whenever they are.
func TestEphemeralValuesThatExpireAreFoundAmongAll(t *testing.T) {
	var e ephemerals
	e.init(20_000)
	at := int64(1)
	now := func() int64 { return at }
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 1500 {
		name, key := scope.Agent(fmt.Sprint(r.IntN(3))), fmt.Sprint(r.IntN(60))
		switch at += int64(r.IntN(3)); r.IntN(10) {
		case 0:
			e.remove(name, key, now)
		case 1:
			e.countIn(name, now)
			for v := e.oldest; v != nil; v = v.newer {
				require.False(t, v.expired(now))
			}
		default:
			v := &ephemeral{key: key, value: make([]byte, r.IntN(200))}
			if r.IntN(3) > 0 {
				v.expires = at + int64(r.IntN(300))
			}
			require.NoError(t, e.put(name, v, now))
		}
		expiring, bytes := 0, int64(0)
		for v := e.oldest; v != nil; v = v.newer {
			if bytes += v.size(); v.expires != 0 {
				expiring++
				require.Same(t, v, e.due[v.due], n)
			}
		}
		require.Len(t, e.due, expiring)
		require.Equal(t, e.bytes, bytes)
		require.LessOrEqual(t, bytes, e.limit)
	}
}
