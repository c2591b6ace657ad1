package lsm

import (
	"context"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
)

// Require makes the batch depend on key having the given version, which may be Absent,
// right before the batch is applied: its own operations do not count. When one
// requirement does not hold, Apply writes nothing and returns ErrConflict. Several
// requirements hold all at one moment, in a batch without operations too.
//
//	v, version, err := db.GetWithVersion(key)
//	…
//	b.Require(key, version) // nobody has written key since
//	b.Set(key, changed(v))
//
// The key is one of the scope that Batch.In has chosen last. In a scope that is not there
// every key is Absent, and to require that makes no scope.
//
// A key over its limit makes Apply fail as one of Set does.
func (b *Batch) Require(key []byte, v Version) { b.RequireAsOf(key, v, 0) }

// RequireAsOf is Require where it is known that key had the version, and did not expire, when asOf was
// the version of the last operation that readers saw: EntryInfo.AsOf of who has read it, or LastVersion
// of a batch that has required the same. While that is so still, Apply does not look the key up. An asOf
// of 0 says nothing.
//
//	v, info, err := sc.AppendGetInfo(nil, key)
//	…
//	b.RequireAsOf(key, info.Version, info.AsOf)
func (b *Batch) RequireAsOf(key []byte, v, asOf Version) {
	if b.err != nil {
		return
	}
	if b.err = checkLimits(key, nil); b.err != nil {
		return
	}
	if b.prefix == nil {
		b.prefix = rootPrefix // there is no unscoped key
	}
	from := len(b.required)
	b.required = append(append(b.required, b.prefix...), key...)
	k := b.required[from:len(b.required):len(b.required)]
	b.requires = append(b.requires, point{key: k, want: v, asOf: keys.SeqNum(asOf)})
}

// applyIf commits a batch of the root that has requirements.
func (d *DB) applyIf(b *Batch, w *WriteOptions) error {
	c := &b.conditions
	*c = conditions{points: b.requires}
	if b.ops == 0 {
		s, err := d.NewSnapshot()
		if err != nil {
			return err
		}
		defer s.Close() // never fails
		return d.judge(c, s.seq, s.at)
	}
	r := d.queue.newRequest(w)
	own := r.payload
	r.payload, r.lent, r.ops, r.bytes = b.payload, true, b.ops, b.bytes
	r.ranges, r.merges = b.ranges, b.merges.operands > 0
	err := d.commitIf(r, c)
	r.payload = own
	d.queue.recycle(r)
	return err
}

// maxOverruns is how often a commit may be overtaken by more than the ring holds before
// it keeps everybody else waiting.
const maxOverruns = 3

// commitIf commits r if the conditions hold at the moment of its
// numbers. What the leader says is not the caller's matter: what was judged is judged again,
// against more. It may have been overrun, and to the ring a delete of a key that was absent is
// a write like any other.
func (d *DB) commitIf(r *request, c *conditions) error {
	if others := d.ring.enter(); others {
		c.seal() // here rather than under the lead
	}
	defer d.ring.leave()
	r.depends = c
	defer func() { r.depends = nil }()
	for overruns := 0; ; overruns++ {
		r.err, r.next, r.refused, c.blocker = nil, nil, false, 0
		var err error
		if overruns < maxOverruns {
			c.upTo = d.visible.load()
			if err = d.judge(c, keys.MaxSeqNum, atRead); err == nil {
				err = d.commit(r)
			}
		} else {
			err = d.commitUnderLead(r, c)
		}
		if c.blocker == 0 {
			return err
		}
		// Until then another attempt would read what this one has read, and fail again.
		if err := d.publisher.await(d, c.blocker); err != nil {
			return err
		}
		if err != errOverrun && (overruns >= maxOverruns || mutant.Enabled && mutant.Is(mutant.TrustRing)) {
			return err
		}
	}
}

// commitUnderLead judges the conditions while nobody else can commit, and commits. Reading
// under the lead is what the ring is there to avoid: a commit with many conditions, beside
// many writers, would otherwise never get its turn.
func (d *DB) commitUnderLead(r *request, c *conditions) error {
	if err := d.queue.acquire(context.Background()); err != nil {
		return err
	}
	// What has numbers is applied and will be published, which does not take the lead.
	err := d.publisher.await(d, d.lastSeqNum)
	if err == nil {
		c.upTo = d.lastSeqNum
		err = d.judge(c, keys.MaxSeqNum, atRead)
	}
	if err != nil {
		d.queue.passLead()
		return err
	}
	d.sumUp(r)
	limit := int64(0) // alone: unsynced ones that wait would get lower numbers, and so overtake it
	if mutant.Enabled && mutant.Is(mutant.OvertakeTheLead) {
		limit = maxGroupBytes
	}
	d.leadGroup(r, limit)
	return r.err
}
