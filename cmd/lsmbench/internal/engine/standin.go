package engine

import (
	"bytes"
	"context"
	"errors"
	"math"
	"sync"
)

// Ranges returns what removes ranges of keys, and how where that is a stand-in.
func Ranges(s Session) (r RangeDeleter, how string) {
	if r, ok := s.(RangeDeleter); ok {
		return r, ""
	}
	return &rangesByScan{Session: s}, "the keys of a range are found by a scan and deleted in batches of up to 1,000"
}

// Scopes returns what divides a store into scopes, and how where that is a stand-in.
func Scopes(s Session) (sc Scoper, how string) {
	if sc, ok := s.(Scoper); ok {
		return sc, ""
	}
	p := &scopesByPrefix{Session: s}
	var dropped, copied string
	p.ranges, dropped = Ranges(s)
	if dropped == "" {
		dropped = "dropped as a range"
	} else {
		dropped = "dropped by a scan and deletes in batches"
	}
	copied = "copied by a scan and a batch"
	if _, ok := s.(prefixCopier); ok {
		copied = "copied within the store"
	}
	return p, "a scope is a prefix of keys, " + dropped + ", " + copied
}

// Transactions returns what reads and writes in transactions, and how where that is a
// stand-in, which needs a lock that is the same for all sessions of a store.
func Transactions(s Session, lock *sync.Mutex) (t Transactor, how string) {
	if t, ok := s.(Transactor); ok {
		return t, ""
	}
	return &transactionsByLock{Session: s, lock: lock}, "a transaction is reads and a batch under a lock of the program's"
}

// Checkpoints returns what makes a copy of a store that an engine has opened, and how
// where that is a stand-in.
func Checkpoints(e Engine, c Config, store Store) (cp Checkpointer, how string) {
	if cp, ok := store.(Checkpointer); ok {
		return cp, ""
	}
	return &checkpointByScan{engine: e, config: c, store: store}, "a scan writes everything to a second store in batches of 1,000"
}

// standInBatch is how many keys a stand-in writes in one batch.
const standInBatch = 1000

// scanRange visits entries within [lower, upper) as the engine does it best.
func scanRange(s Session, lower, upper []byte, visit func(key, value []byte) bool) (err error) {
	if r, ok := s.(rangeScanner); ok {
		return r.scanRange(lower, upper, visit)
	}
	sc, err := s.NewScanner()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sc.Close()) }()
	_, err = sc.Scan(lower, false, math.MaxInt32, func(key, value []byte) bool {
		return bytes.Compare(key, upper) < 0 && visit(key, value)
	})
	return err
}

// rangesByScan removes a range by looking for its keys.
type rangesByScan struct {
	Session
	keys [][]byte
}

func (r *rangesByScan) DeleteRange(lower, upper []byte) error {
	for {
		n := 0
		err := scanRange(r.Session, lower, upper, func(key, _ []byte) bool {
			if n == len(r.keys) {
				r.keys = append(r.keys, nil)
			}
			r.keys[n] = append(r.keys[n][:0], key...)
			n++
			return n < standInBatch
		})
		if err == nil && n > 0 {
			err = r.DeleteBatch(r.keys[:n])
		}
		if err != nil || n < standInBatch {
			return err
		}
	}
}

// scopesByPrefix puts the name of a scope and a slash before its keys.
type scopesByPrefix struct {
	Session
	ranges       RangeDeleter
	pairs        []Pair
	lower, upper []byte
}

const (
	scopeEnd   = '/' // what ends the name of a scope
	scopeAfter = scopeEnd + 1
)

// bounds sets lower and upper to those of the scope's keys.
func (p *scopesByPrefix) bounds(scope []byte) (lower, upper []byte) {
	p.lower = append(append(p.lower[:0], scope...), scopeEnd)
	p.upper = append(append(p.upper[:0], scope...), scopeAfter)
	return p.lower, p.upper
}

// pair makes the i-th pair of a batch.
func (p *scopesByPrefix) pair(i int, scope, key, value []byte) {
	if i == len(p.pairs) {
		p.pairs = append(p.pairs, Pair{})
	}
	at := &p.pairs[i]
	at.Key = append(append(append(at.Key[:0], scope...), scopeEnd), key...)
	at.Value = value
}

func (p *scopesByPrefix) SetIn(scope []byte, pairs []Pair, sync bool) error {
	for i, pair := range pairs {
		p.pair(i, scope, pair.Key, pair.Value)
	}
	return p.SetBatch(p.pairs[:len(pairs)], sync)
}

func (p *scopesByPrefix) ScanIn(scope []byte, visit func(key, value []byte)) (int, error) {
	lower, upper := p.bounds(scope)
	count := 0
	err := scanRange(p.Session, lower, upper, func(key, value []byte) bool {
		count++
		visit(key[len(lower):], value)
		return true
	})
	return count, err
}

// CopyScope is for scopes that fit into one batch.
func (p *scopesByPrefix) CopyScope(from, to []byte) error {
	if c, ok := p.Session.(prefixCopier); ok {
		p.bounds(from)
		p.upper = append(append(p.upper[:0], to...), scopeEnd)
		return c.copyPrefix(p.lower, p.upper)
	}
	var values []byte
	ends := make([]int, 0, 128)
	n, err := p.ScanIn(from, func(key, value []byte) {
		p.pair(len(ends), to, key, nil)
		values = append(values, value...)
		ends = append(ends, len(values))
	})
	if err != nil {
		return err
	}
	at := 0
	for i, end := range ends {
		p.pairs[i].Value = values[at:end:end]
		at = end
	}
	return p.SetBatch(p.pairs[:n], false)
}

func (p *scopesByPrefix) DropScope(scope []byte) error {
	return p.ranges.DeleteRange(p.bounds(scope))
}

// transactionsByLock does one transaction at a time.
type transactionsByLock struct {
	Session
	lock  *sync.Mutex
	pairs []Pair // to be written
	n     int
}

func (t *transactionsByLock) Transact(sync bool, fn func(tx Txn) error) (retries int, err error) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.n = 0
	if err := fn(t); err != nil {
		return 0, err
	}
	return 0, t.SetBatch(t.pairs[:t.n], sync)
}

// Get sees what the transaction has written.
func (t *transactionsByLock) Get(dst, key []byte) ([]byte, bool, error) {
	for i := t.n - 1; i >= 0; i-- {
		if bytes.Equal(t.pairs[i].Key, key) {
			return append(dst, t.pairs[i].Value...), true, nil
		}
	}
	return t.Session.Get(dst, key)
}

func (t *transactionsByLock) Set(key, value []byte) error {
	if t.n == len(t.pairs) {
		t.pairs = append(t.pairs, Pair{})
	}
	p := &t.pairs[t.n]
	p.Key, p.Value = append(p.Key[:0], key...), append(p.Value[:0], value...)
	t.n++
	return nil
}

// checkpointByScan copies a store entry by entry.
type checkpointByScan struct {
	engine Engine
	config Config
	store  Store
}

func (c *checkpointByScan) Checkpoint(ctx context.Context, dir string) (err error) {
	to, err := c.engine.Open(dir, c.config)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, to.Close()); err == nil {
			err = syncTree(dir)
		}
	}()
	reader, err := c.store.NewSession()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	writer, err := to.NewSession()
	if err != nil {
		return err
	}
	if err := copyEntries(ctx, writer, reader); err != nil {
		return errors.Join(err, writer.Close())
	}
	if err := writer.Close(); err != nil {
		return err
	}
	_, err = to.Settle(ctx)
	return err
}

// copyEntries writes what a session reads to another store.
func copyEntries(ctx context.Context, to, from Session) (err error) {
	sc, err := from.NewScanner()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sc.Close()) }()
	var failed error
	pairs := make([]Pair, 0, standInBatch)
	flush := func() bool {
		if failed = ctx.Err(); failed == nil {
			failed = to.SetBatch(pairs, false)
		}
		pairs = pairs[:0]
		return failed == nil
	}
	_, err = sc.Scan(nil, false, math.MaxInt32, func(key, value []byte) bool {
		pairs = pairs[:len(pairs)+1]
		p := &pairs[len(pairs)-1]
		p.Key, p.Value = append(p.Key[:0], key...), append(p.Value[:0], value...)
		return len(pairs) < standInBatch || flush()
	})
	if err = errors.Join(err, failed); err == nil && len(pairs) > 0 {
		flush()
		err = failed
	}
	return err
}
