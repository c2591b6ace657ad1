package lsm

import (
	"fmt"

	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
)

// admit takes out of a group the members that must not be committed: those that rely on ids
// or names of scopes that have changed, and those whose conditions do not hold any more. Of
// the others it lists what they change of the directory and, while the ring is in use, enters
// what they write. Nothing can refuse these any more but a failure that poisons. Called by the
// leader, right before it numbers them.
//
// Both are done member by member, in the order of the numbers: what is refused must leave
// no trace, and each member is judged after those before it.
func (d *DB) admit(unsynced, synced *part, spared bool) (refused part) {
	last, judging := d.lastSeqNum, d.ring.inUse() && !spared
	if judging {
		d.ring.begin(last + 1)
	}
	seq := last
	for _, p := range [...]*part{unsynced, synced} {
		all := *p
		*p = part{}
		for r := all.head; r != nil; {
			next := r.next
			r.next = nil
			if r.err = d.refusal(r, judging); r.err != nil {
				r.refused = true
				refused.pushIf(r, true)
				r = next
				continue
			}
			seq += keys.SeqNum(r.ops)
			if judging {
				d.ring.add(r.operations(), r.ops)
			}
			if r.scoped {
				r.claims.seq = seq
				d.directory.record(r.claims.changes, seq)
			}
			p.pushIf(r, true)
			r = next
		}
	}
	if invariants.Enabled && judging && d.ring.next != seq+1 {
		panic(fmt.Sprintf("lsm: the ring is at %d after numbers up to %d (C5)", d.ring.next, seq))
	}
	return refused
}

// refusal returns why a member of a group must not be committed, or nil. What it has
// claimed comes first: conditions are on keys of the ids that it was planned with, and say
// nothing when those are stale.
func (d *DB) refusal(r *request, judging bool) error {
	if r.scoped {
		if r.claims.conflict = d.directory.conflict(r.claims.names, keys.MaxSeqNum); r.claims.conflict != 0 {
			return errRedirected
		}
	}
	if r.depends != nil && r.depends.expiredBy(d.groupTime) {
		return ErrConflict
	}
	if judging {
		return d.ring.judge(r.depends)
	}
	return nil
}
