package workload

import (
	"fmt"

	"github.com/loamdb/loam/cmd/lsmbench/internal/document"
	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// The workloads that change documents.

// setNext writes the next version of one of the worker's records.
func (d *documentWorker) setNext(typed bool) error {
	i := d.own()
	rev := d.counts[i].Add(1)
	v := d.version(i, rev)
	d.written += d.length
	if typed {
		doc := *d.versions[v]
		doc.ID, doc.Rev = d.keys[i], rev
		return d.scope(i).Set(d.keys[i], &doc, d.sync)
	}
	doc := d.docs[v]
	doc["id"], doc["rev"] = d.keys[i], rev
	return d.scope(i).Set(d.keys[i], doc, d.sync)
}

// documentSets are workloads that write whole documents.
type documentSets struct {
	durable durability
	typed   bool // from a Go struct
	hot     bool // few documents again and again, of class Trusted where there are classes
}

// trusted is the class of what is written by who need not be looked after.
const trusted = "trusted"

func (s documentSets) run(r *run) error {
	r.kinds = []string{"set"}
	t, err := r.newDocuments(s.durable)
	if err != nil {
		return err
	}
	t.live = t.length * int64(r.Records)
	if s.hot {
		t.among = min(hotRecords, r.Records)
	}
	r.check = func() error { return t.checkDocuments(t.want) }
	return t.eachDocument(t.untilLimit(), func(d *documentWorker) operation {
		if _, ok := d.Documents.(engine.Classes); ok && s.hot {
			d.in = d.inClass(trusted)
		}
		return func(uint64) (kind, error) { return 0, d.setNext(s.typed) }
	})
}

// patchBytes is about what a patch takes.
const patchBytes = 40

func patchDocuments(durable durability) func(*run) error {
	return func(r *run) error {
		r.kinds = []string{"patch"}
		t, err := r.newDocuments(durable)
		if err != nil {
			return err
		}
		t.live = t.length * int64(r.Records)
		r.check = func() error {
			return t.checkDocuments(func(i uint64, changes int64) map[string]any {
				doc := t.want(i, 0)
				if changes > 0 {
					doc["status"], doc["rev"] = "patched", changes
					doc["usage"].(map[string]any)["reply"] = changes
				}
				return doc
			})
		}
		return t.eachDocument(t.untilLimit(), func(d *documentWorker) operation {
			usage := map[string]any{}
			patch := map[string]any{"status": "patched", "usage": usage}
			return func(uint64) (kind, error) {
				i := d.own()
				rev := d.counts[i].Add(1)
				patch["rev"], usage["reply"] = rev, rev
				d.written += patchBytes
				return 0, d.scope(i).Patch(d.keys[i], patch, d.sync)
			}
		})
	}
}

func compareAndSet(r *run) error {
	r.kinds = []string{"cas"}
	t, err := r.newDocuments(ifAsked)
	if err != nil {
		return err
	}
	t.live = t.length * int64(r.Records)
	r.check = func() error {
		return t.checkDocuments(func(i uint64, changes int64) map[string]any {
			doc := t.want(i, 0)
			doc["rev"] = changes
			return doc
		})
	}
	return t.eachDocument(t.untilLimit(), func(d *documentWorker) operation {
		var rev int64
		change := func(doc map[string]any) error {
			if was, ok := document.Number(doc["rev"]); !ok || was != float64(rev-1) {
				return fmt.Errorf("%w: revision %v, not %d", ErrWrongAnswer, doc["rev"], rev-1)
			}
			doc["rev"] = rev
			return nil
		}
		return func(uint64) (kind, error) {
			i := d.own()
			rev = d.counts[i].Add(1)
			d.written += d.length
			done, err := d.scope(i).Replace(d.keys[i], change, d.sync)
			if err == nil && !done {
				err = fmt.Errorf("%w: nobody else writes %q, but it was changed", ErrWrongAnswer, d.keys[i])
			}
			return 0, err
		}
	})
}
