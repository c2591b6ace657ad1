package lsm_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// model is the oracle: a map, and the maps that snapshots froze.
type model map[string]string

// run is a store beside its model.
type run struct {
	t     *testing.T
	rnd   *rand.Rand
	fs    vfs.FS
	opts  lsm.Options
	db    *lsm.DB
	model model
	snaps []frozen
	keys  int

	operators []lsm.Operator // of every opening but the first
}

type frozen struct {
	snap  *lsm.Snapshot
	model model
}

// tinySizing makes a few hundred operations reach rotation, flush, compaction and
// manifest rolls.
func tinySizing(rnd *rand.Rand) seams.Sizing {
	return seams.Sizing{
		MinSegmentBytes: 16 << 10, MaxSegmentBytes: 64 << 10,
		MinMemtableBytes: 8 << 10, MemtableBytes: 8 << 10 << rnd.IntN(3),
		BudgetBytes:   int64(256<<10) << rnd.IntN(4),
		ManifestBytes: 4 << 10 << rnd.IntN(3), TableBytes: 4 << 10 << rnd.IntN(4),
		L0Trigger: 2 + rnd.IntN(3), ReserveSeqNums: 100,
		SettleAfter: time.Millisecond,
	}
}

// randomOptions returns options for a store of the file system: a third of the file systems has
// encrypted stores, all under one key.
func randomOptions(rnd *rand.Rand, fs vfs.FS) lsm.Options {
	o := lsm.Options{
		Compression:       lsm.Compression(1 + rnd.IntN(4)),
		BlockBytes:        512 << rnd.IntN(4),
		FilterBitsPerKey:  []int{-1, 1, 10, 20}[rnd.IntN(4)],
		LogMode:           lsm.LogMode(rnd.IntN(3)),
		CompactionWorkers: 1 + rnd.IntN(2),
		SyncInterval:      []time.Duration{-1, time.Millisecond, 0}[rnd.IntN(3)],
	}
	if keyed(fs) || unused(fs) && rnd.IntN(3) == 0 {
		o.Encryption = encryptionIf(true)
	}
	seams.Inject(&o, seams.Seams{FS: fs, Sizing: tinySizing(rnd)})
	o.BlobThreshold = []int{-1, 0, 16, 40}[rnd.IntN(4)]
	o.BlobSpacePercent = []int{0, 110, 400}[rnd.IntN(3)]
	return o
}

// encryptionIf is the encryption of a store that is encrypted or not.
func encryptionIf(encrypted bool) *lsm.Encryption {
	if !encrypted {
		return nil
	}
	return &lsm.Encryption{Key: crypto.KeyBytes(bytes.Repeat([]byte{7}, crypto.KeyLen))}
}

// keyed reports whether the store of a file system is encrypted.
func keyed(fs vfs.FS) bool {
	names, err := fs.List("db")
	return err == nil && slices.Contains(names, crypto.KeyringName)
}

// unused reports whether there is no store yet.
func unused(fs vfs.FS) bool {
	names, err := fs.List("db")
	return err != nil || len(names) == 0
}

func newRun(t *testing.T, seed uint64) *run {
	rnd := rand.New(rand.NewPCG(seed, 1))
	r := &run{t: t, rnd: rnd, fs: vfs.NewMem(), model: model{}, keys: 20 + rnd.IntN(300)}
	r.opts = randomOptions(rnd, r.fs)
	r.open()
	return r
}

func (r *run) open() {
	db, err := lsm.Open("db", &r.opts)
	require.NoError(r.t, err)
	r.db = db
}

// reopen closes and opens, under new options.
func (r *run) reopen() {
	for _, f := range r.snaps {
		require.NoError(r.t, f.snap.Close())
	}
	r.snaps = nil
	require.NoError(r.t, r.db.Close())
	r.opts = randomOptions(r.rnd, r.fs)
	r.opts.Operators = r.operators
	r.open()
}

func (r *run) key() string {
	n := r.rnd.IntN(r.keys)
	switch n % 5 {
	case 0:
		return fmt.Sprintf("shared/prefix/of/some/length/%06d", n)
	case 1:
		return string(bytes.Repeat([]byte{0xff}, n%7))
	case 2:
		return fmt.Sprintf("k%d", n) + string(make([]byte, n%3))
	}
	return fmt.Sprintf("key-%05d", n)
}

func (r *run) value() string {
	n := r.rnd.IntN(60)
	if r.rnd.IntN(200) == 0 {
		n = r.rnd.IntN(30_000) // larger than a block, a table, a memtable
	}
	v := make([]byte, n)
	for i := range v {
		v[i] = byte(r.rnd.IntN(4)) + 'a'
	}
	return string(v)
}

// bounds returns a range, mostly narrow, that is not inverted; nil bounds are rare.
func (r *run) bounds() (lower, upper []byte) {
	lo, hi := r.key(), r.key()
	if r.rnd.IntN(5) > 0 {
		lo = lo[:max(0, len(lo)-1)]
		hi = lo + "\xfe"
	}
	if lo > hi {
		lo, hi = hi, lo
	}
	if lower = []byte(lo); r.rnd.IntN(60) == 0 {
		lower = nil
	}
	if upper = []byte(hi); r.rnd.IntN(60) == 0 {
		upper = nil
	}
	return lower, upper
}

func (m model) deleteRange(lower, upper []byte) {
	for k := range m {
		if k >= string(lower) && (upper == nil || k < string(upper)) {
			delete(m, k)
		}
	}
}

func (r *run) writeOptions() *lsm.WriteOptions {
	if r.rnd.IntN(3) == 0 {
		return nil
	}
	return lsm.NoSync
}

func (r *run) step() {
	switch n := r.rnd.IntN(1000); {
	case n < 450:
		k, v := r.key(), r.value()
		require.NoError(r.t, r.db.Set([]byte(k), []byte(v), r.writeOptions()))
		r.model[k] = v
	case n < 470:
		lo, hi := r.bounds()
		require.NoError(r.t, r.db.DeleteRange(lo, hi, r.writeOptions()))
		r.model.deleteRange(lo, hi)
	case n < 600:
		k := r.key()
		require.NoError(r.t, r.db.Delete([]byte(k), r.writeOptions()))
		delete(r.model, k)
	case n < 680:
		r.batch()
	case n < 900:
		r.checkGet()
	case n < 930:
		r.checkSeeks(r.db.NewIter, r.model)
	case n < 945:
		r.checkScan()
	case n < 955:
		require.NoError(r.t, r.db.Flush(context.Background()))
	case n < 960:
		lo, hi := []byte(r.key()), []byte(r.key())
		if bytes.Compare(lo, hi) > 0 {
			lo, hi = hi, lo
		}
		require.NoError(r.t, r.db.Compact(context.Background(), lo, hi))
	case n < 975:
		r.snapshot()
	case n < 990:
		r.checkSnapshot()
	case n < 993:
		r.reopen()
	}
}

func (r *run) batch() {
	b := r.db.NewBatch()
	after := maps.Clone(r.model)
	for range r.rnd.IntN(40) {
		if r.rnd.IntN(30) == 0 {
			lo, hi := r.bounds()
			b.DeleteRange(lo, hi)
			after.deleteRange(lo, hi)
			continue
		}
		k := r.key()
		if r.rnd.IntN(3) == 0 {
			b.Delete([]byte(k))
			delete(after, k)
			continue
		}
		v := r.value()
		b.Set([]byte(k), []byte(v))
		after[k] = v
	}
	require.NoError(r.t, r.db.Apply(b, r.writeOptions()))
	r.model = after
}

func (r *run) checkGet() {
	k := r.key()
	got, err := r.db.Get([]byte(k))
	checkValue(r.t, r.model, k, got, err)
	has, err := r.db.Has([]byte(k))
	require.NoError(r.t, err)
	_, want := r.model[k]
	require.Equal(r.t, want, has)
}

func checkValue(t *testing.T, m model, k string, got []byte, err error) {
	t.Helper()
	want, ok := m[k]
	if !ok {
		require.ErrorIs(t, err, lsm.ErrNotFound, "key %q", k)
		return
	}
	require.NoError(t, err, "key %q", k)
	require.Equal(t, want, string(got), "key %q", k)
}

func (r *run) snapshot() {
	if len(r.snaps) >= 4 {
		i := r.rnd.IntN(len(r.snaps))
		require.NoError(r.t, r.snaps[i].snap.Close())
		r.snaps = slices.Delete(r.snaps, i, i+1)
		return
	}
	s, err := r.db.NewSnapshot()
	require.NoError(r.t, err)
	r.snaps = append(r.snaps, frozen{s, maps.Clone(r.model)})
}

func (r *run) checkSnapshot() {
	if len(r.snaps) == 0 {
		return
	}
	f := r.snaps[r.rnd.IntN(len(r.snaps))]
	k := r.key()
	got, err := f.snap.Get([]byte(k))
	checkValue(r.t, f.model, k, got, err)
	r.checkSeeks(f.snap.NewIter, f.model)
	var got2 []string
	for e, err := range f.snap.ScanReverse(nil, nil) {
		require.NoError(r.t, err)
		got2 = append(got2, string(e.Key))
	}
	want := sortedKeys(f.model, "", "")
	slices.Reverse(want)
	require.Equal(r.t, want, got2)
}

// sortedKeys returns the model's keys within [lo, hi); hi "" is no bound.
func sortedKeys(m model, lo, hi string) []string {
	var ks []string
	for k := range m {
		if k >= lo && (hi == "" || k < hi) {
			ks = append(ks, k)
		}
	}
	slices.Sort(ks)
	return ks
}

func (r *run) checkScan() {
	lo, hi := r.key(), r.key()
	if lo > hi {
		lo, hi = hi, lo
	}
	var upper []byte
	if hi != "" {
		upper = []byte(hi)
	}
	want := sortedKeys(r.model, lo, hi)
	var got []string
	for e, err := range r.db.Scan([]byte(lo), upper) {
		require.NoError(r.t, err)
		require.Equal(r.t, r.model[string(e.Key)], string(e.Value))
		got = append(got, string(e.Key))
	}
	require.Equal(r.t, want, got)
}

// checkSeeks walks an iterator at random and compares every position with the model.
func (r *run) checkSeeks(open func(*lsm.IterOptions) (*lsm.Iterator, error), m model) {
	var o lsm.IterOptions
	lo, hi := "", ""
	if r.rnd.IntN(2) == 0 {
		if lo, hi = r.key(), r.key(); lo > hi {
			lo, hi = hi, lo
		}
		o.LowerBound = []byte(lo)
		if hi != "" {
			o.UpperBound = []byte(hi)
		}
	}
	it, err := open(&o)
	require.NoError(r.t, err)
	ks := sortedKeys(m, lo, hi)
	pos, placed := -1, false // index in ks; -1 before, len after
	for range 10 + r.rnd.IntN(30) {
		var ok bool
		switch op := r.rnd.IntN(8); {
		case op == 0:
			ok, pos = it.First(), 0
		case op == 1:
			ok, pos = it.Last(), len(ks)-1
		case op == 2:
			k := r.key()
			ok = it.SeekGE([]byte(k))
			pos, _ = slices.BinarySearch(ks, k)
		case op == 3:
			k := r.key()
			ok = it.SeekLT([]byte(k))
			pos, _ = slices.BinarySearch(ks, k)
			pos--
		case op < 6:
			if !placed {
				pos = -1
			}
			ok, pos = it.Next(), min(pos+1, len(ks))
		default:
			if !placed {
				pos = len(ks)
			}
			ok, pos = it.Prev(), max(pos-1, -1)
		}
		placed = true
		require.NoError(r.t, it.Err())
		require.Equal(r.t, pos >= 0 && pos < len(ks), ok)
		require.Equal(r.t, ok, it.Valid())
		if ok {
			require.Equal(r.t, ks[pos], string(it.Key()))
			require.Equal(r.t, m[ks[pos]], string(it.Value()))
		}
	}
	require.NoError(r.t, it.Close())
}

func (r *run) checkAll() {
	var got []string
	for e, err := range r.db.Scan(nil, nil) {
		require.NoError(r.t, err)
		require.Equal(r.t, r.model[string(e.Key)], string(e.Value))
		got = append(got, string(e.Key))
	}
	require.Equal(r.t, sortedKeys(r.model, "", ""), got)
	for k := range r.model {
		v, err := r.db.Get([]byte(k))
		checkValue(r.t, r.model, k, v, err)
	}
}

// A store under random options behaves as a sorted map, through flushes, compactions,
// snapshots and reopenings.
func TestStoreBehavesAsASortedMap(t *testing.T) {
	seeds, steps := 12, 1500
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := newRun(t, uint64(seed))
			for range steps {
				r.step()
			}
			r.checkAll()
			r.reopen()
			r.checkAll()
			require.NoError(t, r.db.Compact(context.Background(), nil, nil))
			r.checkAll()
			require.NoError(t, r.db.Close())
		})
	}
}
