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
	of := [16]byte(bytes.Repeat([]byte{0xcd}, 16))
	family := "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
	made := CheckpointRecord{ID: CheckpointID(key), Dir: "copies/1", Keys: []crypto.KeyID{1, 0x0203}, family: of, end: 0x0405}
	require.Equal(t, "0aabababababababababababababababab", hex.EncodeToString(checkpointKey(made.ID)))
	require.Equal(t, "01"+family+"0504000000000000"+"0200"+"01000000000000000302000000000000"+"636f706965732f31",
		hex.EncodeToString(checkpointValue(&made)))
	begun := CheckpointRecord{ID: CheckpointID(key), Dir: "x", family: of}
	require.Equal(t, "01"+family+"0000000000000000"+"0000"+"78", hex.EncodeToString(checkpointValue(&begun)))
	for _, r := range []CheckpointRecord{made, begun} {
		got, err := decodeCheckpoint(checkpointKey(r.ID), checkpointValue(&r))
		require.NoError(t, err)
		require.Equal(t, r, got)
	}
	for _, bad := range []CheckpointRecord{{family: of}, {Dir: "x", end: 1}, {Dir: "x", Keys: []crypto.KeyID{1}}} {
		_, err = decodeCheckpoint(checkpointKey(bad.ID), checkpointValue(&bad))
		require.ErrorIs(t, err, ErrCorrupt)
	}
	dropped := droppedKey{key, 0x01020304}
	require.Equal(t, "0b0000000001020304abababababababababababababababab", hex.EncodeToString(droppedKeyKey(dropped)))
	gotDropped, err := decodeDroppedKey(droppedKeyKey(dropped), flagValue)
	require.NoError(t, err)
	require.Equal(t, dropped, gotDropped)
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
	f.Add([]byte("\x0aabcdefghijklmnop"), append([]byte("\x01familyfamilyfami\x05\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00"), "copy"...))
	f.Add([]byte("\x0b12345678abcdefghijklmnop"), []byte{1})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if r, err := decodeShred(key, value); err == nil {
			require.Equal(t, key[1:], r.Key[:])
			require.Equal(t, value, shredValue(r))
		}
		if r, err := decodeCheckpoint(key, value); err == nil {
			require.Equal(t, key[1:], r.ID[:])
			require.Equal(t, value, checkpointValue(&r))
		}
		if r, err := decodeDroppedKey(key, value); err == nil {
			require.Equal(t, key[1:], droppedKeyKey(r)[1:])
			require.Equal(t, value, flagValue)
		}
		if k, err := decodeScopeKey(value); err == nil {
			require.Equal(t, value, scopeKeyValue(k))
		}
	})
}
