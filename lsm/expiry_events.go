package lsm

import (
	"context"
	"math"
	"time"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/scope"
)

// ExpiryEvent tells that an entry has expired. Version is that of the entry: key and version
// tell events apart, for whoever may see one twice.
type ExpiryEvent struct {
	// Scope is where the entry was, the zero Scope for the root.
	Scope scope.Scope
	// Key is the entry's, a copy that the caller owns.
	Key []byte
	// Expiry is when it expired.
	Expiry time.Time
	// Version is what GetWithVersion returned for it.
	Version Version
}

// ExpiryEvents returns up to limit events that nobody has acknowledged, those that expired
// first at first; limit 0 means all. They stay until AckExpiryEvents, or a batch with
// Batch.AckExpiryEvents, takes them away, and survive crashes as entries do: so that each is
// seen at least once.
//
// An event comes about, milliseconds after the expiry, for each entry that was written with an
// expiry while Options.ExpiryEvents was set, and was neither written again nor deleted, nor its
// scope dropped, before the store came to it. A key may already be written again when its
// event is read.
func (d *DB) ExpiryEvents(limit int) ([]ExpiryEvent, error) {
	if limit <= 0 {
		limit = math.MaxInt
	}
	it, err := d.newIter(systemKeys, recordBounds(recordEvent), keys.MaxSeqNum)
	if err != nil {
		return nil, err
	}
	var out []ExpiryEvent
	for len(out) < limit && it.Next() {
		e, err := decodeEvent(it.Key(), it.Value())
		if err != nil {
			_ = it.Close() // the first error says what is wrong
			return nil, err
		}
		out = append(out, e)
	}
	return out, it.Close()
}

// AwaitExpiryEvents returns what ExpiryEvents does, and waits while there are none. Errors are
// those of ExpiryEvents, ctx's, and ErrClosed when the store is closed meanwhile.
func (d *DB) AwaitExpiryEvents(ctx context.Context, limit int) ([]ExpiryEvent, error) {
	for {
		news := d.expirer.sweep.await() // before the look: what comes after it is waited for
		events, err := d.ExpiryEvents(limit)
		if err != nil || len(events) > 0 {
			return events, err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-d.closing:
			return nil, ErrClosed
		}
	}
}

// AckExpiryEvents takes events away: they will not be seen again. Those that are gone already
// are no error.
func (d *DB) AckExpiryEvents(w *WriteOptions, events ...ExpiryEvent) error {
	b := d.NewBatch()
	b.AckExpiryEvents(events...)
	return d.Apply(b, w)
}

// AckExpiryEvents adds that events are taken away, so that what the batch does about them and
// their end are one: whoever only ever acts in such a batch acts once on each event.
func (b *Batch) AckExpiryEvents(events ...ExpiryEvent) {
	prefix, at := b.prefix, b.at
	b.prefix, b.at = systemKeys.prefix, 0
	for _, e := range events {
		b.add(keys.KindDelete, appendEventKey(nil, e.Expiry.UnixMilli(), keys.SeqNum(e.Version)), nil)
	}
	b.prefix, b.at = prefix, at
}
