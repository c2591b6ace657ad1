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

	"github.com/loamdb/loam/cmd/lsmbench/internal/dist"
	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/workload"
)

const mebi = 1 << 20

// options are the parsed flags that the commands share.
type options struct {
	params  workload.Params
	config  engine.Config
	engines []engine.Engine
	choices []workload.Choice
	repeats int
	// compressions are those that load compares, the first being that of config.
	compressions []string
	block        int    // bytes, 0: as the compression has it
	dir          string // parent of the temporary directory; "" is the system's
	reference    string // the engine that ratios are to
	profiles     string // directory of CPU profiles
	// remarks says what else is to be noted of the runs; it may be nil.
	remarks func(runs []result.Run) []string
	output
}

// output says what becomes of the results.
type output struct {
	json  bool
	wide  bool
	lines string // file of JSON lines
	bench string // file of Go benchmark lines
	html  string // file of the report
}

// rawFlags are the flags before they are checked.
type rawFlags struct {
	set                              *flag.FlagSet
	opts                             options
	engines, workloads, compressible string
	compress                         string
	block                            int
	memtable, budget                 float64
	limit, writeLimit, rest, warm    float64
	command                          string
}

// newFlags declares the flags that every command that opens engines has.
func newFlags(command, engines, compression string, usage func(io.Writer)) *rawFlags {
	r := &rawFlags{set: flag.NewFlagSet(command, flag.ContinueOnError), command: command}
	f, o := r.set, &r.opts
	f.Usage = func() {
		usage(f.Output())
		fmt.Fprintf(f.Output(), "\nFlags:\n")
		f.PrintDefaults()
	}
	all, _ := enginesOf(command)("all")
	f.StringVar(&r.engines, "engines", engines, "engines, separated by commas, or all; in this build: "+strings.Join(namesOf(all), ", "))
	f.StringVar(&r.compress, "compress", compression, "compression of tables: "+strings.Join(engine.Compressions, ", ")+"; load compares several, separated by commas, or all")
	f.Float64Var(&r.memtable, "memtable", 64, "write buffer, `MiB`")
	f.Float64Var(&r.budget, "budget", 256, "memory for cache, memtables, indexes and filters, `MiB`")
	f.IntVar(&o.config.FilterBits, "bits", 10, "bloom filter bits per key; 0 is no filter")
	f.IntVar(&r.block, "block", 0, "data block before compression, `bytes`; 0 is 4,096 without compression and 16,384 with it")
	f.BoolVar(&o.config.Encrypted, "encrypt", false, "encrypt the stores, of those of the engines that can: loam, badger; each table comes in clear first, and notes say what encryption costs")
	f.StringVar(&o.dir, "dir", "", "make the temporary directory in this one; it decides the file system")
	o.addFlags(f)
	f.StringVar(&o.reference, "reference", "", referenceUsage)
	return r
}

// enginesOf returns what resolves a command's list of engines.
func enginesOf(command string) func(list string) ([]engine.Engine, error) {
	if command == stateName {
		return engine.ChooseDocuments
	}
	return engine.Choose
}

func namesOf(engines []engine.Engine) []string {
	names := make([]string, len(engines))
	for i, e := range engines {
		names[i] = e.Name()
	}
	return names
}

const referenceUsage = "engine that ratios are to; pebble if it is there, or else the last one"

func (o *output) addFlags(f *flag.FlagSet) {
	f.BoolVar(&o.json, "json", false, "print JSON lines instead of a table")
	f.BoolVar(&o.wide, "wide", false, "print all columns")
	f.StringVar(&o.lines, "out", "", "write the results as JSON lines to this `file`, run by run; report and compare read it")
	f.StringVar(&o.bench, "gobench", "", "write Go benchmark lines, for benchstat, to this `file`")
	f.StringVar(&o.html, "html", "", "write a report with charts to this `file`")
}

// addWorkloadFlags declares the flags of the workloads of keys and values.
func (r *rawFlags) addWorkloadFlags(d workload.Params, workloads string, repeats int) {
	r.addRunFlags(d, workloads, ", read=95,update=5 a mix (then separate by spaces)", repeats)
	f, p := r.set, &r.opts.params
	f.StringVar(&p.Key, "key", d.Key, "key `size`: 16, uniform:16-32, lognormal:24,0.3, corpus:FILE, or ycsb for keys as YCSB makes them")
	f.StringVar(&p.Value, "value", d.Value, "value `size`: 100, uniform:50-150, lognormal:100,0.8, corpus:FILE (the lengths of its lines)")
	f.StringVar(&r.compressible, "compressible", compressibleValues, "`share` to which a compressor can bring values; 1 is not at all")
	f.Float64Var(&r.writeLimit, "write-seconds", d.WriteLimit.Seconds(), "limit of workloads that write every key, `seconds`; 0 is none")
}

// compressibleValues is the share to which a compressor can bring values unless told otherwise.
const compressibleValues = "0.5"

// addDocumentFlags declares the flags of the workloads of documents.
func (r *rawFlags) addDocumentFlags(d workload.Params, workloads string, repeats int) {
	r.addRunFlags(d, workloads, "", repeats)
	f, p := r.set, &r.opts.params
	f.StringVar(&p.Value, "value", d.Value, "`size` of a document in MessagePack, about: as with bench; if it is not given there is a table for 2048 as well")
	f.BoolVar(&p.Sync, "sync", false, "have every write be on the device before the next")
	p.Key, r.compressible = d.Key, compressibleValues
}

// addRunFlags declares the flags that say what is run, and how long; mixes is what the help says
// of them.
func (r *rawFlags) addRunFlags(d workload.Params, workloads, mixes string, repeats int) {
	f, p := r.set, &r.opts.params
	f.StringVar(&r.workloads, "workloads", workloads, "workloads, separated by commas, or all; NAME@4 is with four goroutines"+mixes)
	f.Uint64Var(&p.Records, "n", d.Records, "number of keys")
	f.StringVar(&p.Chooser, "dist", "", "which records random operations choose: uniform, zipfian, zipfian:0.8, latest, hotspot:0.2,0.8, sequential; the workload's own unless given")
	f.IntVar(&p.Goroutines, "goroutines", 1, "goroutines that share each workload")
	f.Float64Var(&p.Rate, "rate", 0, "issue so many operations per second (of multireadrandom and fillbatch: calls), and count latency from when each was due; 0: the next when the last has ended")
	f.Uint64Var(&p.Seed, "seed", 1, "seed of everything random")
	f.IntVar(&r.opts.repeats, "repeats", repeats, "times to run each workload; the median is shown, and the spread")
	f.Float64Var(&r.limit, "seconds", d.Limit.Seconds(), "length of reads, mixes and synced writes, `seconds`")
	f.Float64Var(&r.warm, "warm", d.Warm.Seconds(), "length of the unmeasured beginning of reads, `seconds`")
	f.StringVar(&r.opts.profiles, "profile", "", "write a CPU profile of each run into this `directory`, as ENGINE-WORKLOAD-REPEAT.pprof")
	f.Float64Var(&r.rest, "rest", d.Rest.Seconds(), "idle time of a store that was filled, or in which data has died, for what engines put off until then, `seconds`")
}

// parse reads the arguments and checks what they mean; help goes to out. Flags may stand
// among and after the other arguments, which it returns. Its errors are usage errors.
func (r *rawFlags) parse(args []string, out io.Writer) (*options, []string, error) {
	rest, err := parseAnywhere(r.set, args, out)
	if err != nil {
		return nil, nil, err
	}
	if err := r.check(); err != nil {
		return nil, nil, usageError{err}
	}
	return &r.opts, rest, nil
}

// check makes options of the flags.
func (r *rawFlags) check() (err error) {
	o := &r.opts
	if o.engines, err = enginesOf(r.command)(r.engines); err != nil {
		return err
	}
	if o.config.Encrypted {
		if o.engines = slices.DeleteFunc(o.engines, func(e engine.Engine) bool { return !engine.Encrypts(e) }); len(o.engines) == 0 {
			return errors.New("none of the engines can encrypt its stores")
		}
	}
	if o.reference, err = chooseReference(o.reference, namesOf(o.engines)); err != nil {
		return err
	}
	err = firstWrong(
		number{"memtable", r.memtable, leastMebi, mostMebi}, number{"budget", r.budget, leastBudget, mostMebi},
		number{"bits", float64(o.config.FilterBits), 0, mostBits}, number{"repeats", float64(o.repeats), 1, mostRepeats},
	)
	if err != nil {
		return err
	}
	if r.block != 0 && (r.block < leastBlock || r.block > mostBlock) {
		return fmt.Errorf("-block must be 0 or from %d to %d", leastBlock, mostBlock)
	}
	o.config.MemtableBytes = int64(r.memtable * mebi)
	o.config.BudgetBytes = int64(r.budget * mebi)
	o.config.Compactions = min(runtime.NumCPU(), 2)
	if err := r.parseCompressions(); err != nil {
		return err
	}
	if r.set.Lookup("workloads") == nil {
		return nil
	}
	return r.parseWorkloads()
}

// What flags may ask for at most, and at least: beyond, numbers overflow or engines fail in
// ways that do not name the flag.
const (
	leastMebi, mostMebi   = 1.0 / 16, 1 << 20
	leastBudget           = 4
	mostBits              = 30
	mostRepeats           = 1000
	leastBlock, mostBlock = 512, 64 << 10
	mostSeconds           = 1e6
	mostRate              = 1e9
)

// number is the value of a flag and what it may be.
type number struct {
	flag               string
	value, least, most float64
}

// firstWrong reports the first number that is out of its bounds, as what is no number is of all.
func firstWrong(numbers ...number) error {
	for _, n := range numbers {
		if !(n.value >= n.least && n.value <= n.most) {
			return fmt.Errorf("-%s must be from %v to %.0f", n.flag, n.least, n.most)
		}
	}
	return nil
}

// parseCompressions resolves the list of compressions, of which only load takes several.
func (r *rawFlags) parseCompressions() error {
	o := &r.opts
	o.compressions = strings.Split(r.compress, ",")
	if r.compress == "all" {
		o.compressions = engine.Compressions
	}
	for _, name := range o.compressions {
		if !slices.Contains(engine.Compressions, name) {
			return fmt.Errorf("compression %q is unknown; there are %s", name, strings.Join(engine.Compressions, ", "))
		}
	}
	if len(o.compressions) > 1 && r.command != loadName {
		return errors.New("only load takes several compressions")
	}
	o.block = r.block
	o.config = o.withCompression(o.compressions[0])
	return nil
}

// withCompression returns the configuration with another compression, and blocks to match.
func (o *options) withCompression(name string) engine.Config {
	c := o.config
	c.Compression, c.BlockBytes = name, o.block
	switch {
	case o.block != 0:
	case name == "none":
		c.BlockBytes = 4 << 10
	default:
		c.BlockBytes = 16 << 10
	}
	return c
}

// given reports whether a flag stood on the command line.
func (r *rawFlags) given(name string) (found bool) {
	r.set.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

func (r *rawFlags) parseWorkloads() (err error) {
	o := &r.opts
	if o.choices, err = chooseWorkloads(r.workloads, r.command == stateName); err != nil {
		return err
	}
	p := &o.params
	for _, c := range o.choices {
		if uint64(c.Goroutines) > p.Records {
			return fmt.Errorf("workload %q: there are more goroutines than records", c.Name)
		}
	}
	err = firstWrong(
		number{"seconds", r.limit, 0, mostSeconds}, number{"write-seconds", r.writeLimit, 0, mostSeconds},
		number{"warm", r.warm, 0, mostSeconds}, number{"rest", r.rest, 0, mostSeconds}, number{"rate", p.Rate, 0, mostRate},
	)
	if err != nil {
		return err
	}
	if p.Compressible, err = dist.ParseFraction(r.compressible); err != nil {
		return err
	}
	p.Limit, p.WriteLimit = seconds(r.limit), seconds(r.writeLimit)
	p.Warm, p.Rest = seconds(r.warm), seconds(r.rest)
	return p.Check()
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// chooseWorkloads resolves a list of workloads, of documents or of keys and values, "all" meaning
// every one.
func chooseWorkloads(list string, documents bool) ([]workload.Choice, error) {
	if list != "all" {
		chosen, err := workload.ParseList(list)
		for _, c := range chosen {
			if c.Workload.Documents != documents {
				return nil, fmt.Errorf("workload %q is not one of this command; -help lists them", c.Name)
			}
		}
		return chosen, err
	}
	workloads := workload.All()
	if documents {
		workloads = workload.AllDocuments()
	}
	var all []workload.Choice
	for _, w := range workloads {
		all = append(all, workload.Choice{Name: w.Name, Workload: w})
	}
	return all, nil
}

// chooseReference returns the engine that ratios are to: the one that is asked for, or
// Pebble, or the last.
func chooseReference(asked string, engines []string) (string, error) {
	switch {
	case asked != "" && !slices.Contains(engines, asked):
		return "", fmt.Errorf("the reference %q is not among the engines", asked)
	case asked != "":
		return asked, nil
	case slices.Contains(engines, "pebble") || len(engines) == 0:
		return "pebble", nil
	}
	return engines[len(engines)-1], nil
}

// parseAnywhere parses flags wherever they stand and returns the other arguments. Help goes
// to out; of what is wrong one line is said, by who called.
func parseAnywhere(set *flag.FlagSet, args []string, out io.Writer) ([]string, error) {
	help := set.Usage
	set.Usage = func() {}
	set.SetOutput(io.Discard)
	var others []string
	for {
		err := set.Parse(args)
		switch {
		case errors.Is(err, flag.ErrHelp):
			set.SetOutput(out)
			help()
			return nil, err
		case err != nil:
			return nil, usagef("%w; %s -help lists the flags", err, commandName(set.Name()))
		}
		args = set.Args()
		if len(args) == 0 {
			return others, nil
		}
		others, args = append(others, args[0]), args[1:]
	}
}

// commandLine is the command with every flag that differs from its default, and those
// worth seeing even so, so that a run can be repeated.
func (r *rawFlags) commandLine(files ...string) string {
	parts := []string{commandName(r.command)}
	r.set.VisitAll(func(f *flag.Flag) {
		v := f.Value.String()
		if quiet[f.Name] || v == f.DefValue && !always[f.Name] {
			return
		}
		parts = append(parts, "-"+f.Name)
		if v != "true" || f.DefValue != "false" { // a switch takes no value
			parts = append(parts, quoted(v))
		}
	})
	for _, file := range files {
		parts = append(parts, quoted(file))
	}
	return strings.Join(parts, " ")
}

// commandName is how a command is called; the default one has no name.
func commandName(command string) string { return strings.TrimSpace("lsmbench " + command) }

// quoted writes an argument as a shell takes it.
func quoted(arg string) string {
	if arg != "" && !strings.ContainsAny(arg, " \t\n\"'`$&|;<>()*?[]#~\\!") {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

var (
	// always are the flags worth seeing at their defaults.
	always = map[string]bool{
		"n": true, "key": true, "value": true, "seed": true, "goroutines": true, "repeats": true,
		"compress": true, "memtable": true, "budget": true, "bits": true, "block": true, "seconds": true,
	}
	// quiet are those that say where results go.
	quiet = map[string]bool{"json": true, "wide": true, "out": true, "gobench": true, "html": true, "dir": true, "profile": true}
)
