package state

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// Room in scopes with limits. Whoever would take such a scope more than a tenth beyond a limit waits, before
// anything of the commit is locked, until a sweep has made room.
//
//   - R5. What was let in counts until it is committed: many writers go no further than one.
//   - R6. A write waits for its turn, for what was let in before it to be committed, and for one sweep that begins
//     then: all of it for no longer than mostWait. So it ends where nothing can go, and where a limit came
//     when the scope was far beyond it.
//   - R7. What hooks write because of what they are told does not wait: the sweep may be what tells them.

// mostWait is how long a write waits for room at most.
const mostWait = 10 * time.Second

// tenth returns how much may be in a scope of what has a limit; 0 is none.
func tenth(limit int64) int64 {
	if limit == 0 || limit > math.MaxInt64-limit/10-1 {
		return math.MaxInt64
	}
	return limit + max(limit/10, 1)
}

// admission is what was let into a scope of one commit, which is under way until end.
type admission struct {
	in             *ruled // nil: nobody counts
	entries, bytes int64
}

// plea is a scope in which somebody waits for room; done is closed when it was visited.
type plea struct {
	in   *ruled
	done chan struct{}
}

// admitWrites lets writes to one scope in, or returns the error of the context.
func (k *sweeper) admitWrites(ctx context.Context, ws []write) (admission, error) {
	if !k.active() || len(ws) == 0 {
		return admission{}, nil
	}
	return k.admit(ctx, sumOf(ws))
}

// sumOf returns what is counted of writes to one scope together.
func sumOf(ws []write) tally {
	sum := tally{name: ws[0].space.name}
	for i := range ws {
		sum.add(tallyOf(&ws[i]))
	}
	return sum
}

// admitAll lets what a transaction has written in. The scopes have one order, so that nobody waits for who
// waits for him.
func (k *sweeper) admitAll(ctx context.Context, wrote []tally) ([]admission, error) {
	if !k.active() {
		return nil, nil
	}
	wrote = slices.Clone(wrote)
	slices.SortStableFunc(wrote, func(a, b tally) int { return scope.Compare(a.name, b.name) })
	var all []admission
	for len(wrote) > 0 {
		sum, n := wrote[0], 1
		for ; n < len(wrote) && wrote[n].name == sum.name; n++ {
			sum.add(wrote[n])
		}
		a, err := k.admit(ctx, sum)
		if err != nil {
			endAll(all)
			return nil, err
		}
		all, wrote = append(all, a), wrote[n:]
	}
	return all, nil
}

func endAll(all []admission) {
	for i := range all {
		all[i].end()
	}
}

func (t *tally) add(more tally) { t.entries, t.bytes = t.entries+more.entries, t.bytes+more.bytes }

// admit lets a commit into a scope.
func (k *sweeper) admit(ctx context.Context, t tally) (admission, error) {
	in := (*k.scopes.Load())[t.name]
	if in == nil || t.entries == 0 || in.rule.MaxEntries == 0 && in.rule.MaxBytes == 0 || mutant.Enabled && mutant.Is(mutant.NeverWaitForRoom) {
		return admission{}, nil
	}
	a := admission{in, t.entries, t.bytes}
	if in.waiting.Load() == 0 {
		if a.try() {
			return a, nil
		}
		a.signal() // somebody may have taken it for a commit
	}
	if cause := hook.TraceOf(ctx).Cause; !cause.IsZero() {
		a.begin() // R7
	} else if err := k.wait(ctx, &a); err != nil {
		return admission{}, err
	}
	return a, nil
}

// begin counts the commit as under way (R5).
func (a *admission) begin() {
	a.in.held.Add(a.entries)
	a.in.heldBytes.Add(a.bytes)
}

// end says that the commit has been counted, or has failed.
func (a *admission) end() {
	if a.in != nil {
		a.undo()
		a.signal()
	}
}

func (a *admission) undo() {
	a.in.held.Add(-a.entries)
	a.in.heldBytes.Add(-a.bytes)
}

// signal wakes whoever waits for commits that are under way.
func (a *admission) signal() {
	select {
	case a.in.ended <- struct{}{}:
	default: // it is known that some have
	}
}

// try begins if there is room. What is under way is looked at before what was counted, where it goes.
func (a *admission) try() bool {
	a.begin()
	in := a.in
	held, heldBytes := in.held.Load(), in.heldBytes.Load()
	written, bytes := in.written.Load(), in.bytes.Load()
	if held+written <= in.spare.Load() && heldBytes+bytes <= in.spareFor.Load() {
		return true
	}
	a.undo()
	return false
}

// wait begins when it is the commit's turn and there is room, or when it has waited for long enough (R6).
func (k *sweeper) wait(ctx context.Context, a *admission) error {
	k.waits.Add(1)
	a.in.waiting.Add(1)
	defer a.in.waiting.Add(-1)
	patient, cancel := context.WithTimeout(ctx, mostWait)
	defer cancel()
	defer context.AfterFunc(k.store.ended, cancel)() // what comes of it then others say
	select {
	case a.in.turn <- struct{}{}:
		defer func() { <-a.in.turn }()
		if k.makeRoom(patient, a) {
			return nil
		}
	case <-patient.Done():
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	a.begin()
	return nil
}

// makeRoom has the sweeper make room, if need be, and begins when there is some. Nobody else is let in
// meanwhile.
func (k *sweeper) makeRoom(ctx context.Context, a *admission) bool {
	for swept := false; ; {
		switch {
		case a.try():
			return true
		case ctx.Err() != nil:
			return false
		case a.in.held.Load() > 0:
			select {
			case <-a.in.ended:
			case <-ctx.Done():
			}
		case swept:
			return false
		default:
			k.ask(ctx, a.in)
			swept = true
		}
	}
}

// ask has the sweeper visit a scope, and waits for it.
func (k *sweeper) ask(ctx context.Context, in *ruled) {
	p := plea{in, make(chan struct{})}
	select {
	case k.pleas <- p:
	case <-ctx.Done():
		return
	}
	select {
	case <-p.done:
	case <-ctx.Done():
	}
}

// exceeded reports whether what is in the scope, and counted, exceeds a limit: a look can make room.
func (in *ruled) exceeded() bool {
	r := &in.rule
	return r.MaxEntries > 0 && in.left.entries+in.written.Load() > r.MaxEntries ||
		r.MaxBytes > 0 && in.left.bytes+in.bytes.Load() > r.MaxBytes
}
