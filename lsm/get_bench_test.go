package lsm

import (
	"encoding/binary"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/stretchr/testify/require"
)

// A lookup of a key that is in a table, past an empty memtable: all in memory.
func BenchmarkGetFromATable(b *testing.B) {
	o := Options{}
	o.seams = seams.Seams{FS: vfs.NewMem()}
	db, err := Open("db", &o)
	require.NoError(b, err)
	defer func() { require.NoError(b, db.Close()) }()
	const n = 20_000
	key := func(dst []byte, i uint64) []byte {
		return binary.BigEndian.AppendUint64(append(dst, "sixteen bytes of"...), i*0x9e3779b97f4a7c15)
	}
	for i := range uint64(n) {
		require.NoError(b, db.Set(key(nil, i), make([]byte, 100), nil))
	}
	require.NoError(b, db.Flush(b.Context()))
	require.NoError(b, db.Set([]byte("x"), nil, nil))
	var k [32]byte
	var v [128]byte
	i := uint64(0)
	for b.Loop() {
		_, _ = db.AppendGet(v[:0], key(k[:0], i))
		i = (i + 7919) % n
	}
}
