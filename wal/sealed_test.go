package wal_test

import (
	"bytes"
	"context"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"path"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
)

// sealedLog is a log of three batches of equal length, killed, whose records are at the
// offsets.
func sealedLog(t testing.TB, mode wal.Mode) (k *killed, offsets []int64) {
	o := newOwner(memFS(), mode, 110)
	l, _, _ := o.mustOpen(t)
	want := sequence(1, 3, 100)
	appendAll(t, l, wal.NoSync, want...)
	k = kill(t, o, want)
	require.NoError(t, l.Close())
	_, err := wal.Replay(k.owner(t, 1).opts, k.list.Live, func(r wal.Record) error {
		offsets = append(offsets, r.Offset)
		return nil
	})
	require.NoError(t, err)
	require.Len(t, offsets, 3)
	return k, offsets
}

// recordAt returns the whole record of p at off, without what it is padded with.
func recordAt(p []byte, off int64) []byte {
	n := int64(binary.LittleEndian.Uint32(p[off+8:]))
	return p[off : off+40+n]
}

// resum makes the checksums of a record fit, as whoever forges it can.
func resum(p []byte, uid fileid.UID, off int64) {
	le := binary.LittleEndian
	le.PutUint32(p[4:], wal.PayloadChecksum(p[40:]))
	le.PutUint32(p, fileid.NewSeed(fileid.KindWAL, uid).Checksum(off, p[4:40]))
}

// forge replays the log with the content of its first segment changed.
func (k *killed) forge(t testing.TB, change func(p []byte)) ([]entry, error) {
	t.Helper()
	o := k.owner(t, 2)
	p := readAll(t, o.opts.FS, k.slot(0))
	change(p)
	writeAll(t, o.opts.FS, k.slot(0), p)
	_, got, err := o.replay()
	return got, err
}

func requireForged(t testing.TB, err error, off int64, what string) {
	t.Helper()
	require.ErrorIs(t, err, wal.ErrCorrupt, what)
	require.ErrorIs(t, err, seal.ErrAuth, what)
	var c *wal.CorruptionError
	require.ErrorAs(t, err, &c, what)
	require.Equal(t, off, c.Offset, what)
}

// R34: whoever changes a bit and makes the checksums fit is told, whether it is a bit of the
// payload or of the header, and wherever the record stands.
func TestForgedHeadersAreRefused(t *testing.T) {
	k, offsets := sealedLog(t, sealed)
	uid := k.list.Live[0].UID
	for i, off := range append([]int64{4096}, offsets...) {
		length := int64(len(recordAt(readAll(t, k.fs, k.slot(0)), off)))
		for bit := int64(8 * 8); bit < length*8; bit++ {
			what := fmt.Sprintf("record %d, byte %d, bit %d", i, bit/8, bit%8)
			got, err := k.forge(t, func(p []byte) {
				p[off+bit/8] ^= 1 << (bit % 8)
				if at := bit / 8; at >= 8 && at < 12 { // the length: the record ends elsewhere
					resum(p[off:][:min(40+int64(binary.LittleEndian.Uint32(p[off+8:])), int64(len(p))-off)], uid, off)
					return
				}
				resum(p[off:off+length], uid, off)
			})
			switch {
			case bit/8 < 40 && err == nil: // no header of any record: the log seems to end there
				require.Equal(t, k.rest[:len(got)], append([]entry{}, got...), what)
				require.Less(t, len(got), 3, what)
			case bit/8 < 20:
				require.ErrorIs(t, err, wal.ErrCorrupt, what) // perhaps a claim beyond the end
			default:
				requireForged(t, err, off, what)
			}
		}
	}
}

// A segment's header is bound by its link: whoever changes it, and the list, is told.
func TestAForgedSegmentHeaderIsRefused(t *testing.T) {
	k, _ := sealedLog(t, sealed)
	o := k.owner(t, 3)
	seg := k.list.Live[0]
	require.Equal(t, int64(8192), seg.Bytes)
	p := append(readAll(t, o.opts.FS, k.slot(0)), make([]byte, 8192)...)
	binary.LittleEndian.PutUint64(p[56:], 16384)
	binary.LittleEndian.PutUint32(p[4092:], fileid.NewSeed(fileid.KindWAL, seg.UID).Checksum(0, p[:4092]))
	writeAll(t, o.opts.FS, k.slot(0), p)
	seg.Bytes = 16384
	_, _, err := o.replayList([]wal.Segment{seg})
	requireForged(t, err, 4096, "")
}

// R34: a record opens at its place in its segment only.
func TestExchangedRecordsAreRefused(t *testing.T) {
	k, offsets := sealedLog(t, sealed)
	uid := k.list.Live[0].UID
	for i, to := range offsets {
		for j, from := range offsets {
			if i == j {
				continue
			}
			_, err := k.forge(t, func(p []byte) {
				copy(p[to:], bytes.Clone(recordAt(p, from)))
				resum(recordAt(p, to), uid, to)
			})
			requireForged(t, err, to, fmt.Sprintf("%d in the place of %d", j, i))
		}
	}
	// Of another life, at the same offset.
	other := newOwner(memFS(), sealed, 111)
	l, _, _ := other.mustOpen(t)
	appendAll(t, l, wal.NoSync, sequence(1, 3, 100)...)
	require.NoError(t, l.Close())
	foreign := readAll(t, other.opts.FS, wal.SlotName(1))
	for _, off := range append([]int64{4096}, offsets...) {
		_, err := k.forge(t, func(p []byte) {
			copy(p[off:], recordAt(foreign, off))
			resum(recordAt(p, off), uid, off)
		})
		requireForged(t, err, off, "of another segment")
	}
}

// A record in clear, however well made, has no place in an encrypted segment.
func TestPlainRecordsAreRefused(t *testing.T) {
	k, offsets := sealedLog(t, sealed)
	plain, plainOffsets := sealedLog(t, wal.Mapped) // of the same UID
	require.Equal(t, k.list.Live[0].UID, plain.list.Live[0].UID)
	from := readAll(t, plain.fs, plain.slot(0))
	for i, off := range offsets {
		_, err := k.forge(t, func(p []byte) {
			copy(p[off:], recordAt(from, plainOffsets[i]))
			resum(recordAt(p, off), k.list.Live[0].UID, off)
		})
		requireForged(t, err, off, fmt.Sprintf("record %d", i))
	}
}

// A whole segment in clear under the same UID is refused where the list has a data key, and
// the other way round.
func TestPlainSegmentsAreRefused(t *testing.T) {
	k, _ := sealedLog(t, sealed)
	plain, _ := sealedLog(t, wal.Mapped)
	_, err := k.forge(t, func(p []byte) { copy(p, readAll(t, plain.fs, plain.slot(0))) })
	requireForged(t, err, 0, "in clear")
	_, err = plain.forge(t, func(p []byte) { copy(p, readAll(t, k.fs, k.slot(0))) })
	requireForged(t, err, 0, "encrypted")
	_, err = k.forge(t, func(p []byte) {
		binary.LittleEndian.PutUint64(p[96:], 4)
		binary.LittleEndian.PutUint32(p[4092:], fileid.NewSeed(fileid.KindWAL, k.list.Live[0].UID).Checksum(0, p[:4092]))
	})
	require.ErrorIs(t, err, sealtest.ErrNoKey)
}

// A wrong key is told from a torn tail and from damage: nothing of the log is cut.
func TestAWrongKeyIsNoTornTail(t *testing.T) {
	k, offsets := sealedLog(t, sealed)
	o := k.owner(t, 4)
	o.opts.OpenCipher = func(_ seal.KeyID, kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, error) {
		return sealtest.Ring(9).Open(9, kind, uid, salt)
	}
	_, _, err := o.replay()
	requireForged(t, err, 4096, "")
	o.opts.OpenCipher = nil
	_, _, err = o.replay()
	require.ErrorIs(t, err, wal.ErrSealed)
	require.NotErrorIs(t, err, wal.ErrCorrupt)

	// Damage, which checksums meet, is none of the key's.
	got, err := k.forge(t, func(p []byte) { p[offsets[2]+50] ^= 1 })
	require.NoError(t, err)
	require.Equal(t, k.rest[:2], got)
}

// However short the log was cut, it is a torn tail or damage, and nobody forged anything.
func TestASealedLogCutAtEveryLengthIsTorn(t *testing.T) {
	k, _ := sealedLog(t, sealed)
	o := k.owner(t, 5)
	p := readAll(t, o.opts.FS, k.slot(0))
	used := len(bytes.TrimRight(p, "\x00"))
	whole := 0
	for n := used; n >= 0; n-- {
		clear(p[n:])
		writeAll(t, o.opts.FS, k.slot(0), p)
		rec, got, err := o.replay()
		if n < 4096 {
			require.ErrorIs(t, err, wal.ErrCorrupt, "%d bytes", n)
			require.NotErrorIs(t, err, seal.ErrAuth, "%d bytes", n)
			continue
		}
		require.NoError(t, err, "%d bytes", n)
		require.Equal(t, k.rest[:len(got)], append([]entry{}, got...))
		if len(got) == 3 {
			whole++
		} else {
			require.NotEqual(t, wal.Clean, rec.Verdict)
		}
	}
	require.Equal(t, 1, whole)
}

// recorder is a ring that notes what is sealed under which key with which nonce.
type recorder struct {
	mu    sync.Mutex
	salts map[seal.Salt]bool
	used  map[string]int
	n     int
}

func (r *recorder) New(kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, seal.KeyID, error) {
	r.mu.Lock()
	r.salts[salt] = true
	r.n++
	r.mu.Unlock()
	c, id, err := ring.New(kind, uid, salt)
	return &recorded{c, r, fmt.Sprint(id, kind, uid, salt)}, id, err
}

type recorded struct {
	cipher.AEAD
	r   *recorder
	key string
}

func (c *recorded) Seal(dst, nonce, plaintext, data []byte) []byte {
	c.r.mu.Lock()
	c.r.used[c.key+string(nonce)]++
	c.r.mu.Unlock()
	return c.AEAD.Seal(dst, nonce, plaintext, data)
}

// R35: slots go round, processes are killed and come back, writes fail, and no nonce is used
// twice under a key.
func TestNoNonceIsUsedTwiceUnderAKey(t *testing.T) {
	r := &recorder{salts: map[seal.Salt]bool{}, used: map[string]int{}}
	faults := vfs.NewFaults(vfs.NewCrashMem())
	next := keys.SeqNum(1)
	for life := range 6 {
		o := newOwner(faults, sealed, 120+uint64(life))
		o.opts.NewCipher = r.New
		l, _, _ := o.mustOpen(t)
		for range 20 {
			appendAll(t, l, wal.Intent(life%3), sequence(next, 20, 200)...)
			next += 20
			require.NoError(t, o.drop(l, l.Current()))
		}
		if life%2 == 0 {
			require.NoError(t, l.Close())
			continue
		}
		faults.Add(vfs.Rule{Kinds: vfs.OpWrite | vfs.OpStore, Err: errDisk, Forever: true})
		_, err := l.Append(batches(entry{next, 1, 50}), wal.WillSync)
		require.ErrorIs(t, err, wal.ErrFailed)
		next += 100
		faults.Clear()
		require.Error(t, l.Close())
	}
	require.Greater(t, r.n, 40, "slots were used again")
	require.Len(t, r.salts, r.n, "each life has a salt of its own")
	require.Greater(t, len(r.used), 2400)
	for what, n := range r.used {
		require.Equal(t, 1, n, "%x", what)
	}
}

// A batch longer than a sealed record takes is fragments of one segment, or of several.
func TestLongBatchesAreSealedInParts(t *testing.T) {
	for _, segment := range []int64{8 << 10, 256 << 10, 1 << 20} {
		o := newOwner(memFS(), sealed, 112)
		o.opts.MinSegmentBytes, o.opts.MaxSegmentBytes = segment, segment
		l, _, _ := o.mustOpen(t)
		var want []entry
		for i, size := range []int{10, 300_000, wal.MaxSealed, wal.MaxSealed + 1, 2*wal.MaxSealed + 7, 1_500_000, 1} {
			e := entry{First: keys.SeqNum(i + 1), Count: 1, Size: size}
			b := e.batch()
			if i%2 == 1 {
				b.Payload, b.Tail = b.Payload[:wal.MaxHeadBytes:wal.MaxHeadBytes], b.Payload[wal.MaxHeadBytes:]
			}
			require.NoError(t, l.Reserve(int64(size), 1))
			_, err := l.Append([]wal.Batch{b}, wal.NoSync)
			require.NoError(t, err, "segments of %d, %d bytes", segment, size)
			want = append(want, e)
		}
		require.NoError(t, l.Close())
		_, got, err := o.replay()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// Nothing that was written is in the files.
func TestNothingOfASealedLogIsInClear(t *testing.T) {
	canary := bytes.Repeat([]byte("a canary "), 30)
	for _, mode := range []wal.Mode{wal.Mapped, sealed} {
		o := newOwner(memFS(), mode, 113)
		l, _, _ := o.mustOpen(t)
		b := wal.Batch{Payload: canary[:9], Tail: canary, FirstSeqNum: 1, Count: 1}
		b.PayloadCRC = wal.ExtendChecksum(wal.PayloadChecksum(b.Payload), b.Tail)
		_, err := l.Append([]wal.Batch{b}, wal.NoSync)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		p := readAll(t, o.opts.FS, wal.SlotName(1))
		require.Equal(t, mode != sealed, bytes.Contains(p, []byte("canary")))
	}
}

// A log goes on in the other form: the list says which segments are encrypted.
func TestALogChangesItsForm(t *testing.T) {
	o := newOwner(memFS(), wal.Mapped, 114)
	var want []entry
	for i := range 4 {
		first := keys.SeqNum(1 + 10*i)
		l, _, got := o.mustOpen(t)
		require.Equal(t, want, got)
		appendAll(t, l, wal.NoSync, sequence(first, 10, 600)...)
		want = append(want, sequence(first, 10, 600)...)
		require.NoError(t, l.Close())
		o.opts.NewCipher = ring.New
		if i%2 == 1 {
			o.opts.NewCipher = nil
		}
	}
	first, err := wal.PrepareFirst(o.opts, o.list.Next, o.list.Live)
	require.NoError(t, err)
	o.opts.NewCipher = ring.New
	_, err = wal.Open(o.opts, first, wal.Link{}, nil)
	require.ErrorIs(t, err, wal.ErrInvalid)
	require.NoError(t, first.Close())
}

// Salvage reads what opens, and says what does not.
func TestSalvageOfASealedLog(t *testing.T) {
	k, offsets := sealedLog(t, sealed)
	seg := k.list.Live[0]
	read := func(fs vfs.FS, open seal.OpenCipher) ([]wal.SlotRemains, []entry) {
		var got []entry
		o := wal.SalvageOptions{FS: fs, Dir: storeDir, Store: storeUID, Listed: k.list.Live, OpenCipher: open}
		remains, err := wal.Salvage(context.Background(), o, func(r wal.Record) error {
			got = append(got, entry{First: r.FirstSeqNum, Count: r.Count, Size: len(r.Payload)})
			return nil
		})
		require.NoError(t, err)
		return remains, got
	}
	changed := func(change func(p []byte)) vfs.FS {
		fs := copyFS(t, k.fs)
		p := readAll(t, fs, k.slot(0))
		change(p)
		writeAll(t, fs, k.slot(0), p)
		return fs
	}
	remains, got := read(changed(func([]byte) {}), nil)
	require.Empty(t, got)
	require.ErrorIs(t, gaps(remains)[0].Err, wal.ErrSealed)

	remains, got = read(changed(func(p []byte) {
		p[offsets[1]+60] ^= 1
		resum(recordAt(p, offsets[1]), seg.UID, offsets[1])
	}), ring.Open)
	require.Equal(t, []entry{k.rest[0], k.rest[2]}, got)
	require.ErrorIs(t, gaps(remains)[0].Err, seal.ErrAuth)
	require.Equal(t, offsets[1], gaps(remains)[0].Offset)

	remains, got = read(changed(func(p []byte) {
		p[offsets[2]+60] ^= 1
		resum(recordAt(p, offsets[2]), seg.UID, offsets[2])
	}), ring.Open)
	require.Equal(t, k.rest[:2], got)
	require.ErrorIs(t, gaps(remains)[0].Err, seal.ErrAuth)

	// In clear, in the place of the segment and in another slot.
	plain, _ := sealedLog(t, wal.Mapped)
	fs := copyFS(t, plain.fs)
	o := wal.SalvageOptions{FS: fs, Dir: storeDir, Store: storeUID, Unlisted: true, OpenCipher: ring.Open}
	remains, err := wal.Salvage(context.Background(), o, func(wal.Record) error { return errWrongPayload })
	require.NoError(t, err)
	require.ErrorIs(t, gaps(remains)[0].Err, seal.ErrAuth)
	remains, got = read(changed(func(p []byte) { copy(p, readAll(t, plain.fs, plain.slot(0))) }), ring.Open)
	require.Empty(t, got)
	require.ErrorIs(t, gaps(remains)[0].Err, seal.ErrAuth)
}

// A commit of an encrypted log allocates no more than one in clear: nothing.
func TestSealingAllocatesNothing(t *testing.T) {
	if invariants.Enabled {
		t.Skip("the race detector empties pools")
	}
	o := newOwner(memFS(), sealed, 115)
	o.opts.FS = vfs.NewOS()
	o.opts.Dir, o.opts.Mode = t.TempDir(), wal.Written
	o.opts.MinSegmentBytes, o.opts.MaxSegmentBytes = 1<<20, 1<<20
	first, err := wal.PrepareFirst(o.opts, 1, nil)
	require.NoError(t, err)
	l, err := wal.Open(o.opts, first, wal.Link{}, nil)
	require.NoError(t, err)
	group := batches(entry{1, 1, 128}, entry{2, 1, 300})
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := l.Append(group, wal.NoSync); err != nil {
			panic(err)
		}
		group[0].FirstSeqNum += 2
		group[1].FirstSeqNum += 2
	}))
	require.NoError(t, l.Close())
	_, err = o.opts.FS.List(path.Clean(o.opts.Dir))
	require.NoError(t, err)
}
