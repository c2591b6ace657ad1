package lsm

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// The figures of Metrics for those who collect them. Each has one name, one kind and one
// sentence of help, here; both forms, and docs/metrics.md, are made of this list.

// exposedMetric is one figure under the name by which it is collected.
type exposedMetric struct {
	name string
	// field is where in Metrics it stands. One of LevelMetrics is a figure for each level.
	field string
	help  string
}

var exposedMetrics = []exposedMetric{
	{"loam_recovery_clean", "Recovery.Clean", "1 if the store had been closed when it was opened, else 0."},
	{"loam_recovery_lost_bytes", "Recovery.LostBytes", "Length of the torn tail of the log that opening cut: nobody had been promised it."},
	{"loam_recovery_replayed_operations", "Recovery.ReplayedOps", "Operations that opening read from the log."},

	{"loam_level_runs", "Levels.Runs", "Sorted runs of a level."},
	{"loam_level_tables", "Levels.Tables", "Tables of a level."},
	{"loam_level_bytes", "Levels.Bytes", "Length of the tables of a level."},
	{"loam_level_entries", "Levels.Entries", "Entries in the tables of a level."},
	{"loam_level_tombstones", "Levels.Tombstones", "Tombstones among the entries of a level."},

	{"loam_memtable_bytes", "MemtableBytes", "What the memtables hold."},
	{"loam_range_tombstone_bytes", "RangeTombstoneBytes", "What range tombstones take in memory, of memtables and of open tables."},
	{"loam_frozen_memtables", "FrozenMemtables", "Memtables that wait to be flushed."},
	{"loam_log_bytes", "LogBytes", "Length of the live log segments."},
	{"loam_log_syncs_total", "LogSyncs", "Waits of commits and of the background for the device."},
	{"loam_blob_files", "BlobFiles", "Live blob files."},
	{"loam_blob_bytes", "BlobBytes", "Length of the live blob files."},
	{"loam_blob_garbage_bytes", "BlobGarbage", "Values in them that no table refers to any more."},
	{"loam_disk_bytes", "DiskBytes", "Length of live tables, blob files and log segments."},
	{"loam_conversion_bytes", "ConversionBytes", "Length of the tables and blob files that are still to be encrypted, or decrypted, of a store on its way."},
	{"loam_cache_bytes", "CacheBytes", "What the block cache holds."},
	{"loam_cache_hits_total", "CacheHits", "Blocks that were looked for and found in the cache, nearly all of them."},
	{"loam_cache_misses_total", "CacheMisses", "Blocks that were read and entered into the cache."},
	{"loam_cache_evicted_blocks_total", "EvictedBlocks", "Blocks that the cache has given up."},
	{"loam_compaction_debt_bytes", "CompactionDebt", "Estimate of what compactions would have to write before none is urgent."},
	{"loam_snapshots", "Snapshots", "Open snapshots."},
	{"loam_iterators", "Iterators", "Open iterators."},
	{"loam_running_compactions", "RunningCompactions", "Compactions at work."},
	{"loam_watchers", "Watchers", "Open watchers."},
	{"loam_watch_bytes", "WatchBytes", "What is kept of recent commits for watchers."},
	{"loam_watch_lags_total", "WatchLags", "Times that a watcher had to read what had changed."},
	{"loam_dead_scopes", "DeadScopes", "Dropped scopes that still have entries in tables or in the log."},

	{"loam_horizons", "Horizons", "Horizons that hold."},
	{"loam_horizon_tombstone_bytes", "HorizonTombstoneBytes", "Estimate of how much of the tables is deletions above the oldest horizon."},
	{"loam_horizons_broken_total", "HorizonsBroken", "Horizons given up because of their age or of what they kept."},

	{"loam_flushes_total", "Flushes", "Memtables written out as tables."},
	{"loam_flushed_bytes_total", "FlushedBytes", "Length of the tables that flushes wrote."},
	{"loam_flushed_user_bytes_total", "UserBytesFlushed", "Keys and values that users had given for what was flushed."},
	{"loam_compactions_total", "Compactions", "Compactions that merged tables."},
	{"loam_trivial_moves_total", "TrivialMoves", "Compactions that only moved a table."},
	{"loam_compaction_read_bytes_total", "CompactedBytesRead", "Length of the tables that compactions read."},
	{"loam_compaction_written_bytes_total", "CompactedBytes", "Length of the tables that compactions wrote."},
	{"loam_blob_written_bytes_total", "BlobBytesWritten", "Length of the blob files that flushes and compactions wrote."},
	{"loam_compaction_errors_total", "CompactionErrors", "Compactions that failed."},
	{"loam_deleted_files_total", "DeletedFiles", "Tables and blob files removed."},
	{"loam_write_stops_total", "WriteStops", "Writes that waited because level 0 was full."},
	{"loam_write_delay_seconds_total", "WriteDelay", "Time by which writes were slowed before it got so far."},

	{"loam_reclaimed_entries_total", "ReclaimedEntries", "Entries that were left out of tables because they had expired."},
	{"loam_expiry_events_total", "ExpiryEvents", "Expiries that became events."},
	{"loam_clock_catch_ups_total", "ClockCatchUps", "Times that the store's time was set to a wall clock that had been ahead of it."},
	{"loam_operands_folded_total", "OperandsFolded", "Merge operands that flushes and compactions made part of another entry."},
	{"loam_chains_folded_total", "ChainsFolded", "Long chains of merge operands in memtables that writers, or opening, put a value upon."},
	{"loam_chains_unfolded_total", "ChainsUnfolded", "Chains that flushes and compactions passed on, because their operator refused or is not known."},

	{"loam_verifications_total", "Verifications", "Calls of DB.Verify that came to an end."},
	{"loam_verified_bytes_total", "VerifiedBytes", "Length of the tables that DB.Verify has read."},
	{"loam_verify_findings_total", "VerifyFindings", "Damage that DB.Verify has found."},
	{"loam_scrubbed_bytes_total", "ScrubbedBytes", "How much of tables the scrub has read."},
	{"loam_scrub_passes_total", "ScrubPasses", "How often the scrub came through all tables."},
	{"loam_scrub_findings_total", "ScrubFindings", "Parts that the scrub could not read or found damaged, again in every pass."},
}

// kind returns the metric's type: sums since Open are counters.
func (e *exposedMetric) kind() string {
	if strings.HasSuffix(e.name, "_total") {
		return "counter"
	}
	return "gauge"
}

// values returns the figure, one for each level if it is one of levels.
func (e *exposedMetric) values(m *Metrics) (values []string, levels bool) {
	v := reflect.ValueOf(m).Elem()
	first, rest, nested := strings.Cut(e.field, ".")
	v = v.FieldByName(first)
	if v.Kind() == reflect.Array {
		for i := range v.Len() {
			values = append(values, figure(v.Index(i).FieldByName(rest)))
		}
		return values, true
	}
	if nested {
		v = v.FieldByName(rest)
	}
	return []string{figure(v)}, false
}

// figure formats a number; a truth is 0 or 1, a duration is in seconds.
func figure(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case bool:
		if x {
			return "1"
		}
		return "0"
	case time.Duration:
		return strconv.FormatFloat(x.Seconds(), 'g', -1, 64)
	}
	return strconv.FormatInt(v.Int(), 10)
}

// WritePrometheus writes the figures in the text format that Prometheus scrapes, version
// 0.0.4. store becomes the label of that name of every sample, so that the stores of one
// process can be told apart; with "" there is none.
//
//	http.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
//		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
//		m := db.Metrics()
//		_ = m.WritePrometheus(w, "sessions")
//	})
func (m *Metrics) WritePrometheus(w io.Writer, store string) error {
	var b strings.Builder
	for i := range exposedMetrics {
		e := &exposedMetrics[i]
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", e.name, helpEscaper.Replace(e.help), e.name, e.kind())
		values, levels := e.values(m)
		for level, v := range values {
			b.WriteString(e.name)
			var labels []string
			if store != "" {
				labels = append(labels, `store="`+labelEscaper.Replace(strings.ToValidUTF8(store, "\uFFFD"))+`"`)
			}
			if levels {
				labels = append(labels, fmt.Sprintf(`level="%d"`, level))
			}
			if len(labels) > 0 {
				b.WriteString("{" + strings.Join(labels, ",") + "}")
			}
			b.WriteString(" " + v + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var (
	helpEscaper  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// Expvar returns a value whose String is the store's figures as JSON, at the time of the
// call, under the names that WritePrometheus gives them; those of levels are arrays. It is
// what expvar.Publish takes. Package lsm does not publish by itself, because importing
// expvar brings an HTTP server along.
//
//	expvar.Publish("sessions", db.Expvar())
func (d *DB) Expvar() fmt.Stringer { return figures{d} }

// figures are those of a DB as expvar.Var wants them.
type figures struct{ db *DB }

// String returns the figures as JSON.
func (v figures) String() string {
	m := v.db.Metrics()
	return m.JSON()
}

// JSON returns the figures as a JSON object, under the names that WritePrometheus gives them.
func (m *Metrics) JSON() string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range exposedMetrics {
		e := &exposedMetrics[i]
		if i > 0 {
			b.WriteString(", ")
		}
		values, levels := e.values(m)
		list := strings.Join(values, ",")
		if levels {
			list = "[" + list + "]"
		}
		fmt.Fprintf(&b, "%q: %s", e.name, list)
	}
	b.WriteByte('}')
	return b.String()
}
