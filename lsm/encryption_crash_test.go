package lsm

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/vfs"
)

// R37: wherever the power is cut while keys change, the store opens with the old master key or
// with the new one, and has what was acknowledged.
func TestPowerCutWhileKeysChange(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewCrashMem()
	db := mustOpen(t, encrypted(mem, 1))
	type moment struct{ ops, entries int }
	var acknowledged []moment
	set := func(i int) {
		require.NoError(t, db.Set(canaryKey(i), canaryValue(i), nil))
		acknowledged = append(acknowledged, moment{mem.Ops(), i + 1})
	}
	set(0)
	from := mem.Ops()
	require.NoError(t, db.RotateDataKeys())
	set(1)
	require.NoError(t, db.Flush(ctx))
	require.NoError(t, db.RotateMasterKey(ctx, masterKey(2)))
	changed := mem.Ops()
	set(2)
	require.NoError(t, db.Flush(ctx))
	require.NoError(t, db.Close())
	states := map[byte]int{}
	every := 10 // operations; seconds for each hundred
	switch {
	case testing.Short():
		every = 40
	case os.Getenv("LOAM_LONG") != "":
		every = 1
	}
	for e, k := mem.Explore(), from; k <= mem.Ops(); k++ {
		if e.AdvanceTo(k); k%every > 0 && k != from && k != changed && k != mem.Ops() {
			continue
		}
		want := 0
		for _, m := range acknowledged {
			if m.ops <= k {
				want = m.entries
			}
		}
		for s := range e.States(vfs.StateOptions{Pending: 2, Cuts: 2}) {
			key := byte(2)
			db, err := Open("db", encrypted(s.Mem(), key))
			if errors.Is(err, ErrWrongKey) {
				key = 1
				require.Less(t, k, changed, "%s: the new key was acknowledged", s)
				db, err = Open("db", encrypted(s.Mem(), key))
			}
			require.NoError(t, err, "%s", s)
			states[key]++
			n := 0
			for e, err := range db.Scan(nil, nil) {
				require.NoError(t, err, "%s", s)
				require.Equal(t, canaryValue(n), e.Value)
				n++
			}
			require.GreaterOrEqual(t, n, want, "%s", s)
			require.NoError(t, db.Close())
		}
	}
	t.Logf("states by master key: %v", states)
	require.Positive(t, states[1])
	require.Positive(t, states[2])
}
