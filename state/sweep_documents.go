package state

import (
	"slices"
	"strings"

	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/state/index"
)

// Documents that have to go. Their index entries go with them where the indexes are known, which takes that
// the collection was opened in this process. Where they are not, the commit that deletes marks all of them as
// incomplete: no query uses one until OpenCollection has built it, which deletes entries without documents, or a
// write that meets such an entry.

// The keys of documents.
var (
	documentsFirst = []byte{index.Reserved, areaDocuments}
	documentsEnd   = []byte{index.Reserved, areaDocuments + 1}
)

// documents deletes documents of a scope.
type documents struct {
	k      *sweeper
	in     *ruled
	byName map[string]*removal
}

// removal is a collection whose documents are to be deleted; c is nil if they cannot be.
type removal struct {
	c     *collection
	cat   *catalog
	known bool // which indexes it has
	has   bool // the writes have the condition on the catalog
}

func (k *sweeper) documentsOf(in *ruled) *documents {
	return &documents{k: k, in: in, byName: map[string]*removal{}}
}

// begin begins another commit. What is unknown may be known meanwhile, and its catalog is another one.
func (d *documents) begin() {
	for name, r := range d.byName {
		if r.has = false; !r.known {
			delete(d.byName, name)
		}
	}
}

// forget has the catalogs read again: that of some collection may be another one, which would keep all of its
// documents.
func (d *documents) forget() { clear(d.byName) }

// removable reports whether the document of a key can be deleted: its collection can be read.
func (d *documents) removable(docKey []byte) bool {
	name, _, ok := strings.Cut(string(docKey[len(documentsFirst):]), "\x00")
	return ok && d.of(name).c != nil
}

// of returns the collection of a name.
func (d *documents) of(name string) *removal {
	if r := d.byName[name]; r != nil {
		return r
	}
	r := &removal{}
	d.byName[name] = r
	set, err := index.NewSet(name)
	if err != nil {
		return r
	}
	c := collectionOf(d.k.store.scopeIn(d.k.store.engine, d.in.name), set)
	cat, err := c.reload()
	if err != nil || !cat.there {
		return r
	}
	if set = d.k.sets.find(name, cat.list); set != nil {
		c.set, r.known = set, true
	}
	r.c, r.cat = c, cat
	return r
}

// unknown reports whether the commit marks indexes of some collection as incomplete.
func (d *documents) unknown() bool {
	for _, r := range d.byName {
		if r.has && !r.known {
			return true
		}
	}
	return false
}

// outdated reports whether a collection whose indexes it marks was opened meanwhile. The caller holds the
// lock of the sets.
func (d *documents) outdated() bool {
	for name, r := range d.byName {
		if r.has && !r.known && d.k.sets.findLocked(name, r.cat.list) != nil {
			return true
		}
	}
	return false
}

// appendRemoval appends what deletes a document, itself last, and returns its name for others. ok says that
// there is something to be deleted.
func (d *documents) appendRemoval(ws []write, doc *candidate) (out []write, logical string, ok bool) {
	name, key, _ := strings.Cut(doc.key[len(documentsFirst):], "\x00")
	r := d.of(name)
	if r.c == nil {
		return ws, "", false
	}
	var i info
	value, err := r.c.scope.space.get(nil, []byte(doc.key), &i)
	if err != nil && !unread(err) || i.version != doc.version {
		return ws, "", false // written meanwhile (R2)
	}
	var ch index.Change
	if r.c.set.Len() > 0 {
		var payload []byte
		if err == nil {
			payload, err = soundPayload(&found{}, value)
		}
		if err == nil {
			err = r.c.set.Change(&ch, key, payload, nil, false)
		}
		if err != nil {
			d.k.failed.Add(1) // Collection.Delete says more
			return ws, "", false
		}
	}
	if !r.has {
		ws, r.has = append(ws, r.condition()), true
	}
	if !(mutant.Enabled && mutant.Is(mutant.LeaveIndexEntries)) {
		ws = r.c.appendEntries(ws, &ch, 0)
	}
	ws = append(ws, write{space: r.c.scope.space, key: []byte(doc.key), conditional: true, version: doc.version})
	return ws, r.c.logical(key), true
}

// condition returns the operation that makes a commit depend on the catalog and, where its indexes are not
// known, marks them.
func (r *removal) condition() write {
	w := r.cat.condition(r.c)
	complete := func(l index.Listed) bool { return l.State != index.Building }
	if !r.known && slices.ContainsFunc(r.cat.list, complete) && !(mutant.Enabled && mutant.Is(mutant.LeaveIndexEntries)) {
		list := slices.Clone(r.cat.list)
		for i := range list {
			list[i].State = index.Building
		}
		w.requires, w.value = false, index.AppendCatalog(nil, list)
	}
	return w
}

// collectionOf returns the handle to a collection whose indexes are known.
func collectionOf(s *Scope, set *index.Set) *collection {
	name := set.Collection()
	return &collection{
		scope: s, set: set,
		prefix: append([]byte{index.Reserved, areaDocuments}, name+"\x00"...),
		record: append([]byte{index.Reserved, areaCatalogs}, name...),
	}
}
