package wal_test

import (
	"encoding/binary"
	"errors"
	"path"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/wal"
)

// FuzzReplay reads hostile segments. Half of the time the checksums are made to fit, so
// that what lies behind them is reached: a reader must hold its limits by itself.
func FuzzReplay(f *testing.F) {
	// In clear; with a cipher that takes any tag, so that the fuzzer gets behind it; and with one
	// that does not.
	forms := []struct {
		key        seal.KeyID
		newCipher  seal.NewCipher
		openCipher seal.OpenCipher
	}{{}, {1, sealtest.Clear(1).New, sealtest.Clear(1).Open}, {seal.KeyID(ring), ring.New, ring.Open}}
	seed := func(form uint8, size int, entries ...entry) {
		o := newOwner(memFS(), wal.Mapped, 80)
		o.opts.NewCipher = forms[form].newCipher
		l, _, _ := o.mustOpen(f)
		_, err := l.Append(batches(entries...), wal.NoSync)
		require.NoError(f, err)
		require.NoError(f, l.Close())
		a := readAll(f, o.opts.FS, wal.SlotName(1))
		b := make([]byte, len(a))
		if len(o.list.Live) > 1 {
			b = readAll(f, o.opts.FS, wal.SlotName(2))
		}
		for _, reseal := range []bool{false, true} {
			f.Add(a[:size], b[:min(size, len(b))], reseal, form)
		}
	}
	for form := range uint8(len(forms)) {
		seed(form, 8192)
		seed(form, 5000, sequence(1, 10, 50)...)
		seed(form, 8192, entry{1, 2, 9000}, entry{3, 1, 10})
	}
	f.Fuzz(func(t *testing.T, a, b []byte, reseal bool, form uint8) {
		if len(a) > 64<<10 || len(b) > 64<<10 {
			return
		}
		fs := memFS()
		require.NoError(t, fs.MkdirAll(storeDir))
		o := newOwner(fs, wal.Mapped, 81)
		how := forms[form%uint8(len(forms))]
		o.opts.OpenCipher = how.openCipher
		var live []wal.Segment
		for i, p := range [][]byte{a, b} {
			p = append([]byte(nil), p...)
			seg := wal.Segment{Num: wal.SegmentNum(i + 1), Slot: wal.Slot(i + 1), Bytes: int64(max(2, len(p)/4096) * 4096)}
			seg.UID[0], seg.Key = byte(i+1), how.key
			if len(p) < int(seg.Bytes) {
				p = append(p, make([]byte, int(seg.Bytes)-len(p))...)
			}
			if reseal {
				resealSegment(p, seg)
			}
			writeAll(t, fs, wal.SlotName(seg.Slot), p)
			live = append(live, seg)
		}
		checkHostile(t, o, live)
	})
}

func checkHostile(t *testing.T, o *owner, live []wal.Segment) {
	total := int64(0)
	last := uint64(0)
	rec, err := wal.Replay(o.opts, live, func(r wal.Record) error {
		require.Greater(t, uint64(r.FirstSeqNum), last)
		require.NotZero(t, r.Count)
		last = uint64(r.FirstSeqNum) + uint64(r.Count) - 1
		total += int64(len(r.Payload))
		return nil
	})
	if err != nil {
		require.True(t, errors.Is(err, wal.ErrCorrupt) || errors.Is(err, wal.ErrTooNew) || errors.Is(err, wal.ErrSealed), "%v", err)
		return
	}
	require.LessOrEqual(t, total, live[0].Bytes+live[1].Bytes)
	require.Len(t, append(append([]wal.Segment{}, rec.Live...), rec.Discarded...), len(live))
	require.LessOrEqual(t, rec.LostBytes, live[0].Bytes+live[1].Bytes)
	// What was accepted can be written after.
	l, err := wal.Open(o.opts, prepareNext(t, o, live), rec.End, rec.Live)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = o.opts.FS.List(path.Clean(storeDir))
	require.NoError(t, err)
}

func prepareNext(t *testing.T, o *owner, live []wal.Segment) *wal.Prepared {
	first, err := wal.PrepareFirst(o.opts, live[len(live)-1].Num+1, live)
	require.NoError(t, err)
	return first
}

// resealSegment makes the header of p that of seg, and the checksums of the records
// that lie one after another fit.
func resealSegment(p []byte, seg wal.Segment) {
	le := binary.LittleEndian
	copy(p, "loam.wal")
	le.PutUint32(p[8:], 1)
	copy(p[16:], storeUID[:])
	copy(p[32:], seg.UID[:])
	le.PutUint64(p[48:], uint64(seg.Num))
	le.PutUint64(p[56:], uint64(seg.Bytes))
	le.PutUint64(p[96:], uint64(seg.Key))
	s := fileid.NewSeed(fileid.KindWAL, seg.UID)
	le.PutUint32(p[4092:], s.Checksum(0, p[:4092]))
	for off := 4096; off+40 <= len(p); {
		length := le.Uint32(p[off+8:])
		if room := uint32(len(p) - off - 40); length > room {
			length %= room + 1
			le.PutUint32(p[off+8:], length)
		}
		n := int(length)
		le.PutUint32(p[off+4:], wal.PayloadChecksum(p[off+40:off+40+n]))
		le.PutUint32(p[off:], s.Checksum(int64(off), p[off+4:off+40]))
		off += 40 + (n+7)&^7
	}
}
