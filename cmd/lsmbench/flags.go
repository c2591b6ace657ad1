package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"
)

// options are the parsed flags that the commands share.
type options struct {
	params
	config    Config
	engines   []Engine
	workloads []workload
	repeats   int
	dir       string // parent of the temporary directory; "" is the system's
	json      bool
	flags     string // as given, for the header
}

// reference is the engine that ratios are to: the last one chosen.
func (o *options) reference() string { return o.engines[len(o.engines)-1].Name() }

const mebi = 1 << 20

// rawFlags are the flags before they are checked.
type rawFlags struct {
	set                *flag.FlagSet
	opts               options
	engines, workloads string
	memtable, budget   float64
	limit, rest        float64
}

// newFlags declares the flags that every command that opens engines has.
func newFlags(name, compression string, usage func(io.Writer)) *rawFlags {
	r := &rawFlags{set: flag.NewFlagSet(name, flag.ContinueOnError)}
	f, o := r.set, &r.opts
	f.Usage = func() {
		usage(f.Output())
		fmt.Fprintf(f.Output(), "\nFlags:\n")
		f.PrintDefaults()
	}
	f.StringVar(&r.engines, "engines", "all", "engines, separated by commas, or all: "+strings.Join(engineNames(), ", "))
	f.StringVar(&o.config.Compression, "compress", compression, "compression of tables: "+strings.Join(compressions, ", "))
	f.Float64Var(&r.memtable, "memtable", 64, "write buffer, `MiB`")
	f.Float64Var(&r.budget, "budget", 256, "memory for cache, memtables, indexes and filters, `MiB`")
	f.IntVar(&o.config.FilterBits, "bits", 10, "bloom filter bits per key")
	f.IntVar(&o.config.BlockBytes, "block", 4096, "data block before compression, `bytes`")
	f.StringVar(&o.dir, "dir", "", "make the temporary directory in this one; it decides the file system")
	f.BoolVar(&o.json, "json", false, "print rows as JSON lines instead of a table")
	f.Uint64Var(&o.seed, "seed", 1, "seed of everything random")
	return r
}

// addWorkloadFlags declares the flags of the workloads.
func (r *rawFlags) addWorkloadFlags() {
	f, o := r.set, &r.opts
	f.StringVar(&r.workloads, "workloads", "all", "workloads, separated by commas, or all")
	f.IntVar(&o.n, "n", 1_000_000, "number of keys")
	f.IntVar(&o.keyLen, "key", 16, "key length, `bytes`")
	f.IntVar(&o.valueLen, "value", 100, "value length, `bytes`")
	f.IntVar(&o.goroutines, "goroutines", 1, "goroutines that share each workload")
	f.IntVar(&o.repeats, "repeats", 1, "times to run each workload; the median is shown")
	f.Float64Var(&r.limit, "seconds", 2, "limit of reads and of fillsync, `seconds`")
	f.Float64Var(&r.rest, "rest", 1.5, "idle time of a store after writes, for what engines put off until then, `seconds`")
}

// parse reads the arguments and checks what they mean.
func (r *rawFlags) parse(args []string) (*options, error) {
	if err := r.set.Parse(args); err != nil {
		return nil, err
	}
	o := &r.opts
	var err error
	if o.engines, err = chooseEngines(r.engines); err != nil {
		return nil, err
	}
	if r.workloads != "" {
		if o.workloads, err = chooseWorkloads(r.workloads); err != nil {
			return nil, err
		}
		if err := o.check(); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(compressions, o.config.Compression) {
		return nil, fmt.Errorf("compression %q is unknown", o.config.Compression)
	}
	if r.memtable <= 0 || r.budget <= 0 || r.limit < 0 || r.rest < 0 || o.config.FilterBits < 0 || o.config.BlockBytes < 512 {
		return nil, errors.New("sizes and times must be positive, and blocks at least 512 bytes")
	}
	o.config.MemtableBytes = int64(r.memtable * mebi)
	o.config.BudgetBytes = int64(r.budget * mebi)
	o.config.Compactions = min(runtime.NumCPU(), 2)
	o.limit = time.Duration(r.limit * float64(time.Second))
	o.rest = time.Duration(r.rest * float64(time.Second))
	o.flags = r.effective()
	return o, nil
}

func (o *options) check() error {
	if o.n < 1 || o.valueLen < 0 || o.goroutines < 1 || o.repeats < 1 {
		return errors.New("-n, -goroutines and -repeats must be at least 1, and -value not negative")
	}
	if o.goroutines > o.n {
		return errors.New("-goroutines exceeds -n")
	}
	_, err := newKeyspace(o.n, o.keyLen)
	return err
}

// effective lists every flag with its value, so that a run can be repeated.
func (r *rawFlags) effective() string {
	var parts []string
	r.set.VisitAll(func(f *flag.Flag) {
		if v := f.Value.String(); v != f.DefValue || numeric[f.Name] {
			parts = append(parts, "-"+f.Name+" "+v)
		}
	})
	return strings.Join(append(parts, r.set.Args()...), " ")
}

// numeric are the flags worth seeing even at their defaults.
var numeric = map[string]bool{
	"n": true, "key": true, "value": true, "seed": true, "goroutines": true, "repeats": true,
	"compress": true, "memtable": true, "budget": true, "bits": true, "seconds": true,
}
