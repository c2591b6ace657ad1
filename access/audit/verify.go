package audit

import (
	"context"
	"fmt"

	"github.com/loamdb/loam/internal/mutant"
)

// BrokenError says where a chain is not as it was written. It matches ErrBroken.
type BrokenError struct {
	// Seq is the number of the first record that is wrong or missing.
	Seq uint64
	// Reason says what is wrong.
	Reason string
}

// Error names the record and the reason.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("%v at record %d: %s", ErrBroken, e.Seq, e.Reason)
}

// Unwrap returns ErrBroken.
func (e *BrokenError) Unwrap() error { return ErrBroken }

// Report says what was verified.
type Report struct {
	// First is the number of the first record that is kept, 0 if there is none.
	First uint64
	// Records is how many there are.
	Records uint64
	// Dropped is how many were lost by their Log, as far as the records tell.
	Dropped uint64
	// Head is where the chain ends.
	Head Head
}

// Verify reads all records and returns an error that matches ErrBroken if one was changed,
// removed, moved or put in since it was written, or if the end was cut off without the head. Each of
// known, heads that were kept elsewhere, must lie on the chain, as far as it is kept: that
// finds a store that was put back as a whole. Other errors are the store's.
func (l *Log) Verify(ctx context.Context, known ...Head) (Report, error) {
	l.retaining.Lock()
	defer l.retaining.Unlock()
	return Verify(ctx, l.store, l.options.Key, known...)
}

// Verify does what Log.Verify does to a store whose Log is not open.
func Verify(ctx context.Context, s Store, key []byte, known ...Head) (Report, error) {
	o := &Options{Key: key}
	anchor, err := o.readPlace(ctx, s, anchorKey)
	if err != nil {
		return Report{}, err
	}
	begin, err := o.readHead(ctx, s) // records may be written meanwhile
	if err != nil {
		return Report{}, err
	}
	w := walk{options: o, at: anchor, known: append([]Head{begin}, known...)}
	if err := w.meet(); err != nil {
		return Report{}, err
	}
	for e, err := range s.Scan(ctx, recordKey(0, 0), []byte{kindRecord + 1}) {
		if err != nil {
			return w.report, fmt.Errorf("audit: verify: %w", err)
		}
		if err := w.step(e); err != nil {
			return w.report, err
		}
	}
	end, err := o.readHead(ctx, s)
	if err != nil {
		return w.report, err
	}
	for _, h := range w.known {
		if h.Seq > w.at.Seq {
			return w.report, &BrokenError{Seq: w.at.Seq + 1, Reason: fmt.Sprintf("the chain ends before record %d", h.Seq)}
		}
	}
	if end.Seq < w.at.Seq || end.Seq == w.at.Seq && end != w.at {
		return w.report, &BrokenError{Seq: w.at.Seq, Reason: "the head is another one"}
	}
	return w.report, nil
}

// walk goes along a chain.
type walk struct {
	options *Options
	at      Head
	known   []Head // places that must be met
	report  Report
}

func (w *walk) step(e Entry) error {
	next := w.at.Seq + 1
	r, hash, encoded, err := recordOf(e)
	if err != nil {
		return &BrokenError{Seq: next, Reason: err.Error()}
	}
	segment, _, err := parseRecordKey(e.Key)
	if err != nil {
		return &BrokenError{Seq: next, Reason: err.Error()}
	}
	if r.Seq != next || segment != w.at.segment && segment != w.at.segment+1 {
		return &BrokenError{Seq: next, Reason: fmt.Sprintf("record %d of segment %d stands in its place", r.Seq, segment)}
	}
	if segment != w.at.segment {
		w.at.segment, w.at.first = segment, next
	}
	link := w.options.link(w.at.Hash, segment, next, encoded)
	if link != hash && !mutant.Is(mutant.TrustChain) {
		return &BrokenError{Seq: next, Reason: "it, or one before it, was changed"}
	}
	w.at.Seq, w.at.Hash = next, hash
	if w.report.Records == 0 {
		w.report.First = next
	}
	w.report.Records++
	w.report.Dropped += r.Dropped
	w.report.Head = w.at
	return w.meet()
}

// meet compares the place with those that are known.
func (w *walk) meet() error {
	for _, h := range w.known {
		if h.Seq == w.at.Seq && h.Hash != w.at.Hash {
			return &BrokenError{Seq: h.Seq, Reason: "a known head has another hash"}
		}
	}
	return nil
}
