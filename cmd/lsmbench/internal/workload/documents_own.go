package workload

import (
	"fmt"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// The workloads of documents that are about what only a store of documents has.

// fewKeys is how many keys of each kind are written, so that memory has room for all.
const fewKeys = 1000

const (
	setPlain kind = iota
	setWithHooks
)

// hookedScope has the hooks.
const hookedScope = "hooked"

func setHooked(durable durability) func(*run) error {
	return func(r *run) error {
		r.kinds = []string{"set", "with hooks"}
		t, err := r.newDocuments(durable)
		if err != nil {
			return err
		}
		beside, err := t.besideDocuments()
		if err != nil {
			return err
		}
		hooks, ok := beside.Documents.(engine.Hooks)
		if !ok {
			return engine.ErrUnsupported
		}
		if err := hooks.Hook(hookedScope); err != nil {
			return err
		}
		hooked := &t.counts[0]
		r.check = func() error {
			before, after, err := hooks.HookCalls()
			if n := uint64(hooked.Load()); err == nil && (before != n || after != n) {
				err = fmt.Errorf("%w: %d sets have met %d calls of the hook before, and %d of that behind", ErrWrongAnswer, n, before, after)
			}
			return err
		}
		return t.eachDocument(t.untilLimit(), func(d *documentWorker) operation {
			in := []engine.DocumentScope{setPlain: d.in[0], setWithHooks: d.In(hookedScope)}
			return func(i uint64) (kind, error) {
				k := kind(i % 2)
				if k == setWithHooks {
					hooked.Add(1)
				}
				n := d.rng.Uint64N(fewKeys)
				d.written += d.length
				return k, in[k].Set(d.keys[n%d.Records], d.docs[n%documentVersions], d.sync)
			}
		})
	}
}

// setClasses writes to keys of their own for each class: a key has one class.
func setClasses(r *run) (err error) {
	o, ok := r.engine.(engine.ClassesOpener)
	if !ok {
		return engine.ErrUnsupported
	}
	if r.store, err = o.OpenClasses(r.Dir, r.Config); err != nil {
		return err
	}
	t, err := r.newDocuments(ifAsked)
	if err != nil {
		return err
	}
	beside, err := t.besideDocuments()
	if err != nil {
		return err
	}
	has, ok := beside.Documents.(engine.Classes)
	if !ok {
		return engine.ErrUnsupported
	}
	names := has.Classes()
	r.kinds = names
	return t.eachDocument(t.untilLimit(), func(d *documentWorker) operation {
		in := make([][]engine.DocumentScope, len(names))
		for k, class := range names {
			in[k] = d.inClass(class)
		}
		return func(i uint64) (kind, error) {
			k := kind(i % uint64(len(names)))
			n := d.rng.Uint64N(fewKeys)
			d.written += d.length
			key := names[k] + "/" + d.keys[n%d.Records]
			return k, in[k][n%uint64(len(d.in))].Set(key, d.docs[n%documentVersions], false)
		}
	})
}

// inClass returns the scopes by handles that give documents a class, of those that there are.
func (d *documentWorker) inClass(class string) []engine.DocumentScope {
	in := make([]engine.DocumentScope, len(d.scopes))
	for i, name := range d.scopes {
		in[i] = d.Documents.(engine.Classes).InClass(class, name)
	}
	return in
}

const (
	memorySet kind = iota
	memoryGet
)

// inMemory sets a document and reads another in turn.
func inMemory(r *run) (err error) {
	m, ok := r.engine.(engine.MemoryOpener)
	if !ok {
		return engine.ErrUnsupported
	}
	if r.store, err = m.OpenMemory(r.Config); err != nil {
		return err
	}
	r.kinds = []string{"set", "get"}
	t, err := r.newDocuments(ifAsked)
	if err != nil {
		return err
	}
	beside, err := t.besideDocuments()
	if err != nil {
		return err
	}
	for i := range r.Records {
		if err := beside.scope(i).Set(t.keys[i], t.want(i, 0), false); err != nil {
			return err
		}
	}
	r.check = func() error { return t.checkDocuments(t.want) }
	return t.eachDocument(t.untilLimit(), func(d *documentWorker) operation {
		return func(i uint64) (kind, error) {
			if i%2 == 0 {
				return memorySet, d.setNext(false)
			}
			return memoryGet, d.getOne()
		}
	})
}
