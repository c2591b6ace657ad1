package lsm_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// history is what many goroutines did at once, and when.
type history struct {
	db    *lsm.DB
	homes map[string]scope.Scope // of keys that are not the root's
	clock atomic.Int64           // ticks at each beginning and end

	mu      sync.Mutex
	entries []entry
}

// entry is one transaction, batch or view. Each writes its own mark, whose version places
// it among the others.
type entry struct {
	id         string
	begin, end int64
	saw        map[string]string // of the store, not of its own writes; "" for absent
	wrote      map[string]string // "" for deleted
	committed  bool
	number     lsm.Version
	homes      map[string]scope.Scope
}

// in returns the transaction as it acts where the key is.
func (e *entry) in(tx *lsm.Txn, key string) (*lsm.Txn, error) {
	home, ok := e.homes[key]
	if !ok {
		return tx, nil
	}
	return tx.Scope(home)
}

func (e *entry) mark() []byte { return []byte("mark/" + e.id) }

var historyKeys = []string{"k0", "k1", "k2", "k3", "k4", "k5", "k6"}

// look records what a reading of the store gave.
func (e *entry) look(key string, value []byte, absent bool) {
	if _, own := e.wrote[key]; own {
		return
	}
	e.saw[key] = string(value)
	if absent {
		e.saw[key] = ""
	}
}

// transact runs random reads and writes.
func (e *entry) transact(root *lsm.Txn, rnd *rand.Rand, readOnly bool) error {
	for range 1 + rnd.IntN(5) {
		key := historyKeys[rnd.IntN(len(historyKeys))]
		tx, err := e.in(root, key)
		if err != nil {
			return err
		}
		switch n := rnd.IntN(8); {
		case n < 3:
			v, err := tx.Get([]byte(key))
			if err != nil && !errors.Is(err, lsm.ErrNotFound) {
				return err
			}
			e.look(key, v, err != nil)
		case n < 5:
			if err := e.scan(root, rnd); err != nil {
				return err
			}
		case readOnly:
		case n < 7:
			if err := tx.Set([]byte(key), []byte(e.id)); err != nil {
				return err
			}
			e.wrote[key] = e.id
		default:
			if err := tx.Delete([]byte(key)); err != nil {
				return err
			}
			e.wrote[key] = ""
		}
	}
	if readOnly {
		return nil
	}
	return root.Set(e.mark(), nil)
}

// scan reads a range, or a part of it, in one of the directions.
func (e *entry) scan(tx *lsm.Txn, rnd *rand.Rand) error {
	from := rnd.IntN(len(historyKeys))
	to := from + 1 + rnd.IntN(len(historyKeys)-from)
	for e.homes[historyKeys[to-1]] != e.homes[historyKeys[from]] {
		to--
	}
	tx, err := e.in(tx, historyKeys[from])
	if err != nil {
		return err
	}
	walk, want := tx.Scan, historyKeys[from:to]
	if rnd.IntN(2) == 0 {
		walk, want = tx.ScanReverse, slices.Clone(want)
		slices.Reverse(want)
	}
	stop := rnd.IntN(4)
	i := 0
	for got, err := range walk([]byte(historyKeys[from]), []byte(historyKeys[to-1]+"\x00")) {
		if err != nil {
			return err
		}
		for ; want[i] != string(got.Key); i++ {
			e.look(want[i], nil, true)
		}
		e.look(want[i], got.Value, false)
		i++
		if stop--; stop == 0 {
			return nil
		}
	}
	for ; i < len(want); i++ {
		e.look(want[i], nil, true)
	}
	return nil
}

// compareAndSet writes one key in dependence of two.
func (h *history) compareAndSet(e *entry, rnd *rand.Rand, w *lsm.WriteOptions) error {
	b := h.db.NewBatch()
	snap, err := h.db.NewSnapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	for range 2 {
		key := historyKeys[rnd.IntN(len(historyKeys))]
		get := snap.GetWithVersion
		sc, err := h.at(b, key)
		if err == nil && sc != nil {
			sc, err = snap.Scope(sc.Name())
			get = sc.GetWithVersion
		}
		if err != nil {
			return err
		}
		v, version, err := get([]byte(key))
		if err != nil && !errors.Is(err, lsm.ErrNotFound) {
			return err
		}
		e.look(key, v, err != nil)
		b.Require([]byte(key), version)
	}
	key := historyKeys[rnd.IntN(len(historyKeys))]
	if _, err := h.at(b, key); err != nil {
		return err
	}
	b.Set([]byte(key), []byte(e.id))
	e.wrote[key] = e.id
	b.In(nil).Set(e.mark(), nil)
	return h.db.Apply(b, w)
}

// at makes a batch act where the key is, and returns that scope, nil for the root.
func (h *history) at(b *lsm.Batch, key string) (sc *lsm.Scope, err error) {
	if home, ok := h.homes[key]; ok {
		sc, err = h.db.Scope(home)
	}
	if err == nil {
		b.In(sc)
	}
	return sc, err
}

// run does one thing and records it.
func (h *history) run(id string, rnd *rand.Rand) error {
	e := entry{id: id, saw: map[string]string{}, wrote: map[string]string{}, homes: h.homes, begin: h.clock.Add(1)}
	w := &lsm.WriteOptions{Unsynced: rnd.IntN(3) > 0}
	var err error
	switch n := rnd.IntN(10); {
	case n < 6:
		err = h.db.Update(func(tx *lsm.Txn) error {
			tx.SetWriteOptions(w)
			return e.transact(tx, rnd, false)
		})
	case n < 7:
		err = h.db.View(func(tx *lsm.Txn) error { return e.transact(tx, rnd, true) })
	case n < 9:
		err = h.compareAndSet(&e, rnd, w)
	default:
		key := historyKeys[rnd.IntN(len(historyKeys))]
		e.wrote[key] = id
		b := h.db.NewBatch()
		if _, err := h.at(b, key); err != nil {
			return err
		}
		b.Set([]byte(key), []byte(id))
		b.In(nil).Set(e.mark(), nil)
		if err = h.db.Apply(b, w); errors.Is(err, lsm.ErrConflict) {
			return fmt.Errorf("a plain batch conflicts: %w", err)
		}
	}
	e.end = h.clock.Add(1)
	if e.committed = err == nil; err != nil && !errors.Is(err, lsm.ErrConflict) {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries = append(h.entries, e)
	return nil
}

// check replays what was committed, in the order of its numbers, which must be an order in
// which each saw what it saw, and which nobody outside could tell to be another.
func (h *history) check(t *testing.T) {
	var writers, views []entry
	for _, e := range h.entries {
		_, v, err := h.db.GetWithVersion(e.mark())
		if !errors.Is(err, lsm.ErrNotFound) {
			require.NoError(t, err)
		}
		e.number = v
		switch {
		case v != lsm.Absent:
			require.True(t, e.committed, "%s was refused, and is there", e.id)
			writers = append(writers, e)
		case len(e.wrote) > 0:
			require.False(t, e.committed, "%s was committed, and is not there", e.id)
		case e.committed:
			views = append(views, e)
		}
	}
	slices.SortFunc(writers, func(a, b entry) int { return cmp.Compare(a.number, b.number) })
	state := map[string]string{}
	placed := make([]bool, len(views))
	place := func(i int) { // what is before place i is in state
		for j, v := range views {
			early := i > 0 && writers[i-1].begin > v.end
			late := slices.ContainsFunc(writers[i:], func(w entry) bool { return w.end < v.begin })
			placed[j] = placed[j] || !early && !late && sees(v, state)
		}
	}
	latest := int64(0) // beginning of any so far
	for i, w := range writers {
		place(i)
		require.Greater(t, w.end, latest, "%s ended before another began that comes before it", w.id)
		latest = max(latest, w.begin)
		require.True(t, sees(w, state), "%s saw %v in %v", w.id, w.saw, state)
		for k, v := range w.wrote {
			state[k] = v
		}
	}
	place(len(writers))
	for j, v := range views {
		require.True(t, placed[j], "%s saw %v, which was at no moment", v.id, v.saw)
	}
}

func sees(e entry, state map[string]string) bool {
	for k, v := range e.saw {
		if state[k] != v {
			return false
		}
	}
	return true
}

// Whatever 16 goroutines do at once is as if it had been done one after the other, in the
// order of the versions, and in an order that agrees with what came after what.
func TestConcurrentHistoriesAreStrictlySerialisable(t *testing.T) {
	seeds, each := 12, 40
	if testing.Short() {
		seeds = 3
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 11))
			z := tinySizing(rnd)
			z.RingKeys = []int{0, 2, 20}[seed%3]
			o := lsm.Options{SyncInterval: -1, LogMode: lsm.LogMode(1 + seed%2), Encryption: encryptionIf(seed%3 == 2)}
			seams.Inject(&o, seams.Seams{FS: vfs.NewMem(), Sizing: z})
			db, err := lsm.Open("db", &o)
			require.NoError(t, err)
			h := &history{db: db}
			if seed%2 == 1 { // some keys are in scopes that are yet to be made
				a, b := scope.Agent("a"), scope.Agent("b")
				h.homes = map[string]scope.Scope{"k3": a, "k4": a, "k5": b, "k6": b}
			}
			var wg sync.WaitGroup
			errs := make([]error, 16)
			for g := range errs {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(seed, uint64(100+g)))
					for i := 0; i < each && errs[g] == nil; i++ {
						errs[g] = h.run(fmt.Sprintf("%02d-%02d", g, i), rnd)
						if i%20 == g && errs[g] == nil {
							errs[g] = db.Flush(context.Background())
						}
					}
				})
			}
			wg.Wait()
			require.NoError(t, errors.Join(errs...))
			h.check(t)
			require.NoError(t, db.Close())
		})
	}
}
