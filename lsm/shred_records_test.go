package lsm

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/scope"
)

// What records of scope keys look like; docs/formats/directory.md has them.
func TestRecordsOfScopeKeys(t *testing.T) {
	key := crypto.ScopeKeyID(bytes.Repeat([]byte{0xab}, 16))
	require.Equal(t, "01abababababababababababababababab", hex.EncodeToString(scopeKeyValue(key)))
	got, err := decodeScopeKey(scopeKeyValue(key))
	require.NoError(t, err)
	require.Equal(t, key, got)
	r := ShredRecord{Scope: scope.User("a"), At: time.UnixMilli(0x0102030405), Key: key}
	require.Equal(t, "09abababababababababababababababab", hex.EncodeToString(shredKey(key)))
	require.Equal(t, "0105040302010000000261", hex.EncodeToString(shredValue(r)))
	back, err := decodeShred(shredKey(key), shredValue(r))
	require.NoError(t, err)
	require.Equal(t, r, back)
}

func FuzzRecordsOfScopeKeys(f *testing.F) {
	f.Add([]byte("\x09abcdefghijklmnop"), []byte("\x0112345678\x02a"))
	f.Add([]byte{9}, []byte{1})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if r, err := decodeShred(key, value); err == nil {
			require.Equal(t, key[1:], r.Key[:])
			require.Equal(t, value, shredValue(r))
		}
		if k, err := decodeScopeKey(value); err == nil {
			require.Equal(t, value, scopeKeyValue(k))
		}
	})
}
