package lsm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/stretchr/testify/require"
)

// txnRun is a transaction beside its model.
type txnRun struct {
	t     *testing.T
	rnd   *rand.Rand
	tx    *lsm.Txn
	model model // what it must see
	owned map[string]bool
	// merged is what it has appended to keys that it does not own: to whatever they hold when
	// it commits.
	merged map[string]string
	its    []*iterRun
	read   []interval // what it has read of the snapshot
	wrote  bool
	sets   bool // it has set or merged
}

// interval is of keys as they sort: [lower, upper), or from lower on.
type interval struct {
	lower, upper string
	endless      bool
	point        bool // read by a Get
}

func (i interval) has(key string) bool { return key >= i.lower && (i.endless || key < i.upper) }

// iterRun is an iterator beside its model: bounds, and a position by key.
type iterRun struct {
	it             *lsm.TxnIterator
	bounds         interval
	key            string
	value          string
	valid          bool
	atStart, atEnd bool
}

func (r *txnRun) key() string { return fmt.Sprintf("%02d", r.rnd.IntN(50)) }

// following returns the key after one of key's.
func following(k string) string {
	var n int
	_, _ = fmt.Sscanf(k, "%02d", &n)
	return fmt.Sprintf("%02d", n+1)
}

func (r *txnRun) step() {
	switch n := r.rnd.IntN(10); {
	case n < 2:
		k, v := r.key(), fmt.Sprintf("own%d%s", r.rnd.IntN(1000), bytes.Repeat([]byte("x"), r.rnd.IntN(20)))
		require.NoError(r.t, r.tx.Set([]byte(k), []byte(v)))
		r.model[k], r.owned[k] = v, true
		r.wrote, r.sets = true, true
	case n == 2 && r.rnd.IntN(2) == 0:
		r.merge()
	case n < 3 && r.rnd.IntN(6) == 0:
		lo, hi := r.key(), r.key()
		if lo > hi {
			lo, hi = hi, lo
		}
		require.NoError(r.t, r.tx.DeleteRange([]byte(lo), []byte(hi)))
		for k := lo; k < hi; k = following(k) {
			delete(r.model, k)
			r.owned[k], r.wrote = true, true
		}
	case n < 3:
		k := r.key()
		require.NoError(r.t, r.tx.Delete([]byte(k)))
		delete(r.model, k)
		r.owned[k], r.wrote = true, true
	case n == 3 && r.rnd.IntN(4) == 0:
		r.get()
	case n < 4 && len(r.its) < 3:
		r.open()
	case n < 5 && len(r.its) > 0 && r.rnd.IntN(4) == 0:
		i := r.rnd.IntN(len(r.its))
		require.NoError(r.t, r.its[i].it.Close())
		r.its = slices.Delete(r.its, i, i+1)
	case len(r.its) > 0:
		r.move(r.its[r.rnd.IntN(len(r.its))])
	}
	for k := range r.owned {
		delete(r.merged, k)
	}
	for _, o := range r.its { // writes and moves of others leave each where it is
		require.Equal(r.t, o.valid, o.it.Valid())
		if o.valid {
			require.Equal(r.t, o.key, string(o.it.Key()))
			require.Equal(r.t, o.value, string(o.it.Value()))
		}
	}
}

// merge appends to a key, by an operator that can join operands or by one that cannot.
func (r *txnRun) merge() {
	k, v := r.key(), fmt.Sprintf("+%d", r.rnd.IntN(100))
	op := []string{lsm.BytesAppend, plainAppend.Name}[r.rnd.IntN(2)]
	require.NoError(r.t, r.tx.Merge(op, []byte(k), []byte(v)))
	r.model[k] += v
	r.wrote, r.sets = true, true
	if !r.owned[k] {
		r.merged[k] += v
	}
}

func (r *txnRun) open() {
	o := &iterRun{bounds: interval{endless: true}}
	var opts lsm.IterOptions
	if r.rnd.IntN(2) == 0 {
		o.bounds.lower = r.key()
		opts.LowerBound = []byte(o.bounds.lower)
	}
	if r.rnd.IntN(2) == 0 {
		o.bounds.upper, o.bounds.endless = r.key(), false
		opts.UpperBound = []byte(o.bounds.upper)
	}
	var err error
	o.it, err = r.tx.NewIter(&opts)
	require.NoError(r.t, err)
	r.its = append(r.its, o)
}

// move moves an iterator at random and compares it with the model.
func (r *txnRun) move(o *iterRun) {
	var ok bool
	switch op := r.rnd.IntN(8); {
	case op == 0:
		ok = o.it.First()
		r.forward(o, o.bounds.lower)
	case op == 1:
		ok = o.it.Last()
		r.backward(o, o.bounds)
	case op == 2:
		k := r.key()
		ok = o.it.SeekGE([]byte(k))
		r.forward(o, max(k, o.bounds.lower))
	case op == 3:
		k := r.key()
		ok = o.it.SeekLT([]byte(k))
		below := interval{lower: o.bounds.lower, upper: k}
		if !o.bounds.endless {
			below.upper = min(k, o.bounds.upper)
		}
		r.backward(o, below)
	case op < 6:
		ok = o.it.Next()
		switch {
		case o.valid:
			r.forward(o, o.key+"\x00")
		case !o.atEnd:
			r.forward(o, o.bounds.lower)
		}
	default:
		ok = o.it.Prev()
		switch {
		case o.valid:
			r.backward(o, interval{lower: o.bounds.lower, upper: o.key})
		case !o.atStart:
			r.backward(o, o.bounds)
		}
	}
	require.NoError(r.t, o.it.Err())
	require.Equal(r.t, o.valid, ok)
}

// forward puts the model at the first key from lower on, and notes what that reads.
func (r *txnRun) forward(o *iterRun, lower string) {
	found := r.within(interval{lower: lower, upper: o.bounds.upper, endless: o.bounds.endless})
	o.valid, o.atStart, o.atEnd = len(found) > 0, false, len(found) == 0
	seen := interval{lower: lower, upper: o.bounds.upper, endless: o.bounds.endless}
	if o.valid {
		o.key, o.value = found[0], r.model[found[0]]
		seen.upper, seen.endless = o.key+"\x00", false
	}
	r.read = append(r.read, seen)
}

// backward puts the model at the last key within in.
func (r *txnRun) backward(o *iterRun, in interval) {
	found := r.within(in)
	o.valid, o.atStart, o.atEnd = len(found) > 0, len(found) == 0, false
	if o.valid {
		o.key = found[len(found)-1]
		o.value = r.model[o.key]
		in.lower = o.key
	}
	r.read = append(r.read, in)
}

func (r *txnRun) within(in interval) []string {
	var ks []string
	for k := range r.model {
		if in.has(k) {
			ks = append(ks, k)
		}
	}
	slices.Sort(ks)
	return ks
}

func (r *txnRun) get() {
	k := r.key()
	if !r.owned[k] {
		r.read = append(r.read, interval{lower: k, upper: k + "\x00", point: true})
	}
	v, err := r.tx.Get([]byte(k))
	if _, ok := r.model[k]; !ok {
		require.ErrorIs(r.t, err, lsm.ErrNotFound)
		return
	}
	require.NoError(r.t, err)
	require.Equal(r.t, r.model[k], string(v))
}

// sawChange reports whether what others have done, who found before, concerns what was read: a
// set of theirs, or with until a delete of all from theirs on to there.
func (r *txnRun) sawChange(before model, theirs, until string) bool {
	return slices.ContainsFunc(r.read, func(i interval) bool {
		switch _, was := before[i.lower]; {
		case until == "":
			return i.has(theirs)
		case theirs == until:
			return false
		case i.point: // what was absent has not changed
			return was && i.lower >= theirs && i.lower < until
		}
		return i.lower < until && (i.endless || theirs < i.upper && i.lower < i.upper)
	})
}

// Transactions behave as a sorted map over the snapshot, under iterators that stay open
// while they write, and conflict exactly when somebody has written what they have seen.
func TestTransactionsBehaveAsASortedMap(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 50
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 3))
		o := lsm.Options{SyncInterval: -1, Operators: []lsm.Operator{plainAppend}, Encryption: encryptionIf(seed%3 == 0)}
		seams.Inject(&o, seams.Seams{FS: vfs.NewMem(), Sizing: tinySizing(rnd)})
		db, err := lsm.Open("db", &o)
		require.NoError(t, err)
		have := model{}
		for range rnd.IntN(60) {
			k := fmt.Sprintf("%02d", rnd.IntN(50))
			require.NoError(t, db.Set([]byte(k), []byte(k), lsm.NoSync))
			have[k] = k
		}
		for round := range 5 {
			have = runTxn(t, db, rnd, have, fmt.Sprintf("seed %d, round %d", seed, round))
			if rnd.IntN(3) == 0 {
				require.NoError(t, db.Flush(context.Background()))
			}
		}
		require.NoError(t, db.Close())
	}
}

// runTxn runs one transaction, with another write before its end, and returns what the
// store must hold afterwards.
func runTxn(t *testing.T, db *lsm.DB, rnd *rand.Rand, have model, what string) model {
	r := &txnRun{t: t, rnd: rnd, model: maps.Clone(have), owned: map[string]bool{}, merged: map[string]string{}}
	theirs, until, stranger := "", "", rnd.IntN(2) == 0
	before := maps.Clone(have)
	err := db.Update(func(tx *lsm.Txn) error {
		tx.SetWriteOptions(lsm.NoSync)
		r.tx = tx
		for range rnd.IntN(80) {
			r.step()
		}
		// What it writes last is beyond all else, so that it commits something.
		require.NoError(t, tx.Set([]byte("zz"), []byte("zz")))
		r.model["zz"] = "zz"
		if stranger {
			theirs = r.key()
			if rnd.IntN(3) == 0 {
				until = following(r.key())
				if theirs > until {
					theirs, until = until, theirs
				}
				require.NoError(t, db.DeleteRange([]byte(theirs), []byte(until), lsm.NoSync))
				have.deleteRange([]byte(theirs), []byte(until))
			} else {
				require.NoError(t, db.Set([]byte(theirs), []byte("theirs"), lsm.NoSync))
				have[theirs] = "theirs"
			}
			if rnd.IntN(2) == 0 {
				require.NoError(t, db.Flush(context.Background()))
			}
		}
		return nil
	})
	want := stranger && r.sawChange(before, theirs, until)
	require.Equal(t, want, errors.Is(err, lsm.ErrConflict), "%s: %v", what, err)
	if err == nil {
		// The other's write stands unless the transaction wrote the key too.
		if stranger && until == "" && !r.owned[theirs] {
			r.model[theirs] = "theirs" + r.merged[theirs]
		}
		for k := theirs; k < until; k = following(k) {
			if own, ok := r.merged[k]; ok {
				r.model[k] = own
			} else if !r.owned[k] {
				delete(r.model, k)
			}
		}
		have = r.model
	}
	got := model{}
	for e, err := range db.Scan(nil, nil) {
		require.NoError(t, err)
		got[string(e.Key)] = string(e.Value)
	}
	require.Equal(t, have, got, what)
	return have
}
