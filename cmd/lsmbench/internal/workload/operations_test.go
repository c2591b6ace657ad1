package workload

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// newRun is a run whose arithmetic is looked at; it has no store.
func newRun(t *testing.T, records uint64, key string) *run {
	t.Helper()
	r := &run{Spec: Spec{Params: Params{Records: records, Key: key, Value: "100", Compressible: 0.5, Goroutines: 1, Limit: 1}}}
	require.NoError(t, r.Check())
	data, err := newData(&r.Params)
	require.NoError(t, err)
	r.data = data
	return r
}

// The ranges of deleterange hold every record once.
func TestRangesCoverEveryRecord(t *testing.T) {
	for _, records := range []uint64{1, rangeLen - 1, rangeLen, rangeLen + 1, 10*rangeLen + 7} {
		for _, key := range []string{"16", "uniform:12-40"} {
			r := newRun(t, records, key)
			var lower, upper, last, k []byte
			for i := range (records + rangeLen - 1) / rangeLen {
				lower, upper = r.rangeBounds(lower[:0], upper[:0], i)
				if i > 0 {
					require.Equal(t, last, lower)
				}
				last = append(last[:0], upper...)
				for j := i * rangeLen; j < min((i+1)*rangeLen, records); j++ {
					k = r.data.keys.Present(k[:0], j)
					require.LessOrEqual(t, string(lower), string(k))
					require.Less(t, string(k), string(upper))
				}
			}
		}
	}
}

func TestScopesAreNeverFewerThanGoroutines(t *testing.T) {
	r := newRun(t, 1000, "16")
	require.EqualValues(t, 100, r.scopes(smallScope))
	require.EqualValues(t, 10, r.scopes(scopeLen))
	r.Goroutines = 64
	require.EqualValues(t, 64, r.scopes(scopeLen))
}

// ledger is a transaction over a map.
type ledger map[string][]byte

func (l ledger) Get(dst, key []byte) ([]byte, bool, error) {
	v, found := l[string(key)]
	return append(dst, v...), found, nil
}

func (l ledger) Set(key, value []byte) error {
	l[string(key)] = slices.Clone(value)
	return nil
}

func (l ledger) Transact(_ bool, fn func(tx engine.Txn) error) (int, error) { return 1, fn(l) }

func TestTransfersKeepTheSumAndOverdrawNothing(t *testing.T) {
	accountsOf := ledger{}
	for i := range uint64(accounts) {
		accountsOf[string(accountKey(nil, i))] = []byte{0, 0, 0, 0, 0, 0, 0, 1}
	}
	r := newRun(t, 100, "16")
	w := &teller{worker: r.workerOf(nil, 0), txns: accountsOf}
	for range 10_000 {
		require.NoError(t, w.transfer())
	}
	require.EqualValues(t, 10_000, w.retries)
	sum := uint64(0)
	for _, v := range accountsOf {
		balance, err := balanceOf(v)
		require.NoError(t, err)
		require.LessOrEqual(t, balance, uint64(accounts))
		sum += balance
	}
	require.EqualValues(t, accounts, sum)
	_, err := balanceOf([]byte("short"))
	require.ErrorIs(t, err, ErrWrongAnswer)
}

// Data dies in these, so that their stores are left at rest before they are weighed.
func TestWhatKillsData(t *testing.T) {
	for name, kills := range map[string]bool{
		"fillseq": false, "fillrandom": false, "fillbatch": false, "fillsync": false, "setwhilesyncing": true,
		"overwrite": true, "updaterandom": true, "appendrandom": true, "deleteseq": true, "deleterandom": true,
		"ycsb-a": true, "ycsb-b": true, "ycsb-c": false, "ycsb-d": false, "ycsb-e": false, "ycsb-f": true,
		"read=90,insert=10": false, "read=90,delete=10": true, "readrandom": false, "compact": false,
		"deleterange": true, "scopecreate": false, "scopedrop": true, "largevalues": true, "mergerandom": true, "ttlchurn": true, "agentturn": false, "agentstep": true,
	} {
		c, err := Find(name)
		require.NoError(t, err)
		require.Equal(t, kills, c.Workload.Kills, name)
	}
	for _, w := range All() {
		require.False(t, w.Kills && w.Reads, w.Name)
	}
}
