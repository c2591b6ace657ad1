package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/workload"
)

// fullParams are those of the tables that are kept.
var fullParams = workload.Params{
	Records: 2_000_000, Key: "16", Value: "100",
	Limit: time.Second, WriteLimit: 8 * time.Second, Warm: 300 * time.Millisecond, Rest: 1500 * time.Millisecond,
}

// fullWorkloads are the rows of the table of 100-byte values.
const fullWorkloads = "fillseq,fillrandom,fillrandom@4,fillbatch,fillsync,fillsync@16,setwhilesyncing," +
	"overwrite,updaterandom,appendrandom,deleteseq,deleterandom," +
	"readrandom,readrandom@4,readhot,readmissing,multireadrandom,readseq,readreverse,seekrandom,readwhilewriting,readwhilescanning," +
	"ycsb-a,ycsb-b,ycsb-c,ycsb-d,ycsb-e,ycsb-f,compact,recover,verifychecksum"

// largeWorkloads are the rows of the tables of larger values, and with compression.
const largeWorkloads = "fillseq,fillrandom,overwrite,readrandom,readmissing,readseq,seekrandom,ycsb-a,ycsb-b"

// operationsWorkloads are the rows of the table of what engines do beyond single keys.
const operationsWorkloads = "deleterange,txncontention,mergerandom,ttlchurn,scopecreate,scopedrop,scopescan,checkpoint,diff,largevalues," +
	"agentturn,agentstep,agentstep@16,agentfork,watchfanout"

// What that table is measured with: less than the first, since what is over in a moment
// for one engine takes seconds for another.
const (
	operationsRecords    = 500_000
	operationsLimit      = 400 * time.Millisecond
	operationsWriteLimit = time.Second
)

const ycsbWorkloads = "ycsb-a,ycsb-b,ycsb-c,ycsb-d,ycsb-e,ycsb-f"

// fullCommand runs everything: 100-byte values, YCSB with its true records, and operations;
// with -all also larger values, and with compression.
func fullCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := newFlags("full", "all", "none", usage)
	flags.addWorkloadFlags(fullParams, fullWorkloads, 3)
	all := flags.set.Bool("all", false, "also values of 1 KiB and 4 KiB, and compression with s2")
	anyway := flags.set.Bool("anyway", false, "run although this build lacks engines that the comparison should have")
	only := flags.set.String("only", "", "only the tables whose name has this in it, as in -only YCSB")
	opts, rest, err := flags.parse(args, out)
	if err != nil {
		return err
	}
	if err := none(rest); err != nil {
		return err
	}
	if err := complete(flags.engines, *anyway); err != nil {
		return err
	}
	groups, err := fullGroups(opts, *all)
	if err != nil {
		return err
	}
	if groups, err = onlyGroups(groups, *only); err != nil {
		return err
	}
	return withTempDir(opts.dir, func(dir string) error {
		return opts.run(ctx, dir, flags.commandLine(), groups, out)
	})
}

// complete says which engines are missing where all are asked for.
func complete(engines string, anyway bool) error {
	if engines != "all" || anyway {
		return nil
	}
	var missing []string
	for _, name := range []string{"badger", "goleveldb", "sqlite"} {
		if _, err := engine.Find(name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%s are not in this build, which keeps it quick to compile: go run -tags peers ./cmd/lsmbench full, "+
		"or name -engines, or say -anyway", strings.Join(missing, ", "))
}

func fullGroups(o *options, all bool) ([]group, error) {
	base := group{name: fmt.Sprintf("%s-byte values", o.params.Value), params: o.params, config: o.config, choices: o.choices}
	groups := []group{base}
	add := func(name, value, compression, workloads string, records uint64) error {
		g := base
		g.name, g.params.Value, g.config = name, value, o.withCompression(compression)
		g.params.Records = min(o.params.Records, records)
		var err error
		g.choices, err = workload.ParseList(workloads)
		groups = append(groups, g)
		return err
	}
	if err := add("YCSB records of 1,000 bytes", "1000", o.config.Compression, ycsbWorkloads, 500_000); err != nil {
		return nil, err
	}
	groups[1].params.Key = workload.HashedKeys
	if err := add("operations", o.params.Value, o.config.Compression, operationsWorkloads, operationsRecords); err != nil {
		return nil, err
	}
	groups[2].params.Limit = min(o.params.Limit, operationsLimit)
	groups[2].params.WriteLimit = min(o.params.WriteLimit, operationsWriteLimit)
	if !all {
		return groups, nil
	}
	for _, more := range []struct {
		name, value, compression string
		records                  uint64
	}{
		{"values of 1 KiB", "1024", "none", 1_000_000},
		{"values of 4 KiB", "4096", "none", 250_000},
		{"100-byte values, s2", o.params.Value, "s2", o.params.Records},
		{"values of 1 KiB, s2", "1024", "s2", 1_000_000},
	} {
		if err := add(more.name, more.value, more.compression, largeWorkloads, more.records); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// onlyGroups are the groups whose name has text in it.
func onlyGroups(groups []group, text string) ([]group, error) {
	var names []string
	var chosen []group
	for _, g := range groups {
		if names = append(names, g.name); strings.Contains(g.name, text) {
			chosen = append(chosen, g)
		}
	}
	if len(chosen) == 0 {
		return nil, usagef("no table has %q in its name; there are: %s", text, strings.Join(names, "; "))
	}
	return chosen, nil
}
