package state

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The figures of Metrics for those who collect them: each has one name, one kind and one sentence of help,
// here; both forms, and docs/metrics.md, are made of this list. Those of the engine follow.

// exposedFigure is one figure under the name by which it is collected.
type exposedFigure struct {
	name, field, help string
	of                func(m *Metrics) float64
}

var exposedFigures = []exposedFigure{
	{"loam_state_uptime_seconds", "Uptime", "How long ago the store was opened.", func(m *Metrics) float64 { return m.Uptime.Seconds() }},
	{"loam_state_reads_total", "Reads", "Keys that were looked up.", func(m *Metrics) float64 { return float64(m.Reads) }},
	{"loam_state_writes_total", "Writes", "Keys that were written or deleted.", func(m *Metrics) float64 { return float64(m.Writes) }},
	{"loam_state_conflicts_total", "Conflicts", "Times that a change, a delete or a transaction had to begin anew.", func(m *Metrics) float64 { return float64(m.Conflicts) }},
	{"loam_state_ephemeral_values", "Ephemeral", "Values of class Ephemeral.", func(m *Metrics) float64 { return float64(m.Ephemeral) }},
	{"loam_state_ephemeral_bytes", "EphemeralBytes", "What values of class Ephemeral take.", func(m *Metrics) float64 { return float64(m.EphemeralBytes) }},
	{"loam_state_evicted_total", "Evicted", "Values of class Ephemeral that had to make room.", func(m *Metrics) float64 { return float64(m.Evicted) }},
	{"loam_state_findings_total", "Findings", "What was found of personal data and credentials in values to be written.", func(m *Metrics) float64 { return float64(m.Findings) }},
	{"loam_state_blocked_total", "Blocked", "Values that were refused for what was found in them.", func(m *Metrics) float64 { return float64(m.Blocked) }},
	{"loam_state_denied_total", "Denied", "Requests that access control has denied.", func(m *Metrics) float64 { return float64(m.Denied) }},
	{"loam_state_audited_total", "Audited", "Records of the audit that were written.", func(m *Metrics) float64 { return float64(m.Audited) }},
	{"loam_state_audit_dropped_total", "AuditDropped", "Records of the audit that could not be written.", func(m *Metrics) float64 { return float64(m.AuditDropped) }},
	{"loam_state_unrecorded_total", "Unrecorded", "Operations on whole scopes whose event could not be recorded.", func(m *Metrics) float64 { return float64(m.Unrecorded) }},
	{"loam_state_retention_looks_total", "RetentionLooks", "Times that a scope was looked through for what its rule does not keep.", func(m *Metrics) float64 { return float64(m.RetentionLooks) }},
	{"loam_state_retention_deleted_total", "RetentionDeleted", "Entries and documents that rules have deleted.", func(m *Metrics) float64 { return float64(m.RetentionDeleted) }},
	{"loam_state_retention_dropped_total", "RetentionDropped", "Scopes that rules have dropped.", func(m *Metrics) float64 { return float64(m.RetentionDropped) }},
	{"loam_state_retention_failed_total", "RetentionFailed", "What rules could not do, and try again.", func(m *Metrics) float64 { return float64(m.RetentionFailed) }},
	{"loam_state_retention_waits_total", "RetentionWaits", "Commits that have waited for room in a scope with a limit.", func(m *Metrics) float64 { return float64(m.RetentionWaits) }},
	{"loam_state_cache_hit_ratio", "CacheHitRate", "Part of the blocks looked for that was in the cache.", (*Metrics).CacheHitRate},
	{"loam_state_write_amplification", "WriteAmplification", "Bytes of tables and blob files written for each byte flushed.", (*Metrics).WriteAmplification},
}

// latencyName is the name of latencies: gauges with the labels op and quantile.
const (
	latencyName = "loam_state_latency_seconds"
	latencyHelp = "Time within which that part of the measured calls ended."
	samplesName = "loam_state_latency_samples_total"
	samplesHelp = "Calls that were measured."
)

// quantiles returns the figures of a Latency by their labels.
func (l *Latency) quantiles() []struct {
	label string
	value time.Duration
} {
	return []struct {
		label string
		value time.Duration
	}{{"0.5", l.P50}, {"0.95", l.P95}, {"0.99", l.P99}, {"0.999", l.P999}}
}

// kind returns the figure's type: sums since Open are counters.
func (e *exposedFigure) kind() string {
	if strings.HasSuffix(e.name, "_total") {
		return "counter"
	}
	return "gauge"
}

func number64(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// labelEscaper is what the values of labels need.
var labelEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// WritePrometheus writes the figures, those of the engine included, in the text format that Prometheus
// scrapes, version 0.0.4. store becomes the label of that name of every sample; with "" there is none. Latencies
// have the labels op and quantile.
//
//	http.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
//		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
//		m := store.Metrics()
//		_ = m.WritePrometheus(w, "sessions")
//	})
func (m *Metrics) WritePrometheus(w io.Writer, store string) error {
	var b strings.Builder
	labels := func(more ...string) string {
		if store != "" {
			more = append([]string{`store="` + labelEscaper.Replace(store) + `"`}, more...)
		}
		if len(more) == 0 {
			return ""
		}
		return "{" + strings.Join(more, ",") + "}"
	}
	head := func(name, help, kind string) { fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind) }
	for i := range exposedFigures {
		e := &exposedFigures[i]
		head(e.name, e.help, e.kind())
		fmt.Fprintf(&b, "%s%s %s\n", e.name, labels(), number64(e.of(m)))
	}
	head(latencyName, latencyHelp, "gauge")
	for i := range m.Latencies {
		l := &m.Latencies[i]
		for _, q := range l.quantiles() {
			fmt.Fprintf(&b, "%s%s %s\n", latencyName, labels(`op="`+l.Op+`"`, `quantile="`+q.label+`"`), number64(q.value.Seconds()))
		}
	}
	head(samplesName, samplesHelp, "counter")
	for i := range m.Latencies {
		l := &m.Latencies[i]
		fmt.Fprintf(&b, "%s%s %d\n", samplesName, labels(`op="`+l.Op+`"`), l.Samples)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	return m.Engine.WritePrometheus(w, store)
}

// Expvar returns a value whose String is the store's figures as JSON, at the time of the call, under the names
// that WritePrometheus gives them; latencies are objects by op and quantile. Those of the engine are in
// "engine". It is what expvar.Publish takes.
//
//	expvar.Publish("sessions", store.Expvar())
func (s *Store) Expvar() fmt.Stringer { return figures{s} }

// figures are those of a store as expvar.Var wants them.
type figures struct{ store *Store }

// String returns the figures as JSON.
func (v figures) String() string {
	m := v.store.Metrics()
	var b strings.Builder
	b.WriteByte('{')
	for i := range exposedFigures {
		fmt.Fprintf(&b, "%q: %s, ", exposedFigures[i].name, number64(exposedFigures[i].of(&m)))
	}
	fmt.Fprintf(&b, "%q: {", latencyName)
	for i := range m.Latencies {
		l := &m.Latencies[i]
		fmt.Fprintf(&b, "%q: {", l.Op)
		for _, q := range l.quantiles() {
			fmt.Fprintf(&b, "%q: %s, ", q.label, number64(q.value.Seconds()))
		}
		fmt.Fprintf(&b, "\"samples\": %d}%s", l.Samples, strings.Repeat(", ", min(len(m.Latencies)-1-i, 1)))
	}
	fmt.Fprintf(&b, "}, \"engine\": %s}", m.Engine.JSON())
	return b.String()
}
