package lsm

import (
	"encoding/binary"
	"testing"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
	"github.com/stretchr/testify/require"
)

// Where a store's first segment keeps its first batch: behind header and link.
const (
	firstLogSlot     = "wal-0001"
	logHeaderBytes   = 4096
	recordHeader     = 40
	firstBatchOffset = logHeaderBytes + 2*recordHeader
)

// openChanged kills a store that holds one batch, changes the first page or two of its
// log, and opens it.
func openChanged(t *testing.T, change func(p []byte, seed fileid.Seed)) error {
	fs := vfs.NewMem()
	db := openOn(t, fs, Options{})
	require.NoError(t, db.Set([]byte("key"), []byte("value"), nil))
	left := killed(t, db, fs)
	f, err := left.Open("db/"+firstLogSlot, vfs.ReadWrite)
	require.NoError(t, err)
	p := make([]byte, 2*logHeaderBytes)
	_, err = f.ReadAt(p, 0)
	require.NoError(t, err)
	change(p, fileid.NewSeed(fileid.KindWAL, fileid.UID(p[32:48])))
	_, err = f.WriteAt(p, 0)
	require.NoError(t, err)
	o := Options{seams: seams.Seams{FS: left}}
	_, err = Open("db", &o)
	return err
}

// A batch whose checksums fit and whose content is none was an error without a type, a
// file or a place.
func TestMalformedBatchesAreReportedAsDamage(t *testing.T) {
	for name, change := range map[string]func(batch []byte){
		"operations": func(b []byte) { b[recordHeader] = 0xee },
		"count":      func(b []byte) { binary.LittleEndian.PutUint32(b[20:], 2) },
	} {
		err := openChanged(t, func(p []byte, seed fileid.Seed) {
			b := p[firstBatchOffset:]
			change(b)
			le := binary.LittleEndian
			n := le.Uint32(b[8:])
			le.PutUint32(b[4:], wal.PayloadChecksum(b[recordHeader:recordHeader+n]))
			le.PutUint32(b, seed.Checksum(firstBatchOffset, b[4:recordHeader]))
		})
		require.ErrorIs(t, err, ErrCorrupt, name)
		var c *CorruptionError
		require.ErrorAs(t, err, &c, name)
		require.Equal(t, firstLogSlot, c.File)
		require.EqualValues(t, firstBatchOffset, c.Offset)
	}
}

// A segment that is encrypted where no keyring is cannot be read. It was an error that no caller
// could tell.
func TestEncryptedSegmentsWithoutAKeyringAreDamage(t *testing.T) {
	err := openChanged(t, func(p []byte, seed fileid.Seed) {
		p[96] = 7 // a data key
		at := logHeaderBytes - 4
		binary.LittleEndian.PutUint32(p[at:], seed.Checksum(0, p[:at]))
	})
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorIs(t, err, wal.ErrSealed)
}
