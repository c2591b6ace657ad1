package main

import (
	"fmt"
	"io"
	"strings"
)

const usageText = `lsmbench measures Loam beside other engines, and puts real data through it.

  lsmbench [flags]            real data of this machine, then the workloads; one table
  lsmbench bench [flags]      the workloads alone
  lsmbench load [flags] FILE… load records, verify them against their source, print rates
  lsmbench dump [flags] DIR   print the manifest, log and tables of a store
  lsmbench help               this text
  lsmbench COMMAND -help      the flags of a command

Examples:

  lsmbench
  lsmbench bench -n 5000000 -workloads fillrandom,readrandom -repeats 5
  lsmbench bench -engines loam -goroutines 4 -value 1024 -compress zstd
  lsmbench load -engines loam events.jsonl
  lsmbench load -format deb -compress zstd /var/lib/dpkg/status
  lsmbench load -kill -engines loam /usr/share/dict/words
  lsmbench dump -values ./data

Workloads:

`

const tableText = `
Columns: ratio compares with the last engine of -engines; * marks the better. settled
counts in the flush and compactions still owed. space is disk over live keys and values,
write is bytes written to the device over keys and values given. Rates of real data count
the engine's time only; those of its scans include the comparing with the source.
`

func usage(w io.Writer) {
	var b strings.Builder
	b.WriteString(usageText)
	for _, wl := range workloads {
		fmt.Fprintf(&b, "  %-17s %s\n", wl.name, wl.doc)
	}
	b.WriteString(tableText)
	_, _ = io.WriteString(w, b.String())
}

func loadUsage(w io.Writer) {
	var b strings.Builder
	b.WriteString("lsmbench load [flags] FILE… loads records and verifies them: every key by a Get, and the\n" +
		"whole store by a scan in either direction, byte for byte. A directory stands for its files.\n\nFormats:\n\n")
	for _, name := range formatNames() {
		fmt.Fprintf(&b, "  %-6s %s\n", name, formats[name].doc)
	}
	b.WriteString("\nOf a key that occurs more than once the last record counts.\n" +
		"\nExamples:\n\n  lsmbench load events.jsonl\n  lsmbench load -key user -compress zstd events.jsonl\n" +
		"  lsmbench load -kill -kill-after 100000 -engines loam /usr/share/dict/words\n")
	_, _ = io.WriteString(w, b.String())
}
