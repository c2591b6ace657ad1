package lsm

import (
	"errors"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// Transactions over scopes. A Txn of a scope works with the keys of the id that the scope has
// in the snapshot, or of one that stands for it where it is not there, and which nobody has.
// The commit finds the scopes anew, as one of a batch does (scope_batch.go), since nothing
// says that what is only written must still be where the snapshot had it. What was read must
// be: the scope's entry in the directory is a key like others, and counts as read.

// Scope returns the transaction as it acts in a scope, which need not exist: what is Set or
// merged in it makes it, in the same commit. All Txns of a transaction are one: any of them
// sets the options, and they end together. For the same scope it is the same Txn.
//
// To read in a scope is to depend on which scope has the name: the transaction conflicts when
// the scope is made, dropped or moved before it commits. To write in it is not: what is
// written goes to the scope that has the name then. Errors are those of scope.Scope.Validate,
// ErrClosed, and those of a read.
func (tx *Txn) Scope(name scope.Scope) (*Txn, error) {
	if tx.done {
		return nil, ErrClosed
	}
	if in := tx.scopeOf(name); in != nil {
		return in, nil
	}
	sc, err := tx.db.Scope(name)
	if err != nil {
		return nil, err
	}
	in := &Txn{transaction: tx.transaction, in: sc, id: scope.MaxID - scope.ID(len(tx.scopes))}
	var buf [1 + scope.MaxEncodedLen]byte
	value, version, err := tx.db.getVersion(buf[:0], systemKeys.prefix, sc.entry, tx.seq, tx.at)
	if err == nil {
		in.version = version
		in.id, err = decodeEntry(value)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	in.scopeKeys = scopeKeys{scope.AppendID(nil, in.id), scope.AppendUpperBound(nil, in.id)}
	tx.addScope(in)
	return in, nil
}

// scopeOf returns the Txn of a scope, if there is one.
func (t *transaction) scopeOf(name scope.Scope) *Txn {
	if t.byName != nil {
		return t.byName[name]
	}
	for _, in := range t.scopes {
		if in.in.name == name {
			return in
		}
	}
	return nil
}

func (t *transaction) addScope(in *Txn) {
	t.scopes = append(t.scopes, in)
	switch {
	case t.byName != nil:
		t.byName[in.in.name] = in
	case len(t.scopes) > fewScopes:
		t.byName = map[scope.Scope]*Txn{}
		for _, in := range t.scopes {
			t.byName[in.in.name] = in
		}
	}
}

// noteWrite records that an operation was written.
func (tx *Txn) noteWrite(kind keys.Kind) {
	tx.wrote = true
	tx.makes = tx.makes || kind != keys.KindDelete
}

// noteEntries makes the entries of the scopes in which something was read, or their absence,
// part of what was read.
func (t *transaction) noteEntries() {
	for _, in := range t.scopes {
		if !in.looked || mutant.Enabled && forgets(in.version) {
			continue
		}
		t.key = append(append(t.key[:0], systemKeys.prefix...), in.in.entry...)
		t.reads.addPoint(t.key, in.version)
	}
}

// forgets reports whether a planted bug leaves out an entry of that version.
func forgets(v Version) bool {
	if v == Absent {
		return mutant.Is(mutant.ForgetAbsentScope)
	}
	return mutant.Is(mutant.ForgetReadScope)
}

// scopedBatch returns what the transaction has written as a batch over the scopes that it has
// written in, or nil if there is none. The transaction has written something.
func (t *transaction) scopedBatch() *Batch {
	var written []batchScope
	for _, in := range t.scopes {
		if in.wrote {
			written = append(written, batchScope{sc: in.in, id: in.id, writes: in.makes, seals: in.seals})
		}
	}
	if written == nil {
		return nil
	}
	b := &Batch{scopes: written}
	b.ops, b.ranges, b.bytes = t.writes.size()
	if t.writes.merges {
		b.merges.operands = b.ops // at most
	}
	b.payload = t.writes.appendPayload(make([]byte, 0, b.bytes+int64(b.ops)*maxOpHead))
	return b
}

// maxOpHead is what an operation of small keys and values takes in the log besides them.
const maxOpHead = 5

// Update runs fn in a transaction whose Txn acts in the scope, as DB.Update does. Txn.Scope
// leads to other scopes from there; who needs the root as well begins with DB.Update.
func (s *Scope) Update(fn func(tx *Txn) error) error {
	if err := s.writable(); err != nil {
		return err
	}
	return s.db.Update(s.inside(fn))
}

// View runs fn in a transaction that only reads and whose Txn acts in the scope, as DB.View
// does; on a handle that came from a snapshot it reads that.
func (s *Scope) View(fn func(tx *Txn) error) error { return s.db.view(s.snap, s.inside(fn)) }

// inside returns fn as a function that is given the root's Txn.
func (s *Scope) inside(fn func(tx *Txn) error) func(tx *Txn) error {
	return func(tx *Txn) error {
		in, err := tx.Scope(s.name)
		if err != nil {
			return err
		}
		return fn(in)
	}
}
