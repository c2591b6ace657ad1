package workload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/loamdb/loam/cmd/lsmbench/internal/dist"
	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// operations are what engines do beyond single keys: one workload for each of the
// abilities of package engine, and one for values that are worth keeping apart. Where an
// engine lacks the operation the row says by which stand-in it was done.
var operations = []Workload{
	{Name: "deleterange", Doc: "delete of ranges of 100 keys in random order, until none is left; counts ranges", Start: Spare, Kills: true, run: deleteRange},
	{Name: "txncontention", Doc: "transfers between two of 100 accounts in transactions that conflict, by 4 goroutines", Kills: true, Conflicts: true, goroutines: 4, run: txnContention},
	{Name: "checkpoint", Doc: "an openable copy of a filled store, on the device", Start: Filled, Reads: true, run: checkpoint},
	{Name: "largevalues", Doc: "values of 16 KiB to random keys, three times as many as there are keys", Kills: true, run: largeValues},
}

// use notes by which stand-in an ability is had; how is empty where it is the engine's.
func (r *run) use(how string) { r.result.Note = how }

// rangeLen is the number of keys in a range of deleterange.
const rangeLen = 100

// errUnordered: ranges of records are no ranges of keys.
var errUnordered = errors.New("ranges need keys in the order of the records, which those of " + HashedKeys + " are not")

func deleteRange(r *run) error {
	if r.Key == HashedKeys {
		return errUnordered
	}
	r.kinds = []string{"delete"}
	ranges := (r.Records + rangeLen - 1) / rangeLen
	deleted := make([]bool, ranges) // each by one worker
	perm := dist.NewPermutation(ranges, r.Seed)
	err := r.each(pacing{total: ranges, limit: r.WriteLimit, sample: 1}, func(w *worker) (operation, error) {
		d, how := engine.Ranges(w.Session)
		r.use(how)
		var upper []byte
		return func(i uint64) (kind, error) {
			i = perm.At(i)
			w.key, upper = r.rangeBounds(w.key[:0], upper[:0], i)
			w.written += int64(len(w.key) + len(upper))
			deleted[i] = true
			return 0, d.DeleteRange(w.key, upper)
		}, nil
	})
	left := 0
	for _, gone := range deleted {
		if !gone {
			left++
		}
	}
	r.live = int64(float64(r.filledBytes()) * float64(left) / float64(ranges))
	r.check = func() error { return r.checkRanges(deleted) }
	return err
}

// rangeBounds makes the bounds of the i-th range of records. The last one ends behind the
// last record.
func (r *run) rangeBounds(lower, upper []byte, i uint64) (l, u []byte) {
	l = r.data.keys.Present(lower, i*rangeLen)
	if end := (i + 1) * rangeLen; end < r.Records {
		return l, r.data.keys.Present(upper, end)
	}
	return l, r.data.keys.Missing(upper, r.Records-1)
}

// checks is how many records or scopes are looked at when a workload is over.
const checks = 1000

func (r *run) checkRanges(deleted []bool) error {
	w, err := r.newWorker(besideWorker)
	if err != nil {
		return err
	}
	for range checks {
		i := w.rng.Uint64N(r.Records)
		w.key = r.data.keys.Present(w.key[:0], i)
		_, found, err := w.Get(w.dst[:0], w.key)
		if err != nil {
			return err
		}
		if found == deleted[i/rangeLen] {
			return fmt.Errorf("%w: Get of %q: found %t, in a range deleted: %t", ErrWrongAnswer, w.key, found, !found)
		}
	}
	return nil
}

// Transfers: each moves some of what one account has to another, so that the sum of all
// stays what it was if, and only if, transactions are as if done one after the other.
const (
	accounts       = 100
	openingBalance = 1000
	greatestAmount = 10
)

func accountKey(dst []byte, i uint64) []byte { return fmt.Appendf(dst, "account/%04d", i) }

func balanceOf(v []byte) (uint64, error) {
	if len(v) != 8 {
		return 0, fmt.Errorf("%w: a balance of %d bytes", ErrWrongAnswer, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

func txnContention(r *run) error {
	r.kinds = []string{"transaction"}
	first, err := r.newWorker(besideWorker)
	if err != nil {
		return err
	}
	pairs := make([]engine.Pair, accounts)
	for i := range pairs {
		pairs[i] = engine.Pair{Key: accountKey(nil, uint64(i)), Value: binary.BigEndian.AppendUint64(nil, openingBalance)}
		r.live += int64(len(pairs[i].Key) + len(pairs[i].Value))
	}
	if err := first.SetBatch(pairs, false); err != nil {
		return err
	}
	var lock sync.Mutex
	var tellers []*teller
	err = r.each(pacing{total: endless, limit: r.Limit, sample: 1}, func(w *worker) (operation, error) {
		txns, how := engine.Transactions(w.Session, &lock)
		r.use(how)
		t := &teller{worker: w, txns: txns}
		tellers = append(tellers, t)
		return func(uint64) (kind, error) { return 0, t.transfer() }, nil
	})
	for _, t := range tellers {
		r.result.Retries += t.retries
	}
	r.check = func() error { return checkAccounts(first) }
	return err
}

// teller makes one worker's transfers.
type teller struct {
	*worker
	txns     engine.Transactor
	keys     [2][]byte
	value    []byte
	balances [2]uint64
	retries  uint64
}

// transfer moves a random amount, or as much as is there.
func (t *teller) transfer() error {
	from := t.rng.Uint64N(accounts)
	to := (from + 1 + t.rng.Uint64N(accounts-1)) % accounts
	t.keys[0], t.keys[1] = accountKey(t.keys[0][:0], from), accountKey(t.keys[1][:0], to)
	amount := 1 + t.rng.Uint64N(greatestAmount)
	retries, err := t.txns.Transact(false, func(tx engine.Txn) error { return t.move(tx, amount) })
	t.retries += uint64(retries)
	t.written += int64(len(t.keys[0]) + len(t.keys[1]) + 2*8)
	t.read += int64(len(t.keys[0]) + len(t.keys[1]) + 2*8)
	return err
}

func (t *teller) move(tx engine.Txn, amount uint64) error {
	for i, key := range t.keys {
		v, found, err := tx.Get(t.dst[:0], key)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("%w: %q is not there", ErrWrongAnswer, key)
		}
		if t.balances[i], err = balanceOf(v); err != nil {
			return err
		}
		t.dst = v
	}
	amount = min(amount, t.balances[0])
	t.balances[0] -= amount
	t.balances[1] += amount
	for i, key := range t.keys {
		t.value = binary.BigEndian.AppendUint64(t.value[:0], t.balances[i])
		if err := tx.Set(key, t.value); err != nil {
			return err
		}
	}
	return nil
}

func checkAccounts(w *worker) error {
	sum := uint64(0)
	for i := range uint64(accounts) {
		w.key = accountKey(w.key[:0], i)
		v, found, err := w.Get(w.dst[:0], w.key)
		if err != nil || !found {
			return errors.Join(err, fmt.Errorf("%w: %q found: %t", ErrWrongAnswer, w.key, found))
		}
		balance, err := balanceOf(v)
		if err != nil {
			return err
		}
		sum += balance
	}
	if sum != accounts*openingBalance {
		return fmt.Errorf("%w: transfers have turned %d into %d", ErrWrongAnswer, accounts*openingBalance, sum)
	}
	return nil
}

// checkpoint makes one copy and afterwards opens it.
func checkpoint(r *run) (err error) {
	r.live = r.filledBytes()
	dir := r.Dir + ".checkpoint"
	r.closers = append(r.closers, func() error { return os.RemoveAll(dir) })
	c, how := engine.Checkpoints(r.engine, r.Config, r.store)
	r.use(how)
	r.check = func() error { return r.checkCopy(dir) }
	return r.onlyOnce("checkpoint", func() error { return c.Checkpoint(r.ctx, dir) })
}

// checkCopy looks whether a directory holds a store with every key.
func (r *run) checkCopy(dir string) (err error) {
	other := &run{Spec: r.Spec, ctx: r.ctx, engine: r.engine, data: r.data}
	if other.store, err = r.engine.Open(dir, r.Config); err != nil {
		return fmt.Errorf("open the copy: %w", err)
	}
	defer func() { err = errors.Join(err, other.close()) }()
	w, err := other.newWorker(besideWorker)
	if err != nil {
		return err
	}
	for range checks {
		if _, err := w.get(other, w.rng.Uint64N(r.Records)); err != nil {
			return fmt.Errorf("in the copy: %w", err)
		}
	}
	_, err = other.scanAll(w, false)
	return err
}

const (
	largeValueBytes = 16 << 10
	// largeRounds is how often each key is written on average.
	largeRounds = 3
)

// largeValues writes as much as the filled store holds, and then more of the same keys:
// each value begins with the number of its key and of its writer's operation.
func largeValues(r *run) error {
	r.kinds = []string{"set"}
	keys := max(uint64(r.filledBytes()/largeValueBytes), uint64(r.Goroutines), 2)
	values, err := dist.NewValues(dist.Constant(largeValueBytes), r.Compressible, r.Seed)
	if err != nil {
		return err
	}
	r.live = int64(keys * (largeValueBytes + uint64(len(largeKey(nil, 0)))))
	perm := dist.NewPermutation(keys, r.Seed)
	err = r.each(pacing{total: keys * largeRounds, limit: r.WriteLimit, sample: 1}, func(w *worker) (operation, error) {
		values := values.Fork(w.id)
		value := make([]byte, largeValueBytes)
		return func(i uint64) (kind, error) {
			k := perm.At(i % keys)
			if i >= keys {
				k = w.rng.Uint64N(keys)
			}
			w.key = largeKey(w.key[:0], k)
			copy(value, values.Take())
			binary.BigEndian.PutUint64(value, k)
			w.written += int64(len(w.key) + len(value))
			return 0, w.Set(w.key, value, false)
		}, nil
	})
	if r.result.Ops < keys*largeRounds {
		r.live = 0 // it is not known which keys there are
	}
	r.check = func() error { return r.checkLarge(keys) }
	return err
}

func largeKey(dst []byte, k uint64) []byte { return fmt.Appendf(dst, "large/%010d", k) }

// checkLarge looks at every key, which is there unless the limit came first.
func (r *run) checkLarge(keys uint64) error {
	w, err := r.newWorker(besideWorker)
	if err != nil {
		return err
	}
	for k := range keys {
		w.key = largeKey(w.key[:0], k)
		v, found, err := w.Get(w.dst[:0], w.key)
		if err != nil {
			return err
		}
		w.dst = v
		switch {
		case !found && r.live == 0:
		case !found || len(v) != largeValueBytes || binary.BigEndian.Uint64(v) != k:
			return fmt.Errorf("%w: Get of %q: found %t, %d bytes", ErrWrongAnswer, w.key, found, len(v))
		}
	}
	return nil
}
