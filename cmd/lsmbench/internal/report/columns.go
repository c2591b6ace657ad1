package report

import (
	"fmt"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

// column is one column of figures, in the tables of text and of HTML alike.
type column struct {
	heading string
	// section is the heading over the columns that belong together in HTML.
	section string
	// wide: the narrow table of text is without it.
	wide bool
	// meaning is one sentence for readers who meet the column for the first time.
	meaning string
	cell    func(t *table, r *result.Row) cell
}

// cell is what stands in one place of a table.
type cell struct {
	Text string
	// Best: the figure is the best of its workload.
	Best bool
}

// table is what the cells of a row are computed from.
type table struct {
	rows      []result.Row
	reference string
}

func plain(text string) cell { return cell{Text: text} }

// plainOf makes the cell of a column that no other row has a part in.
func plainOf(text func(r *result.Row) string) func(*table, *result.Row) cell {
	return func(_ *table, r *result.Row) cell { return plain(text(r)) }
}

func rateColumn(figure func(*result.Row) float64) func(*table, *result.Row) cell {
	return func(t *table, r *result.Row) cell {
		return cell{Text: units.Rate(figure(r)), Best: figure(r) > 0 && result.Best(t.rows, r, figure)}
	}
}

func ratioColumn(figure func(*result.Row) float64) func(*table, *result.Row) cell {
	return func(t *table, r *result.Row) cell {
		return plain(ratioText(result.Ratio(t.rows, r, t.reference, figure)))
	}
}

// latencyColumn shows one figure of the main operation's distribution.
func latencyColumn(figure func(*result.Latency) time.Duration) func(*table, *result.Row) cell {
	return plainOf(func(r *result.Row) string {
		l := r.Main()
		return units.Duration(figure(&l))
	})
}

// Sections of the columns.
const (
	throughput = "Throughput"
	latency    = "Latency"
	onDisk     = "Files"
	cost       = "Cost"
)

// percentiles are the figures of a distribution that tables show.
var percentiles = []struct {
	heading string
	of      func(*result.Latency) time.Duration
}{
	{"p50", func(l *result.Latency) time.Duration { return l.P50 }},
	{"p99", func(l *result.Latency) time.Duration { return l.P99 }},
	{"p99.9", func(l *result.Latency) time.Duration { return l.P999 }},
	{"p99.99", func(l *result.Latency) time.Duration { return l.P9999 }},
	{"max", func(l *result.Latency) time.Duration { return l.Max }},
}

// columns returns all columns in their order.
func columns() []column {
	cols := []column{
		{"ops/s", throughput, false, "Operations per second, in the repeat whose rate is the median.", rateColumn(result.RateOf)},
		{"spread", throughput, false, "How far the slowest and the fastest repeat are apart, over the median.", plainOf(spreadText)},
		{"ratio", throughput, false, "The rate over that of the reference.", ratioColumn(result.RateOf)},
		{"settled/s", throughput, false, "The rate with the flush and the compactions still owed counted in.", rateColumn(result.SettledOf)},
		{"ratio", throughput, false, "The settled rate over that of the reference.", ratioColumn(result.SettledOf)},
	}
	for _, p := range percentiles {
		cols = append(cols, column{p.heading, latency, false, "", latencyColumn(p.of)})
	}
	return append(append(cols, fileColumns...), costColumns...)
}

var fileColumns = []column{
	{"tables", onDisk, false, "Files of the store without its log, after it was settled and closed.", plainOf(func(r *result.Row) string { return units.Bytes(r.TableBytes) })},
	{"log", onDisk, false, "The store's log.", plainOf(func(r *result.Row) string { return units.Bytes(r.LogBytes) })},
	{"space", onDisk, false, "Tables over the keys and values that live in them.", plainOf(func(r *result.Row) string { return units.Factor(r.SpaceAmp) })},
	{"write", onDisk, false, "Bytes written to the device over keys and values given.", plainOf(func(r *result.Row) string { return units.Factor(r.WriteAmp) })},
	{"own write", onDisk, true, "Bytes of tables that flushes and compactions wrote, as the engine counts them, over keys and values given.", plainOf(ownWriteText)},
	{"read", onDisk, true, "Bytes asked for by read calls over keys and values received; reads through mappings are not among them.", plainOf(func(r *result.Row) string { return units.Factor(r.ReadAmp) })},
}

var costColumns = []column{
	{"cpu/op", cost, true, "Processor time of the whole process for an operation; of writes with the work still owed.", plainOf(cpuText)},
	{"allocs/op", cost, true, "Heap allocations of Go for an operation, those of the bench included.", plainOf(allocsText)},
	{"retries", cost, true, "Transactions done again because others were in the way, over those that were committed.", plainOf(retriesText)},
	{"syncs", cost, true, "Calls that wait for the device.", plainOf(func(r *result.Row) string { return countText(r.Counted.Syncs) })},
	{"stalls", cost, true, "Writes that were made to wait, and for how long.", plainOf(func(r *result.Row) string { return timesText(r.Counted.Stalls, r.Counted.StallTime) })},
	{"gc pauses", cost, true, "Collections of garbage, and their pauses together.", plainOf(func(r *result.Row) string { return timesText(int64(r.GCs), r.GCPause) })},
	{"anon rss", cost, true, "Greatest resident memory that is no file's.", plainOf(func(r *result.Row) string { return sizeText(r.AnonRSS) })},
	{"file rss", cost, true, "Greatest resident memory mapped from files.", plainOf(func(r *result.Row) string { return sizeText(r.FileRSS) })},
}

func spreadText(r *result.Row) string {
	if r.Repeats < 2 {
		return ""
	}
	return percentText(r.Spread())
}

// percentText writes a share; one of many times the whole as how many times.
func percentText(v float64) string {
	if v >= 10 {
		return fmt.Sprintf("%.0f×", v)
	}
	return fmt.Sprintf("%.0f%%", v*100)
}

func ratioText(v float64) string {
	switch {
	case v <= 0:
		return ""
	case v < 0.005:
		return "<0.01×"
	case v >= 99.995:
		return fmt.Sprintf("%.0f×", v)
	}
	return units.Factor(v) + "×"
}

func ownWriteText(r *result.Row) string {
	if r.UserWritten <= 0 {
		return units.Absent
	}
	return units.Factor(float64(r.Counted.TableBytesWritten) / float64(r.UserWritten))
}

func cpuText(r *result.Row) string {
	cpu := r.CPU
	if r.SettledCPU > 0 {
		cpu = r.SettledCPU
	}
	if r.Ops == 0 {
		return units.Absent
	}
	return units.Duration(time.Duration(float64(cpu) / float64(r.Ops)))
}

func allocsText(r *result.Row) string {
	if r.Ops == 0 {
		return units.Absent
	}
	v := float64(r.Allocs) / float64(r.Ops)
	if v >= 999.995 {
		return units.Rate(v)
	}
	return fmt.Sprintf("%.2f", v)
}

func retriesText(r *result.Row) string {
	if r.Retries == 0 || r.Ops == 0 {
		return units.Absent
	}
	return percentText(float64(r.Retries) / float64(r.Ops))
}

// countText writes a number of which 0 is a value and what is below is not known.
func countText(n int64) string {
	if n < 0 {
		return units.Absent
	}
	return fmt.Sprint(n)
}

// timesText writes how often, and how long together.
func timesText(n int64, together time.Duration) string {
	if n <= 0 || together <= 0 {
		return countText(n)
	}
	return fmt.Sprintf("%d in %s", n, units.Duration(together))
}

// sizeText writes a size of which 0 says that it is not known.
func sizeText(n int64) string {
	if n <= 0 {
		return units.Absent
	}
	return units.Bytes(n)
}
