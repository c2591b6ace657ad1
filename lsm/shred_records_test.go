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
	require.Equal(t, "01abababababababababababababababab", hex.EncodeToString(scopeKeyValue(scopeSeal{key: key})))
	require.Equal(t, "02abababababababababababababababab", hex.EncodeToString(scopeKeyValue(scopeSeal{key: key, whole: true})))
	former := []crypto.ScopeKeyID{{1}, {2}}
	require.Equal(t, "01abababababababababababababababab0100000000000000000000000000000002000000000000000000000000000000",
		hex.EncodeToString(scopeKeyValue(scopeSeal{key: key, former: former})))
	for _, of := range []scopeSeal{{key: key}, {key: key, whole: true}, {key: key, former: former}, {key, true, former}} {
		got, err := decodeScopeKey(scopeKeyValue(of))
		require.NoError(t, err)
		require.Equal(t, of, got)
	}
	_, err := decodeScopeKey(append([]byte{3}, key[:]...))
	require.ErrorIs(t, err, ErrTooNew)
	_, err = decodeScopeKey([]byte{1})
	require.ErrorIs(t, err, ErrCorrupt)
	made := CheckpointRecord{Dir: "copies/1", Keys: []crypto.KeyID{1, 0x0203}}
	require.Equal(t, "0a636f706965732f31", hex.EncodeToString(checkpointKey(made.Dir)))
	require.Equal(t, "0101000000000000000302000000000000", hex.EncodeToString(checkpointValue(made.Keys)))
	gotMade, err := decodeCheckpoint(checkpointKey(made.Dir), checkpointValue(made.Keys))
	require.NoError(t, err)
	require.Equal(t, made, gotMade)
	gotMade, err = decodeCheckpoint([]byte{10, 'x'}, flagValue)
	require.NoError(t, err)
	require.Equal(t, CheckpointRecord{Dir: "x"}, gotMade)
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
		if r, err := decodeCheckpoint(key, value); err == nil {
			require.Equal(t, key[1:], []byte(r.Dir))
			require.Equal(t, value, checkpointValue(r.Keys))
		}
		if k, err := decodeScopeKey(value); err == nil {
			require.Equal(t, value, scopeKeyValue(k))
		}
	})
}
