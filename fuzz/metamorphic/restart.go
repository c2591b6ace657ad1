package metamorphic

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// ending is how the life of an open store ends.
type ending uint8

const (
	closed ending = iota // by Close
	killed               // with its process
	cut                  // with the power
)

// restart ends the store and opens it again. A store that was closed or killed must hold
// what was acknowledged, which is the state before the present operation, or after one of
// its commits up to the state hi; one whose power was cut may have lost what the device is
// not known to have. What it lost, or has beyond the state want, is made good.
//
// choice says which of the states that a power cut may leave is taken.
func (p *player) restart(how ending, choice, hi, want int) error {
	lo := p.ref.before(p.at)
	if p.trouble.lossy() && p.suspect() {
		lo = p.durable // a failed sync has dropped what it was for
		p.mistrust()
	}
	err := p.end()
	if err != nil && !p.suspect() {
		return err
	}
	if how == closed {
		p.counts.Reopened++
		p.census()
		err = errors.Join(err, p.db.Close())
		if err != nil && !p.suspect() {
			return fmt.Errorf("close: %w", err)
		}
	} else if p.kill(); how == cut && p.set.Files == Logged {
		p.counts.Cuts++
		p.mem, lo = afterCut(p.mem, choice), p.durable
	} else {
		p.counts.Kills++
	}
	p.db = nil
	p.counts.Faults += len(p.faults.Fired())
	p.wrap()
	if err := p.open(); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	found, err := p.judge(lo, hi)
	if err != nil {
		return err
	}
	p.durable = found // an opened store has synced what it found
	return p.repair(found, want)
}

// wrap puts a file system without faults over the files.
func (p *player) wrap() {
	if p.disk != "" {
		p.faults = vfs.NewFaults(vfs.NewOS())
	} else {
		p.faults = vfs.NewFaults(p.mem)
	}
}

// suspect reports whether a call of the open store has gone wrong.
func (p *player) suspect() bool { return p.faults != nil && len(p.faults.Fired()) > 0 }

// kill ends the process: none of its calls reaches the files any more.
func (p *player) kill() {
	p.census()
	fired := len(p.faults.Fired())
	p.faults.Add(vfs.Rule{Effect: vfs.Gone, Forever: true})
	_ = p.db.Close() // nobody is there to hear what it says
	if p.mem != nil {
		p.mem.Kill()
	}
	p.counts.Faults -= len(p.faults.Fired()) - fired // these do not count
}

// afterCut returns what one of the power cuts leaves that are possible now.
func afterCut(mem *vfs.Mem, choice int) *vfs.Mem {
	e := mem.Explore()
	e.AdvanceTo(e.Len())
	var state vfs.State
	for s := range e.States(vfs.StateOptions{Seed: uint64(choice), Pending: 4, Cuts: 2, Random: 2}) {
		if state = s; choice == 0 {
			break
		}
		choice--
	}
	return state.CrashMem()
}

// census adds up what the store's background work has done.
func (p *player) census() {
	m := p.db.Metrics()
	p.counts.Flushes += m.Flushes
	p.counts.Compactions += m.Compactions + m.TrivialMoves
	p.counts.Deleted += m.DeletedFiles
}

// attempt plays the present operation. If it fails because of calls that were made to fail,
// it must not have happened, or the store must have stopped and is opened again; then the
// operation is played once more, without faults.
func (p *player) attempt() (string, error) {
	op := p.ref.ops[p.at]
	line, cause := op.apply(p)
	for tries := 0; cause != nil; tries++ {
		switch {
		case !p.suspect() || tries == 3:
			return "", cause
		case !typed(cause):
			return "", fmt.Errorf("%w: no type in: %w", errWrong, cause)
		}
		if err := p.recover(cause); err != nil {
			return "", fmt.Errorf("after %v: %w", cause, err)
		}
		line, cause = op.apply(p)
	}
	return line, nil
}

// recover makes of a store on which the present operation has failed one on which it was
// not done.
func (p *player) recover(cause error) error {
	before, after := p.ref.before(p.at), p.ref.after[p.at]
	if p.trouble.ends() {
		return p.restart(p.trouble.ending(), p.trouble.Choice, after, before)
	}
	p.faults.Clear()
	// It is not there, but for the first of several commits.
	last := max(before, after-1)
	switch p.ref.ops[p.at].(type) {
	case *transaction: // the commits of others in its midst may be all
		last = after
	case *hear: // it commits, then listens
		last = after
	}
	found, err := p.judge(before, last)
	switch {
	case err != nil:
		return err
	case errors.Is(cause, lsm.ErrPoisoned):
		return p.restart([]ending{closed, killed}[p.at%2], 0, after, before)
	}
	return p.repair(found, before)
}

// heal ends a window of faults: what is wrong with the store is gone when it is opened
// again.
func (p *player) heal() error {
	if !p.lasting() {
		return nil
	}
	if !p.suspect() {
		p.faults.Clear()
		return nil
	}
	now := p.ref.after[p.at]
	how := []ending{closed, killed}[p.at%2]
	if p.trouble.ends() {
		how = p.trouble.ending()
	} else {
		p.faults.Clear()
	}
	p.at++ // what came before is what this operation left
	defer func() { p.at-- }()
	return p.restart(how, p.trouble.Choice, now, now)
}
