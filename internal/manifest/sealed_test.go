package manifest_test

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/internal/vfs"
)

// resum makes the checksums of the record of p at off fit, as whoever forges it can.
func resum(p []byte, off int) {
	le := binary.LittleEndian
	r := p[off:]
	n := int(le.Uint32(r[8:]))
	le.PutUint32(r[4:], codec.Checksum(0, r[24:min(24+n, len(r))]))
	le.PutUint32(r, fileid.NewSeed(fileid.KindManifest, fileid.UID(p[32:48])).Checksum(int64(off), r[4:24]))
}

// resumHeader does it for the file's header.
func resumHeader(p []byte) {
	seed := fileid.NewSeed(fileid.KindManifest, fileid.UID(p[32:48]))
	binary.LittleEndian.PutUint32(p[108:], seed.Checksum(0, p[:108]))
}

// recordsOf returns where the records of a manifest begin.
func recordsOf(p []byte) (offsets []int) {
	for off := 112; binary.LittleEndian.Uint64(p[off+16:]) != 0; {
		offsets = append(offsets, off)
		off += 24 + (int(binary.LittleEndian.Uint32(p[off+8:]))+7)&^7
	}
	return offsets
}

// sealedStore is a store with an encrypted manifest of some records.
func sealedStore(t testing.TB) (fs vfs.FS, name string, p []byte) {
	fs = newFS(t)
	l := sealed.mustOpen(t, fs)
	appendEdits(t, l, 0, 4)
	require.NoError(t, l.Close())
	return fs, l.Name(), readFile(t, fs, l.Name())
}

func requireForged(t testing.TB, fs vfs.FS, what string) {
	t.Helper()
	_, err := manifest.Load(fs, dir, ring.Open)
	require.ErrorIs(t, err, manifest.ErrCorrupt, what)
	require.ErrorIs(t, err, seal.ErrAuth, what)
}

// R34: whoever changes a bit of a record and makes the checksums fit is told, and whoever
// changes one of the file's header, which the first record binds.
func TestForgedRecordsOfTheManifestAreRefused(t *testing.T) {
	fs, name, good := sealedStore(t)
	for i, off := range recordsOf(good) {
		length := int(binary.LittleEndian.Uint32(good[off+8:]))
		for bit := 12 * 8; bit < (24+length)*8; bit++ {
			at := bit / 8
			if at < 16 && at > 12 || at == 12 && bit%8 > 0 {
				continue // another type is too new
			}
			p := bytes.Clone(good)
			p[off+at] ^= 1 << (bit % 8)
			resum(p, off)
			writeFile(t, fs, name, p)
			_, err := manifest.Load(fs, dir, ring.Open)
			what := fmt.Sprintf("record %d, byte %d, bit %d", i, at, bit%8)
			switch {
			case at == 12:
				require.ErrorIs(t, err, manifest.ErrTooNew, what)
			case at >= 16 && at < 24:
				require.ErrorIs(t, err, manifest.ErrCorrupt, what)
			default:
				requireForged(t, fs, what)
			}
		}
	}
	for _, at := range []int{16, 20, 60, 87} { // store UID, salt
		p := bytes.Clone(good)
		p[at] ^= 1
		resumHeader(p)
		writeFile(t, fs, name, p)
		requireForged(t, fs, fmt.Sprintf("header, byte %d", at))
	}
	p := bytes.Clone(good)
	p[88]++
	resumHeader(p)
	writeFile(t, fs, name, p)
	_, err := manifest.Load(fs, dir, ring.Open)
	require.ErrorIs(t, err, sealtest.ErrNoKey)
}

// Records of one file in each other's places, and those of another file.
func TestExchangedRecordsOfTheManifestAreRefused(t *testing.T) {
	fs, name, good := sealedStore(t)
	other := newFS(t)
	o := sealed.options(other)
	o.Random = newRandom(99)
	loaded, err := manifest.Create(storeUID, o)
	require.NoError(t, err)
	l, err := manifest.OpenLog(loaded, o)
	require.NoError(t, err)
	appendEdits(t, l, 0, 4)
	foreign := readFile(t, other, l.Name())
	offsets := recordsOf(good)
	require.Equal(t, offsets, recordsOf(foreign))
	for i, off := range offsets {
		p := bytes.Clone(good)
		n := int(binary.LittleEndian.Uint32(p[off+8:]))
		copy(p[off:off+24+n], foreign[off:])
		resum(p, off)
		writeFile(t, fs, name, p)
		requireForged(t, fs, fmt.Sprintf("record %d of another file", i))
	}
	p := bytes.Clone(good)
	for _, from := range offsets {
		for _, to := range offsets {
			n := binary.LittleEndian.Uint32(good[from+8:])
			if from == to || n != binary.LittleEndian.Uint32(good[to+8:]) {
				continue
			}
			copy(p, good)
			copy(p[to+24:to+24+int(n)], good[from+24:])
			resum(p, to)
			writeFile(t, fs, name, p)
			requireForged(t, fs, fmt.Sprintf("body %d in %d", from, to))
		}
	}
}

// A manifest in clear is refused where a key is given, and an encrypted one where none is; a
// wrong key is told from damage.
func TestAManifestInClearIsRefused(t *testing.T) {
	fs, name, good := sealedStore(t)
	_, err := manifest.Load(fs, dir, nil)
	require.ErrorIs(t, err, manifest.ErrSealed)
	_, err = manifest.ReadRemains(fs, dir, nil)
	require.ErrorIs(t, err, manifest.ErrSealed)
	_, err = manifest.Load(fs, dir, func(_ seal.KeyID, k fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, error) {
		return sealtest.Ring(9).Open(9, k, uid, salt)
	})
	require.ErrorIs(t, err, seal.ErrAuth)

	// The same store in clear, whole and well made.
	plain := newFS(t)
	l := mustOpen(t, plain)
	appendEdits(t, l, 0, 4)
	requireForged(t, plain, "another store's files")
	p := append(bytes.Clone(good[:56]), make([]byte, 40)...)
	p = append(append(p, good[96:112]...), readFile(t, plain, l.Name())[112:]...)
	p = append(p, make([]byte, len(good))...)[:len(good)]
	resumHeader(p)
	writeFile(t, fs, name, p)
	requireForged(t, fs, "in clear under the same UID")
}

// R35: processes come and go, files are rolled, writes fail, and no nonce is used twice under
// a key.
func TestNoNonceOfAManifestIsUsedTwice(t *testing.T) {
	used, salts := map[string]int{}, map[seal.Salt]int{}
	f := sealed
	f.newCipher = func(kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, seal.KeyID, error) {
		salts[salt]++
		c, id, err := ring.New(kind, uid, salt)
		return &recorded{c, used, fmt.Sprint(kind, uid, salt)}, id, err
	}
	mem := newCrashFS(t)
	loaded, err := manifest.Create(storeUID, f.options(mem))
	random := newRandom(12)
	edits := 0
	for life := range 8 {
		require.NoError(t, err)
		faults := vfs.NewFaults(mem)
		o := f.options(faults)
		o.Random = random
		var l *manifest.Log
		l, err = manifest.OpenLog(loaded, o)
		require.NoError(t, err)
		for range 10 {
			require.NoError(t, l.Append(edit(edits)))
			edits++
		}
		if life%2 == 1 {
			faults.Add(vfs.Rule{Kinds: vfs.OpSync | vfs.OpSyncDir, Effect: vfs.Fail, Err: vfs.ErrNoSpace})
			require.Error(t, l.Append(edit(edits)))
			faults.Clear()
			require.NoError(t, l.Append(edit(edits)))
			edits++
		}
		if life%3 == 0 {
			mem.Kill()
		} else {
			require.NoError(t, l.Close())
		}
		loaded, err = manifest.Load(mem, dir, f.openCipher)
	}
	require.NoError(t, err)
	require.Greater(t, len(used), 80)
	for what, n := range used {
		require.Equal(t, 1, n, "%x", what)
	}
	for _, n := range salts {
		require.Equal(t, 1, n)
	}
}

type recorded struct {
	cipher.AEAD
	used map[string]int
	key  string
}

func (c *recorded) Seal(dst, nonce, plaintext, data []byte) []byte {
	c.used[c.key+string(nonce)]++
	return c.AEAD.Seal(dst, nonce, plaintext, data)
}

// B60: each earlier manifest, with its CURRENT, is refused by a later anchor, whether it is an
// earlier file or has fewer records, and no anchor is refused by the states after it.
func TestManifestsThatWerePutBackAreRefused(t *testing.T) {
	fs := newFS(t)
	type state struct {
		name             string
		current, content []byte
		anchor           manifest.Anchor
	}
	var states []state
	random := newRandom(14)
	n := 0
	for range 3 {
		o := sealed.options(fs)
		o.Random, o.RollBytes = random, 8<<10
		loaded, err := manifest.Load(fs, dir, ring.Open)
		if err == manifest.ErrNoStore {
			loaded, err = manifest.Create(storeUID, o)
		}
		require.NoError(t, err)
		l, err := manifest.OpenLog(loaded, o)
		require.NoError(t, err)
		for range 4 {
			require.NoError(t, l.Append(edit(n)))
			n++
			states = append(states, state{l.Name(), readFile(t, fs, manifest.CurrentName), readFile(t, fs, l.Name()), l.Anchor()})
		}
		require.NoError(t, l.Close())
	}
	for i := range states {
		back := newFS(t)
		writeFile(t, back, manifest.CurrentName, states[i].current)
		writeFile(t, back, states[i].name, states[i].content)
		found := sealed.mustLoad(t, back).Anchor()
		require.Equal(t, states[i].anchor, found)
		for j := range states {
			err := states[j].anchor.Check(found)
			if j <= i {
				require.NoError(t, err, "%d for %d", i, j)
			} else {
				require.ErrorIs(t, err, manifest.ErrRollback, "%d for %d", i, j)
			}
		}
		require.NoError(t, manifest.Anchor{}.Check(found))
		other := found
		other.UID[3]++
		require.ErrorIs(t, other.Check(found), manifest.ErrRollback)

		// Under a later name it is not the file of that name.
		last := states[len(states)-1]
		if states[i].name != last.name {
			writeFile(t, back, last.name, states[i].content)
			writeFile(t, back, manifest.CurrentName, last.current)
			_, err := manifest.Load(back, dir, ring.Open)
			require.ErrorIs(t, err, manifest.ErrCorrupt)
			p := bytes.Clone(states[i].content)
			binary.LittleEndian.PutUint64(p[96:], last.anchor.File)
			resumHeader(p)
			writeFile(t, back, last.name, p)
			requireForged(t, back, "renumbered")
		}
	}
}

// A store is encrypted by opening it with a cipher, and put in clear by opening it without.
func TestAManifestChangesItsForm(t *testing.T) {
	fs := newFS(t)
	l := mustOpen(t, fs)
	appendEdits(t, l, 0, 3)
	want := of(l)
	require.NoError(t, l.Close())
	for _, to := range []form{sealed, inClear, sealed} {
		loaded, err := manifest.Load(fs, dir, nil)
		if err != nil {
			require.ErrorIs(t, err, manifest.ErrSealed)
			loaded = sealed.mustLoad(t, fs)
		}
		l, err := manifest.OpenLog(loaded, to.options(fs))
		require.NoError(t, err)
		require.NoError(t, l.Close())
		require.Equal(t, want, loadedContents(to.mustLoad(t, fs)))
	}
}

// Anchors of the files of keys rise with their epochs, give way to those of other files, and
// can be taken back.
func TestKeyAnchorsRise(t *testing.T) {
	s := &manifest.State{}
	apply := func(e *manifest.Edit) {
		t.Helper()
		decoded, err := manifest.DecodeEdit(manifest.AppendEdit(nil, e))
		require.NoError(t, err)
		s, err = s.Apply(decoded)
		require.NoError(t, err)
	}
	a := manifest.KeyAnchor{UID: storeUID, Epoch: 5, Digest: [32]byte{1}}
	apply(&manifest.Edit{Keyring: &a, Vault: &manifest.KeyAnchor{UID: fileid.UID{7}, Epoch: 9}})
	require.Equal(t, a, s.Keyring)
	apply(&manifest.Edit{Keyring: &manifest.KeyAnchor{UID: storeUID, Epoch: 4, Digest: [32]byte{2}}})
	require.Equal(t, a, s.Keyring, "it does not go back")
	apply(&manifest.Edit{Vault: &manifest.KeyAnchor{UID: fileid.UID{8}, Epoch: 1}})
	require.Equal(t, fileid.UID{8}, s.Vault.UID)
	snapshot := manifest.Snapshot(s, &manifest.Version{})
	require.Equal(t, a, *snapshot.Keyring)
	copied := s.Copy(fileid.UID{2}, fileid.UID{3}, 0)
	require.Zero(t, copied.Keyring, "a copy has a keyring of its own")
	require.Equal(t, s.Vault, copied.Vault)
	apply(&manifest.Edit{Keyring: &manifest.KeyAnchor{}, Vault: &manifest.KeyAnchor{}})
	require.Zero(t, s.Keyring)
	require.Nil(t, manifest.Snapshot(s, &manifest.Version{}).Keyring)
	apply(&manifest.Edit{MinKey: 4})
	apply(&manifest.Edit{MinKey: 3})
	require.EqualValues(t, 4, s.MinKey, "the least key rises")
	require.EqualValues(t, 4, manifest.Snapshot(s, &manifest.Version{}).MinKey)
	require.EqualValues(t, 4, s.Copy(fileid.UID{2}, fileid.UID{3}, 0).MinKey)
}

// What is left of an encrypted manifest is read with its key: of one with a damaged record the
// marks of the others.
func TestRemainsOfASealedManifest(t *testing.T) {
	fs, name, good := sealedStore(t)
	offsets := recordsOf(good)
	want := sealed.mustLoad(t, fs).State
	for _, at := range []int{offsets[0] + 40, offsets[2] + 30, 108} {
		p := bytes.Clone(good)
		p[at] ^= 1
		writeFile(t, fs, name, p)
		r, err := manifest.ReadRemains(fs, dir, ring.Open)
		require.NoError(t, err)
		require.Nil(t, r.Version)
		require.NotEmpty(t, r.Damage)
		require.Equal(t, want.ReservedSeqNum, r.State.ReservedSeqNum, "byte %d", at)
	}
}

// The file of keys, which an interrupted creation leaves, is no evidence of a store.
func TestAKeyringAloneIsNoStore(t *testing.T) {
	fs := newFS(t)
	for _, name := range []string{"KEYRING", "KEYRING.tmp", "VAULT"} {
		writeFile(t, fs, name, []byte("keys"))
	}
	_, err := manifest.Load(fs, dir, ring.Open)
	require.Equal(t, manifest.ErrNoStore, err)
	l := sealed.mustOpen(t, fs)
	appendEdits(t, l, 0, 2)
	require.Equal(t, of(l), loadedContents(sealed.mustLoad(t, fs)))
}
