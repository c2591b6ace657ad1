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

// A compare-and-set of one key.
func BenchmarkApplyWithARequirement(b *testing.B) {
	db := benchStore(b)
	var k [16]byte
	v := make([]byte, 100)
	batch := db.NewBatch()
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		binary.BigEndian.PutUint64(k[:], i*0x9e3779b97f4a7c15)
		batch.Reset()
		batch.Require(k[:], lsm.Absent)
		batch.Set(k[:], v)
		if err := db.Apply(batch, lsm.NoSync); err != nil {
			b.Fatal(err)
		}
	}
}

// A transaction that reads one key of a thousand and writes it. With other, somebody
// commits in between, so that there is something to validate.
func BenchmarkUpdate(b *testing.B) {
	for _, other := range []bool{false, true} {
		b.Run(map[bool]string{false: "alone", true: "overtaken"}[other], func(b *testing.B) {
			db := benchStore(b)
			var k [16]byte
			v := make([]byte, 100)
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				binary.BigEndian.PutUint64(k[:], i%1000*0x9e3779b97f4a7c15)
				err := db.Update(func(tx *lsm.Txn) error {
					tx.SetWriteOptions(lsm.NoSync)
					if _, err := tx.Has(k[:]); err != nil {
						return err
					}
					if other {
						if err := db.Set([]byte("other"), v, lsm.NoSync); err != nil {
							return err
						}
					}
					return tx.Set(k[:], v)
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A view that reads one key.
func BenchmarkView(b *testing.B) {
	db := benchStore(b)
	require.NoError(b, db.Set([]byte("k"), make([]byte, 100), lsm.NoSync))
	var v [128]byte
	b.ReportAllocs()
	for b.Loop() {
		err := db.View(func(tx *lsm.Txn) error {
			_, err := tx.AppendGet(v[:0], []byte("k"))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
