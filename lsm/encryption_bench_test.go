package lsm

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/interleave"
)

// What encryption adds to an unsynced write of 16 + 100 bytes, flushes and merges included, and to a
// read of a cached block: stores in memory beside each other. ChaCha20-Poly1305 is for machines
// without instructions for AES.
func BenchmarkEncryption(b *testing.B) {
	const keys = 20_000
	value := make([]byte, 100)
	open := func(b *testing.B, e *Encryption) *DB {
		db, err := Open("db", &Options{Encryption: e, InMemory: true, Compression: NoCompression})
		require.NoError(b, err)
		b.Cleanup(func() { _ = db.Close() })
		return db
	}
	beside := func(b *testing.B, side func(db *DB, key func() []byte) func() error) {
		var sides []interleave.Side
		for _, c := range []struct {
			name string
			e    *Encryption
		}{
			{"clear", nil},
			{"AES-256-GCM", &Encryption{Key: masterKey(1), Cipher: crypto.AES256GCM}},
			{"ChaCha20-Poly1305", &Encryption{Key: masterKey(1), Cipher: crypto.ChaCha20Poly1305}},
		} {
			var key [16]byte
			n := uint64(0)
			call := side(open(b, c.e), func() []byte {
				binary.BigEndian.PutUint64(key[8:], n*7919%keys)
				n++
				return key[:]
			})
			sides = append(sides, interleave.Side{Name: c.name, Call: call})
		}
		interleave.Run(b, 50, sides...)
	}
	b.Run("set", func(b *testing.B) {
		beside(b, func(db *DB, key func() []byte) func() error {
			return func() error { return db.Set(key(), value, NoSync) }
		})
	})
	b.Run("get", func(b *testing.B) {
		beside(b, func(db *DB, key func() []byte) func() error {
			for range keys {
				require.NoError(b, db.Set(key(), value, NoSync))
			}
			require.NoError(b, db.Flush(b.Context()))
			buf := make([]byte, 0, len(value))
			return func() error {
				_, err := db.AppendGet(buf, key())
				return err
			}
		})
	})
}
