package realdata

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
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// KillReport says what was found after a kill.
type KillReport struct {
	Engine   string
	Total    uint64 // records of the source
	Acked    uint64 // acknowledged before the kill
	Found    uint64 // in the reopened store: a prefix of the source
	Distinct uint64 // keys of the finished store
}

// String says it in a sentence.
func (k KillReport) String() string {
	return fmt.Sprintf("%s: killed with %d of %d records acknowledged; reopened with exactly the first %d; "+
		"finished, and %d keys are byte for byte the source's by Get, scan and reverse scan", k.Engine, k.Acked, k.Total, k.Found, k.Distinct)
}

// Kill loads the dataset in a child process that is killed once it has acknowledged
// after records, 0 meaning half of them, and reports what the store held afterwards.
// What was acknowledged must all be there, synced or not: a killed process takes nothing
// with it. start makes the command of a process that calls Fill with the spec.
func Kill(ctx context.Context, spec Spec, after uint64, start func(Spec) (*exec.Cmd, error)) (KillReport, error) {
	l, err := newLoader(spec, nil)
	if err != nil {
		return KillReport{}, err
	}
	want, err := l.expect(ctx, everything)
	if err != nil {
		return KillReport{}, err
	}
	defer want.remove()
	if after == 0 {
		after = want.total / 2
	}
	if after == 0 || after >= want.total {
		return KillReport{}, fmt.Errorf("cannot kill after %d of %d records", after, want.total)
	}
	k := KillReport{Engine: l.Engine, Total: want.total, Distinct: want.count}
	spec.Store = filepath.Join(l.Dir, "killed-"+l.Engine)
	defer os.RemoveAll(spec.Store)
	if k.Acked, err = runAndKill(ctx, spec, after, start); err != nil {
		return k, fmt.Errorf("%s on %s: %w", l.Dataset.Name, l.Engine, err)
	}
	if k.Found, err = l.resume(ctx, want, k.Acked, spec.Store); err == nil {
		_, err = l.verify(ctx, want, spec.Store)
	}
	if err != nil {
		return k, fmt.Errorf("%s on %s, after %d acknowledged records: %w", l.Dataset.Name, l.Engine, k.Acked, err)
	}
	return k, nil
}

// stallLimit is how long a child may go without a further record: a test that hangs says
// less than one that fails.
const stallLimit = 10 * time.Minute

// ackLen is the length of an acknowledgement, of which the first eight bytes count: so
// long that a pipe holds few of them, and the child cannot run to its end before this
// process has seen that it is time to kill it.
const ackLen = 512

// runAndKill starts the child, kills it once it has acknowledged after records, and
// returns how many it had by then.
func runAndKill(ctx context.Context, spec Spec, after uint64, start func(Spec) (*exec.Cmd, error)) (uint64, error) {
	cmd, err := start(spec)
	if err != nil {
		return 0, err
	}
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
	var ack [ackLen]byte
	for {
		if _, err := io.ReadFull(pipe, ack[:]); err != nil {
			break
		}
		acked = binary.LittleEndian.Uint64(ack[:8])
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

// Fill is what the child does that Kill kills: it loads into spec.Store and writes the
// number of records that are in to out after each, little-endian, padded to ackLen.
func Fill(ctx context.Context, spec Spec, out io.Writer) error {
	l, err := newLoader(spec, nil)
	if err != nil {
		return err
	}
	var ack [ackLen]byte
	return l.opened(spec.Store, func(_ engine.Store, s engine.Session) error {
		_, err := l.write(ctx, s, 0, func(n uint64) error {
			binary.LittleEndian.PutUint64(ack[:8], n)
			_, err := out.Write(ack[:])
			return err
		})
		return err
	})
}

// resume opens the store that a kill has left and checks it; then it opens it once more,
// as another process would, and loads the records that it lacks. It returns how many it
// held.
func (l *loader) resume(ctx context.Context, want *expected, acked uint64, dir string) (found uint64, err error) {
	err = l.opened(dir, func(_ engine.Store, s engine.Session) error {
		found, err = l.checkPrefix(ctx, s, want, acked)
		return err
	})
	if err != nil {
		return 0, err
	}
	return found, l.opened(dir, func(_ engine.Store, s engine.Session) error {
		_, err := l.write(ctx, s, found, nil)
		return err
	})
}

// checkPrefix returns how many records of the source a store holds: it must be exactly
// the first that many, at least those acknowledged.
func (l *loader) checkPrefix(ctx context.Context, s engine.Session, want *expected, acked uint64) (found uint64, err error) {
	lo, hi, err := prefixBounds(ctx, s, l.Dataset.Source, want, acked)
	if err != nil {
		return 0, err
	}
	// Between the last record that is surely there and the first that surely is not
	// lie only repeated keys; what fits decides.
	for n := lo; n <= hi; n++ {
		if err = l.comparePrefix(ctx, s, n); err == nil || !errors.Is(err, ErrDiffers) {
			return n, err
		}
	}
	return 0, err
}

// prefixBounds returns between which numbers the store's records end, looking only at
// keys that occur once in the source, and from the last acknowledged record on.
func prefixBounds(ctx context.Context, s engine.Session, src *Source, want *expected, acked uint64) (lo, hi uint64, err error) {
	lo, hi = acked, want.total
	var dst []byte
	err = src.each(ctx, acked, func(n uint64, r engine.Pair) error {
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

func (l *loader) comparePrefix(ctx context.Context, s engine.Session, n uint64) error {
	prefix, err := l.expect(ctx, n)
	if err != nil {
		return err
	}
	defer prefix.remove()
	for _, reverse := range []bool{false, true} {
		if _, err := verifyScan(ctx, s, prefix, reverse); err != nil {
			return err
		}
	}
	return nil
}
