package audit

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/scope"
)

// Verdict is the answer that records are asked for by.
type Verdict uint8

// Verdicts.
const (
	AnyVerdict Verdict = iota
	OnlyAllowed
	OnlyDenied
)

// Query says which records are meant; zero fields mean all.
type Query struct {
	// Principal is who asked.
	Principal access.Principal
	// Scope is what was asked for.
	Scope scope.Scope
	// From and To are times, To not within them.
	From, To time.Time
	// Verdict is the answer.
	Verdict Verdict
}

func (q *Query) match(r *Record) bool {
	return (q.Principal == "" || r.Principal == q.Principal) &&
		(q.Scope.Kind() == scope.AnyKind || r.Scope == q.Scope) &&
		(q.From.IsZero() || !r.Time.Before(q.From)) && (q.To.IsZero() || r.Time.Before(q.To)) &&
		(q.Verdict == AnyVerdict || r.Allowed == (q.Verdict == OnlyAllowed))
}

// Query yields the records that are meant, by number, from those written before Flush on.
// It reads all that are kept: an audit is asked seldom and written often, and has no
// indexes. It ends at its first error, and does not verify the chain.
func (l *Log) Query(ctx context.Context, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for e, err := range l.store.Scan(ctx, recordKey(0, 0), []byte{kindRecord + 1}) {
			if err != nil {
				yield(Record{}, fmt.Errorf("audit: scan: %w", err))
				return
			}
			r, _, _, err := recordOf(e)
			if err == nil && !q.match(&r) {
				continue
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}
