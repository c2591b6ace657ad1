// Package workload is what is measured: the loops over a store that the rows of a table
// are named after, and the figures taken meanwhile. A run belongs into a process of its
// own, since it reads what the process has used.
//
// It must not know engines beyond package engine, nor how results are shown.
//
// Reading order: this file, spec.go (what a run is told), run.go (how one goes), loop.go
// (how operations are issued and timed), then fill.go, read.go, update.go, mix.go,
// upkeep.go, operations.go, merge.go, expiry.go, diff.go, scopes.go, agents.go, watch.go,
// documents.go and what else begins so (what they are), measure.go (what is sampled).
package workload

// Workload is one row of a table.
type Workload struct {
	Name string
	Doc  string
	// Start is the store that the workload needs.
	Start Start
	// Fills: afterwards the store holds every key, if it was not cut short, and can serve
	// those that need a filled one.
	Fills bool
	// Reads: its rate is one of reads; it owes nothing afterwards.
	Reads bool
	// Kills: what it writes makes data dead that was there, so that the store is left at
	// rest before it is weighed: engines put off until then what gives the space back.
	Kills bool
	// Conflicts: it needs transactions that see each other.
	Conflicts bool
	// Documents: it is about a store of documents.
	Documents bool
	// Hidden: it is for other workloads.
	Hidden bool
	// goroutines is how many it has unless told otherwise; 0 is those of the run.
	goroutines int
	// open says that the workload opens the store itself.
	open bool
	run  func(*run) error
}

// Start is the state of a store.
type Start uint8

// States of a store before a run.
const (
	// Empty: there is no store yet.
	Empty Start = iota
	// Filled: it holds every key, and will again afterwards.
	Filled
	// Spare: it holds every key, and is the workload's to spoil.
	Spare
	// Crashed: it was written and not closed.
	Crashed
)

// all are the workloads in the order in which they are listed.
var all []*Workload

func init() {
	for _, list := range [][]Workload{fills, updates, reads, mixes, upkeep, operations, merges, expiries, diffs, scopeRows, agents, watches, documents} {
		for i := range list {
			all = append(all, &list[i])
		}
	}
}

// All returns the workloads of keys and values that people can ask for, in order.
func All() []*Workload { return shown(false) }

// AllDocuments returns the workloads of documents that people can ask for, in order.
func AllDocuments() []*Workload { return shown(true) }

// Prepare is the name of the workload that makes the filled store that w needs.
func (w *Workload) Prepare() string {
	if w.Documents {
		return PrepareDocuments
	}
	return Prepare
}

func shown(documents bool) []*Workload {
	var shown []*Workload
	for _, w := range all {
		if !w.Hidden && w.Documents == documents {
			shown = append(shown, w)
		}
	}
	return shown
}
