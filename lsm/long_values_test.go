package lsm_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/lsm"
)

// A long value does not stand in the payload of its commit, which whoever walks the payload
// must know: the index of expiries, once, did not, and a Set of a megabyte panicked.
func TestLongValuesWhereExpiriesAreEvents(t *testing.T) {
	db, err := lsm.Open("store", &lsm.Options{InMemory: true, ExpiryEvents: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	long := bytes.Repeat([]byte("long "), 500_000)
	require.NoError(t, db.Set([]byte("k"), long, nil))
	got, err := db.Get([]byte("k"))
	require.NoError(t, err)
	require.Equal(t, long, got)
}
