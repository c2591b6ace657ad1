package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

// childFlag marks a command line as that of the process to be killed, and gives the
// store's directory.
const childFlag = "killed-store-in"

// killReport says what was found after a kill.
type killReport struct {
	engine   string
	total    uint64 // records of the source
	acked    uint64 // acknowledged before the kill
	found    uint64 // in the reopened store: a prefix of the source
	distinct uint64 // keys of the finished store
}

func (k killReport) String() string {
	return fmt.Sprintf("%s: killed with %d of %d records acknowledged; reopened with exactly the first %d; "+
		"finished, and %d keys are byte for byte the source's by Get, scan and reverse scan", k.engine, k.acked, k.total, k.found, k.distinct)
}

// killed loads the dataset on each engine in a child process that is killed, and
// reports what the store held afterwards. What was acknowledged must all be there,
// synced or not: a killed process takes nothing with it.
func (l *loader) killed(ctx context.Context, set dataset, after uint64, args []string, out io.Writer) error {
	want, err := l.expect(ctx, set, everything)
	if err != nil {
		return err
	}
	defer want.remove()
	if after == 0 {
		after = want.total / 2
	}
	if after == 0 || after >= want.total {
		return fmt.Errorf("cannot kill after %d of %d records", after, want.total)
	}
	for _, e := range l.opts.engines {
		report, err := l.killOne(ctx, set, want, after, args, e)
		if err != nil {
			return fmt.Errorf("%s on %s: %w", set.name, e.Name(), err)
		}
		if _, err := fmt.Fprintf(out, "%s, compression %s, %s\n", set.name, l.opts.config.Compression, report); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) killOne(ctx context.Context, set dataset, want *expected, after uint64, args []string, e Engine) (killReport, error) {
	k := killReport{engine: e.Name(), total: want.total, distinct: want.count}
	dir := filepath.Join(l.dir, "killed-"+e.Name())
	defer os.RemoveAll(dir)
	var err error
	l.progress.start("loading "+set.name+" into "+e.Name()+", to be killed", new(atomic.Int64))
	k.acked, err = runAndKill(ctx, dir, after, args, e)
	l.progress.stop()
	if err != nil {
		return k, err
	}
	if k.found, err = l.resume(ctx, set, want, k.acked, e, dir); err != nil {
		return k, fmt.Errorf("after %d acknowledged records: %w", k.acked, err)
	}
	_, err = l.verify(ctx, set, want, e, dir)
	return k, err
}

// stallLimit is how long a child may go without a further record: no engine stops
// writes for so long, and a test that hangs says less than one that fails.
const stallLimit = time.Minute

// runAndKill starts this program as a child that loads, kills it once it has
// acknowledged after records, and returns how many it had by then. args are the flags
// and files of the load command that the child needs.
func runAndKill(ctx context.Context, dir string, after uint64, args []string, e Engine) (uint64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	own := []string{"load", "-" + childFlag + "=" + dir, "-engines=" + e.Name()}
	cmd := exec.CommandContext(ctx, self, slices.Concat(own, args)...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	acked, killed := uint64(0), false
	var stalled atomic.Bool
	watch := time.AfterFunc(stallLimit, func() {
		stalled.Store(true)
		_ = cmd.Process.Kill() // Wait says what became of it
	})
	defer watch.Stop()
	var ack [8]byte
	for {
		if _, err := io.ReadFull(pipe, ack[:]); err != nil {
			break
		}
		acked = binary.LittleEndian.Uint64(ack[:])
		watch.Reset(stallLimit)
		if acked >= after && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				return acked, errors.Join(err, cmd.Wait())
			}
		}
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return acked, ctx.Err()
	}
	if stalled.Load() {
		return acked, fmt.Errorf("the child wrote nothing for %s after %d records", stallLimit, acked)
	}
	if !killed || err == nil {
		return acked, fmt.Errorf("the child ended by itself after %d records: %v\n%s", acked, err, complaints.Bytes())
	}
	return acked, nil
}

// loadAsChild loads into dir and writes the number of records that are in to out after
// each: eight bytes, little-endian, at once.
func (l *loader) loadAsChild(ctx context.Context, set dataset, dir string, out io.Writer) error {
	store, err := l.opts.engines[0].Open(dir, l.opts.config)
	if err != nil {
		return err
	}
	var ack [8]byte
	_, err = l.write(ctx, "", store.NewSession(), set.src, 0, func(n uint64) error {
		binary.LittleEndian.PutUint64(ack[:], n)
		_, err := out.Write(ack[:])
		return err
	})
	return errors.Join(err, store.Close())
}

// resume opens the store that a kill has left and checks it; then it opens it once more,
// as another process would, and loads the records that it lacks. It returns how many it
// held.
func (l *loader) resume(ctx context.Context, set dataset, want *expected, acked uint64, e Engine, dir string) (found uint64, err error) {
	err = l.opened(e, dir, func(s Session) error {
		found, err = l.checkPrefix(ctx, s, set, want, acked)
		return err
	})
	if err != nil {
		return 0, err
	}
	return found, l.opened(e, dir, func(s Session) error {
		_, err := l.write(ctx, "finishing "+set.name+" "+e.Name(), s, set.src, found, nil)
		return err
	})
}

// opened calls f with a session of the store in dir, which it opens and closes.
func (l *loader) opened(e Engine, dir string, f func(Session) error) (err error) {
	store, err := e.Open(dir, l.opts.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return f(store.NewSession())
}

// checkPrefix returns how many records of the source a store holds: it must be exactly
// the first that many, at least those acknowledged.
func (l *loader) checkPrefix(ctx context.Context, s Session, set dataset, want *expected, acked uint64) (found uint64, err error) {
	lo, hi, err := prefixBounds(ctx, s, set.src, want, acked)
	if err != nil {
		return 0, err
	}
	// Between the last record that is surely there and the first that surely is not
	// lie only repeated keys; what fits decides.
	for n := lo; n <= hi; n++ {
		if err = l.comparePrefix(ctx, s, set, n); err == nil || !errors.Is(err, errDiffers) {
			return n, err
		}
	}
	return 0, err
}

// prefixBounds returns between which numbers the store's records end, looking only at
// keys that occur once in the source, and from the last acknowledged record on.
func prefixBounds(ctx context.Context, s Session, src *source, want *expected, acked uint64) (lo, hi uint64, err error) {
	lo, hi = acked, want.total
	var dst []byte
	err = src.each(ctx, acked, func(n uint64, r Pair) error {
		if _, repeated := want.duplicates[string(r.Key)]; repeated {
			return nil
		}
		v, found, err := s.Get(dst[:0], r.Key)
		if err != nil {
			return err
		}
		if dst = v; found {
			lo = n + 1
			return nil
		}
		hi = n
		return errStop
	})
	return lo, hi, err
}

func (l *loader) comparePrefix(ctx context.Context, s Session, set dataset, n uint64) error {
	prefix, err := l.expect(ctx, set, n)
	if err != nil {
		return err
	}
	defer prefix.remove()
	for _, reverse := range []bool{false, true} {
		if _, err := verifyScan(ctx, s, prefix, reverse, new(atomic.Int64)); err != nil {
			return err
		}
	}
	return nil
}
