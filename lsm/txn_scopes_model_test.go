package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// spacesRun is a transaction over the root and scopes beside its model: a txnRun for each.
type spacesRun struct {
	t    *testing.T
	db   *lsm.DB
	rnd  *rand.Rand
	now  spaces // what the store holds
	runs map[scope.Scope]*txnRun

	renamed map[scope.Scope]bool // others have made, dropped or moved the scope
	changed map[scope.Scope]bool // others have changed what was read in it
}

var txnSpaces = []scope.Scope{{}, scope.Agent("1"), scope.Agent("2"), scope.Step("w", "3"), scope.Global()}

func (r *spacesRun) handle(name scope.Scope) *lsm.Scope {
	if name == (scope.Scope{}) {
		return nil
	}
	return handle(r.t, r.db, name)
}

// run runs a transaction, with others before its end.
func (r *spacesRun) run(what string) {
	before := r.now.clone()
	r.runs, r.renamed, r.changed = map[scope.Scope]*txnRun{}, map[scope.Scope]bool{}, map[scope.Scope]bool{}
	err := r.db.Update(func(tx *lsm.Txn) error {
		tx.SetWriteOptions(lsm.NoSync)
		for range r.rnd.IntN(120) {
			r.space(tx, txnSpaces[r.rnd.IntN(len(txnSpaces))], before).step()
		}
		for _, name := range txnSpaces {
			if r.rnd.IntN(4) == 0 && !r.renamed[name] {
				r.others(name, before[name])
			}
		}
		if r.rnd.IntN(2) == 0 {
			require.NoError(r.t, r.db.Flush(context.Background()))
		}
		return nil
	})
	wrote, saw := false, false
	for name, x := range r.runs {
		wrote = wrote || x.wrote
		looked := false
		for _, i := range x.read {
			looked = looked || i.endless || i.lower < i.upper
		}
		saw = saw || r.changed[name] || looked && r.renamed[name] && (before[name] != nil || r.now[name] != nil)
	}
	require.Equal(r.t, wrote && saw, errors.Is(err, lsm.ErrConflict), "%s: %v", what, err)
	if err == nil {
		for name, x := range r.runs {
			r.committed(name, x)
		}
	}
	r.check(what)
}

// space returns the transaction in a scope, or in the root, beside its model.
func (r *spacesRun) space(tx *lsm.Txn, name scope.Scope, before spaces) *txnRun {
	if x := r.runs[name]; x != nil {
		return x
	}
	x := &txnRun{t: r.t, rnd: r.rnd, tx: tx, model: maps.Clone(before[name]), owned: map[string]bool{}, merged: map[string]string{}}
	if x.model == nil {
		x.model = model{}
	}
	if name != (scope.Scope{}) {
		x.tx = in(r.t, tx, name)
	}
	r.runs[name] = x
	return x
}

// others does something to a scope, or to the root, that the transaction is no part of.
func (r *spacesRun) others(name scope.Scope, before model) {
	sc, op := r.handle(name), r.rnd.IntN(8)
	if sc == nil {
		op = r.rnd.IntN(4)
	}
	x := r.runs[name]
	if x == nil {
		x = &txnRun{}
	}
	k, until := fmt.Sprintf("%02d", r.rnd.IntN(50)), fmt.Sprintf("%02d", r.rnd.IntN(51))
	switch {
	case op < 3:
		r.renamed[name] = sc != nil && r.now[name] == nil
		r.changed[name] = !r.renamed[name] && x.sawChange(before, k, "")
		r.set(name, k)
	case op == 3:
		k, until = min(k, until), max(k, until)
		require.NoError(r.t, r.in(name, func(b *lsm.Batch) { b.DeleteRange([]byte(k), []byte(until)) }))
		r.changed[name] = before != nil && x.sawChange(before, k, until)
		r.now[name].deleteRange([]byte(k), []byte(until))
	case op < 6:
		require.NoError(r.t, sc.Drop(lsm.NoSync))
		r.renamed[name] = true
		if delete(r.now, name); op == 5 {
			r.set(name, k)
		}
	default:
		to := txnSpaces[1+r.rnd.IntN(len(txnSpaces)-1)]
		if r.now[name] == nil || r.now[to] != nil || r.renamed[to] {
			return
		}
		require.NoError(r.t, sc.Move(to, lsm.NoSync))
		r.now[to] = r.now[name]
		delete(r.now, name)
		r.renamed[name], r.renamed[to] = true, true
	}
}

func (r *spacesRun) set(name scope.Scope, k string) {
	require.NoError(r.t, r.in(name, func(b *lsm.Batch) { b.Set([]byte(k), []byte("theirs")) }))
	r.now.set(name, k, "theirs")
}

func (r *spacesRun) in(name scope.Scope, fill func(*lsm.Batch)) error {
	b := r.db.NewBatch().In(r.handle(name))
	fill(b)
	return r.db.Apply(b, lsm.NoSync)
}

// committed does to the model what the transaction has done to a scope, or to the root.
func (r *spacesRun) committed(name scope.Scope, x *txnRun) {
	m := r.now[name]
	if m == nil && !x.sets {
		return // there is nothing to delete
	}
	if m == nil {
		m = model{}
		r.now[name] = m
	}
	for k := range x.owned {
		if v, ok := x.model[k]; ok {
			m[k] = v
		} else {
			delete(m, k)
		}
	}
	for k, v := range x.merged {
		m[k] += v
	}
}

func (r *spacesRun) check(what string) {
	for _, name := range txnSpaces {
		scan := r.db.Scan
		if sc := r.handle(name); sc != nil {
			scan = sc.Scan
			there, err := sc.Exists()
			require.NoError(r.t, err)
			require.Equal(r.t, r.now[name] != nil, there, "%s: %s", what, name)
		}
		got := model{}
		for e, err := range scan(nil, nil) {
			require.NoError(r.t, err)
			got[string(e.Key)] = string(e.Value)
		}
		want := r.now[name]
		if want == nil {
			want = model{}
		}
		require.Equal(r.t, want, got, "%s: %s", what, name)
	}
}

// Transactions over scopes behave as sorted maps over the snapshot, and conflict exactly when
// somebody has written what they have seen, or has made, dropped or moved a scope that they
// have read in. What they write goes to the scopes that have the names when they commit.
func TestTransactionsOverScopesBehaveAsSortedMaps(t *testing.T) {
	seeds := 120
	if testing.Short() {
		seeds = 30
	}
	for seed := range uint64(seeds) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		fs, dir := vfs.FS(vfs.NewMem()), "db"
		if seed%15 == 0 {
			fs, dir = vfs.NewOS(), t.TempDir()
		}
		open := func() *lsm.DB {
			o := lsm.Options{SyncInterval: -1, Operators: []lsm.Operator{plainAppend}, Encryption: encryptionIf(seed%3 == 0)}
			seams.Inject(&o, seams.Seams{FS: fs, Sizing: tinySizing(rnd)})
			db, err := lsm.Open(dir, &o)
			require.NoError(t, err)
			return db
		}
		r := &spacesRun{t: t, rnd: rnd, db: open(), now: spaces{{}: {}}}
		for range rnd.IntN(60) {
			r.set(txnSpaces[rnd.IntN(len(txnSpaces))], fmt.Sprintf("%02d", rnd.IntN(50)))
		}
		for round := range 6 {
			r.run(fmt.Sprintf("seed %d, round %d", seed, round))
			if rnd.IntN(8) == 0 {
				require.NoError(t, r.db.Close())
				r.db = open()
				r.check(fmt.Sprintf("seed %d, round %d, opened again", seed, round))
			}
		}
		require.NoError(t, r.db.Close())
	}
}
