package lsm

import (
	"bytes"
	"context"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
)

// Chains of operands in a memtable are kept short by who writes. A writer that finds
// fold.MaxChain operands on top of each other reads the key, as anybody would, and hands the
// value along with its own operand; the leader inserts it beside the operand that was then the
// newest visible one, under that operand's number.
//
// Invariants:
//
//   - K1. A value with the number of an operand is the fold of everything up to it, so it needs
//     no number, no record in the log and no condition: what it says was so, and stays so. Who
//     meets both takes the operand for part of the value (fold.Chain).
//   - K2. It lies in the memtable that has the operand: what a flush makes of the two is one
//     entry, and no two sources have the same number.
//   - K3. Where the newest version in the memtable is no operand, one of a built-in operator
//     on integers is folded when it is applied, under its own number: a counter that is hot
//     takes one entry each time and one step to read. Replaying the log gives the same values
//     and perhaps other kinds.

// madeFold is a value that a writer hands to the leader.
type madeFold struct {
	mem   *mutableTable // that has the operand
	key   []byte
	t     keys.Trailer
	value []byte
}

// attached are the folds that a request brings along.
type attached struct {
	list  []madeFold
	bytes int64 // of their keys and values
}

// drop forgets them.
func (a *attached) drop() {
	clear(a.list)
	a.list, a.bytes = a.list[:0], 0
}

func (a *attached) has(key []byte) bool {
	for i := range a.list {
		if bytes.Equal(a.list[i].key, key) {
			return true
		}
	}
	return false
}

// attachFolds makes r bring folds of the long chains that its operands come on top of. The
// error is that of reading one of them: it must not grow for ever.
func (d *DB) attachFolds(r *request) error {
	r.folds.drop()
	if mutant.Enabled && mutant.Is(mutant.UnboundedChains) {
		return nil
	}
	guard := d.readers.Enter()
	defer guard.Leave()
	if d.closed.Load() {
		return ErrClosed
	}
	s := d.state.Load()
	ops := r.operations()
	for ops.next() {
		if ops.kind != keys.KindMerge || s.mutable.chain(ops.key) < fold.MaxChain || r.folds.has(ops.key) {
			continue
		}
		f, err := d.makeFold(s, ops.key, d.visible.load())
		if err != nil {
			return err
		}
		if size := int64(len(f.key) + len(f.value)); f.mem != nil && memtableBytesFor(r.ops+len(r.folds.list)+1, r.bytes+r.folds.bytes+size) <= maxBatchBytes {
			r.folds.list = append(r.folds.list, f)
			r.folds.bytes += size
		}
	}
	return nil
}

// makeFold reads a key at seq and returns its value under the number of its newest operand. It
// returns none if that is not in the mutable memtable.
func (d *DB) makeFold(s *readState, ikey []byte, seq keys.SeqNum) (madeFold, error) {
	_, t, ok := s.mutable.Get(ikey, keys.Hash(ikey), seq)
	if !ok || t.Kind() != keys.KindMerge {
		return madeFold{}, nil // the chain is not visible yet
	}
	c := chainPool.Get().(*fold.Chain)
	defer recycleChain(c)
	overtaken, err := d.collect(c, s, ikey, seq, true)
	if unopened(err) {
		return madeFold{}, nil
	}
	if err != nil || overtaken || c.Newest() != t.SeqNum() {
		return madeFold{}, err
	}
	if c.Sealed() {
		return madeFold{}, nil // it is folded by whoever reads it
	}
	_, b, err := c.Fold(d.operators.known, nil)
	if err != nil {
		return madeFold{}, d.operators.error(err)
	}
	f := madeFold{mem: s.mutable, key: bytes.Clone(ikey)}
	kind, value := b.AppendEntry(nil)
	f.t, f.value = keys.MakeTrailer(t.SeqNum(), kind), value
	return f, nil
}

// chain returns how many operands lie on top of the key's versions, up to fold.MaxChain.
func (m *mutableTable) chain(key []byte) int {
	n := 0
	for it, ok := m.At(key, keys.Hash(key), keys.MaxSeqNum); ok && n < fold.MaxChain && it.Trailer().Kind() == keys.KindMerge && bytes.Equal(it.Key(), key); ok = it.Next() {
		n++
	}
	return n
}

// insertFold adds a fold to the memtable, unless it is there already, for several writers may
// have made it. Called by the leader, or before the store is shared.
func (m *mutableTable) insertFold(f *madeFold) bool {
	it := m.Iter()
	if it.SeekGE(f.key, f.t) && it.Trailer() == f.t && bytes.Equal(it.Key(), f.key) {
		return false
	}
	m.Add(f.key, f.t, f.value)
	if k := f.t.Kind(); k > keys.KindSet {
		m.noteTime(k, f.key, f.value)
	}
	return true
}

// makeRoomForFolds freezes the memtable if folds that a group brings along do not fit beside its
// operations. They are void then, and the flush folds what they were for. Called by the leader.
func (d *DB) makeRoomForFolds(ops int, bytes int64, folds int, foldBytes int64) error {
	if folds == 0 || foldBytes < d.mutable.capacity && d.mutable.fits(ops+folds, 0, bytes+foldBytes) {
		return nil
	}
	if err := d.poison.err(); err != nil {
		return err
	}
	return d.freeze(context.Background(), d.nextMutableBytes(ops, bytes))
}

// applier is what the leader folds with.
type applier struct {
	chain        fold.Chain
	value, entry []byte
}

// applyFolds inserts the folds that a request has brought into the memtable that they belong
// to (K2). Called by the leader.
func (d *DB) applyFolds(mem *mutableTable, a *attached) {
	for i := range a.list {
		if f := &a.list[i]; f.mem == mem && mem.insertFold(f) {
			d.metrics.chainsFolded.Add(1)
		}
	}
}

// applyMerge inserts an operand with the time of its commit, or what it makes of the version
// below it. value is changed. folded says that the request has brought folds. Called by the
// leader, and by replay.
func (d *DB) applyMerge(mem *mutableTable, key, value []byte, seq keys.SeqNum, now int64, folded bool) {
	if !(mutant.Enabled && mutant.Is(mutant.KeepOperandTime)) {
		fold.SetTime(value, now)
	}
	if kind, entry, ok := d.foldInline(mem, key, value, seq, folded); ok {
		mem.insert(key, keys.MakeTrailer(seq, kind), entry)
		return
	}
	mem.operands++
	mem.insert(key, keys.MakeTrailer(seq, keys.KindMerge), value)
}

// foldInline folds an operand into the newest version in the memtable, if that is no operand
// or, with chains, if there is a value below those that there are. The entry is no longer than
// that of the operand would be, for which there is room.
func (d *DB) foldInline(mem *mutableTable, key, value []byte, seq keys.SeqNum, chains bool) (kind keys.Kind, entry []byte, ok bool) {
	if !d.foldsInline(value) {
		return 0, nil, false
	}
	below, t, there := mem.Get(key, keys.Hash(key), keys.MaxSeqNum)
	a := &d.applier
	a.chain.Reset(false)
	a.chain.Add(seq, value)
	ranges := mem.ranges.Load()
	switch {
	case ranges != nil && deleted(ranges, key, keys.MaxSeqNum, t, there): // it is absent
	case !there || t.Kind() == keys.KindMerge && !(chains && d.collectAbove(mem, key, t)):
		return 0, nil, false
	case t.Kind() != keys.KindMerge:
		b, known := fold.BaseOf(t.Kind(), below)
		if !known || len(below) > len(value) {
			return 0, nil, false // it is nothing that these operators work on
		}
		a.chain.SetBase(t.SeqNum(), b)
	}
	out, b, err := a.chain.Fold(d.operators.known, a.value[:0])
	if err != nil {
		return 0, nil, false // who reads the key meets it
	}
	a.value = out
	kind, a.entry = b.AppendEntry(a.entry[:0])
	return kind, a.entry, len(a.entry) <= len(value)
}

// foldsInline reports whether the leader may call the operator of an operand.
func (d *DB) foldsInline(value []byte) bool {
	head, _ := fold.Split(value)
	op := d.operators.known.ByID(head.Operator)
	return op != nil && op.Inline
}

// collectAbove adds to the leader's chain the operands of a key from t on, down to a value in
// the same memtable, and reports whether there is one.
func (d *DB) collectAbove(mem *mutableTable, key []byte, t keys.Trailer) bool {
	c := &d.applier.chain
	deleted := mem.ranges.Load().Newest(key, keys.MaxSeqNum)
	it := mem.Iter()
	for ok := it.SeekGE(key, t); ok && bytes.Equal(it.Key(), key) && c.Len() <= 2*fold.MaxChain; ok = it.Next() {
		t := it.Trailer()
		if t.SeqNum() < deleted {
			return true
		}
		if t.Kind() == keys.KindMerge {
			if !d.foldsInline(it.Value()) {
				return false
			}
			c.Add(t.SeqNum(), it.Value())
			continue
		}
		b, known := fold.BaseOf(t.Kind(), it.Value())
		if known = known && len(it.Value()) <= keys.MergeHeaderLen+keys.ExpiryLen; known {
			c.SetBase(t.SeqNum(), b)
		}
		return known
	}
	return false
}

// foldReplayed shortens the chains that replaying the log has left, as the writers of their
// operands did before. What it cannot read stays as it is, and is met by whoever reads it.
// Called before the store is shared.
func (d *DB) foldReplayed() {
	s := d.state.Load()
	d.foldLongChains(s, s.mutable)
	for _, m := range s.frozen {
		d.foldLongChains(s, m)
	}
}

// foldLongChains adds the fold of each long chain of a memtable, for which there is room.
func (d *DB) foldLongChains(s *readState, m *mutableTable) {
	if m.operands <= fold.MaxChain {
		return
	}
	var key []byte
	var newest keys.SeqNum // of key
	n, on := 0, false      // operands on top of its versions; whether they go on
	it := m.Iter()
	for ok := it.First(); ; ok = it.Next() {
		if !ok || !bytes.Equal(it.Key(), key) {
			if n > fold.MaxChain {
				d.foldLongChain(s, m, key, newest)
			}
			if !ok {
				return
			}
			key, newest, n, on = append(key[:0], it.Key()...), it.Trailer().SeqNum(), 0, true
		}
		if on = on && it.Trailer().Kind() == keys.KindMerge; on {
			n++
		}
	}
}

func (d *DB) foldLongChain(s *readState, m *mutableTable, key []byte, seq keys.SeqNum) {
	c := new(fold.Chain)
	if _, err := d.collect(c, s, key, seq, false); err != nil || c.Newest() != seq || c.Sealed() {
		return
	}
	_, b, err := c.Fold(d.operators.known, nil)
	if err != nil {
		return
	}
	kind, value := b.AppendEntry(nil)
	f := madeFold{mem: m, key: key, t: keys.MakeTrailer(seq, kind), value: value}
	if m.Fits(1, len(key)+len(value)) && m.insertFold(&f) {
		d.metrics.chainsFolded.Add(1)
	}
}
