package main

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/loamdb/loam/cmd/lsmbench/internal/realdata"
	"github.com/loamdb/loam/cmd/lsmbench/internal/workload"
)

const usageText = `lsmbench measures Loam beside other engines, and puts real data through it.

  lsmbench [flags]            real data of this machine, then twelve workloads: one table
  lsmbench bench [flags]      workloads of your choice
  lsmbench full [flags]       the whole comparison: all engines, every workload, an hour and a half
  lsmbench load [flags] FILE… load records, verify them against their source, print rates;
                              without FILE, what this machine has; under several compressions
  lsmbench state [flags]      typed values: Loam's state layer beside what is written over other engines
  lsmbench report FILE…       show results that were kept, as a table or with charts
  lsmbench compare OLD NEW    compare two files of results
  lsmbench dump [flags] DIR   print the manifest, log and tables of a store
  lsmbench help               this text
  lsmbench [COMMAND] -help    the flags of a command as well

What people do:

  see how Loam does here        lsmbench
  compare on your own sizes     lsmbench bench -n 5000000 -value lognormal:300,0.8 -workloads fillrandom,readrandom -repeats 5
  measure one engine            lsmbench bench -engines loam -workloads all -wide
  your own mix, four clients    lsmbench bench -goroutines 4 -workloads "read=80,update=15,scan=5 ycsb-a"
  latency at a fixed rate       lsmbench bench -rate 50000 -workloads ycsb-b -seconds 30
  skew the access               lsmbench bench -dist hotspot:0.1,0.9 -workloads readrandom,overwrite
  with compression              lsmbench bench -compress zstd -compressible 0.3
  what encryption costs         lsmbench bench -encrypt -engines all -n 300000 -seconds 0.5
  also of typed values          lsmbench state -encrypt -engines all
  on another disk               lsmbench bench -dir /mnt/disk
  all peers                     go run -tags peers ./cmd/lsmbench bench -engines all
  the whole table, kept         go run -tags peers ./cmd/lsmbench full -out full.jsonl -html full.html
  a report with charts          lsmbench report -html report.html full.jsonl
  statistics of repeats         lsmbench bench -repeats 10 -gobench new.txt && benchstat old.txt new.txt
  guard against regressions     lsmbench compare main.jsonl branch.jsonl --fail-over 10%
  what takes the time           lsmbench bench -engines loam -workloads fillrandom -profile . && go tool pprof -top loam-fillrandom-0.pprof
  which compression to take     lsmbench load -compress all -wide
  your own data                 lsmbench load -engines loam events.jsonl
  what agents do to a store     lsmbench bench -engines loam -workloads agentturn,agentstep@16,agentfork
  data and a killed process     lsmbench load -kill -engines loam words.txt
  typed values in scopes        go run -tags peers ./cmd/lsmbench state -repeats 3
  look into a store             lsmbench dump -values ./data

Workloads, each of which can be followed by @GOROUTINES:

`

const tableText = `
Columns: ratio compares with Pebble, or -reference; * marks the best. settled counts in
the flush and compactions still owed. tables and log are the store's files after it was
settled, left at rest where data has died, and closed; space is tables over live keys and
values; write is bytes written to the device over keys and values given. Where an engine
has no operation for what a workload is about, a line below the table says what was done
in its place. Each run has a process of its own.

Exit status: 1 if runs failed or compare found regressions, 2 if the command line is wrong
or a file of results cannot be read, 130 after an interrupt. What was measured until then
is shown, and kept with -out.
`

func usage(w io.Writer) {
	var b strings.Builder
	b.WriteString(usageText)
	for _, wl := range workload.All() {
		fmt.Fprintf(&b, "  %-17s %s\n", wl.Name, wl.Doc)
	}
	b.WriteString(tableText)
	_, _ = io.WriteString(w, b.String())
}

func loadUsage(w io.Writer) {
	var b strings.Builder
	b.WriteString("lsmbench load [flags] FILE… loads records and verifies them: every key by a Get, and the\n" +
		"whole store by a scan in either direction, byte for byte. A directory stands for its files.\n" +
		"Without FILE it takes what this machine has, and Go's source as files and as conversations.\n\n" +
		"With several compressions, as -compress all, it loads the same under each, with Loam unless\n" +
		"-engines names others, and reads more: keys at random from a block cache of a few MiB (random\n" +
		"cold), and from a warm one (random warm, scan warm). Figures of the rows load are with the\n" +
		"flush and the compactions owed (settled), and with the space of the tables.\n\nFormats:\n\n")
	for _, name := range realdata.FormatNames() {
		fmt.Fprintf(&b, "  %-6s %s\n", name, realdata.FormatDoc(name))
	}
	b.WriteString("\nOf a key that occurs more than once the last record counts.\n" +
		"\nExamples:\n\n  lsmbench load events.jsonl\n  lsmbench load -compress all -wide\n  lsmbench load -key user -compress zstd events.jsonl\n" +
		"  lsmbench load -kill -kill-after 100000 -engines loam /usr/share/dict/words\n")
	_, _ = io.WriteString(w, b.String())
}

// newPlainFlags makes the flags of a command that opens no engine.
func newPlainFlags(name, text string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "%s\nFlags:\n\n", text)
		f.PrintDefaults()
	}
	return f
}
