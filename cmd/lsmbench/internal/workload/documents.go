package workload

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"

	"github.com/loamdb/loam/cmd/lsmbench/internal/dist"
	"github.com/loamdb/loam/cmd/lsmbench/internal/document"
	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// documents are the workloads of stores of documents, of which Loam's is its state layer. The
// store holds a document for each record, dealt out over a hundred scopes. Where an operation
// changes what a record holds, each goroutine has records of its own, so that it is known in the
// end what the store must hold.
var documents = []Workload{
	{Name: "set", Doc: "a whole document to a random key", Start: Spare, Kills: true, run: documentSets{}.run},
	{Name: "setsync", Doc: "the same, each on the device before the next", Start: Spare, Kills: true, run: documentSets{durable: always}.run},
	{Name: "settyped", Doc: "the same, unsynced, from a Go struct", Start: Spare, Kills: true, run: documentSets{typed: true}.run},
	{Name: "sethot", Doc: "unsynced, one of 200 documents again and again, of class Trusted where there are classes", Start: Spare, Kills: true, run: documentSets{hot: true}.run},
	{Name: "get", Doc: "a random document, as maps and lists", Start: Filled, Reads: true, run: getDocuments(anyRecord)},
	{Name: "gettyped", Doc: "a random document, into a Go struct", Start: Filled, Reads: true, run: getTyped},
	{Name: "gethot", Doc: "one of 200 documents again and again, as maps and lists", Start: Filled, Reads: true, run: getDocuments(hotRecords)},
	{Name: "patch", Doc: "a merge patch of three fields, one of them nested, to a random document", Start: Spare, Kills: true, Conflicts: true, run: patchDocuments(ifAsked)},
	{Name: "patchsync", Doc: "the same, each on the device before the next", Start: Spare, Kills: true, Conflicts: true, run: patchDocuments(always)},
	{Name: "append", Doc: "a message to the end of a list, which is read with it; lists of up to 16", Start: Spare, Kills: true, Conflicts: true, run: appendToLists},
	{Name: "increment", Doc: "1 added to a random counter, and the sum returned", Start: Spare, Kills: true, Conflicts: true, run: incrementCounters},
	{Name: "cas", Doc: "a random document read, changed, and written if it is still what was read", Start: Spare, Kills: true, Conflicts: true, run: compareAndSet},
	{Name: "list", Doc: "the first 20 documents of a random scope, decoded; counts lists", Start: Filled, Reads: true, run: listDocuments},
	{Name: "txn", Doc: "points moved between the counters of two random scopes in one transaction", Start: Spare, Kills: true, Conflicts: true, run: movePoints(ifAsked)},
	{Name: "txnsync", Doc: "the same, each on the device before the next", Start: Spare, Kills: true, Conflicts: true, run: movePoints(always)},
	{Name: "hooks", Doc: "sets without hooks, and with one before and one on a queue behind, in turn; has no row where there are no hooks", Kills: true, run: setHooked(ifAsked)},
	{Name: "hookssync", Doc: "the same, each on the device before the next", Kills: true, run: setHooked(always)},
	{Name: "classes", Doc: "unsynced sets of documents of each class in turn, where a hook and a search for personal data await them; has no row where there are no classes", Kills: true, open: true, run: setClasses},
	{Name: "memory", Doc: "sets and gets in turn on a store without files; has no row where that is another store", open: true, run: inMemory},
	{Name: PrepareDocuments, Hidden: true, Fills: true, run: prepareDocuments},
}

// PrepareDocuments is the workload that makes a filled store for those of documents, unmeasured.
const PrepareDocuments = "preparedocuments"

func init() {
	for i := range documents {
		documents[i].Documents = true
	}
}

// durability says whether a workload's writes are synced.
type durability bool

const (
	ifAsked durability = false // by Params.Sync
	always  durability = true
)

const (
	mostScopes       = 100
	documentVersions = 256 // how many different documents are written
	hotRecords       = 200 // as few as the processor's caches take
	anyRecord        = math.MaxUint64
	pageLen          = 20
	listLen          = 16
	pointsKey        = "points"
	openingPoints    = 1_000_000
)

// documentPrefix begins the keys of documents.
const documentPrefix = "doc/"

// named makes a key for each record.
func (r *run) named(prefix string) []string {
	keys := make([]string, r.Records)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s%08d", prefix, i)
	}
	return keys
}

// documentRun is what the workers of a run have in common.
type documentRun struct {
	*run
	sync     bool
	scopes   []string
	keys     []string // of the records
	versions []*document.Document
	length   int64  // of a document and its key, on average
	among    uint64 // workers choose of so many records

	counts []atomic.Int64 // how often each record, list or counter was changed
}

func (r *run) newDocuments(d durability) (*documentRun, error) {
	t := &documentRun{run: r, sync: bool(d) || r.Sync, keys: r.named(documentPrefix), among: r.Records, counts: make([]atomic.Int64, r.Records)}
	for i := range min(mostScopes, r.Records) {
		t.scopes = append(t.scopes, fmt.Sprintf("agent-%04d", i))
	}
	// Repeats, whose seeds differ, share a filled store.
	rng := rand.New(rand.NewPCG(r.Seed-uint64(r.Repeat), documentVersions))
	for range documentVersions {
		v := document.New(rng, t.keys[0], r.data.value.Draw(rng))
		t.versions = append(t.versions, v)
		t.length += int64(v.Len())
	}
	t.length = t.length/documentVersions + int64(len(t.scopes[0])+1+len(t.keys[0]))
	return t, nil
}

// version returns what record i holds after it was set rev times; its id and revision are up to
// the caller.
func (t *documentRun) version(i uint64, rev int64) int {
	return int((i + uint64(rev)) % documentVersions)
}

// want makes the document that record i holds after it was set rev times.
func (t *documentRun) want(i uint64, rev int64) map[string]any {
	doc := t.versions[t.version(i, rev)].Map()
	doc["id"], doc["rev"] = t.keys[i], rev
	return doc
}

// documentWorker is one goroutine's.
type documentWorker struct {
	*documentRun
	*worker
	engine.Documents
	in      []engine.DocumentScope
	chooser dist.Chooser
	docs    []map[string]any // the versions, of which it changes the ids and revisions
}

func (t *documentRun) newDocumentWorker(w *worker) (*documentWorker, error) {
	d := &documentWorker{documentRun: t, worker: w}
	var ok bool
	if d.Documents, ok = w.Session.(engine.Documents); !ok {
		return nil, engine.ErrUnsupported
	}
	for _, name := range t.scopes {
		d.in = append(d.in, d.In(name))
	}
	for _, v := range t.versions {
		d.docs = append(d.docs, v.Map())
	}
	choose, err := t.data.chooser("uniform", t.Records)
	if err != nil {
		return nil, err
	}
	d.chooser = choose(w.id)
	return d, nil
}

// scope returns the scope of record i.
func (d *documentWorker) scope(i uint64) engine.DocumentScope { return d.in[i%uint64(len(d.in))] }

// random chooses a record, own one that no other worker has.
func (d *documentWorker) random() uint64 { return d.chooser.Next(d.rng, d.among) }

func (d *documentWorker) own() uint64 {
	workers := uint64(d.Goroutines)
	i := d.random()
	i += uint64(d.id) - i%workers
	if i >= d.Records {
		i -= workers
	}
	return i
}

// eachDocument runs an operation until the limit.
func (t *documentRun) eachDocument(pace pacing, newOp func(d *documentWorker) operation) error {
	return t.each(pace, func(w *worker) (operation, error) {
		d, err := t.newDocumentWorker(w)
		if err != nil {
			return nil, err
		}
		return newOp(d), nil
	})
}

func (t *documentRun) untilLimit() pacing { return pacing{total: endless, limit: t.Limit, sample: 1} }

// prepareDocuments writes a document for each record, and every scope's points.
func prepareDocuments(r *run) error {
	r.Goroutines, r.Rate = 1, 0
	r.kinds = []string{"batch"}
	t, err := r.newDocuments(ifAsked)
	if err != nil {
		return err
	}
	scopes := uint64(len(t.scopes))
	// A quarter of what is written unmeasured otherwise: an encoding can be twice as long.
	batch := max(r.preparedLen()/4, 1)
	err = t.eachDocument(pacing{total: scopes, sample: 1, uncounted: true}, func(d *documentWorker) operation {
		return func(s uint64) (kind, error) {
			docs := map[string]any{pointsKey: int64(openingPoints)}
			for i := s; i < d.Records; i += scopes {
				if docs[d.keys[i]] = d.want(i, 0); uint64(len(docs)) < batch {
					continue
				}
				if err := d.in[s].SetMany(docs); err != nil {
					return 0, err
				}
				clear(docs)
				if err := d.ctx.Err(); err != nil {
					return 0, err
				}
			}
			return 0, d.in[s].SetMany(docs)
		}
	})
	if err != nil {
		return err
	}
	if _, err := r.store.Settle(r.ctx); err != nil {
		return err
	}
	return r.rest()
}

// checkDocuments compares some documents with what they must be after so many changes.
func (t *documentRun) checkDocuments(want func(i uint64, changes int64) map[string]any) error {
	d, err := t.besideDocuments()
	if err != nil {
		return err
	}
	for range checks {
		i := d.random()
		doc, found, err := d.scope(i).Get(t.keys[i])
		if err != nil {
			return err
		}
		if n := t.counts[i].Load(); !found || !document.Equal(want(i, n), doc) {
			return fmt.Errorf("%w: document %q after %d changes: found %t, %v", ErrWrongAnswer, t.keys[i], n, found, doc)
		}
	}
	return nil
}

// besideDocuments makes a worker that is none of those that are measured.
func (t *documentRun) besideDocuments() (*documentWorker, error) {
	w, err := t.newWorker(besideWorker)
	if err != nil {
		return nil, err
	}
	return t.newDocumentWorker(w)
}
