package lsm

import (
	"errors"
	"iter"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
)

// Txn is a transaction: reads of one snapshot, and writes that it sees itself and that
// others see all together when it commits, or never. It comes from DB.Update or DB.View, is
// for the goroutine that runs the function, and ends with it; or from DB.Begin, and ends with
// Commit or Rollback.
//
// Transactions are serialisable: what Update commits is as if the transaction had run
// alone at the moment of its commit. What it has read, keys and ranges, is compared with
// what others have committed since; if any of it was written, Update returns ErrConflict
// and has written nothing. Writing alone conflicts with nothing. docs/transactions.md
// tells what it costs.
//
// The verbs of the Txn that DB.Update hands out act in the root. Scope returns another one,
// of the same transaction, whose verbs act in a scope.
type Txn struct {
	*transaction
	scopeKeys // of what its verbs act in

	// Of a scope: txn_scopes.go.
	in      *Scope // nil: the root
	id      scope.ID
	version Version // of its entry in the directory
	looked  bool    // something was read in it
	wrote   bool
	makes   bool // there is more than deletes
	seals   bool // there are values to be sealed
}

// transaction is what the Txns of one have in common.
type transaction struct {
	db       *DB
	seq      keys.SeqNum
	at       int64 // the time at which it judges what expires
	listedAt int64 // the same, as it was listed
	readOnly bool
	begun    bool      // by DB.Begin: its caller ends it
	tables   *version  // from before the snapshot; to compare, not to read
	snap     *Snapshot // that it reads, and that is not its own; nil: it has one
	w        *WriteOptions

	done   bool
	err    error // of the first write that failed; the commit returns it
	writes writeSet
	last   Version // of the operations of the commit
	reads  readSet
	chain  *fold.Chain    // to fold its operands; made when it is needed
	iters  []*TxnIterator // open ones
	key    []byte         // of a call, behind the scope's id

	root   Txn
	scopes []*Txn
	byName map[scope.Scope]*Txn // of the scopes; nil for few
}

// Update runs fn in a transaction and commits what it has written, on the device when
// Update returns unless Txn.SetWriteOptions says otherwise. When fn returns an error, or
// panics, nothing is written, and Update returns the error as it is.
//
// With ErrConflict nothing was written either, and the caller may try again:
//
//	for {
//		err := db.Update(transfer)
//		if !errors.Is(err, lsm.ErrConflict) {
//			return err
//		}
//	}
//
// fn must not keep tx. It may use the store itself, outside of the transaction. A
// transaction that writes nothing cannot conflict. A store that is read-only gives
// ErrReadOnly, and does not run fn.
func (d *DB) Update(fn func(tx *Txn) error) error {
	if err := d.writable(); err != nil {
		return err
	}
	tx, err := d.begin(false, nil)
	if err != nil {
		return err
	}
	defer tx.end()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.commit()
}

// Begin returns a transaction like those that Update runs functions in, which its caller ends, with
// Commit or Rollback. Until then it keeps what its snapshot holds, and Close returns ErrInUse. It is for
// one goroutine at a time. In a store that is read-only it is like one of View: writes in it are ErrReadOnly.
func (d *DB) Begin() (*Txn, error) {
	if err := d.writable(); err != nil && err != ErrReadOnly { // returned bare
		return nil, err
	}
	tx, err := d.begin(d.opts.ReadOnly, nil)
	if err != nil {
		return nil, err
	}
	tx.begun = true
	return tx, nil
}

// Commit commits what a transaction of DB.Begin has written, as Update does, and ends it in any case. With
// ErrConflict nothing was written, and a transaction begun anew may succeed. A transaction that has
// ended, or that Update or View will end, gives ErrClosed.
func (tx *Txn) Commit() error {
	if !tx.begun || tx.done {
		return ErrClosed
	}
	defer tx.end()
	return tx.commit()
}

// Rollback ends a transaction of DB.Begin without writing anything. One that has ended, or that Update or
// View will end, is left as it is.
func (tx *Txn) Rollback() {
	if tx.begun && !tx.done {
		tx.end()
	}
}

// View runs fn in a transaction that only reads: all from one snapshot. It never
// conflicts, and takes note of nothing, so that it may read any amount. Writes in it give
// ErrReadOnly. It returns what fn returns.
func (d *DB) View(fn func(tx *Txn) error) error { return d.view(nil, fn) }

// view runs fn in a transaction that reads a snapshot, or one of its own.
func (d *DB) view(snap *Snapshot, fn func(tx *Txn) error) error {
	if snap != nil && snap.closed.Load() {
		return ErrClosed
	}
	tx, err := d.begin(true, snap)
	if err != nil {
		return err
	}
	defer tx.end()
	return fn(tx)
}

func (d *DB) begin(readOnly bool, snap *Snapshot) (*Txn, error) {
	if err := d.hold(); err != nil {
		return nil, err
	}
	t := &transaction{db: d, readOnly: readOnly, tables: d.state.Load().version, snap: snap}
	if snap == nil {
		t.seq, t.at = d.snapshots.add(d)
	} else {
		t.seq, t.at = snap.seq, snap.at
	}
	t.listedAt = t.at
	t.writes.rnd = d.heightSeed ^ uint64(t.seq)
	t.root = Txn{transaction: t, scopeKeys: rootKeys}
	return &t.root, nil
}

// end closes what is open and gives the snapshot back.
func (tx *Txn) end() {
	d := tx.db
	for len(tx.iters) > 0 {
		_ = tx.iters[0].Close() // its error was the iterator's, to be asked for by whoever used it
	}
	tx.done = true
	if tx.snap == nil {
		tx.endSnapshot()
	}
	d.release()
}

// endSnapshot gives the transaction's own snapshot back.
func (t *transaction) endSnapshot() {
	d := t.db
	d.snapshots.remove(t.seq, t.listedAt)
	// A snapshot keeps entries below newer ones. Those that are newer than this one cannot be
	// in the tables that were there when it began: with the same tables it has kept nothing.
	if d.state.Load().version != t.tables {
		d.compactor.wake()
	}
	d.reaper.snapshotClosed()
}

// SetWriteOptions says when Update returns, as the options of DB.Set do: nil, which is
// also the default, means on the device. The last call counts.
func (tx *Txn) SetWriteOptions(w *WriteOptions) { tx.w = w }

// Get returns the value of key as a copy that the caller owns, or ErrNotFound: what the
// transaction has written, else what the snapshot has.
func (tx *Txn) Get(key []byte) ([]byte, error) { return tx.AppendGet(nil, key) }

// AppendGet appends the value of key to dst, or returns dst and ErrNotFound.
func (tx *Txn) AppendGet(dst, key []byte) ([]byte, error) {
	out, _, err := tx.appendGet(dst, key)
	return out, err
}

// Has reports whether key is present. To the transaction that is a read like Get: it
// conflicts with a write that only changes the value.
func (tx *Txn) Has(key []byte) (bool, error) {
	var discard [512]byte
	_, err := tx.AppendGet(discard[:0], key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil || unopened(err), known(err)
}

// Set writes value to key when the transaction commits; its own reads see it at once. Both
// are copied. After an error the transaction cannot commit: ErrReadOnly within View, and
// a *LimitError for a key or value over its limit, or for more than fits a memtable of
// 4 GiB.
func (tx *Txn) Set(key, value []byte) error { return tx.write(keys.KindSet, key, value) }

// Delete removes key, which need not exist, when the transaction commits. Errors are
// those of Set.
func (tx *Txn) Delete(key []byte) error { return tx.write(keys.KindDelete, key, nil) }

// DeleteRange removes every key within [lower, upper) when the transaction commits, those
// among them that others have written meanwhile; nil means no bound. Errors are those of
// Set, and ErrInvalidRange.
func (tx *Txn) DeleteRange(lower, upper []byte) error {
	if err := tx.writable(); err != nil {
		return err
	}
	var end []byte
	if end, tx.err = rangeEnd(tx.prefix, lower, upper); tx.err == nil && end != nil {
		tx.key = append(append(tx.key[:0], tx.prefix...), lower...)
		tx.err = tx.writes.deleteRange(tx.key, end)
		tx.wrote = true
	}
	return tx.err
}

// writable returns the error of a write that has no chance.
func (tx *Txn) writable() error {
	switch {
	case tx.done:
		return ErrClosed
	case tx.readOnly:
		return ErrReadOnly
	}
	return tx.err
}

func (tx *Txn) write(kind keys.Kind, key, value []byte) error {
	if err := tx.writable(); err != nil {
		return err
	}
	if tx.err = checkLimits(key, value); tx.err == nil {
		tx.key = append(append(tx.key[:0], tx.prefix...), key...)
		tx.err = tx.writes.put(kind, tx.key, value)
		tx.noteWrite(kind)
	}
	return tx.err
}

// Scan yields the entries of [lower, upper) in order, with what the transaction has
// written. nil means no bound. The loop may write; TxnIterator says what it then sees. Errors are
// yielded as by DB.Scan.
func (tx *Txn) Scan(lower, upper []byte) iter.Seq2[Entry, error] {
	return tx.scan(lower, upper, (*TxnIterator).Next)
}

// ScanReverse yields what Scan yields, last entry first.
func (tx *Txn) ScanReverse(lower, upper []byte) iter.Seq2[Entry, error] {
	return tx.scan(lower, upper, (*TxnIterator).Prev)
}

func (tx *Txn) scan(lower, upper []byte, step func(*TxnIterator) bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		it, err := tx.NewIter(&IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer it.Close() // its error is it.err, yielded below
		for step(it) {
			e, err := Entry{Key: it.Key()}, it.Unreadable()
			if err == nil {
				e.Value = it.Value()
			}
			if it.err != nil {
				break // of a value in a blob file
			}
			if !yield(e, err) {
				return
			}
		}
		if it.err != nil {
			yield(Entry{}, it.err)
		}
	}
}

// commit writes what the transaction has written, if what it has read still holds.
func (tx *Txn) commit() error {
	if tx.err != nil || tx.writes.empty() {
		return tx.err
	}
	d := tx.db
	if err := d.writable(); err != nil {
		return err
	}
	for _, it := range tx.iters {
		it.noteSpan()
	}
	tx.noteEntries()
	c := tx.reads.conditions(tx.seq, tx.at)
	if b := tx.scopedBatch(); b != nil {
		err := d.applyScoped(b, tx.w, c)
		tx.last = b.last
		return err
	}
	r := d.queue.newRequest(tx.w)
	r.payload = tx.writes.appendPayload(r.payload[:0])
	r.ops, r.ranges, r.bytes = tx.writes.size()
	r.merges = tx.writes.merges
	var err error
	if c.empty() {
		err = d.commit(r)
	} else {
		err = d.commitIf(r, c)
	}
	d.queue.recycle(r)
	return err
}
