package metamorphic

import (
	"fmt"
	"os"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// Failure is a history that a store did not play as the model did.
type Failure struct {
	Set  Set
	Seed uint64 // 0: the history was not made from one
	// Ops is the history, At the operation that went wrong, len(Ops) what follows the last.
	Ops []Op
	At  int
	// Want is the model's line, Got the store's; Err is its error, if it gave none.
	Want, Got string
	Err       error
}

// Error implements error.
func (f *Failure) Error() string {
	what := "the end"
	if f.At < len(f.Ops) {
		what = formatOp(f.Ops[f.At])
	}
	if f.Err != nil {
		return fmt.Sprintf("seed %d, options %s, operation %d, %s: %v", f.Seed, f.Set.Name, f.At, what, f.Err)
	}
	return fmt.Sprintf("seed %d, options %s, operation %d, %s:\n\tgot  %s\n\twant %s", f.Seed, f.Set.Name, f.At, what, f.Got, f.Want)
}

// play plays a history on a store with one option set, in a directory of its own where that
// is on disk, and compares each line with the model's.
func play(set *Set, ref *reference) (Counts, *Failure) {
	p := &player{set: set, ref: ref, dir: "db", told: map[told]bool{}}
	p.clock.advance(1)
	fail := func(at int, err error) *Failure { return &Failure{Set: *set, Ops: ref.ops, At: at, Err: err} }
	if err := p.begin(); err != nil {
		return p.counts, fail(0, err)
	}
	defer p.abandon()
	for p.at = range ref.ops {
		got, err := p.attempt()
		switch {
		case err != nil:
			return p.counts, fail(p.at, err)
		case got != ref.lines[p.at]:
			return p.counts, &Failure{Set: *set, Ops: ref.ops, At: p.at, Want: ref.lines[p.at], Got: got}
		}
		p.counts.Operations++
		p.durable = max(p.durable, ref.durable[p.at])
		if p.window--; p.window == 0 {
			if err := p.heal(); err != nil {
				return p.counts, fail(p.at, fmt.Errorf("after the faults: %w", err))
			}
		}
		p.window = max(p.window, 0)
	}
	if err := p.finish(); err != nil {
		return p.counts, fail(len(ref.ops), err)
	}
	return p.counts, nil
}

// begin makes the files and opens the store.
func (p *player) begin() (err error) {
	switch p.set.Files {
	case Logged:
		p.mem = vfs.NewCrashMem()
	case Disk:
		if p.disk, err = os.MkdirTemp("", "metamorphic"); err != nil {
			return err
		}
		p.dir = p.path("db")
	default:
		p.mem = vfs.NewMem()
	}
	if p.set.Files != None {
		p.wrap()
	}
	return p.open()
}

// finish compares the store with the model once more, has it verified open and closed, and
// opens it again.
func (p *player) finish() error {
	p.at = len(p.ref.ops)
	last := p.ref.before(p.at)
	if p.window > 0 {
		p.window = 0
		p.at--
		if err := p.heal(); err != nil {
			return fmt.Errorf("after the faults: %w", err)
		}
		p.at++
	}
	if err := p.end(); err != nil {
		return err
	}
	if _, err := p.judge(last, last); err != nil {
		return err
	}
	if err := p.db.Verify(background); err != nil {
		return err
	}
	if !p.lasting() {
		p.census()
		err := p.db.Close()
		p.db = nil
		return err
	}
	if err := p.restart(closed, 0, last, last); err != nil {
		return err
	}
	err := p.db.Close()
	if p.db = nil; err != nil {
		return err
	}
	return p.verifyClosed()
}

// verifyClosed has the files verified while nobody has the store open.
func (p *player) verifyClosed() error {
	report, err := lsm.Verify(background, p.dir, p.options())
	if err == nil {
		err = report.Err()
	}
	return err
}

// abandon closes what is open and removes what is on disk.
func (p *player) abandon() {
	if p.db != nil {
		_ = p.end() // the history has failed already, or has been compared
		_ = p.db.Close()
	}
	if p.disk != "" {
		_ = os.RemoveAll(p.disk) // in the system's directory for such things
	}
}
