package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
	"github.com/loamdb/loam/cmd/lsmbench/internal/workload"
)

const stateName = "state"

// stateParams make two tables of documents in about a minute, on what a first build has.
var stateParams = workload.Params{
	Records: 20_000, Key: "16", Value: "200",
	Limit: 250 * time.Millisecond, Warm: 50 * time.Millisecond, Rest: 100 * time.Millisecond,
}

const stateWorkloads = "set,setsync,settyped,sethot,get,gettyped,gethot,patch,patchsync,append,increment,cas,list,txn,txnsync,hooks,hookssync,classes,memory"

// The table of large documents, such as agents have: fewer of them, and the rows in which their
// length counts.
const (
	largeDocument  = "2048"
	largeDocuments = 5_000
)

var largeDocumentWorkloads = []string{"set", "setsync", "get", "patch", "cas", "list"}

func stateUsage(w io.Writer) {
	var b strings.Builder
	b.WriteString("lsmbench state [flags] measures typed values in scopes: Loam's state layer, and the same over other\n" +
		"engines as their users write it, with values in JSON and in MessagePack. Documents are sessions of\n" +
		"200 bytes and agents of 2 KiB, of a seed. What is not called sync is unsynced, with every store.\n\nWorkloads, each of which can be followed by @GOROUTINES:\n\n")
	for _, wl := range workload.AllDocuments() {
		fmt.Fprintf(&b, "  %-10s %s\n", wl.Name, wl.Doc)
	}
	b.WriteString("\nNotes say how Loam stands to the figures that it promises: a read within 1 ms, a synced write\n" +
		"within 5 ms, of which hooks take 5% at most, 100,000 operations a second in memory; of hot documents of\n" +
		"200 bytes a read within 2 us and a trusted write within 3 us; and what a class takes, over the first.\n" +
		"Those of hot documents, hooks and classes are of medians.\n" +
		"\nExamples:\n\n  lsmbench state\n  go run -tags peers ./cmd/lsmbench state -repeats 3 -out state.jsonl\n" +
		"  lsmbench state -engines loam,bbolt-msgpack -workloads set,get,patch,cas@4 -value lognormal:500,0.6\n" +
		"  lsmbench state -engines loam -workloads hooks,hookssync,classes -value 200 -seconds 2 -wide\n" +
		"  lsmbench state -encrypt -engines all -workloads set,get,list\n")
	_, _ = io.WriteString(w, b.String())
}

// stateCommand measures stores of documents.
func stateCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := newFlags(stateName, "all", "none", stateUsage)
	flags.addDocumentFlags(stateParams, stateWorkloads, 1)
	opts, rest, err := flags.parse(args, out)
	if err != nil {
		return err
	}
	if err := none(rest); err != nil {
		return err
	}
	opts.remarks = func(runs []result.Run) []string { return promised(runs, opts.params.Sync) }
	groups := stateGroups(opts, flags.given("value"))
	return withTempDir(opts.dir, func(dir string) error {
		return opts.run(ctx, dir, flags.commandLine(), groups, out)
	})
}

// stateGroups are the table of documents of the size asked for and, if none was, that of large
// ones.
func stateGroups(o *options, given bool) []group {
	g := group{name: groupName(o.params.Value), params: o.params, config: o.config, choices: o.choices}
	groups := []group{g}
	if given {
		return groups
	}
	g.name, g.params.Value = "documents of 2 KiB", largeDocument
	g.params.Records = min(o.params.Records, largeDocuments)
	g.choices = slices.DeleteFunc(slices.Clone(g.choices), func(c workload.Choice) bool {
		return !slices.Contains(largeDocumentWorkloads, c.Workload.Name)
	})
	if len(g.choices) > 0 {
		groups = append(groups, g)
	}
	return groups
}

// groupName names the table of documents of so many bytes.
func groupName(bytes string) string { return "documents of " + bytes + " bytes" }

// What Loam promises of its state layer.
const (
	promisedRead   = time.Millisecond
	promisedWrite  = 5 * time.Millisecond
	promisedMemory = 100_000 // operations a second
	promisedHooks  = 0.05    // of a synced write

	// Of a hot document of so many bytes, unsynced, by half of the calls.
	promisedHotBytes = "200"
	promisedHotGet   = 2 * time.Microsecond
	promisedHotSet   = 3 * time.Microsecond
)

// promised says, for each table, how Loam's rows stand to what it promises. Synced says that all writes were.
func promised(runs []result.Run, synced bool) []string {
	rows := result.Rows(runs)
	var notes []string
	for i := range rows {
		r := &rows[i]
		if r.Engine != "loam" {
			continue
		}
		base, _, _ := strings.Cut(r.Workload, "@")
		switch base {
		case "get":
			notes = append(notes, promisedLatency(r, "a read", promisedRead))
		case "setsync":
			notes = append(notes, promisedLatency(r, "a synced write", promisedWrite))
		case "gethot":
			if r.Group == groupName(promisedHotBytes) {
				notes = append(notes, hotNote(r, "a hot get", promisedHotGet))
			}
		case "sethot":
			if r.Group == groupName(promisedHotBytes) && !synced {
				notes = append(notes, hotNote(r, "a hot set of class trusted", promisedHotSet))
			}
		case "hooks", "hookssync":
			notes = append(notes, hookNote(r, base == "hookssync"))
		case "classes":
			notes = append(notes, classNote(r))
		case "memory":
			notes = append(notes, fmt.Sprintf("%s, %s: at least %s operations a second in memory are promised, %s: %s",
				r.Group, r.Workload, units.Rate(promisedMemory), verdict(r.Rate >= promisedMemory), units.Rate(r.Rate)))
		}
	}
	return notes
}

// promisedLatency says what 99 in a hundred take.
func promisedLatency(r *result.Row, what string, most time.Duration) string {
	if len(r.Latencies) == 0 {
		return fmt.Sprintf("%s, %s: %s within %s is promised, not measured", r.Group, r.Workload, what, units.Duration(most))
	}
	p99 := r.Latencies[0].P99
	return fmt.Sprintf("%s, %s: %s within %s is promised, %s: 99%% within %s",
		r.Group, r.Workload, what, units.Duration(most), verdict(p99 <= most), units.Duration(p99))
}

// hotNote says what an operation on hot documents takes.
func hotNote(r *result.Row, what string, most time.Duration) string {
	if len(r.Latencies) == 0 {
		return fmt.Sprintf("%s, %s: not measured", r.Group, r.Workload)
	}
	p50 := r.Latencies[0].P50
	return fmt.Sprintf("%s, %s: %s within %s is promised, %s: 50%% within %s",
		r.Group, r.Workload, what, units.Duration(most), verdict(p50 <= most), units.Duration(p50))
}

// hookNote says what hooks add to a write.
func hookNote(r *result.Row, sync bool) string {
	if len(r.Latencies) < 2 || r.Latencies[0].P50 <= 0 {
		return fmt.Sprintf("%s, %s: what hooks add is not measured", r.Group, r.Workload)
	}
	plain, hooked := r.Latencies[0].P50, r.Latencies[1].P50
	share := float64(hooked-plain) / float64(plain)
	added := fmt.Sprintf("%.1f%%, %d ns", 100*share, (hooked - plain).Nanoseconds())
	if !sync {
		return fmt.Sprintf("%s, %s: hooks add %s to a write", r.Group, r.Workload, added)
	}
	return fmt.Sprintf("%s, %s: hooks that add %.0f%% to a synced write at most are promised, %s: %s",
		r.Group, r.Workload, 100*promisedHooks, verdict(share <= promisedHooks), added)
}

// classNote says what a write of each class takes.
func classNote(r *result.Row) string {
	var parts []string
	for i := range r.Latencies {
		l := &r.Latencies[i]
		part := l.Kind + " " + units.Duration(l.P50)
		if i > 0 && l.P50 > 0 {
			part += fmt.Sprintf(" (the first takes %.2f times as long)", float64(r.Latencies[0].P50)/float64(l.P50))
		}
		parts = append(parts, part)
	}
	return fmt.Sprintf("%s, %s: a write takes %s", r.Group, r.Workload, strings.Join(parts, ", "))
}

func verdict(kept bool) string {
	if kept {
		return "kept"
	}
	return "not kept"
}
