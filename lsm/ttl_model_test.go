package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// modelClock is a clock that the model moves.
type modelClock struct{ millis atomic.Int64 }

func (c *modelClock) Wall() time.Time { return time.UnixMilli(c.millis.Load()) }
func (c *modelClock) Elapsed() time.Duration {
	return time.Duration(c.millis.Load()) * time.Millisecond
}

// mortal is a value of the model that expires, or with 0 does not.
type mortal struct {
	value   string
	expires int64
}

// mortals are the contents of a store that forgets.
type mortals map[string]mortal

// alive is what a reader at the time sees.
func (m mortals) alive(now int64) model {
	out := model{}
	for k, v := range m {
		if v.expires == 0 || v.expires > now {
			out[k] = v.value
		}
	}
	return out
}

// ttlRun is a store beside its model, and the clock of both.
type ttlRun struct {
	run
	clock   modelClock
	mortals mortals
	held    []ttlSnap
	its     []ttlIter
	merging bool // operands are among the writes
}

type ttlSnap struct {
	snap  *lsm.Snapshot
	model model
	ages  mortals
}

type ttlIter struct {
	it    *lsm.Iterator
	model model
}

func newTTLRun(t *testing.T, seed uint64) *ttlRun {
	rnd := rand.New(rand.NewPCG(seed, 7))
	r := &ttlRun{run: run{t: t, rnd: rnd, fs: vfs.NewMem(), keys: 20 + rnd.IntN(150)}, mortals: mortals{}}
	r.clock.millis.Store(1_800_000_000_000)
	r.options()
	r.open()
	return r
}

func (r *ttlRun) options() {
	r.opts = randomOptions(r.rnd, r.fs)
	r.opts.Clock = &r.clock
	r.opts.ExpiryEvents = r.rnd.IntN(3) == 0
}

func (r *ttlRun) now() int64 { return r.clock.millis.Load() }

// reopen closes what is open, and the store, and opens it again.
func (r *ttlRun) reopen() {
	for _, s := range r.held {
		require.NoError(r.t, s.snap.Close())
	}
	for _, i := range r.its {
		require.NoError(r.t, i.it.Close())
	}
	r.held, r.its = nil, nil
	require.NoError(r.t, r.db.Close())
	r.options()
	r.open()
}

func (r *ttlRun) ttl() time.Duration {
	return time.Duration(1+r.rnd.IntN(1<<r.rnd.IntN(14))) * time.Millisecond
}

// setter is a store, a batch, or a transaction.
type setter interface {
	set(k, v string)
	setTTL(k, v string, ttl time.Duration)
	setExpiry(k, v string, at time.Time)
	del(k string)
	deleteRange(lo, hi []byte)
	merge(op, k string, operand []byte)
}

// write does one random write of s, and of the model.
func (r *ttlRun) write(s setter, m mortals) {
	if r.merging && r.rnd.IntN(2) == 0 {
		r.writeMerge(s, m)
		return
	}
	k, v := r.key(), r.value()
	switch n := r.rnd.IntN(20); {
	case n < 6:
		s.set(k, v)
		m[k] = mortal{value: v}
	case n < 12:
		ttl := r.ttl()
		s.setTTL(k, v, ttl)
		m[k] = mortal{v, r.now() + ttl.Milliseconds()}
	case n < 15:
		at := r.now() - 500 + int64(r.rnd.IntN(3000))
		s.setExpiry(k, v, time.UnixMilli(at))
		m[k] = mortal{v, at}
	case n < 16:
		lo, hi := r.bounds()
		s.deleteRange(lo, hi)
		for k := range m {
			if k >= string(lo) && (hi == nil || k < string(hi)) {
				delete(m, k)
			}
		}
	default:
		s.del(k)
		delete(m, k)
	}
}

// writeMerge writes an operand, or a counter for operands to come. An operand on what is there
// leaves the expiry as it is; one on what has expired begins anew.
func (r *ttlRun) writeMerge(s setter, m mortals) {
	if r.rnd.IntN(2) == 0 {
		k, text := r.key(), r.value()
		text = text[:min(len(text), 20)]
		s.merge(lsm.BytesAppend, k, []byte(text))
		if old, ok := m[k]; ok && (old.expires == 0 || old.expires > r.now()) {
			m[k] = mortal{old.value + text, old.expires}
		} else {
			m[k] = mortal{value: text}
		}
		return
	}
	k, n := fmt.Sprintf("counter%d", r.rnd.IntN(4)), int64(r.rnd.IntN(100))
	switch r.rnd.IntN(10) {
	case 0:
		ttl := r.ttl()
		s.setTTL(k, string(lsm.Int64Bytes(n)), ttl)
		m[k] = mortal{string(lsm.Int64Bytes(n)), r.now() + ttl.Milliseconds()}
	case 1:
		s.set(k, string(lsm.Int64Bytes(n)))
		m[k] = mortal{value: string(lsm.Int64Bytes(n))}
	default:
		s.merge(lsm.Int64Add, k, lsm.Int64Bytes(n))
		if old, ok := m[k]; ok && (old.expires == 0 || old.expires > r.now()) {
			sum, err := lsm.Int64Of([]byte(old.value))
			require.NoError(r.t, err)
			m[k] = mortal{string(lsm.Int64Bytes(sum + n)), old.expires}
		} else {
			m[k] = mortal{value: string(lsm.Int64Bytes(n))}
		}
	}
}

type dbSetter struct{ *ttlRun }

func (s dbSetter) set(k, v string) {
	require.NoError(s.t, s.db.Set([]byte(k), []byte(v), s.writeOptions()))
}
func (s dbSetter) setTTL(k, v string, ttl time.Duration) {
	require.NoError(s.t, s.db.SetWithTTL([]byte(k), []byte(v), ttl, s.writeOptions()))
}
func (s dbSetter) setExpiry(k, v string, at time.Time) {
	require.NoError(s.t, s.db.SetWithExpiry([]byte(k), []byte(v), at, s.writeOptions()))
}
func (s dbSetter) del(k string) { require.NoError(s.t, s.db.Delete([]byte(k), s.writeOptions())) }
func (s dbSetter) deleteRange(lo, hi []byte) {
	require.NoError(s.t, s.db.DeleteRange(lo, hi, s.writeOptions()))
}

func (s dbSetter) merge(op, k string, operand []byte) {
	require.NoError(s.t, s.db.Merge(op, []byte(k), operand, s.writeOptions()))
}

type batchSetter struct{ b *lsm.Batch }

func (s batchSetter) set(k, v string) { s.b.Set([]byte(k), []byte(v)) }
func (s batchSetter) setTTL(k, v string, ttl time.Duration) {
	s.b.SetWithTTL([]byte(k), []byte(v), ttl)
}
func (s batchSetter) setExpiry(k, v string, at time.Time) {
	s.b.SetWithExpiry([]byte(k), []byte(v), at)
}
func (s batchSetter) del(k string)              { s.b.Delete([]byte(k)) }
func (s batchSetter) deleteRange(lo, hi []byte) { s.b.DeleteRange(lo, hi) }

func (s batchSetter) merge(op, k string, operand []byte) { s.b.Merge(op, []byte(k), operand) }

type txnSetter struct {
	t  *testing.T
	tx *lsm.Txn
}

func (s txnSetter) set(k, v string) { require.NoError(s.t, s.tx.Set([]byte(k), []byte(v))) }
func (s txnSetter) setTTL(k, v string, ttl time.Duration) {
	require.NoError(s.t, s.tx.SetWithTTL([]byte(k), []byte(v), ttl))
}
func (s txnSetter) setExpiry(k, v string, at time.Time) {
	require.NoError(s.t, s.tx.SetWithExpiry([]byte(k), []byte(v), at))
}
func (s txnSetter) del(k string)              { require.NoError(s.t, s.tx.Delete([]byte(k))) }
func (s txnSetter) deleteRange(lo, hi []byte) { require.NoError(s.t, s.tx.DeleteRange(lo, hi)) }

func (s txnSetter) merge(op, k string, operand []byte) {
	require.NoError(s.t, s.tx.Merge(op, []byte(k), operand))
}

func (r *ttlRun) step() {
	if r.rnd.IntN(4) == 0 {
		r.clock.millis.Add(int64(r.rnd.IntN(1 << r.rnd.IntN(10))))
	}
	switch n := r.rnd.IntN(1000); {
	case n < 500:
		r.write(dbSetter{r}, r.mortals)
	case n < 560:
		b := r.db.NewBatch()
		for range r.rnd.IntN(30) {
			r.write(batchSetter{b}, r.mortals)
		}
		require.NoError(r.t, r.db.Apply(b, r.writeOptions()))
	case n < 600:
		r.transaction()
	case n < 800:
		r.checkPoint()
	case n < 840:
		r.checkSeeks(r.db.NewIter, r.mortals.alive(r.now()))
	case n < 860:
		r.holdIterator()
	case n < 880:
		r.holdSnapshot()
	case n < 940:
		r.checkHeld()
	case n < 960:
		require.NoError(r.t, r.db.Flush(context.Background()))
	case n < 970:
		require.NoError(r.t, r.db.Compact(context.Background(), nil, nil))
	case n < 975:
		r.reopen()
	}
}

// transaction writes, reads its own writes, and may lose what it has read to time.
func (r *ttlRun) transaction() {
	after, began := maps.Clone(r.mortals), r.now()
	read := int64(0) // the earliest expiry of what was read
	err := r.db.Update(func(tx *lsm.Txn) error {
		for range r.rnd.IntN(12) {
			if r.rnd.IntN(3) == 0 {
				r.write(txnSetter{r.t, tx}, after)
				continue
			}
			k := r.key()
			got, err := tx.Get([]byte(k))
			checkValue(r.t, after.alive(began), k, got, err)
			if m := r.mortals[k]; err == nil && (after[k] == m || r.merging && after[k].expires == m.expires) && m.expires != 0 && (read == 0 || m.expires < read) {
				read = m.expires
			}
		}
		if r.rnd.IntN(2) == 0 {
			want := after.alive(began)
			it, err := tx.NewIter(nil)
			require.NoError(r.t, err)
			for _, k := range sortedKeys(want, "", "") {
				require.True(r.t, it.Next())
				require.Equal(r.t, k, string(it.Key()))
				require.Equal(r.t, want[k], string(it.Value()))
				require.Equal(r.t, after[k].expires == 0, it.Expiry().IsZero())
				if m := r.mortals[k]; (after[k] == m || r.merging && after[k].expires == m.expires) && m.expires != 0 && (read == 0 || m.expires < read) {
					read = m.expires
				}
			}
			require.False(r.t, it.Next())
			require.NoError(r.t, it.Close())
		}
		if !r.merging && r.rnd.IntN(3) == 0 { // an operand may meet something else later
			r.clock.millis.Add(int64(r.rnd.IntN(200)))
		}
		return tx.Set([]byte("txn"), []byte("was here"))
	})
	if read != 0 && read <= r.now() {
		require.ErrorIs(r.t, err, lsm.ErrConflict)
		return
	}
	// A write of the same value and expiry in the place of what was read hides the latter.
	if !errors.Is(err, lsm.ErrConflict) {
		require.NoError(r.t, err)
		after["txn"] = mortal{value: "was here"}
		r.mortals = after
	}
}

func (r *ttlRun) checkPoint() {
	k := r.key()
	alive := r.mortals.alive(r.now())
	got, expiry, err := r.db.GetWithExpiry([]byte(k))
	checkValue(r.t, alive, k, got, err)
	if err == nil {
		want := r.mortals[k].expires
		require.Equal(r.t, want == 0, expiry.IsZero())
		if want != 0 {
			require.Equal(r.t, want, expiry.UnixMilli())
		}
	}
	_, version, err := r.db.GetWithVersion([]byte(k))
	_, there := alive[k]
	require.Equal(r.t, there, err == nil)
	require.Equal(r.t, there, version != lsm.Absent)
	b := r.db.NewBatch()
	b.Require([]byte(k), version)
	require.NoError(r.t, r.db.Apply(b, nil))
	if m := r.mortals[k]; there && m.expires != 0 && r.rnd.IntN(4) == 0 {
		r.clock.millis.Store(m.expires)
		require.ErrorIs(r.t, r.db.Apply(b, nil), lsm.ErrConflict)
	}
}

func (r *ttlRun) holdSnapshot() {
	if len(r.held) >= 4 {
		i := r.rnd.IntN(len(r.held))
		require.NoError(r.t, r.held[i].snap.Close())
		r.held = slices.Delete(r.held, i, i+1)
		return
	}
	s, err := r.db.NewSnapshot()
	require.NoError(r.t, err)
	r.held = append(r.held, ttlSnap{s, r.mortals.alive(r.now()), maps.Clone(r.mortals)})
}

func (r *ttlRun) holdIterator() {
	if len(r.its) >= 2 {
		require.NoError(r.t, r.its[0].it.Close())
		r.its = r.its[1:]
		return
	}
	it, err := r.db.NewIter(nil)
	require.NoError(r.t, err)
	r.its = append(r.its, ttlIter{it, r.mortals.alive(r.now())})
}

// checkHeld compares a snapshot and an iterator with what they saw when they were made.
func (r *ttlRun) checkHeld() {
	if len(r.held) > 0 {
		s := r.held[r.rnd.IntN(len(r.held))]
		k := r.key()
		got, expiry, err := s.snap.GetWithExpiry([]byte(k))
		checkValue(r.t, s.model, k, got, err)
		if err == nil && s.ages[k].expires != 0 {
			require.Equal(r.t, s.ages[k].expires, expiry.UnixMilli())
		}
		r.checkSeeks(s.snap.NewIter, s.model)
	}
	if len(r.its) > 0 {
		i := r.its[0]
		var forward, backward []string
		for ok := i.it.First(); ok; ok = i.it.Next() {
			require.Equal(r.t, i.model[string(i.it.Key())], string(i.it.Value()))
			forward = append(forward, string(i.it.Key()))
		}
		for ok := i.it.Last(); ok; ok = i.it.Prev() {
			require.Equal(r.t, i.model[string(i.it.Key())], string(i.it.Value()))
			backward = append(backward, string(i.it.Key()))
		}
		require.NoError(r.t, i.it.Err())
		want := sortedKeys(i.model, "", "")
		require.Equal(r.t, want, forward)
		slices.Reverse(backward)
		require.Equal(r.t, want, backward)
	}
}

func (r *ttlRun) checkAll() {
	r.model = r.mortals.alive(r.now())
	r.run.checkAll()
}

// A store whose entries expire behaves as a sorted map that forgets, to the millisecond,
// through batches, transactions, flushes, merges, snapshots, iterators and reopenings. In the
// end nothing is left of what has expired.
func TestStoreBehavesAsAMapThatForgets(t *testing.T) { behavesAsAMapThatForgets(t, false) }

// The same with merge operands on entries that expire, or have expired: one leaves the expiry
// as it is, or begins anew, whatever is folded when.
func TestMergesAndExpiriesBehaveAsAMapThatForgets(t *testing.T) { behavesAsAMapThatForgets(t, true) }

func behavesAsAMapThatForgets(t *testing.T, merging bool) {
	seeds, steps := 8, 1200
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := newTTLRun(t, uint64(seed))
			r.merging = merging
			for range steps {
				r.step()
			}
			r.checkAll()
			r.reopen()
			r.checkAll()
			r.clock.millis.Add(time.Hour.Milliseconds())
			r.checkAll()
			require.NoError(t, r.db.Compact(context.Background(), nil, nil))
			r.checkAll()
			require.NoError(t, r.db.Close())
		})
	}
}
