package linear

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

// Clients of a history, and how many operations they call at least.
const (
	clients    = 8
	operations = 208
)

// Ending is how the first of the two processes of a history ends.
type Ending uint8

// Endings.
const (
	Closed   Ending = iota
	Killed          // what it has written is there
	PowerCut        // what it has not synced may be there, in any part; every write is synced
)

// String returns the ending's name.
func (e Ending) String() string { return [...]string{"closed", "killed", "power cut"}[e] }

// History is what clients did and were told.
type History struct {
	Seed   uint64
	Ending Ending
	// Scoped: the keys are in a scope. Single: each operation touches one key.
	Scoped, Single bool

	// Unknown counts operations whose outcome is, Flushes and Compactions what the store did
	// meanwhile.
	Unknown, Flushes, Compactions int

	mode   lsm.LogMode
	clock  atomic.Int64 // of calls and returns: what counts is their order
	calls  atomic.Int64 // of operations
	ended  atomic.Bool  // the present process
	tokens atomic.Int64 // handed out

	mu  sync.Mutex
	ops []porcupine.Operation // of the present process; guarded by mu

	// processes are the operations of each. What the second one found it has read first: that
	// ends the operations of the first one, among which those that were under way may have
	// happened before or never.
	processes [][]porcupine.Operation
	found     state
}

// Operations returns how many there are.
func (h *History) Operations() (n int) {
	for _, ops := range h.processes {
		n += len(ops)
	}
	return n
}

// String says what decides the history.
func (h *History) String() string {
	return fmt.Sprintf("seed %d, %v, scoped %v, single keys %v, log mode %d", h.Seed, h.Ending, h.Scoped, h.Single, h.mode)
}

// Play plays the history of a seed, of which any 24 in a row are of all kinds. An error is
// one that a client was given and that it should not have been.
func Play(seed uint64) (*History, error) {
	h := &History{
		Seed: seed, Ending: Ending(seed % 3), Scoped: seed/3%2 == 1, Single: seed/6%2 == 1,
		mode: []lsm.LogMode{lsm.LogMapped, lsm.LogWritten}[seed/12%2],
	}
	rnd := h.random(0)
	mem := vfs.NewCrashMem()
	if err := h.process(mem, 0, operations/4+rnd.IntN(operations/2), h.Ending); err != nil {
		return nil, fmt.Errorf("%v: first process: %w", h, err)
	}
	if h.Ending == PowerCut {
		mem = afterPowerCut(mem, rnd)
	}
	if err := h.process(mem, clients, operations, Closed); err != nil {
		return nil, fmt.Errorf("%v: second process: %w", h, err)
	}
	return h, nil
}

// random returns the source of one of those that draw.
func (h *History) random(who int) *rand.Rand { return rand.New(rand.NewPCG(h.Seed, uint64(who))) }

// afterPowerCut returns any of the states that a power cut may leave.
func afterPowerCut(mem *vfs.Mem, rnd *rand.Rand) *vfs.Mem {
	e := mem.Explore()
	e.AdvanceTo(e.Len())
	var chosen vfs.State
	n := 0
	for s := range e.States(vfs.StateOptions{Seed: rnd.Uint64(), Random: 2, Pending: 4, Cuts: 2}) {
		if n++; rnd.IntN(n) == 0 {
			chosen = s
		}
	}
	return chosen.CrashMem()
}

// process lets clients, numbered from first, use the store until so many operations were
// called in all. Then it ends.
func (h *History) process(mem *vfs.Mem, first, until int, end Ending) error {
	h.ended.Store(false)
	rnd := h.random(100 + first)
	faults := vfs.NewFaults(mem, vfs.Rule{When: yields(h.random(200 + first))})
	db, err := lsm.Open("db", h.options(faults))
	if err != nil {
		return err
	}
	stop := func() {
		if end == Closed {
			h.ended.Store(true)
			return
		}
		faults.Add(vfs.Rule{Effect: vfs.Gone, Forever: true, Skip: rnd.IntN(8)})
	}
	if first > 0 {
		if err := h.reopened(db); err != nil {
			return errors.Join(err, db.Close())
		}
	}
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		c := h.client(db, first+i)
		wg.Go(func() { errs[i] = c.run(until, stop) })
	}
	wg.Wait()
	if end == Closed {
		if first > 0 {
			errs = append(errs, h.client(db, 2*clients).readAll())
			h.processes = append(h.processes, h.ops)
		}
		h.census(db)
		return errors.Join(append(errs, db.Close())...)
	}
	defer mem.Kill()
	faults.Add(vfs.Rule{Effect: vfs.Gone, Forever: true}) // if nothing has met it yet
	dead := len(faults.Fired()) > 0
	h.census(db)
	_ = db.Close() // of a process that is no more
	if !dead {
		return errors.Join(errs...)
	}
	return nil
}

// reopened reads what the second process has found, as the last thing that is told of the
// first one.
func (h *History) reopened(db *lsm.DB) error {
	if err := h.client(db, 2*clients).readAll(); err != nil {
		return err
	}
	for _, op := range h.ops {
		if op.ClientId == 2*clients {
			for key, value := range op.Output.(output).seen {
				h.found[key] += value // each was read once
			}
		}
	}
	h.processes, h.ops = append(h.processes, h.ops), nil
	return nil
}

// yields lets others have the processor at some calls to the file system, in the midst of
// whatever the engine is doing there.
func yields(rnd *rand.Rand) func(vfs.Call) bool {
	return func(vfs.Call) bool {
		if rnd.IntN(2) == 0 {
			runtime.Gosched()
		}
		return false
	}
}

// census adds up what the background has done.
func (h *History) census(db *lsm.DB) {
	m := db.Metrics()
	h.Flushes += int(m.Flushes)
	h.Compactions += int(m.Compactions + m.TrivialMoves)
}

// options are sizes so small that memtables are flushed and tables merged within a history.
func (h *History) options(fs vfs.FS) *lsm.Options {
	o := &lsm.Options{BlockBytes: 512, LogMode: h.mode, CompactionWorkers: 1, SyncInterval: -1}
	if h.Seed%5 == 0 {
		o.Encryption = &lsm.Encryption{Key: crypto.KeyBytes(bytes.Repeat([]byte{7}, crypto.KeyLen))}
	}
	seams.Inject(o, seams.Seams{FS: fs, Sizing: seams.Sizing{
		MinSegmentBytes: 8 << 10, MaxSegmentBytes: 16 << 10, MinMemtableBytes: 8 << 10, MemtableBytes: 8 << 10,
		BudgetBytes: 256 << 10, ManifestBytes: 1 << 10, TableBytes: 4 << 10, L0Trigger: 2, ReserveSeqNums: 100,
		RingKeys: 16, SettleAfter: time.Millisecond,
	}})
	return o
}

// note records an operation. With an error its outcome is unknown.
func (h *History) note(client int, call int64, in input, out output, err error) {
	op := porcupine.Operation{ClientId: client, Input: in, Call: call, Return: h.clock.Add(1)}
	if err != nil {
		out.unknown, op.Return = true, math.MaxInt64
	}
	op.Output = out
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
	if err != nil {
		h.Unknown++
	}
}

// client returns one that draws from a source of its own.
func (h *History) client(db *lsm.DB, id int) *client {
	c := &client{h: h, db: db, id: id, rnd: h.random(1000 + id), verbs: db}
	if h.Scoped {
		c.sc, c.err = db.Scope(scope.Custom("history"))
		c.verbs = c.sc
	}
	return c
}
