package workload

import (
	"fmt"

	"github.com/loamdb/loam/cmd/lsmbench/internal/document"
)

// The workloads of documents that are numbers and lists.

func incrementCounters(r *run) error {
	r.kinds = []string{"increment"}
	t, err := r.newDocuments(ifAsked)
	if err != nil {
		return err
	}
	keys := r.named("counter/")
	r.check = func() error {
		return t.checkCounts(keys, func(v any, changes int64) bool {
			n, ok := document.Number(v)
			return ok && n == float64(changes)
		})
	}
	return t.eachDocument(t.untilLimit(), func(d *documentWorker) operation {
		return func(uint64) (kind, error) {
			i := d.random()
			d.counts[i].Add(1)
			at := keys[i]
			d.written += int64(len(at) + 1)
			sum, err := d.scope(i).Increment(at, 1, d.sync)
			if err == nil && sum < 1 {
				err = fmt.Errorf("%w: %q is %d", ErrWrongAnswer, at, sum)
			}
			return 0, err
		}
	})
}

// appendToLists goes through the lists again and again, until all are as long as they get.
func appendToLists(r *run) error {
	r.kinds = []string{"append"}
	t, err := r.newDocuments(ifAsked)
	if err != nil {
		return err
	}
	keys := r.named("log/")
	r.check = func() error {
		return t.checkCounts(keys, func(v any, changes int64) bool {
			list, ok := v.([]any)
			return ok && int64(len(list)) == changes && document.Equal(message, list[changes-1])
		})
	}
	pace := t.untilLimit()
	pace.total = r.Records * listLen
	return t.eachDocument(pace, func(d *documentWorker) operation {
		return func(i uint64) (kind, error) {
			i %= d.Records
			d.counts[i].Add(1)
			at := keys[i]
			d.written += int64(len(at) + messageBytes)
			return 0, d.scope(i).Append(at, message, d.sync)
		}
	})
}

// message is what is appended, of about messageBytes.
var message = map[string]any{"role": "tool", "text": "three invoices were found, one of them overdue", "tokens": int64(12)}

const messageBytes = 80

// checkCounts looks at every key, of which those that were not changed are absent.
func (t *documentRun) checkCounts(keys []string, right func(v any, changes int64) bool) error {
	d, err := t.besideDocuments()
	if err != nil {
		return err
	}
	for i := range t.counts {
		if i%checkEvery == 0 && t.ctx.Err() != nil {
			return t.ctx.Err()
		}
		changes, at := t.counts[i].Load(), keys[i]
		v, found, err := d.scope(uint64(i)).Get(at)
		if err != nil {
			return err
		}
		if found != (changes > 0) || found && !right(v, changes) {
			return fmt.Errorf("%w: %q after %d changes: found %t, %v", ErrWrongAnswer, at, changes, found, v)
		}
	}
	return nil
}

func movePoints(durable durability) func(*run) error {
	return func(r *run) error {
		r.kinds = []string{"transaction"}
		t, err := r.newDocuments(durable)
		if err != nil {
			return err
		}
		r.check = t.checkPoints
		scopes := len(t.scopes)
		return t.eachDocument(t.untilLimit(), func(d *documentWorker) operation {
			return func(uint64) (kind, error) {
				from := d.rng.IntN(scopes)
				to := (from + 1 + d.rng.IntN(max(scopes-1, 1))) % scopes
				d.written += int64(2 * (len(t.scopes[0]) + 1 + len(pointsKey)))
				return 0, d.Move(t.scopes[from], t.scopes[to], pointsKey, 1+d.rng.Int64N(greatestAmount), d.sync)
			}
		})
	}
}

// checkPoints sums up the points of all scopes, which no transfer changes.
func (t *documentRun) checkPoints() error {
	d, err := t.besideDocuments()
	if err != nil {
		return err
	}
	sum := 0.0
	for s, in := range d.in {
		v, found, err := in.Get(pointsKey)
		if err != nil {
			return err
		}
		n, ok := document.Number(v)
		if !found || !ok {
			return fmt.Errorf("%w: the points of scope %q: found %t, %v", ErrWrongAnswer, t.scopes[s], found, v)
		}
		sum += n
	}
	if want := float64(openingPoints * len(t.scopes)); sum != want {
		return fmt.Errorf("%w: transfers have turned %.0f points into %.0f", ErrWrongAnswer, want, sum)
	}
	return nil
}
