package vfs

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// OpKind is a set of kinds of calls to a file system.
type OpKind uint32

// Kinds of calls. Those of a File and of a Mapped carry the path by which it was
// opened.
const (
	OpCreate      OpKind = 1 << iota // FS.Create
	OpOpen                           // FS.Open
	OpRemove                         // FS.Remove
	OpRename                         // FS.Rename
	OpLink                           // FS.Link
	OpMkdir                          // FS.MkdirAll
	OpList                           // FS.List
	OpSize                           // FS.Size, File.Size, File.FirstHole
	OpSyncDir                        // FS.SyncDir
	OpLock                           // FS.Lock
	OpTraits                         // FS.Traits
	OpRead                           // File.ReadAt
	OpWrite                          // File.WriteAt
	OpTruncate                       // File.Truncate
	OpPreallocate                    // File.Preallocate
	OpSync                           // File.Sync
	OpMap                            // File.Map
	OpLoad                           // Mapped.Load
	OpStore                          // Mapped.Store
	OpClose                          // File.Close, Mapped.Close, and that of a lock
	opEnd

	// OpReads are the calls that return content.
	OpReads = OpRead | OpLoad
	// OpWrites are the calls that change something.
	OpWrites = OpCreate | OpRemove | OpRename | OpLink | OpMkdir | OpSyncDir | OpLock | OpWrite | OpTruncate |
		OpPreallocate | OpSync | OpStore
	// OpAll are all calls.
	OpAll = opEnd - 1
)

var opNames = []string{"create", "open", "remove", "rename", "link", "mkdir", "list", "size", "syncdir", "lock",
	"traits", "read", "write", "truncate", "preallocate", "sync", "map", "load", "store", "close"}

// String lists the kinds.
func (k OpKind) String() string {
	var out []string
	for i, name := range opNames {
		if k&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return strings.Join(out, "+")
}

// Call is one call to a file system. To is the second path of Rename and Link; Off and
// Len are the range of a read or a write, Off alone the argument of Truncate and Map.
type Call struct {
	Kind     OpKind
	Path, To string
	Off      int64
	Len      int
}

// String shows the call, for messages.
func (c Call) String() string {
	s := c.Kind.String() + " " + c.Path
	if c.To != "" {
		s += " to " + c.To
	}
	if c.Len > 0 {
		s += fmt.Sprintf(" [%d,%d)", c.Off, c.Off+int64(c.Len))
	}
	return s
}

// Effect is how a call goes wrong.
type Effect uint8

// Effects of a Rule.
const (
	// Fail: the call does nothing and returns the error. A Sync of a file of a Mem that
	// fails takes what it was for out of reach of every later Sync (F2). Close closes
	// nevertheless, as systems do.
	Fail Effect = iota
	// FailAfter: the call does its work and returns the error nevertheless.
	FailAfter
	// Short: WriteAt and Store do the first half and return the error, by default
	// io.ErrShortWrite; ReadAt returns the first half with it, by default
	// io.ErrUnexpectedEOF. Other calls Fail.
	Short
	// Flip: ReadAt and Load succeed with one bit flipped. Other calls Fail.
	Flip
	// Drop: as Fail, and of a Sync of a file of a logging Mem what was written since
	// the last successful one is gone from reads as well.
	Drop
	// Gone: as Fail, but the file system learns nothing of the call: the process that
	// made it was killed before. After Fail of a Sync no later one makes durable what it
	// was for; after Gone the next one does.
	Gone
)

// Rule makes calls go wrong.
type Rule struct {
	// Kinds are the calls concerned; 0 means all.
	Kinds OpKind
	// Glob is a pattern of path.Match that a path of the call must match: its last
	// element, or all of it when the pattern has a slash. "" matches every path, a
	// malformed pattern none.
	Glob string
	// When, if set, must return true too. It must not use the file system.
	When func(Call) bool
	// Skip is how many matching calls pass first.
	Skip int
	// Forever: every later matching call goes wrong too. Otherwise one does.
	Forever bool

	// Effect is what happens.
	Effect Effect
	// Err is the error; nil means syscall.EIO, but for Short.
	Err error
	// Bit is the bit that Flip flips, counted from the first byte's lowest and taken
	// modulo the length read.
	Bit int
}

// Injected is the error of a call that a Rule made fail, or the record of a bit that
// it flipped. errors.Is finds this very value in what the call returned, and Err.
type Injected struct {
	// Call is the call that went wrong, Effect how.
	Call   Call
	Effect Effect
	// Err is the rule's error; nil for Flip.
	Err error
}

// Error implements error.
func (i *Injected) Error() string {
	if i.Err == nil {
		return "injected flip of a bit"
	}
	return "injected: " + i.Err.Error()
}

// Unwrap returns Err.
func (i *Injected) Unwrap() error { return i.Err }

// FaultErrors returns the errors of a system that a store must expect of any call.
func FaultErrors() []error {
	return []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.EACCES, syscall.EROFS, syscall.EINTR}
}

// Faults is a file system that makes chosen calls of another one go wrong. It counts
// calls, so that a harness can run a history once, and then once more for each N with
// its Nth call failing. All methods may be called from any number of goroutines; which
// of several concurrent calls is the Nth is then up to the scheduler.
type Faults struct {
	inner FS

	mu     sync.Mutex
	rules  []*activeRule
	counts map[Call]int // by kind and path
	fired  []*Injected
}

type activeRule struct {
	Rule
	skip int
	done bool
}

// NewFaults returns a Faults on inner with the given rules. The first rule that
// applies to a call decides; a rule sees every call that matches it, decided or not.
func NewFaults(inner FS, rules ...Rule) *Faults {
	f := &Faults{inner: inner, counts: map[Call]int{}}
	for _, r := range rules {
		f.Add(r)
	}
	return f
}

// Add adds a rule behind the others.
func (f *Faults) Add(r Rule) {
	if r.Kinds == 0 {
		r.Kinds = OpAll
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, &activeRule{Rule: r, skip: r.Skip})
}

// Clear removes all rules. Counts and the record of what fired stay.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// Count returns how many calls of these kinds there were on paths that match glob, as
// in Rule, whether they went wrong or not.
func (f *Faults) Count(kinds OpKind, glob string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for call, count := range f.counts {
		if call.Kind&kinds != 0 && matches(glob, call) {
			n += count
		}
	}
	return n
}

// Fired returns what went wrong so far, in order.
func (f *Faults) Fired() []*Injected {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.fired)
}

// matches reports whether a path of the call matches glob.
func matches(glob string, c Call) bool {
	match := func(p string) bool {
		if !strings.Contains(glob, "/") {
			p = path.Base(p)
		}
		ok, err := path.Match(glob, p)
		return ok && err == nil
	}
	return glob == "" || match(c.Path) || c.To != "" && match(c.To)
}

// verdict is what happens to a call.
type verdict struct {
	*Injected // nil: nothing goes wrong
	bit       int
}

// judge counts a call and decides about it.
func (f *Faults) judge(c Call) verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[Call{Kind: c.Kind, Path: c.Path, To: c.To}]++
	var v verdict
	for _, r := range f.rules {
		if r.done || r.Kinds&c.Kind == 0 || !matches(r.Glob, c) || r.When != nil && !r.When(c) {
			continue
		}
		if r.skip > 0 {
			r.skip--
			continue
		}
		if v.Injected != nil {
			continue
		}
		r.done = !r.Forever
		v = r.apply(c)
		f.fired = append(f.fired, v.Injected)
	}
	return v
}

// apply is the rule's verdict on a call that it applies to.
func (r *activeRule) apply(c Call) verdict {
	i := &Injected{Call: c, Effect: r.Effect, Err: r.Err}
	reads, writes := c.Kind&OpReads != 0, c.Kind&(OpWrite|OpStore) != 0
	if r.Effect == Short && c.Kind != OpRead && !writes || r.Effect == Flip && (!reads || c.Len == 0) {
		i.Effect = Fail
	}
	switch {
	case i.Effect == Flip:
		i.Err = nil
	case i.Err != nil:
	case i.Effect == Short && writes:
		i.Err = io.ErrShortWrite
	case i.Effect == Short:
		i.Err = io.ErrUnexpectedEOF
	default:
		i.Err = syscall.EIO
	}
	return verdict{Injected: i, bit: r.Bit}
}

// err is the error that the call returns. A bare io.EOF stays one, as readers expect.
func (v verdict) err() error {
	if v.Err == io.EOF {
		return io.EOF
	}
	name := v.Call.Path
	if v.Call.To != "" {
		name += " to " + v.Call.To
	}
	return pathError(v.Call.Kind.String(), name, v.Injected)
}

// do runs a call that can only fail or succeed.
func (f *Faults) do(c Call, call func() error) error {
	v := f.judge(c)
	if v.Injected == nil {
		return call()
	}
	if v.Effect == FailAfter || c.Kind == OpClose {
		if err := call(); err != nil {
			return err
		}
	}
	return v.err()
}

// flip flips the verdict's bit in what was read.
func (v verdict) flip(p []byte) {
	if len(p) > 0 {
		bit := v.bit % (8 * len(p))
		p[bit/8] ^= 1 << (bit % 8)
	}
}
