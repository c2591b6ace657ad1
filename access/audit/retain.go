package audit

import (
	"context"
	"fmt"
	"time"
)

// Retention says which records may go.
type Retention struct {
	// Before lets segments go all of whose records are older; the zero time none.
	Before time.Time
	// MaxRecords lets the oldest segments go as long as this many records are left without
	// them; 0 none.
	MaxRecords int
}

// Retain removes what may go, whole segments, oldest first and never the newest, and returns
// how many records that were. When it ends early, by an error of the store or the context,
// what was removed stays so. Other errors match ErrInvalid, ErrMalformed or ErrBroken.
func (l *Log) Retain(ctx context.Context, r Retention) (removed int, err error) {
	if r.MaxRecords < 0 {
		return 0, fmt.Errorf("%w: at most %d records", ErrInvalid, r.MaxRecords)
	}
	l.retaining.Lock()
	defer l.retaining.Unlock()
	for {
		n, err := l.removeSegment(ctx, r)
		removed += n
		if err != nil || n == 0 {
			return removed, err
		}
	}
}

// removeSegment removes the oldest segment, if it may go, and returns of how many records.
func (l *Log) removeSegment(ctx context.Context, r Retention) (int, error) {
	head, err := l.options.readHead(ctx, l.store)
	if err != nil {
		return 0, err
	}
	anchor, err := l.options.readPlace(ctx, l.store, anchorKey)
	if err != nil {
		return 0, err
	}
	segment := anchor.segment + 1
	if segment >= head.segment {
		return 0, nil
	}
	var keys [][]byte
	old := !r.Before.IsZero()
	last := anchor
	for e, err := range l.store.Scan(ctx, recordKey(segment, 0), recordKey(segment+1, 0)) {
		if err != nil {
			return 0, fmt.Errorf("audit: retain: %w", err)
		}
		record, hash, _, err := recordOf(e)
		if err != nil {
			return 0, err
		}
		old = old && record.Time.Before(r.Before)
		last = Head{Seq: record.Seq, Hash: hash, segment: segment, first: anchor.Seq + 1}
		keys = append(keys, e.Key)
	}
	excess := r.MaxRecords > 0 && head.Seq-last.Seq >= uint64(r.MaxRecords)
	switch {
	case len(keys) == 0 || last.Seq != anchor.Seq+uint64(len(keys)):
		return 0, &BrokenError{Seq: anchor.Seq + 1, Reason: "records of the oldest segment are missing"}
	case !old && !excess:
		return 0, nil
	}
	if err := l.store.Apply(ctx, []Entry{{Key: anchorKey, Value: l.options.encodePlace(anchorKey, last)}}, keys); err != nil {
		return 0, fmt.Errorf("audit: retain: %w", err)
	}
	return len(keys), nil
}
