package state

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

func TestATableOfEphemeralValuesIsAMap(t *testing.T) {
	var table ephemeralTable
	table.init()
	type name struct {
		scope, key string
	}
	model := map[name]*ephemeral{}
	r := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		n := name{fmt.Sprint(r.IntN(3)), fmt.Sprint(r.IntN(300))}
		in := scope.Agent(n.scope)
		require.Same(t, model[n], table.find(in, n.key))
		if v := model[n]; v != nil && r.IntN(2) == 0 {
			table.remove(v)
			delete(model, n)
			continue
		}
		v := &ephemeral{in: &ephemeralScope{name: in}, key: n.key}
		require.Same(t, model[n], table.put(v))
		model[n] = v
	}
	require.Equal(t, len(model), table.count)
	require.Greater(t, len(*table.slots.Load()), leastEphemeralSlots)
	table.clear()
	for n := range model {
		require.Nil(t, table.find(scope.Agent(n.scope), n.key))
	}
}

// Lookups take no lock: a value that is replaced all the time is there all the time, also while the table
// grows.
func TestAnEphemeralValueIsFoundWhileItIsReplacedAndTheTableGrows(t *testing.T) {
	var table ephemeralTable
	table.init()
	in := &ephemeralScope{name: scope.Global()}
	table.put(&ephemeral{in: in, key: "k", at: 0})
	var done atomic.Bool
	found := make(chan error, 1)
	go func() {
		for last := 0; !done.Load(); {
			v := table.find(in.name, "k")
			if v == nil || v.expires < int64(last) {
				found <- fmt.Errorf("%v after %d", v, last)
				return
			}
			last = int(v.expires)
		}
		found <- nil
	}()
	for i := range 3000 {
		table.put(&ephemeral{in: in, key: "k", expires: int64(i)})
		table.put(&ephemeral{in: in, key: fmt.Sprint(i)})
	}
	done.Store(true)
	require.NoError(t, <-found)
}
