package lsm

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
)

// What encryption adds to an unsynced write and to a read of a cached block: values of 100 bytes,
// a store in memory, flushes and merges included.
func BenchmarkEncryption(b *testing.B) {
	for _, c := range []struct {
		name string
		e    *Encryption
	}{
		{"clear", nil},
		{"AES-256-GCM", &Encryption{Key: masterKey(1), Cipher: crypto.AES256GCM}},
		{"ChaCha20-Poly1305", &Encryption{Key: masterKey(1), Cipher: crypto.ChaCha20Poly1305}},
	} {
		open := func(b *testing.B) *DB {
			db, err := Open("db", &Options{Encryption: c.e, InMemory: true, Compression: NoCompression})
			require.NoError(b, err)
			b.Cleanup(func() { _ = db.Close() })
			return db
		}
		key, value := make([]byte, 0, 16), make([]byte, 100)
		b.Run("set/"+c.name, func(b *testing.B) {
			db := open(b)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				key = fmt.Appendf(key[:0], "%016d", i*7919%1_000_000)
				if err := db.Set(key, value, NoSync); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("get/"+c.name, func(b *testing.B) {
			db := open(b)
			for i := range 20_000 {
				require.NoError(b, db.Set(fmt.Appendf(nil, "%016d", i), value, NoSync))
			}
			require.NoError(b, db.Flush(b.Context()))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				key = fmt.Appendf(key[:0], "%016d", i*7919%20_000)
				if _, err := db.Get(key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
