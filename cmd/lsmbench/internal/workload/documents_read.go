package workload

import (
	"fmt"

	"github.com/loamdb/loam/cmd/lsmbench/internal/document"
)

// The workloads that read documents.

// getOne reads a document, and looks whether it is the right one.
func (d *documentWorker) getOne() error {
	i := d.random()
	v, found, err := d.scope(i).Get(d.keys[i])
	if err != nil {
		return err
	}
	doc, _ := v.(map[string]any)
	if !found || doc["id"] != d.keys[i] {
		return fmt.Errorf("%w: document %q: found %t, id %v", ErrWrongAnswer, d.keys[i], found, doc["id"])
	}
	d.worker.read += d.length
	return nil
}

// getDocuments reads among so many documents.
func getDocuments(among uint64) func(*run) error {
	return func(r *run) error {
		r.kinds = []string{"get"}
		t, err := r.newDocuments(ifAsked)
		if err != nil {
			return err
		}
		t.live = t.length * int64(r.Records)
		t.among = min(among, r.Records)
		r.check = func() error { return t.checkDocuments(t.want) }
		return t.eachDocument(t.untilLimit(), func(d *documentWorker) operation {
			return func(uint64) (kind, error) { return 0, d.getOne() }
		})
	}
}

func getTyped(r *run) error {
	r.kinds = []string{"get"}
	t, err := r.newDocuments(ifAsked)
	if err != nil {
		return err
	}
	t.live = t.length * int64(r.Records)
	return t.eachDocument(t.untilLimit(), func(d *documentWorker) operation {
		return func(uint64) (kind, error) {
			i := d.random()
			var doc document.Document
			found, err := d.scope(i).GetTyped(d.keys[i], &doc)
			if err == nil && (!found || doc.ID != d.keys[i]) {
				err = fmt.Errorf("%w: document %q: found %t, id %q", ErrWrongAnswer, d.keys[i], found, doc.ID)
			}
			d.worker.read += d.length
			return 0, err
		}
	})
}

func listDocuments(r *run) error {
	r.kinds = []string{"list"}
	t, err := r.newDocuments(ifAsked)
	if err != nil {
		return err
	}
	t.live = t.length * int64(r.Records)
	scopes := uint64(len(t.scopes))
	return t.eachDocument(t.untilLimit(), func(d *documentWorker) operation {
		var next uint64
		visit := func(key string, v any) error {
			doc, _ := v.(map[string]any)
			if key != d.keys[next] || doc["id"] != key {
				return fmt.Errorf("%w: a list has %q with the id %v in place of %q", ErrWrongAnswer, key, doc["id"], d.keys[next])
			}
			next += scopes
			d.worker.read += d.length
			return nil
		}
		return func(uint64) (kind, error) {
			s := d.random() % scopes
			next = s
			want := int(min((d.Records-s+scopes-1)/scopes, pageLen))
			n, err := d.in[s].List(documentPrefix, pageLen, visit)
			if err == nil && n != want {
				err = fmt.Errorf("%w: a list of scope %q has %d documents, not %d", ErrWrongAnswer, d.scopes[s], n, want)
			}
			return 0, err
		}
	})
}
