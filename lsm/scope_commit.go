package lsm

import (
	"errors"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// How commits and the directory meet. A batch with keys of scopes says what it relies on:
// ids that must still have their entries, and names that must not have got one. The leader
// compares that with the changes it has numbered, just before it numbers the batch. One
// that relies on what has changed is redirected: its writer waits until the change is
// visible, resolves its scopes again, and resubmits. So no key is ever written to an id
// after its death (D2), no write is lost, and of those that make the same scope at once
// one does and the others write to what it made.

// claims are what a batch relies on of the directory and what it changes there.
type claims struct {
	names   []claim
	changes []dirChange

	// Set by the leader.
	seq      keys.SeqNum // the batch's last number
	conflict keys.SeqNum // of the change that it must wait for; 0: it was admitted
}

// errRedirected: what the batch relied on has changed. It does not leave the package.
var errRedirected = errors.New("lsm: a scope has changed under the batch")

// reset makes r a request with claims, with room for n of them.
func (r *request) reset(n int) {
	r.scoped = true
	if cap(r.claims.names) > maxPooledClaims {
		r.claims.names = nil
	}
	if r.claims.names == nil {
		r.claims.names = make([]claim, 0, n)
	}
	r.claims.names, r.claims.changes = r.claims.names[:0], nil
	r.claims.seq = 0
}

// maxPooledClaims keeps one batch of many scopes from staying in the pool for ever.
const maxPooledClaims = 64

// claimOn returns the claim that r's id still has its entry. It is brought up to date
// first, so that the leader has little to look at.
func (d *DB) claimOn(r *resolved) claim {
	_ = d.stillNamed(r) // the leader judges
	return claim{at: keys.SeqNum(r.at.Load()), id: r.id}
}

// commitScoped commits a request with claims, if the conditions hold, which may be nil, gives
// it back, and returns its last number. errRedirected says that what it relied on has
// changed, and that the change is visible.
func (d *DB) commitScoped(r *request, c *conditions) (keys.SeqNum, error) {
	var err error
	if c == nil || c.empty() {
		err = d.commit(r)
	} else if err = d.commitIf(r, c); errors.Is(err, ErrConflict) && !(mutant.Enabled && mutant.Is(mutant.JudgeStaleScope)) {
		// They may have been judged by keys of an id that was stale already, visibly so.
		r.claims.conflict = min(d.directory.conflict(r.claims.names, d.visible.load()), d.visible.load())
	}
	seq, conflict := r.claims.seq, r.claims.conflict
	d.queue.recycle(r)
	if conflict == 0 {
		return seq, err
	}
	if err := d.publisher.await(d, conflict); err != nil {
		return 0, err
	}
	if d.closed.Load() {
		return 0, ErrClosed
	}
	return 0, errRedirected
}

// dirBatch is a change of the directory.
type dirBatch struct {
	payload []byte
	ops     int
	bytes   int64
	claims  []claim
	changes []dirChange
}

func (b *dirBatch) add(kind keys.Kind, key, value []byte) {
	b.payload = appendOp(b.payload, kind, systemKeys.prefix, key, value)
	b.ops++
	b.bytes += int64(len(systemKeys.prefix) + len(key) + len(value))
}

// takeEntry removes the entry of a scope that r says has it.
func (b *dirBatch) takeEntry(s *Scope, c claim) {
	b.claims = append(b.claims, c)
	b.changes = append(b.changes, dirChange{id: c.id})
	b.add(keys.KindDelete, s.entry, nil)
}

// makeEntry gives id to a scope that had no entry at the number at.
func (b *dirBatch) makeEntry(entry []byte, id scope.ID, at keys.SeqNum) {
	name := nameHash(entry)
	b.claims = append(b.claims, claim{at: at, name: name})
	b.changes = append(b.changes, dirChange{name: name})
	b.name(entry, id)
}

// name adds the entry of a scope and the name of its id (D5).
func (b *dirBatch) name(entry []byte, id scope.ID) {
	var key [1 + scope.MaxEncodedLen]byte // add copies
	b.add(keys.KindSet, entry, scope.AppendID(append(key[:0], recordVersion), id))
	if mutant.Enabled && mutant.Is(mutant.ForgetName) {
		return
	}
	var value [1 + scope.MaxKeyLen]byte
	b.add(keys.KindSet, scope.AppendID(append(key[:0], byte(recordName)), id), append(append(value[:0], recordVersion), entry[1:]...))
}

// kill adds the death record of an id.
func (b *dirBatch) kill(id scope.ID) { b.add(keys.KindSet, idKey(recordDeath, id), flagValue) }

// unname takes the name of an id that has lost its entry for good (D5).
func (b *dirBatch) unname(id scope.ID) {
	if !(mutant.Enabled && mutant.Is(mutant.KeepName)) {
		b.add(keys.KindDelete, idKey(recordName, id), nil)
	}
}

// commitDirectory commits a change of the directory and returns its number.
func (d *DB) commitDirectory(b *dirBatch, w *WriteOptions) (keys.SeqNum, error) {
	r := d.queue.newRequest(w)
	r.payload = append(r.payload[:0], b.payload...)
	r.ops, r.bytes = b.ops, b.bytes
	r.reset(len(b.claims))
	r.claims.names = append(r.claims.names, b.claims...)
	r.claims.changes = b.changes
	return d.commitScoped(r, nil)
}
