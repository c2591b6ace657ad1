package lsm

import (
	"bytes"
	"errors"
	"slices"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
)

// batchScope is a scope that a batch has keys of. While the batch is filled they are
// encoded with the id that the scope is known to have, or with one that stands for it;
// Apply encodes anew what is not right any more.
type batchScope struct {
	sc     *Scope
	id     scope.ID // that the keys are encoded with
	writes bool     // there is more than deletes: the scope is made if it is not there
	seals  bool     // there are values to be sealed, whatever the scope is
	plain  bool     // it must not be sealed as a whole

	absent   bool        // it was just looked up, and was not there
	absentAt keys.SeqNum // the number for which that holds

	// Of the last attempt to apply the batch.
	now   scope.ID // the id to write to, 0: the operations have nothing to delete
	fresh scope.ID // taken for a scope to be made, 0: none yet
	whole bool     // the scope is sealed as a whole

	key, freshKey crypto.ScopeKeyID // under which its values are sealed; made for fresh, zero: none yet
}

// maxPlaceholders bounds the ids, just below scope.MaxID, that stand for scopes whose id
// is not known; a batch cannot have as many scopes.
const maxPlaceholders = 1 << 32

// In makes the operations that are added from now on act in a scope, or in the root if sc
// is nil, and returns the batch: b.In(sc).Set(k, v). A batch can span any number of
// scopes; those that are not there come into being with it if it sets anything in them,
// which adds an operation for each that Len and Bytes do not count. A handle that came from a snapshot makes Apply fail with ErrReadOnly.
func (b *Batch) In(sc *Scope) *Batch {
	switch {
	case sc == nil:
		b.prefix, b.at = rootPrefix, 0
		return b
	case b.at > 0 && b.scopes[b.at-1].sc == sc:
		return b
	}
	if b.err == nil && sc.snap != nil {
		b.err = ErrReadOnly
	}
	b.at = b.scopeIndex(sc.name) + 1
	if b.at == 0 {
		b.at = b.addScope(sc)
	}
	b.scoped = scope.AppendID(b.scoped[:0], b.scopes[b.at-1].id)
	b.prefix = b.scoped
	return b
}

// fewScopes is how many scopes of a batch are searched through one by one.
const fewScopes = 8

// scopeIndex returns the index of a scope in b.scopes, -1 if it is not among them.
func (b *Batch) scopeIndex(name scope.Scope) int {
	if b.index != nil {
		if i, ok := b.index[name]; ok {
			return i
		}
		return -1
	}
	for i := range b.scopes {
		if b.scopes[i].sc.name == name {
			return i
		}
	}
	return -1
}

// addScope adds a scope and returns how many there are.
func (b *Batch) addScope(sc *Scope) int {
	id := scope.MaxID - scope.ID(len(b.scopes))
	// What is known may be stale: two scopes must not share an id, as they might after a
	// move. With many scopes it is not worth finding out.
	if r := sc.known(); r != nil && len(b.scopes) < fewScopes && !b.encodes(r.id) {
		id = r.id
	}
	b.scopes = append(b.scopes, batchScope{sc: sc, id: id})
	if len(b.scopes) > fewScopes {
		if b.index == nil {
			b.index = map[scope.Scope]int{}
			for i := range b.scopes {
				b.index[b.scopes[i].sc.name] = i
			}
		}
		b.index[sc.name] = len(b.scopes) - 1
	}
	return len(b.scopes)
}

func (b *Batch) encodes(id scope.ID) bool {
	for i := range b.scopes {
		if b.scopes[i].id == id {
			return true
		}
	}
	return false
}

// resetScopes goes back to the scope that the batch was made for.
func (b *Batch) resetScopes() {
	clear(b.scopes)
	b.scopes, b.index, b.prefix, b.at = b.scopes[:0], nil, nil, 0
	if b.home != nil {
		b.In(b.home)
	}
}

// errForeignScope is the error of a batch with keys of a scope of another store.
var errForeignScope = errors.New("lsm: the batch has a scope of another store")

// applyScoped commits a batch with keys of scopes. reads is what a transaction has read, whose
// writes the batch is, and nil otherwise.
func (d *DB) applyScoped(b *Batch, w *WriteOptions, reads *conditions) error {
	for i := range b.scopes {
		b.scopes[i].fresh, b.scopes[i].freshKey = 0, crypto.ScopeKeyID{}
		if b.scopes[i].sc.db != d {
			return errForeignScope
		}
	}
	for {
		err := d.tryScoped(b, w, reads)
		if err != errRedirected { // returned bare
			d.giveBackKeys(b, err)
			return err
		}
		for i := range b.scopes {
			b.scopes[i].absent = false
			if sc := b.scopes[i].sc; sc.held.Load() != nil {
				sc.forget(sc.held.Load())
			}
		}
		if err := d.writable(); err != nil {
			return err
		}
	}
}

// giveBackKeys gives back the keys that were made for scopes which the batch has not made: nothing was written, or somebody
// else was quicker. After another error than a conflict it is not known whether they are in a record.
func (d *DB) giveBackKeys(b *Batch, err error) {
	if err != nil && !errors.Is(err, ErrConflict) {
		return
	}
	for i := range b.scopes {
		s := &b.scopes[i]
		if s.freshKey != (crypto.ScopeKeyID{}) && (err != nil || s.now != s.fresh) {
			d.vault.giveBack(s.freshKey)
		}
	}
}

// stale reports whether one of the batch's handles was held for a scope that is another one now.
func (b *Batch) stale() bool {
	for i := range b.scopes {
		sc := b.scopes[i].sc
		if r := sc.held.Load(); r != nil && !sc.db.stillNamed(r) {
			return true
		}
	}
	return false
}

// tryScoped resolves the scopes of a batch and commits it. errRedirected: they have changed.
func (d *DB) tryScoped(b *Batch, w *WriteOptions, reads *conditions) error {
	r := d.queue.newRequest(w)
	own := r.payload[:0]
	c, err := d.plan(b, r)
	if (unopened(err) || err == ErrScopeSealed) && b.stale() { // returned bare, of a scope that was dropped since
		err = errRedirected
	}
	if reads != nil {
		c = reads // a transaction requires nothing else
	}
	if err == nil && r.ops > 0 {
		last, err := d.commitScoped(r, c)
		if b.last = Version(last); err == nil && d.opts.ExpiryEvents && b.endsExpiring() {
			b.last-- // its index record is behind it
		}
		return err
	}
	r.payload = own
	d.queue.recycle(r)
	if err != nil || c == nil || c.empty() {
		return err // there is nothing to delete in scopes that are not there
	}
	return d.holds(b, c)
}

// holds judges the conditions of a planned batch without operations, all at one moment.
func (d *DB) holds(b *Batch, c *conditions) error {
	snap, err := d.NewSnapshot()
	if err != nil {
		return err
	}
	defer snap.Close() // always nil
	for i := range b.scopes {
		id, err := d.lookUp(b.scopes[i].sc.entry, snap.seq)
		if err != nil {
			return err
		}
		if id != b.scopes[i].now {
			return errRedirected
		}
	}
	c.upTo = snap.seq
	return d.judge(c, snap.seq, snap.at)
}

// plan resolves the scopes of a batch and makes r of it: first the entries of those that
// are to be made, then the batch's operations with the ids as they are. It returns what the
// batch requires.
func (d *DB) plan(b *Batch, r *request) (*conditions, error) {
	r.reset(len(b.scopes))
	payload := r.payload[:0]
	r.ops, r.bytes = 0, 0
	r.ranges, r.merges, r.lasting = b.ranges, b.merges.operands > 0, b.lasting == b.ops
	for i := range b.scopes {
		s := &b.scopes[i]
		cl, err := d.planScope(s)
		if err != nil {
			return nil, err
		}
		if s.plain && s.whole {
			return nil, ErrScopeSealed
		}
		r.claims.names = append(r.claims.names, cl)
		if s.now != 0 && cl.name != 0 {
			payload = r.makeEntry(payload, s.sc.entry, s.now)
			r.claims.changes = append(r.claims.changes, dirChange{name: cl.name})
		}
		if s.sealing() {
			if payload, err = d.planSeal(s, cl, r, payload); err != nil {
				return nil, err
			}
		}
	}
	moved := b.moved()
	payload, err := b.encode(payload, r, moved, b.sealer(&d.vault))
	if err != nil {
		return nil, err
	}
	if size := memtableBytesFor(r.ops, r.bytes); size > maxBatchBytes {
		return nil, &LimitError{What: "batch", Bytes: size, Limit: maxBatchBytes}
	}
	r.payload = payload
	return b.demands(moved)
}

// makeEntry appends the records by which a scope is made to the payload, and counts them.
func (r *request) makeEntry(payload, entry []byte, id scope.ID) []byte {
	var made dirBatch
	made.payload = payload
	made.name(entry, id)
	r.ops += made.ops
	r.bytes += made.bytes
	return made.payload
}

// planScope finds out what the operations on a scope act on, and what they then rely on: a
// claim on a name says that there is no such scope.
func (d *DB) planScope(s *batchScope) (claim, error) {
	if r := s.sc.known(); r != nil {
		s.now, s.whole = r.id, r.sealed
		return d.claimOn(r), nil
	}
	s.whole = false
	at := s.absentAt
	if !s.absent {
		r, now, err := s.sc.look()
		if err != nil {
			return claim{}, err
		}
		if r != nil {
			s.now, s.whole = r.id, r.sealed
			return claim{at: now, id: r.id}, nil
		}
		at = now
	}
	s.now = 0
	if s.writes {
		if s.fresh == 0 {
			var err error
			if s.fresh, err = d.newScopeID(); err != nil {
				return claim{}, err
			}
		}
		s.now = s.fresh
	}
	return claim{at: at, name: nameHash(s.sc.entry)}, nil
}

// moves are, for the ids with which a batch is encoded, what the keys of the ids of its plan
// begin with; of a scope that is not there that is empty.
type moves struct {
	few  []move
	many map[scope.ID]scopeKeys // if there are more than fewScopes
}

type move struct {
	from scope.ID
	to   scopeKeys
}

// to returns what becomes of an id; ok is false for the root's, and where nothing moves.
func (m *moves) to(id scope.ID) (to scopeKeys, ok bool) {
	if m == nil {
		return scopeKeys{}, false
	}
	if m.many != nil {
		to, ok = m.many[id]
		return to, ok
	}
	for i := range m.few {
		if m.few[i].from == id {
			return m.few[i].to, true
		}
	}
	return scopeKeys{}, false
}

// moved returns how the batch is to be encoded anew, nil if no id differs.
func (b *Batch) moved() *moves {
	same := true
	for i := range b.scopes {
		same = same && b.scopes[i].id == b.scopes[i].now
	}
	if same {
		return nil
	}
	m := &moves{}
	if len(b.scopes) > fewScopes {
		m.many = make(map[scope.ID]scopeKeys, len(b.scopes))
	} else {
		m.few = make([]move, 0, len(b.scopes))
	}
	for i := range b.scopes {
		s := &b.scopes[i]
		var to scopeKeys
		if s.now != 0 {
			to = keysOfID(nil, s.now)
		}
		if m.many != nil {
			m.many[s.id] = to
		} else {
			m.few = append(m.few, move{s.id, to})
		}
	}
	return m
}

// encode appends the batch's operations to dst with the ids of the plan, and counts them. What is
// to be sealed is given to seal, nil if nothing is.
func (b *Batch) encode(dst []byte, r *request, moved *moves, seal sealFunc) ([]byte, error) {
	if moved == nil && seal == nil {
		r.ops += b.ops
		r.bytes += b.bytes
		return append(dst, b.payload...), nil
	}
	ops := opReader{rest: b.payload}
	for ops.next() {
		id, n, err := scope.DecodeID(ops.key)
		to, scoped := moved.to(id)
		prefix, value := ops.key[:n], ops.value
		switch {
		case err != nil || !scoped: // the root's
		case to.prefix == nil:
			continue // there is nothing to delete
		case ops.kind == keys.KindRangeDelete:
			value = to.bound(value, prefix)
			prefix = to.prefix
		default:
			prefix = to.prefix
		}
		kind := ops.kind
		if seal != nil {
			if kind, value, err = seal(kind, id, ops.key[n:], value); err != nil {
				return dst, err
			}
		}
		dst = appendOp(dst, kind, prefix, ops.key[n:], value)
		r.ops++
		r.bytes += int64(len(prefix) + len(ops.key) - n + len(value))
	}
	return dst, nil
}

// bound returns the upper bound of a range in the scope, given that of the same range in
// the scope whose keys begin with the prefix from.
func (k scopeKeys) bound(upper, from []byte) []byte {
	if rest, ok := bytes.CutPrefix(upper, from); ok {
		return slices.Concat(k.prefix, rest)
	}
	return k.upper
}

// demands returns what the batch requires, of keys with the ids of the plan, or nil if it
// requires nothing. ErrConflict: it requires a key of a scope that is not there. That one is
// not there stands among the claims.
func (b *Batch) demands(moved *moves) (*conditions, error) {
	if len(b.requires) == 0 {
		return nil, nil
	}
	c := &b.conditions
	*c = conditions{points: b.requires}
	if moved != nil {
		c.points = make([]point, 0, len(b.requires))
		for _, p := range b.requires {
			id, n, err := scope.DecodeID(p.key)
			to, scoped := moved.to(id)
			switch {
			case err != nil || !scoped: // the root's
				c.points = append(c.points, p)
			case to.prefix != nil:
				c.points = append(c.points, newPoint(to.prefix, p.key[n:], p.want))
			case p.want != Absent:
				return nil, ErrConflict
			}
		}
	}
	return c, nil
}
