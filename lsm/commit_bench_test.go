package lsm_test

import (
	"encoding/binary"
	"testing"

	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// benchStore is a store in memory.
func benchStore(b *testing.B) *lsm.DB {
	b.Helper()
	db, err := lsm.Open("", &lsm.Options{InMemory: true})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	return db
}

// One writer, unsynced: the plain path that nothing conditional may slow down.
func BenchmarkSet(b *testing.B) {
	db := benchStore(b)
	var k [16]byte
	v := make([]byte, 100)
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		binary.BigEndian.PutUint64(k[:], i*0x9e3779b97f4a7c15)
		if err := db.Set(k[:], v, lsm.NoSync); err != nil {
			b.Fatal(err)
		}
	}
}

// A lookup in the memtable.
func BenchmarkGetFromTheMemtable(b *testing.B) {
	db := benchStore(b)
	const n = 1000
	var k [16]byte
	for i := range uint64(n) {
		binary.BigEndian.PutUint64(k[:], i*0x9e3779b97f4a7c15)
		require.NoError(b, db.Set(k[:], make([]byte, 100), lsm.NoSync))
	}
	var v [128]byte
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		binary.BigEndian.PutUint64(k[:], i%n*0x9e3779b97f4a7c15)
		if _, err := db.AppendGet(v[:0], k[:]); err != nil {
			b.Fatal(err)
		}
	}
}
